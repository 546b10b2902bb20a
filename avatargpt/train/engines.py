"""How a step down is taken and where a run stands: plainly (alone or under torchrun), or through DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from avatargpt.train.checkpoints import CHECKPOINT, take_up, write
from avatargpt.train.optimizers import set_rate
from avatargpt.train.runtime import Runtime, check_finite
from avatargpt.train.stage import Stage
from avatargpt.train.zero import DeepSpeed
from vqvae.errors import UserError

FORMER = "deepspeed"  # folder of checkpoints that are not read any more


class Engine(Protocol):
    """One run's optimiser and checkpoints. `module` is the stage's, wrapped for the processes that take part."""

    module: Any

    def resume(self, out: Path) -> int:
        """Take up the last checkpoint of a folder; the step it is of, 0 = none."""

    def descend(self, parts: Iterable[torch.Tensor], count: int, rate: float) -> torch.Tensor | None:
        """One step down the mean of some losses at a learning rate; the norm of the gradients before they were cut,
        where it is known.

        Args:
            parts: `count` losses, each computed when the one before has gone back.
        """

    def whole(self) -> AbstractContextManager[None]:
        """Inside, the network has all of its weights, on every process; all processes enter together."""

    def save(self, out: Path, step: int) -> None:
        """Write a checkpoint, the same whatever engine and however many processes write it."""


def make_engine(stage: Stage, runtime: Runtime, deepspeed: dict[str, Any] | None) -> Engine:
    """The engine of a run; `deepspeed`: its checked configuration, None = plainly."""
    return Plain(stage, runtime) if deepspeed is None else DeepSpeed(stage, runtime, deepspeed)


def begun(out: Path) -> bool:
    """Whether a run has got as far as a checkpoint in this folder."""
    return (out / CHECKPOINT).is_file()


def check_readable(out: Path) -> None:
    """Refuse a folder whose run has got on in DeepSpeed's own format alone, as earlier versions did.

    Raises:
        UserError: such a folder.
    """
    if (out / FORMER / "latest").is_file() and not begun(out):
        raise UserError(f"{out / FORMER}: a checkpoint in DeepSpeed's own format, which is not read any more; "
                        "accepted: a new folder, with --start for the weights")  # fmt: skip


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
        return take_up(out / CHECKPOINT, self.stage, self.runtime.device)

    def descend(self, parts: Iterable[torch.Tensor], count: int, rate: float) -> torch.Tensor | None:
        """See `Engine`.

        Raises:
            UserError: a loss or gradients that are not finite.
        """
        for number, total in enumerate(parts, 1):
            check_finite(total, "loss")
            together = number == count or self.runtime.world == 1
            with nullcontext() if together else self.module.no_sync():
                (total / count).backward()
        if self.runtime.world > 1 or self.stage.together:  # a head without a row anywhere moves on by its momentum
            for p in self.learnt:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        norm = torch.nn.utils.clip_grad_norm_(self.learnt, self.stage.schedule.clip)
        check_finite(norm, "gradient's norm")
        set_rate(self.stage.optimizer, rate)
        self.stage.optimizer.step()
        self.stage.optimizer.zero_grad(set_to_none=True)
        return norm

    def whole(self) -> AbstractContextManager[None]:
        return nullcontext()

    def save(self, out: Path, step: int) -> None:
        if self.runtime.main:
            write(out / CHECKPOINT, self.stage, self.stage.optimizer.state_dict(), step)
