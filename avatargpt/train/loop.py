"""The one training loop: resume, step, log, validate, save; on one process or several, plainly or through DeepSpeed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from avatargpt.config import changes
from avatargpt.train.checkpoints import retain_best, retain_last, save_files
from avatargpt.train.engines import TrainEngine
from avatargpt.train.reporting import WATCHERS, Log, check_watchers, plot_log, record, write_table
from avatargpt.train.runtime import Runtime, StopSignal, cosine
from avatargpt.train.stage import Metrics, Stage, StepContext
from avatargpt.train.throughput import Throughput
from avatargpt.train.zero import DeepSpeed
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
    """
    if stage.schedule.accumulate > 1 and not stage.divides:
        raise UserError(
            f"train: accumulate: {stage.schedule.accumulate}; accepted: 1, for this stage draws a step's rows whole"
        )
    check_watchers(stage.schedule.watch)
    with runtime.group_errors(str(out)):
        engine = TrainEngine(stage, runtime) if deepspeed is None else DeepSpeed(stage, runtime, deepspeed)
        out.mkdir(parents=True, exist_ok=True)
        with folder_lock(out, BUSY) if runtime.main else nullcontext():
            s = stage.schedule
            step, stop = engine.resume(out), min(s.end, until or s.end)
            _check_begin(stage, out, runtime, step, stop)
            if runtime.main:
                record(out)
            report_to = s.watch if runtime.main and step < stop else []
            observers = [WATCHERS[name](out, stage.recipe.model_dump(mode="json")) for name in report_to]
            with (
                closing(Log(out / "log.jsonl", runtime.main, s.steps, step, observers)) as log,
                StopSignal(runtime) as stop_signal,
            ):
                _take_steps(stage, engine, out, runtime, step, stop, log, stop_signal)
            if runtime.main:
                write_table(out)
                plot_log(out)


def _check_begin(stage: Stage, out: Path, runtime: Runtime, step: int, stop: int) -> None:
    """Print what a run that has got to `step` resumes with, where that has changed, or that it is over."""
    # A folder without steps has nothing that could have changed.
    changed = changes(stage.recipe, out) if step else []
    if changed and step >= stop:
        further = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(f"{out}: at step {step} already, with another configuration ({changed[0]}{further}); "
                        "accepted: that one, more steps, or a new folder")  # fmt: skip
    if runtime.main and changed:
        print(f"note: {out}: goes on from step {step} with changes: {'; '.join(changed)}", file=sys.stderr)
    elif runtime.main and step >= stop:
        print(f"note: {out}: at step {step} already; nothing to be done", file=sys.stderr)


def _take_steps(
    stage: Stage, engine: TrainEngine, out: Path, runtime: Runtime, step: int, stop: int, log: Log,
    stop_signal: StopSignal,
) -> None:  # fmt: skip
    """The steps from `step` to `stop`; fewer after a signal to stop."""
    s = stage.schedule
    totals: dict[str, list[torch.Tensor]] = {}
    throughput = Throughput(runtime, s.peak_tflops)
    stage.network.train()
    while step < stop and not stage.over:
        rate = cosine(step, s.steps, s.warmup, s.lr, s.lr_floor)
        rows: list[Metrics] = []
        begin = time.perf_counter()
        norm = engine.optimizer_step(_part_losses(stage, engine, runtime, step, rows), s.accumulate, rate)
        # What is logged is the mean over all processes.
        rows = [runtime.mean(row) for row in rows]
        step += 1
        # The time of validation and saving is not that of steps.
        throughput.add_step(stage.take_work(), time.perf_counter() - begin)
        stage.finish_step(step)
        for row in rows if norm is None else [*rows, {"grad": norm}]:
            for k, v in row.items():
                totals.setdefault(k, []).append(v.detach())  # read when they are logged: a GPU computes on
        log.advance(rows[-1].get("total", next(iter(rows[-1].values()))))
        if step % s.log_every == 0 or step == stop:
            means = {k: float(torch.stack(v).double().mean()) for k, v in totals.items()}
            log(step=step, **means, lr=rate, **stage.passes(step), **throughput.figures(stop - step))
            totals = {}
        if step % s.val_every == 0 or step == s.steps:
            with engine.gather_weights():
                figures = stage.validate()
                log.report(step, figures)
                if runtime.main:
                    retain_best(stage, out, figures)
        if stage.samples_due(step):
            with engine.gather_weights():
                for name, pixels in stage.samples(step, out).items() if runtime.main else ():
                    log.picture(step, name, pixels)
        if step == s.steps:
            log.report(step, stage.finish())
        # Asked once a step: on several processes this is a message to all.
        stopped = stop_signal.received
        if step % s.save_every == 0 or step == stop or stopped or stage.over:
            _save(stage, engine, out, runtime, step)
        if stopped and step < stop:
            if runtime.main:
                print(f"note: {out}: told to stop; the same command goes on from step {step}", file=sys.stderr)
            return


def _part_losses(
    stage: Stage, engine: TrainEngine, runtime: Runtime, step: int, rows: list[Metrics]
) -> Iterator[torch.Tensor]:
    """The loss of each part of a step; its figures are appended to `rows`."""
    parts = stage.schedule.accumulate
    for part in range(parts):
        context = StepContext(step, runtime.rank, runtime.world, stage.schedule.seed, part, parts)
        torch.manual_seed(stage.torch_seed(context))
        total, figures = stage.losses(engine.module, context)
        rows.append(figures)
        yield total


def _save(stage: Stage, engine: TrainEngine, out: Path, runtime: Runtime, step: int) -> None:
    with engine.gather_weights():  # the usable files first: a checkpoint never stands without them
        if runtime.main:
            save_files(stage, out)
    engine.save(out, step)
    if runtime.main:
        retain_last(out, step, stage.schedule.keep)


def fit(losses: Iterable[torch.Tensor], optimizer: Any, schedule: Any = None) -> None:
    """A small fit in memory, without a folder: one optimizer step for every loss."""
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
