"""Steps through DeepSpeed, which shards the optimiser's state over the processes (ZeRO, arXiv 1910.02054)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from avatargpt.config import Schedule
from avatargpt.train.running.checkpoints import INSTEAD, check_identity
from avatargpt.train.running.optimizers import set_rate
from avatargpt.train.running.runtime import Runtime, check_finite
from avatargpt.train.running.stage import Stage
from vqvae.errors import UserError
from vqvae.io.json_file import read_object
from vqvae.strict import check_keys

OPTION, FOLDER, LATEST = "--deepspeed_config", "deepspeed", "latest"
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
    if stage not in (1, 2) or isinstance(stage, bool):
        raise UserError(f"{path}: zero_optimization: stage: {stage}; accepted: 1 or 2 (3 shards the weights "
                        "themselves, and no model here is too large for one process)")  # fmt: skip
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
    gradient comes on every process in every step, always in one order.
    """

    def __init__(self, model: torch.nn.Module, learnt: Sequence[torch.nn.Parameter]) -> None:
        super().__init__()
        self.model, self.learnt = model, learnt

    def forward(self, gradients: Sequence[Tensor]) -> Tensor:
        """A number whose gradient with respect to every parameter is the given one."""
        return torch.stack([(p * g).sum() for p, g in zip(self.learnt, gradients, strict=True)]).sum()


class DeepSpeed:
    """See `avatargpt.train.running.engines.Engine`. What the YAML says of the training holds under it, too.

    Args:
        config: from `read_zero`.
    """

    def __init__(self, stage: Stage, config: dict[str, Any]) -> None:
        self.stage, self.module = stage, stage.module
        self.learnt = [p for p in stage.network.parameters() if p.requires_grad]
        wrapped = Gradients(stage.network, self.learnt)
        _alone()
        self.engine, *_ = _package().initialize(model=wrapped, optimizer=stage.optimizer, config=config)

    def resume(self, out: Path) -> int:
        """See `Engine`.

        Raises:
            UserError: a damaged checkpoint, or one of another network.
        """
        if not (out / FOLDER / LATEST).is_file():
            return 0
        try:
            path, saved = self.engine.load_checkpoint(str(out / FOLDER))
            if not path:
                raise FileNotFoundError("files are missing")
        except Exception as e:  # whatever unpickling meets, or DeepSpeed with what was unpickled
            raise UserError(f"{out / FOLDER}: damaged, or of another model ({_line(e)}); {INSTEAD}") from None
        check_identity(Path(path), saved, self.stage.identity)
        self.stage.restore(saved)
        return int(saved["step"])

    def descend(self, parts: Iterable[Tensor], count: int, rate: float) -> Tensor | None:
        """See `Engine`.

        Raises:
            UserError: a loss that is not finite.
        """
        set_rate(self.stage.optimizer, rate)
        gradients: list[Tensor] = []
        for total in parts:
            check_finite(total, "loss")
            some = torch.autograd.grad(total / count, self.learnt, materialize_grads=True)
            gradients = [a + b for a, b in zip(gradients, some, strict=True)] if gradients else [*some]
        self.engine.backward(self.engine(gradients))
        self.engine.step()
        norm = self.engine.get_global_grad_norm()
        return None if norm is None else torch.as_tensor(norm)

    def save(self, out: Path, step: int) -> None:
        about = {"step": step, **self.stage.state(), **self.stage.identity}
        self.engine.save_checkpoint(str(out / FOLDER), client_state=about)


def processes_of(out: Path) -> int:
    """By how many processes the last checkpoint in a run's folder was written; 0 = there is none."""
    latest = out / FOLDER / LATEST
    if not latest.is_file():
        return 0
    return len(list((out / FOLDER / latest.read_text(encoding="utf-8").strip()).glob("*_optim_states.pt")))


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
