"""The one training loop: resume, step, log, validate, save; on one process or several, plainly or through DeepSpeed.

What differs between networks is a `Stage`: what it draws at a step, its losses, its figures and its files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import changes
from avatargpt.train.running.engines import Engine, make_engine
from avatargpt.train.running.log import Log
from avatargpt.train.running.plot import plot_log
from avatargpt.train.running.runtime import Runtime, cosine
from avatargpt.train.running.stage import At, Stage
from vqvae.errors import UserError
from vqvae.io.lock import held

BUSY = "another run is going on there; wait until it is over, or choose a new folder"


def run(
    stage: Stage, out: Path, runtime: Runtime, until: int | None = None, deepspeed: dict[str, Any] | None = None
) -> None:
    """Train up to the last step in folder `out` (checkpoint, log.jsonl, losses.png, and the stage's own files).

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.
        deepspeed: a DeepSpeed configuration, when the run goes through it.

    Raises:
        UserError: another run is going on in the folder; a damaged checkpoint, or one of another network; a run that is
            over and was another configuration's; a loss that is not finite.
    """
    engine = make_engine(stage, runtime, deepspeed)
    out.mkdir(parents=True, exist_ok=True)
    with held(out, BUSY) if runtime.main else nullcontext():
        _run(stage, engine, out, runtime, until)


def _begin(stage: Stage, out: Path, runtime: Runtime, step: int, stop: int) -> None:
    """Say what a run that has got to `step` goes on with, where it is not what it began with, or that it is over."""
    changed = changes(stage.recipe, out) if step else []
    if changed and step >= stop:
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(f"{out}: at step {step} already, with another configuration ({changed[0]}{more}); "
                        "accepted: that one, more steps, or a new folder")  # fmt: skip
    if runtime.main and changed:
        print(f"note: {out}: goes on from step {step} with changes: {'; '.join(changed)}", file=sys.stderr)
    elif runtime.main and step >= stop:
        print(f"note: {out}: at step {step} already; nothing to be done", file=sys.stderr)


def _run(stage: Stage, engine: Engine, out: Path, runtime: Runtime, until: int | None) -> None:
    s = stage.schedule
    step, stop = engine.resume(out), min(s.end, until or s.end)
    _begin(stage, out, runtime, step, stop)
    with closing(Log(out / "log.jsonl", runtime.main, s.steps, step)) as log:
        _descend(stage, engine, out, runtime, step, stop, log)
    if runtime.main:
        plot_log(out)


def _descend(stage: Stage, engine: Engine, out: Path, runtime: Runtime, step: int, stop: int, log: Log) -> None:
    """The steps from `step` to `stop`."""
    s = stage.schedule
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
