"""Checkpoints that stay: the last ones, and the usable files of the best step."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from avatargpt.train.running.stage import Stage
from vqvae.errors import UserError
from vqvae.io.json_file import read_object
from vqvae.motion import atomic_write

LAST, KEPT, BEST, ABOUT = "checkpoint.pt", "checkpoints", "best", "best.json"


def keep_last(out: Path, step: int, count: int) -> None:
    """Keep the checkpoint of `step` beside the last one (``checkpoints/STEP.pt``), and of earlier ones so many in all.

    A link where the file system has them: the last checkpoint is written anew each time, never changed.
    """
    if count < 2 or not (out / LAST).is_file():
        return
    folder = out / KEPT
    folder.mkdir(exist_ok=True)
    kept = folder / f"{step}.pt"
    kept.unlink(missing_ok=True)
    try:
        os.link(out / LAST, kept)
    except OSError:
        atomic_write(kept, lambda p: shutil.copyfile(out / LAST, p))
    steps = sorted((int(p.stem) for p in folder.glob("*.pt") if p.stem.isdigit()), reverse=True)
    for old in steps[count:]:
        (folder / f"{old}.pt").unlink(missing_ok=True)


def keep_best(stage: Stage, out: Path, figures: dict[str, float]) -> None:
    """Save the stage's files in ``best`` where the figure that `Schedule.best` names is better than ever before.

    Raises:
        UserError: validation has no such figure.
    """
    wanted = stage.schedule.best
    if not wanted or not figures:
        return
    name = wanted.removeprefix("-")
    if name not in figures:
        raise UserError(f"train: best: {name}; accepted: {', '.join(figures)}")
    value = -figures[name] if wanted.startswith("-") else figures[name]
    about = out / BEST / ABOUT
    if about.is_file() and float(read_object(about)["value"]) <= value:
        return
    stage.save(out / BEST)
    text = json.dumps({"figure": wanted, "value": value, "figures": figures})
    atomic_write(about, lambda p: p.write_text(text, encoding="utf-8"))
