"""How a step down is taken and where a run stands: plainly (alone or under torchrun), or through DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from avatargpt.train.running.checkpoints import INSTEAD, check_identity, go_on, load_checkpoint, save_checkpoint
from avatargpt.train.running.optimizers import set_rate
from avatargpt.train.running.runtime import Runtime, check_finite
from avatargpt.train.running.stage import Stage
from avatargpt.train.running.zero import FOLDER, OPTION, DeepSpeed, processes_of
from vqvae.errors import UserError

CHECKPOINT = "checkpoint.pt"


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

    def save(self, out: Path, step: int) -> None:
        """Write a checkpoint."""


def make_engine(stage: Stage, runtime: Runtime, deepspeed: dict[str, Any] | None) -> Engine:
    """The engine of a run; `deepspeed`: its checked configuration, None = plainly."""
    return Plain(stage, runtime) if deepspeed is None else DeepSpeed(stage, deepspeed)


def begun(out: Path) -> bool:
    """Whether a run has got as far as a checkpoint in this folder."""
    return (out / CHECKPOINT).is_file() or processes_of(out) > 0


def check_engine(out: Path, through_deepspeed: bool, runtime: Runtime) -> None:
    """Refuse to go on with another engine than the one that has begun: its checkpoint cannot be read by this one.

    Raises:
        UserError: a run in this folder was begun with the other engine, or with DeepSpeed on other many processes.
    """
    if through_deepspeed and (out / CHECKPOINT).is_file():
        raise UserError(f"{out / CHECKPOINT}: of a run without {OPTION}; {INSTEAD}")
    processes = processes_of(out)
    if processes and not through_deepspeed:
        raise UserError(f"{out / FOLDER}: of a run with {OPTION}; {INSTEAD}")
    if processes and processes != runtime.world:
        raise UserError(f"{out / FOLDER}: of a run on {processes} processes, now {runtime.world}; {INSTEAD}")


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
        if self.runtime.world > 1:  # a head without a row anywhere still moves on by its momentum, as under ZeRO
            for p in self.learnt:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        norm = torch.nn.utils.clip_grad_norm_(self.learnt, self.stage.schedule.clip)
        check_finite(norm, "gradient's norm")
        set_rate(self.stage.optimizer, rate)
        self.stage.optimizer.step()
        self.stage.optimizer.zero_grad(set_to_none=True)
        return norm

    def save(self, out: Path, step: int) -> None:
        if self.runtime.main:
            stage = self.stage
            state = {"model": stage.network.state_dict(), "optimizer": stage.optimizer.state_dict(), "step": step}
            save_checkpoint(out / CHECKPOINT, {**state, **stage.state(), **stage.identity})
