"""Steps through DeepSpeed, which shards the optimiser's state, and at stage 3 the weights (ZeRO, arXiv 1910.02054)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from avatargpt.config import Schedule
from avatargpt.train.checkpoints import CHECKPOINT, take_up, write
from avatargpt.train.optimizers import set_rate
from avatargpt.train.runtime import Runtime, check_finite
from avatargpt.train.stage import Stage
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.strict import check_keys

OPTION = "--deepspeed_config"
OFFLOADED = ("offload_optimizer", "offload_param")
OURS = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping",
    "optimizer", "scheduler",
)  # fmt: skip
"""Keys that are read over: the YAML says these."""
THEIRS = (
    "zero_optimization", "steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state",
    "communication_data_type", "prescale_gradients", "gradient_predivide_factor", "comms_logger", "flops_profiler",
    "tensorboard", "csv_monitor", "wandb",
)  # fmt: skip


def read_zero(path: Path, schedule: Schedule, runtime: Runtime) -> dict[str, Any]:
    """A DeepSpeed configuration, checked, with what the run's own configuration says filled in.

    Raises:
        UserError: unreadable, an unknown key, a value that DeepSpeed refuses, a stage that is not supported, a batch
            that the processes cannot share, or DeepSpeed is not installed.
    """
    given = check_keys(read_object(path), (*THEIRS, *OURS), str(path))
    zero = given.get("zero_optimization")
    zero = zero if isinstance(zero, dict) else {}
    stage = zero.get("stage")
    if stage not in (1, 2, 3) or isinstance(stage, bool):
        raise UserError(f"{path}: zero_optimization: stage: {stage}; accepted: 1, 2 or 3")
    for name in OFFLOADED:
        offload = zero.get(name)
        device = offload.get("device", "none") if isinstance(offload, dict) else offload or "none"
        if device not in ("none", "cpu"):
            raise UserError(f"{path}: zero_optimization: {name}: device: {device}; accepted: cpu or none")
    if zero.get("reduce_scatter", True) is not True:  # losses leave torchrun's by more than 1 then
        raise UserError(f"{path}: zero_optimization: reduce_scatter: {zero['reduce_scatter']}; accepted: true")
    whole = {
        **{k: v for k, v in given.items() if k in THEIRS}, "gradient_accumulation_steps": 1,
        "train_micro_batch_size_per_gpu": runtime.share(schedule.batch, "train"),
        "gradient_clipping": schedule.clip, "zero_force_ds_cpu_optimizer": False,
    }  # fmt: skip
    _package()
    from deepspeed.runtime.config import DeepSpeedConfig

    try:
        DeepSpeedConfig(dict(whole))
    except ValidationError as e:
        first = e.errors()[0]
        place = ": ".join(["zero_optimization", *map(str, first["loc"])])
        raise UserError(f"{path}: {place}: {first['input']!r}; {first['msg']}") from None
    except Exception as e:  # DeepSpeed raises what its many parts do, assertions among them
        raise UserError(f"{path}: DeepSpeed refuses it ({_line(e)})") from None
    return whole


class Gradients(torch.nn.Module):
    """What DeepSpeed wraps: parameters, and as their gradients those that are handed in.

    ZeRO adds up gradients in the order in which they arrive on each process. That follows the rows which a process
    has drawn: heads without a row send nothing, and others come in the order of the rows. Here every parameter's
    gradient comes on every process in every step, always in one order. Stage 3 gathers a module's parameters when it is
    called, on all processes at once. The network's, whose heads are called only where rows speak through them, are
    therefore this module's own, and the network is called while all of them are there.
    """

    def __init__(self, network: torch.nn.Module, learnt: Sequence[torch.nn.Parameter]) -> None:
        super().__init__()
        for number, parameter in enumerate(network.parameters()):
            self.register_parameter(str(number), parameter)
        self.learnt = learnt

    def forward(self, gradients: Sequence[Tensor]) -> Tensor:
        """A number whose gradient with respect to every parameter is the given one."""
        return torch.stack([(p * g).sum() for p, g in zip(self.learnt, gradients, strict=True)]).sum()


class DeepSpeed:
    """See `avatargpt.train.engines.Engine`. What the YAML says of the training holds under it, too.

    Weights and the optimiser's state are handed to DeepSpeed in `resume` and read back from it to save: checkpoints are
    those of `avatargpt.train.engines.Plain`.

    Args:
        config: from `read_zero`.
    """

    def __init__(self, stage: Stage, runtime: Runtime, config: dict[str, Any]) -> None:
        self.stage, self.runtime, self.config, self.module = stage, runtime, config, stage.module
        self.learnt = [p for p in stage.network.parameters() if p.requires_grad]
        self.engine: Any = None
        _alone()

    def resume(self, out: Path) -> int:
        """See `Engine`.

        Raises:
            UserError: a damaged checkpoint, or one of another network.
        """
        step = take_up(out / CHECKPOINT, self.stage, self.runtime.device)
        self.sharded = ShardedState(self.stage.optimizer)
        wrapped = Gradients(self.stage.network, self.learnt)
        self.engine, *_ = _package().initialize(model=wrapped, optimizer=self.stage.optimizer, config=self.config)
        self.sharded.spread(self.engine.optimizer)
        return step

    def descend(self, parts: Iterable[Tensor], count: int, rate: float) -> Tensor | None:
        """See `Engine`.

        Raises:
            UserError: a loss that is not finite.
        """
        set_rate(self.stage.optimizer, rate)
        gradients: list[Tensor] = []
        with self.whole():
            for total in parts:
                check_finite(total, "loss")
                some = torch.autograd.grad(total / count, self.learnt, materialize_grads=True)
                gradients = [a + b for a, b in zip(gradients, some, strict=True)] if gradients else [*some]
        self.engine.backward(self.engine(gradients))
        self.engine.step()
        norm = self.engine.get_global_grad_norm()
        return None if norm is None else torch.as_tensor(norm)

    def whole(self) -> AbstractContextManager[None]:
        """Gathers the weights that ZeRO-3 splits; they are there in any case otherwise."""
        if self.config["zero_optimization"]["stage"] < 3:
            return nullcontext()
        return _package().zero.GatheredParameters(list(self.stage.network.parameters()))

    def save(self, out: Path, step: int) -> None:
        """See `Engine`.

        Raises:
            UserError: a tensor is empty: its values lie with another process.
        """
        optimizer = self.sharded.gathered(self.runtime.main)
        with self.whole():
            if self.runtime.main:
                write(out / CHECKPOINT, self.stage, optimizer, step)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _alone() -> None:
    """Started without a launcher, this process is the only one."""
    if "RANK" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update(alone)


def _package() -> Any:
    """DeepSpeed.

    Raises:
        UserError: not installed.
    """
    try:
        import deepspeed
    except ImportError:
        raise UserError(f"{OPTION}: needs DeepSpeed; install it: pip install 'avatargpt[deepspeed]'") from None
    # Sums over processes on one CPU go through gloo: DeepSpeed's own extension for them is compiled at the first start.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


MOMENTS = ("exp_avg", "exp_avg_sq")


class ShardedState:
    """Remembers which parameters an optimiser has, before DeepSpeed puts flat pieces in their place.

    Args:
        optimizer: with the state to go on from; that is taken out of it.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.groups: list[list[torch.nn.Parameter]] = [list(g["params"]) for g in optimizer.param_groups]
        self.settings = [g for g in optimizer.param_groups]
        self.keys = [[k for k in g if k != "params"] for g in optimizer.param_groups]
        self.before: dict[torch.nn.Parameter, dict[str, Tensor]] = dict(optimizer.state)
        optimizer.state.clear()
        optimizer.param_groups[:] = [g for g in optimizer.param_groups if g["params"]]

    def spread(self, sharded: Any) -> None:
        """Give every process its piece of the state to go on from.

        Args:
            sharded: DeepSpeed's optimiser, which has had no step yet.
        """
        from deepspeed.utils import safe_set_full_optimizer_state

        # All of them move at every step. DeepSpeed looks for the state after the step of the first group, when torch
        # would not have made that of the others, so a run that begins gets one, too: zeros.
        steps = max((float(state["step"]) for state in self.before.values()), default=0.0)
        for flat in self._pieces(sharded):
            moments = {name: torch.zeros_like(flat) for name in MOMENTS}
            self.optimizer.state[flat] = {"step": torch.tensor(steps, device=flat.device), **moments}
        if hasattr(sharded, "_lazy_init_hp_params_optimizer_state"):
            sharded._lazy_init_hp_params_optimizer_state()
        for parameter, state in self.before.items():
            for name in MOMENTS:
                safe_set_full_optimizer_state(parameter, state[name], name)
        self.before = {}

    def _pieces(self, sharded: Any) -> list[Tensor]:
        """What this process has of all groups, (numbers,) each."""
        if hasattr(sharded, "single_partition_of_fp32_groups"):  # stages 1 and 2
            return list(sharded.single_partition_of_fp32_groups)
        return list(sharded.fp32_partitioned_groups_flat)

    def gathered(self, keep: bool) -> dict[str, Any]:
        """The whole state, as `state_dict` of the optimiser gives it without DeepSpeed; all processes ask together.

        Args:
            keep: whether this process wants it; the others get it without values.
        """
        from deepspeed.utils import safe_get_full_optimizer_state

        steps = max(float(state["step"]) for state in self.optimizer.state.values())
        state: dict[int, dict[str, Tensor]] = {}
        groups, number = [], 0
        for parameters, settings, keys in zip(self.groups, self.settings, self.keys, strict=True):
            groups.append({k: settings[k] for k in keys} | {"params": [*range(number, number + len(parameters))]})
            for parameter in parameters:
                moments = {name: safe_get_full_optimizer_state(parameter, name) for name in MOMENTS}
                if keep:
                    shaped = {name: value.reshape(_shape(parameter)).clone() for name, value in moments.items()}
                    state[number] = {"step": torch.tensor(steps), **shaped}
                number += 1
        return {"state": state, "param_groups": groups}


def _shape(parameter: Any) -> torch.Size:
    return getattr(parameter, "ds_shape", parameter.shape)  # what stage 3 splits has no shape of its own
