"""The one training loop: resume, step, log, validate, save; on one process or several, plainly or through DeepSpeed.

What differs between networks is a `Stage`: what it draws at a step, its losses, its figures and its files.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import changes
from avatargpt.train.checkpoints import keep_best, keep_last
from avatargpt.train.engines import Engine, make_engine
from avatargpt.train.provenance import record
from avatargpt.train.reporting import Log, plot_log, table_of, watchers
from avatargpt.train.runtime import Runtime, Stopping, cosine
from avatargpt.train.stage import Metrics, Stage, StepContext
from avatargpt.train.throughput import Pace
from vqvae.errors import UserError
from vqvae.io.files import folder_lock

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
            over and was another configuration's; a loss that is not finite; a full disk; another process of
            the run has ended.
    """
    if stage.schedule.accumulate > 1 and not stage.divides:
        raise UserError(
            f"train: accumulate: {stage.schedule.accumulate}; accepted: 1, for this stage draws a step's rows whole"
        )
    with runtime.joined(str(out)):
        engine = make_engine(stage, runtime, deepspeed)
        out.mkdir(parents=True, exist_ok=True)
        with folder_lock(out, BUSY) if runtime.main else nullcontext():
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
    if runtime.main:
        record(out)
    told = watchers(s.watch, out, stage.recipe.model_dump(mode="json")) if runtime.main and step < stop else []
    with closing(Log(out / "log.jsonl", runtime.main, s.steps, step, told)) as log, Stopping(runtime) as stopping:
        _descend(stage, engine, out, runtime, step, stop, log, stopping)
    if runtime.main:
        table_of(out)
        plot_log(out)


def _descend(
    stage: Stage, engine: Engine, out: Path, runtime: Runtime, step: int, stop: int, log: Log, stopping: Stopping
) -> None:  # fmt: skip
    """The steps from `step` to `stop`; fewer where the run is told to stop."""
    s = stage.schedule
    totals: dict[str, list[float]] = {}
    pace = Pace(runtime, s.peak_tflops)
    stage.network.train()
    while step < stop and not stage.over:
        rate = cosine(step, s.steps, s.warmup, s.lr, s.lr_floor)
        rows: list[Metrics] = []
        begin = time.perf_counter()
        norm = engine.descend(_losses(stage, engine, runtime, step, rows), s.accumulate, rate)
        rows = [runtime.mean(row) for row in rows]
        step += 1
        pace.stepped(stage.worked(), time.perf_counter() - begin)
        stage.stepped(step)
        for row in rows if norm is None else [*rows, {"grad": norm}]:
            for k, v in row.items():
                totals.setdefault(k, []).append(float(v.detach()))
        log.advance(rows[-1].get("total", next(iter(rows[-1].values()))))
        if step % s.log_every == 0 or step == stop:
            figures = {k: float(np.mean(v)) for k, v in totals.items()}
            log(step=step, **figures, lr=rate, **pace.figures(stop - step))
            totals = {}
        if step % s.val_every == 0 or step == s.steps:
            with engine.whole():
                figures = stage.validate()
                _report(log, step, figures)
                if runtime.main:
                    keep_best(stage, out, figures)
        if stage.shows(step):
            with engine.whole():
                for name, pixels in stage.samples(step, out).items() if runtime.main else ():
                    log.picture(step, name, pixels)
        if step == s.steps:
            _report(log, step, stage.finish())
        ends = stopping.asked
        if step % s.save_every == 0 or step == stop or ends or stage.over:
            _save(stage, engine, out, runtime, step)
        if ends and step < stop:
            if runtime.main:
                print(f"note: {out}: told to stop; the same command goes on from step {step}", file=sys.stderr)
            return


def _losses(stage: Stage, engine: Engine, runtime: Runtime, step: int, rows: list[Metrics]) -> Iterator[torch.Tensor]:
    """The loss of each part of a step; its figures are added to `rows`."""
    parts = stage.schedule.accumulate
    for part in range(parts):
        context = StepContext(step, runtime.rank, runtime.world, stage.schedule.seed, part, parts)
        torch.manual_seed(stage.torch_seed(context))
        total, figures = stage.losses(engine.module, context)
        rows.append(figures)
        yield total


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
    with engine.whole():
        if runtime.main:
            stage.save(out)
    engine.save(out, step)
    if runtime.main:
        keep_last(out, step, stage.schedule.keep)
