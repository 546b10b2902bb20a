"""Optimizer steps through DeepSpeed, which shards the optimizer's state, at stage 3 the weights too (ZeRO, arXiv
1910.02054)."""

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
from avatargpt.train.checkpoints import CHECKPOINT, write
from avatargpt.train.engines import TrainEngine
from avatargpt.train.optimizers import set_rate
from avatargpt.train.runtime import Runtime, check_finite
from avatargpt.train.stage import Stage
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.strict import check_keys

OPTION = "--deepspeed_config"
OFFLOADED = ("offload_optimizer", "offload_param")
# Keys that are ignored, since the run's own configuration sets them, and keys that DeepSpeed gets.
OURS = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping",
    "optimizer", "scheduler",
)  # fmt: skip
THEIRS = (
    "zero_optimization", "steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state",
    "communication_data_type", "prescale_gradients", "gradient_predivide_factor", "comms_logger", "flops_profiler",
    "tensorboard", "csv_monitor", "wandb",
)  # fmt: skip
MOMENTS = ("exp_avg", "exp_avg_sq")


def read_zero(path: Path, schedule: Schedule, runtime: Runtime) -> dict[str, Any]:
    """A DeepSpeed configuration, checked, with values of the run's own configuration filled in.

    Raises:
        UserError: unreadable, an unknown key, a value that DeepSpeed refuses, a stage that is not supported, a batch
            that the processes cannot share, or DeepSpeed is not installed.
    """
    values = check_keys(read_object(path), (*THEIRS, *OURS), str(path))
    zero = values.get("zero_optimization")
    zero = zero if isinstance(zero, dict) else {}
    stage = zero.get("stage")
    if stage not in (1, 2, 3) or isinstance(stage, bool):
        raise UserError(f"{path}: zero_optimization: stage: {stage}; accepted: 1, 2 or 3")
    # DeepSpeed can offload to disks (nvme) as well, which has not been tested with these checkpoints.
    for name in OFFLOADED:
        offload = zero.get(name)
        device = offload.get("device", "none") if isinstance(offload, dict) else offload or "none"
        if device not in ("none", "cpu"):
            raise UserError(f"{path}: zero_optimization: {name}: device: {device}; accepted: cpu or none")
    if zero.get("reduce_scatter", True) is not True:  # losses leave torchrun's by more than 1 then
        raise UserError(f"{path}: zero_optimization: reduce_scatter: {zero['reduce_scatter']}; accepted: true")
    config = {
        **{k: v for k, v in values.items() if k in THEIRS}, "gradient_accumulation_steps": 1,
        "train_micro_batch_size_per_gpu": runtime.share(schedule.batch, "train"),
        "gradient_clipping": schedule.clip, "zero_force_ds_cpu_optimizer": False,
    }  # fmt: skip
    _package()
    from deepspeed.runtime.config import DeepSpeedConfig

    try:
        DeepSpeedConfig(dict(config))
    except ValidationError as e:
        first = e.errors()[0]
        place = ": ".join(["zero_optimization", *map(str, first["loc"])])
        raise UserError(f"{path}: {place}: {first['input']!r}; {first['msg']}") from None
    except Exception as e:  # DeepSpeed raises errors of many kinds, assertions among them
        # The first line: some of its messages span a page.
        line = (str(e) or type(e).__name__).splitlines()[0]
        raise UserError(f"{path}: DeepSpeed refuses it ({line})") from None
    return config


class Gradients(torch.nn.Module):
    """The module that DeepSpeed wraps: parameters, whose gradients are handed in.

    ZeRO adds up gradients in the order in which they arrive on each process, which would follow the rows that a process
    has drawn. Here every parameter's gradient comes on every process in every step, in one order. Stage 3 gathers a
    module's parameters when it is called, on all processes at once; the network calls heads only where rows need them,
    so its parameters are this module's own, and the network runs while all of them are gathered.
    """

    def __init__(self, network: torch.nn.Module, trained: Sequence[torch.nn.Parameter]) -> None:
        super().__init__()
        # Registered here by number: names with dots are not accepted, and tied weights come once.
        for number, parameter in enumerate(network.parameters()):
            self.register_parameter(str(number), parameter)
        self.trained = trained

    def forward(self, gradients: Sequence[Tensor]) -> Tensor:
        """A number whose gradient with respect to every parameter is the given one."""
        return torch.stack([(p * g).sum() for p, g in zip(self.trained, gradients, strict=True)]).sum()


class DeepSpeed(TrainEngine):
    """The engine through DeepSpeed. The YAML's training settings hold under it, too.

    Weights and the optimizer's state go to DeepSpeed in `resume` and are read back to save: checkpoints are those of
    PyTorch alone.

    Args:
        config: from `read_zero`.
    """

    def __init__(self, stage: Stage, runtime: Runtime, config: dict[str, Any]) -> None:
        self.stage, self.runtime, self.config, self.module = stage, runtime, config, stage.module
        self.parameters = [p for p in stage.network.parameters() if p.requires_grad]
        self.engine: Any = None
        if "RANK" not in os.environ:  # started without a launcher: the only process
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])
            os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)

    def resume(self, out: Path) -> int:
        step = super().resume(out)
        self.sharded = ShardedState(self.stage.optimizer)
        wrapped = Gradients(self.stage.network, self.parameters)
        self.engine, *_ = _package().initialize(model=wrapped, optimizer=self.stage.optimizer, config=self.config)
        self.sharded.spread(self.engine.optimizer)
        return step

    def optimizer_step(self, losses: Iterable[Tensor], count: int, rate: float) -> Tensor | None:
        # DeepSpeed reads the rate of the optimizer's groups at its step.
        set_rate(self.stage.optimizer, rate)
        gradients: list[Tensor] = []
        with self.gather_weights():
            for total in losses:
                check_finite(total, "loss")
                # Zeros for what no row reaches, so that every process hands over the same list.
                added = torch.autograd.grad(total / count, self.parameters, materialize_grads=True)
                gradients = [a + b for a, b in zip(gradients, added, strict=True)] if gradients else [*added]
        self.engine.backward(self.engine(gradients))
        self.engine.step()
        norm = self.engine.get_global_grad_norm()
        return None if norm is None else torch.as_tensor(norm)

    def gather_weights(self) -> AbstractContextManager[None]:
        if self.config["zero_optimization"]["stage"] < 3:
            return nullcontext()
        return _package().zero.GatheredParameters(list(self.stage.network.parameters()))

    def save(self, out: Path, step: int) -> None:
        optimizer = self.sharded.gather(self.runtime.main)
        with self.gather_weights():
            if self.runtime.main:
                write(out / CHECKPOINT, self.stage, optimizer, step)


class ShardedState:
    """The state of AdamW that ZeRO splits: taken apart for any number of processes, and put together as torch has it.

    Args:
        optimizer: with the state to resume, which is taken out of it, before DeepSpeed replaces its parameters.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.groups: list[list[torch.nn.Parameter]] = [list(g["params"]) for g in optimizer.param_groups]
        self.settings = [g for g in optimizer.param_groups]
        self.keys = [[k for k in g if k != "params"] for g in optimizer.param_groups]
        # DeepSpeed replaces the parameters by flat partitions; the state is keyed by the old ones until then.
        self.before: dict[torch.nn.Parameter, dict[str, Tensor]] = dict(optimizer.state)
        optimizer.state.clear()
        # DeepSpeed does not accept a group without parameters; `gather` puts it back.
        optimizer.param_groups[:] = [g for g in optimizer.param_groups if g["params"]]

    def spread(self, sharded: Any) -> None:
        """Give every process its piece of the state.

        Args:
            sharded: DeepSpeed's optimizer before its first step.
        """
        from deepspeed.utils import safe_set_full_optimizer_state

        # DeepSpeed looks for the state after the step of the first group, when torch would not have made that of the
        # others, so a run that begins gets zeros.
        steps = max((float(state["step"]) for state in self.before.values()), default=0.0)
        flat_groups = getattr(sharded, "single_partition_of_fp32_groups", None)  # stages 1 and 2
        for flat in sharded.fp32_partitioned_groups_flat if flat_groups is None else flat_groups:
            moments = {name: torch.zeros_like(flat) for name in MOMENTS}
            self.optimizer.state[flat] = {"step": torch.tensor(steps, device=flat.device), **moments}
        if hasattr(sharded, "_lazy_init_hp_params_optimizer_state"):
            sharded._lazy_init_hp_params_optimizer_state()
        for parameter, state in self.before.items():
            for name in MOMENTS:
                safe_set_full_optimizer_state(parameter, state[name], name)
        self.before = {}

    def gather(self, keep: bool) -> dict[str, Any]:
        """The full state, as `state_dict` of the optimizer gives it without DeepSpeed; all processes call at once.

        Args:
            keep: whether this process gets the values.
        """
        from deepspeed.utils import safe_get_full_optimizer_state

        # All parameters have taken the same number of steps.
        steps = max(float(state["step"]) for state in self.optimizer.state.values())
        state: dict[int, dict[str, Tensor]] = {}
        groups, number = [], 0
        for parameters, settings, keys in zip(self.groups, self.settings, self.keys, strict=True):
            groups.append({k: settings[k] for k in keys} | {"params": [*range(number, number + len(parameters))]})
            for parameter in parameters:
                moments = {name: safe_get_full_optimizer_state(parameter, name) for name in MOMENTS}
                if keep:
                    shape = getattr(parameter, "ds_shape", parameter.shape)  # stage 3 leaves an empty parameter
                    shaped = {name: value.reshape(shape).clone() for name, value in moments.items()}
                    state[number] = {"step": torch.tensor(steps), **shaped}
                number += 1
        return {"state": state, "param_groups": groups}


def _package() -> Any:
    """DeepSpeed. Raises UserError where it is not installed."""
    try:
        import deepspeed
    except ImportError:
        raise UserError(f"{OPTION}: needs DeepSpeed; install it: pip install 'avatargpt[deepspeed]'") from None
    # Sums over processes on one CPU go through gloo: DeepSpeed's own extension for them is compiled at the first start.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
