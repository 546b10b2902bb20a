"""Checkpoints of unfinished runs: written, resumed exactly, and how many of them stay."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from avatargpt.config import save_resolved
from avatargpt.train.stage import Stage
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, parsing, reason
from vqvae.io.tensors import load_checkpoint_file

CHECKPOINT, RETAINED = "checkpoint.pt", "checkpoints"
BEST, ABOUT = "best", "best.json"
INSTEAD = "resume with that run's configuration, or choose a new folder"


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The last checkpoint, or None. Only tensors and plain containers are read (weights_only)."""
    if not path.exists():
        return None
    with parsing(path, "a whole checkpoint", "move it away to begin anew"):
        return load_checkpoint_file(path, device)


def resume(path: Path, stage: Stage, device: torch.device) -> int:
    """Restore a stage from its last checkpoint; the step of that, 0 = there is none."""
    saved = load_checkpoint(path, device)
    if saved is None:
        return 0
    # Before any weight is loaded: a difference is named by its field, not by the size of a tensor.
    check_identity(path, saved, stage.identity)
    try:
        stage.network.load_state_dict(saved["model"])
        stage.optimizer.load_state_dict(saved["optimizer"])
        step = int(saved["step"])
    except Exception as e:  # its content may be of any shape
        raise UserError(f"{path}: of a run with another model ({reason(e)}); {INSTEAD}") from None
    try:
        stage.restore(saved)
    except UserError:
        raise
    except Exception as e:  # an older version's may lack some of it
        raise UserError(f"{path}: lacks what this run goes on from ({reason(e)}); {INSTEAD}") from None
    return step


def write(path: Path, stage: Stage, optimizer: dict[str, Any], step: int) -> None:
    """Write a checkpoint."""
    model = stage.network.state_dict()
    if empty := [k for k, v in model.items() if stage.together and not v.numel()]:
        raise UserError(f"{path}: not saved: {empty[0]} is empty, its values lie elsewhere")
    state = {"model": model, "optimizer": optimizer, "step": step, **stage.state(), **stage.identity}
    atomic_write(path, lambda p: torch.save(state, p))


def check_identity(path: Path, saved: dict[str, Any], identity: dict[str, Any]) -> None:
    """Refuse a checkpoint of another network; keys that it lacks are not compared. `identity` of the stage: ``shape``
    of the network, ``fingerprints`` of tokenizers, ...
    """
    for key, now in identity.items():
        # Checkpoints of earlier versions have fewer keys.
        before = saved.get(key, now)
        if isinstance(now, dict) and not isinstance(before, dict):
            raise UserError(f"{path}: {key} is a {type(before).__name__}; {INSTEAD}")
        if key == "fingerprints":
            for name in sorted(before.keys() | now.keys()):
                a, b = (str(x.get(name, "none"))[:12] for x in (before, now))
                if a != b:
                    raise UserError(f"{path}: of a run with another tokenizer of '{name}' ({a}, now {b}); {INSTEAD}")
        elif isinstance(now, dict):
            changed = [f"{k}: {before[k]}, now {now.get(k)}" for k in before if before[k] != now.get(k)]
            if changed:
                raise UserError(f"{path}: of another shape ({changed[0]}); {INSTEAD}")
        elif before != now:
            raise UserError(f"{path}: of a run with another {key} ({before}, now {now}); {INSTEAD}")


def save_files(stage: Stage, out: Path) -> None:
    """Write a stage's usable files, and its configuration beside them."""
    stage.save(out)
    save_resolved(stage.recipe, out)


def retain_last(out: Path, step: int, count: int) -> None:
    """Keep the checkpoint of `step` beside the last one (``checkpoints/STEP.pt``), and `count` of them in all.

    A link where the file system has them: the last checkpoint is written anew each time, never changed.
    """
    if count < 2 or not (out / CHECKPOINT).is_file():
        return
    folder = out / RETAINED
    folder.mkdir(exist_ok=True)
    copy = folder / f"{step}.pt"
    # A resumed run may write the checkpoint of the same step again.
    copy.unlink(missing_ok=True)
    try:
        os.link(out / CHECKPOINT, copy)
    except OSError:
        atomic_write(copy, lambda p: shutil.copyfile(out / CHECKPOINT, p))
    steps = sorted((int(p.stem) for p in folder.glob("*.pt") if p.stem.isdigit()), reverse=True)
    for old in steps[count:]:
        (folder / f"{old}.pt").unlink(missing_ok=True)


def retain_best(stage: Stage, out: Path, figures: dict[str, float]) -> None:
    """Save the stage's files in ``best`` where the figure that `Schedule.best` names is better than ever before."""
    criterion = stage.schedule.best
    if not criterion or not figures:
        return
    name = criterion.removeprefix("-")
    if name not in figures:
        raise UserError(f"train: best: {name}; accepted: {', '.join(figures)}")
    value = -figures[name] if criterion.startswith("-") else figures[name]
    about = out / BEST / ABOUT
    if about.is_file() and float(read_object(about)["value"]) <= value:
        return
    # The files first: if the run is killed in between, the next better validation replaces them.
    save_files(stage, out / BEST)
    text = json.dumps({"figure": criterion, "value": value, "figures": figures})
    atomic_write(about, lambda p: p.write_text(text, encoding="utf-8"))
