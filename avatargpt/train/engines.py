"""Optimizer steps and checkpoints of a run: plainly (alone or under torchrun), or through DeepSpeed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from avatargpt.train.checkpoints import CHECKPOINT, resume, write
from avatargpt.train.optimizers import set_rate
from avatargpt.train.runtime import Runtime, check_finite
from avatargpt.train.stage import Stage
from vqvae.errors import UserError

FORMER = "deepspeed"  # folder of checkpoints that are not read any more


def has_begun(out: Path) -> bool:
    """Whether a run has got as far as a checkpoint in this folder."""
    return (out / CHECKPOINT).is_file()


def check_readable(out: Path) -> None:
    """Raises UserError for a folder whose checkpoint is in DeepSpeed's own format, as earlier versions wrote it."""
    if (out / FORMER / "latest").is_file() and not has_begun(out):
        raise UserError(f"{out / FORMER}: a checkpoint in DeepSpeed's own format, which is not read any more; "
                        "accepted: a new folder, with --start for the weights")  # fmt: skip


class TrainEngine:
    """Optimizer and checkpoints of a run, by PyTorch alone; several processes share the gradients (DDP).

    Attributes:
        module: the stage's, wrapped for the processes that take part.
    """

    def __init__(self, stage: Stage, runtime: Runtime) -> None:
        self.stage, self.runtime = stage, runtime
        self.module: Any = stage.module
        if runtime.world > 1:
            # A step may have no row for a head: its gradient is then absent on some processes.
            self.module = torch.nn.parallel.DistributedDataParallel(stage.module, find_unused_parameters=True)
        self.parameters = [p for p in stage.network.parameters() if p.requires_grad]

    def resume(self, out: Path) -> int:
        """Take up the last checkpoint of a folder; its step, 0 = none."""
        return resume(out / CHECKPOINT, self.stage, self.runtime.device)

    def optimizer_step(self, losses: Iterable[torch.Tensor], count: int, rate: float) -> torch.Tensor | None:
        """One step along the mean of some losses at a learning rate; the norm of the gradients before clipping, where
        it is known. `losses`: `count` of them, each computed after the backward pass of the one before.
        """
        for number, total in enumerate(losses, 1):
            # Gradients are summed over processes once, with the last part.
            synchronous = number == count or self.runtime.world == 1
            with nullcontext() if synchronous else self.module.no_sync():
                (total / count).backward()
        if self.runtime.world > 1 or self.stage.together:  # a head without a row anywhere moves by its momentum
            for p in self.parameters:
                p.grad = torch.zeros_like(p) if p.grad is None and p.requires_grad else p.grad
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.stage.schedule.clip)
        # One question to the device in a step: a loss that is not finite has such gradients.
        if not math.isfinite(norm):
            check_finite(total, "loss")
            check_finite(norm, "gradient's norm")
        set_rate(self.stage.optimizer, rate)
        self.stage.optimizer.step()
        self.stage.optimizer.zero_grad(set_to_none=True)
        return norm

    def gather_weights(self) -> AbstractContextManager[None]:
        """Inside, the network has all of its weights, on every process; all processes enter at once."""
        return nullcontext()

    def save(self, out: Path, step: int) -> None:
        """Write a checkpoint, the same whatever engine and however many processes write it."""
        if self.runtime.main:
            write(out / CHECKPOINT, self.stage, self.stage.optimizer.state_dict(), step)
