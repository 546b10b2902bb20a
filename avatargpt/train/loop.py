"""The one training loop: resume, step, log, validate, save; on one process or several, plainly or through DeepSpeed.

What differs between networks is a `Stage`: what it draws at a step, its losses, its figures and its files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.train.engines import Engine, make_engine
from avatargpt.train.log import Log
from avatargpt.train.plot import plot_log
from avatargpt.train.runtime import Runtime, cosine

Parts = dict[str, torch.Tensor]
"""Figures of a step by name, without gradient."""


@dataclass(frozen=True)
class At:
    """Where in a run a step is: everything random in it follows from this alone, so that a resumed run goes on exactly.

    Attributes:
        step: steps that were done before. rank, world: of torch.distributed. seed: of the run.
    """

    step: int
    rank: int
    world: int
    seed: int

    @property
    def torch_seed(self) -> int:
        """Of torch's own random numbers (dropout, new codes) in this step on this rank."""
        return (self.seed << 32) + self.step * self.world + self.rank


class Stage(Protocol):
    """What a training brings to the loop. `StageBase` has the parts that many leave out.

    Attributes:
        schedule: how long, how fast, how often.
        network: whose weights are trained and stand in the checkpoint.
        module: what is wrapped for several processes and called in `losses`: the network itself, or one around it.
        optimizer: over the parameters that are trained; a group's rate is multiplied by its ``times``, if it has one.
        identity: what a checkpoint must have been made with to be gone on from (shape, fingerprints), as plain data.
    """

    @property
    def schedule(self) -> Schedule: ...
    @property
    def network(self) -> torch.nn.Module: ...
    @property
    def module(self) -> torch.nn.Module: ...
    @property
    def optimizer(self) -> Any: ...
    @property
    def identity(self) -> dict[str, Any]: ...

    def torch_seed(self, at: At) -> int:
        """Seed of torch's own random numbers in a step."""

    def losses(self, module: Any, at: At) -> tuple[torch.Tensor, Parts]:
        """Draw the rows of a step and compute the loss, with gradient, and the figures to be logged.

        Args:
            module: `self.module` as it was wrapped for this run.
        """

    def stepped(self, step: int) -> None:
        """After the optimiser's step; `step` steps are done."""

    def validate(self) -> dict[str, float]:
        """Figures on held-out rows; leaves the network in training mode."""

    def state(self) -> dict[str, Any]:
        """What the checkpoint holds beside network and optimiser, as plain containers of tensors."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""

    def save(self, out: Path) -> None:
        """Write what others can use."""

    def finish(self) -> dict[str, float]:
        """After the very last step, before the last save: settle what is settled once; figures for the log."""


class StageBase:
    """Defaults of a `Stage`."""

    def torch_seed(self, at: At) -> int:
        return at.torch_seed

    def stepped(self, step: int) -> None:
        pass

    def validate(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass

    def finish(self) -> dict[str, float]:
        return {}


def run(
    stage: Stage, out: Path, runtime: Runtime, until: int | None = None, deepspeed: dict[str, Any] | None = None
) -> None:
    """Train up to the last step in folder `out` (checkpoint, log.jsonl, losses.png, and the stage's own files).

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.
        deepspeed: a DeepSpeed configuration, when the run goes through it.

    Raises:
        UserError: a damaged checkpoint, or one of another network; a loss that is not finite.
    """
    s = stage.schedule
    engine = make_engine(stage, runtime, deepspeed)
    step, stop = engine.resume(out), min(s.end, until or s.end)
    log = Log(out / "log.jsonl", runtime.main, s.steps, step)
    totals: dict[str, list[float]] = {}
    stage.network.train()
    while step < stop:
        at = At(step, runtime.rank, runtime.world, s.seed)
        torch.manual_seed(stage.torch_seed(at))
        total, parts = stage.losses(engine.module, at)
        norm = engine.descend(total, cosine(step, s.steps, s.warmup, s.lr, s.lr_floor))
        step += 1
        stage.stepped(step)
        for k, v in parts.items() if norm is None else {**parts, "grad": norm}.items():
            totals.setdefault(k, []).append(float(v.detach()))
        log.advance(total)
        if step % s.log_every == 0 or step == stop:
            log(step=step, **{k: float(np.mean(v)) for k, v in totals.items()})
            totals = {}
        if step % s.val_every == 0 or step == s.steps:
            _report(log, step, stage.validate())
        if step == s.steps:
            _report(log, step, stage.finish())
        if step % s.save_every == 0 or step == stop:
            _save(stage, engine, out, runtime, step)
    log.close()
    if runtime.main:
        plot_log(out)


def fit(losses: Iterable[torch.Tensor], optimizer: Any, schedule: Any = None) -> None:
    """A small fit in memory, without a folder: one step down for every loss.

    Args:
        losses: computed lazily, each after the step before has been taken.
        schedule: a scheduler of `torch.optim`, stepped after every step.
    """
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()


def _report(log: Log, step: int, figures: dict[str, float]) -> None:
    if figures:
        log(step=step, **figures)


def _save(stage: Stage, engine: Engine, out: Path, runtime: Runtime, step: int) -> None:
    """The usable files first, so that a checkpoint never stands without them."""
    if runtime.main:
        stage.save(out)
    engine.save(out, step)
