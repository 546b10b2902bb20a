"""How a step down is taken and where a run stands: plainly (alone or under torchrun), or through DeepSpeed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Protocol

import torch

from avatargpt.train.running.checkpoints import check_identity, go_on, load_checkpoint, save_checkpoint
from avatargpt.train.running.runtime import Runtime, check_finite
from avatargpt.train.running.stage import Stage
from vqvae.errors import UserError

CHECKPOINT, DEEPSPEED = "checkpoint.pt", "deepspeed"


class Engine(Protocol):
    """One run's optimiser and checkpoints. `module` is the stage's, wrapped for the processes that take part."""

    module: Any

    def resume(self, out: Path) -> int:
        """Take up the last checkpoint of a folder; the step it is of, 0 = none."""

    def descend(self, total: torch.Tensor, rate: float) -> torch.Tensor | None:
        """One step down at a learning rate; the norm of the gradients before they were cut, where it is known."""

    def save(self, out: Path, step: int) -> None:
        """Write a checkpoint."""


def make_engine(stage: Stage, runtime: Runtime, deepspeed: dict[str, Any] | None) -> Engine:
    """The engine of a run; `deepspeed`: its configuration, None = plainly."""
    return Plain(stage, runtime) if deepspeed is None else DeepSpeed(stage, runtime, deepspeed)


def begun(out: Path) -> bool:
    """Whether a run has got as far as a checkpoint in this folder."""
    return (out / CHECKPOINT).is_file() or (out / DEEPSPEED).is_dir()


class Plain:
    """PyTorch alone; several processes share the gradients (DistributedDataParallel)."""

    def __init__(self, stage: Stage, runtime: Runtime) -> None:
        self.stage, self.runtime = stage, runtime
        self.module: Any = stage.module
        if runtime.world > 1:
            self.module = torch.nn.parallel.DistributedDataParallel(stage.module, find_unused_parameters=True)
        self.learnt = [p for p in stage.network.parameters() if p.requires_grad]

    def resume(self, out: Path) -> int:
        """See `Engine`.

        Raises:
            UserError: a damaged checkpoint, or one of another network.
        """
        last = out / CHECKPOINT
        saved = load_checkpoint(last, self.runtime.device)
        if saved is None:
            return 0
        check_identity(last, saved, self.stage.identity)
        step = go_on(last, saved, self.stage.network, self.stage.optimizer)
        self.stage.restore(saved)
        return step

    def descend(self, total: torch.Tensor, rate: float) -> torch.Tensor | None:
        """See `Engine`.

        Raises:
            UserError: a loss or gradients that are not finite.
        """
        check_finite(total, "loss")
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.learnt, self.stage.schedule.clip)
        check_finite(norm, "gradient's norm")
        _set_rate(self.stage.optimizer, rate)
        self.stage.optimizer.step()
        self.stage.optimizer.zero_grad(set_to_none=True)
        return norm

    def save(self, out: Path, step: int) -> None:
        if self.runtime.main:
            stage = self.stage
            state = {"model": stage.network.state_dict(), "optimizer": stage.optimizer.state_dict(), "step": step}
            save_checkpoint(out / CHECKPOINT, {**state, **stage.state(), **stage.identity})


class DeepSpeed:
    """DeepSpeed shards the optimiser's state. What the YAML says of the training holds under it, too."""

    def __init__(self, stage: Stage, runtime: Runtime, config: dict[str, Any]) -> None:
        self.stage = stage
        share = runtime.share(stage.schedule.batch, "train")
        kept = {k: v for k, v in config.items() if k not in ("train_batch_size", "optimizer", "scheduler")}
        whole = {
            **kept, "train_micro_batch_size_per_gpu": share, "gradient_accumulation_steps": 1,
            "gradient_clipping": stage.schedule.clip, "zero_force_ds_cpu_optimizer": False,
        }  # fmt: skip
        self.module, *_ = _package().initialize(model=stage.module, optimizer=stage.optimizer, config=whole)

    def resume(self, out: Path) -> int:
        """See `Engine`.

        Raises:
            UserError: a checkpoint of another network.
        """
        folder = out / DEEPSPEED
        path, saved = self.module.load_checkpoint(str(folder)) if folder.is_dir() else (None, None)
        if not path or not saved:
            return 0
        check_identity(Path(path), saved, self.stage.identity)
        self.stage.restore(saved)
        return int(saved["step"])

    def descend(self, total: torch.Tensor, rate: float) -> torch.Tensor | None:
        """See `Engine`.

        Raises:
            UserError: a loss that is not finite.
        """
        check_finite(total, "loss")
        _set_rate(self.stage.optimizer, rate)
        self.module.backward(total)
        self.module.step()
        return None

    def save(self, out: Path, step: int) -> None:
        about = {"step": step, **self.stage.state(), **self.stage.identity}
        self.module.save_checkpoint(str(out / DEEPSPEED), client_state=about)


def _set_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)


def _package() -> Any:
    """DeepSpeed, ready for `initialize`: started without a launcher, this process is the only one.

    Raises:
        UserError: not installed.
    """
    try:
        import deepspeed
    except ImportError:
        raise UserError("--deepspeed_config: needs DeepSpeed; install it: pip install 'avatargpt[deepspeed]'") from None
    if "RANK" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update(alone)
    return deepspeed
