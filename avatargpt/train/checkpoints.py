"""Where an unfinished run stands: saved whole, and gone on from exactly."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from avatargpt.train.stage import Stage
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, reason
from vqvae.io.tensors import load_checkpoint_file
from vqvae.motion import atomic_write

CHECKPOINT = "checkpoint.pt"
INSTEAD = "resume with that run's configuration, or choose a new folder"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write where a run stands."""
    atomic_write(path, lambda p: torch.save(state, p))


def _check_shape(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with another network than that of the checkpoint.

    Args:
        before: the configuration in the checkpoint; what it lacks is not compared.
        now: that of the network that goes on.

    Raises:
        UserError: names the first field that differs.
    """
    other = [f"{k}: {before[k]}, now {now.get(k)}" for k in before if before[k] != now.get(k)]
    if other:
        raise UserError(f"{path}: of another shape ({other[0]}); {INSTEAD}")


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The last checkpoint, or None. Only tensors and plain containers are read (weights_only).

    Raises:
        UserError: damaged.
    """
    if not path.exists():
        return None
    with parsing(path, "a whole checkpoint", "move it away to begin anew"):
        return load_checkpoint_file(path, device)


def go_on(path: Path, saved: dict[str, Any], network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Take over what a checkpoint holds; the step it is of.

    Raises:
        UserError: of another network or other groups of parameters.
    """
    try:
        network.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        return int(saved["step"])
    except Exception as e:  # what stands in it may be of any shape
        raise UserError(f"{path}: of a run with another model ({reason(e)}); {INSTEAD}") from None


def take_up(path: Path, stage: Stage, device: torch.device) -> int:
    """Give a stage what its last checkpoint holds; the step it is of, 0 = there is none.

    Raises:
        UserError: damaged, of another network, or of a version that kept less.
    """
    saved = load_checkpoint(path, device)
    if saved is None:
        return 0
    check_identity(path, saved, stage.identity)
    step = go_on(path, saved, stage.network, stage.optimizer)
    try:
        stage.restore(saved)
    except UserError:
        raise
    except Exception as e:  # an older version's may lack some of it
        raise UserError(f"{path}: lacks what this run goes on from ({reason(e)}); {INSTEAD}") from None
    return step


def write(path: Path, stage: Stage, optimizer: dict[str, Any], step: int) -> None:
    """Write where a stage stands.

    Args:
        optimizer: state of its optimiser, as torch gives it.

    Raises:
        UserError: a tensor of the network is empty: its values lie with another process.
    """
    model = stage.network.state_dict()
    if empty := [k for k, v in model.items() if stage.together and not v.numel()]:
        raise UserError(f"{path}: not saved: {empty[0]} is empty, its values lie elsewhere")
    state = {"model": model, "optimizer": optimizer, "step": step}
    save_checkpoint(path, {**state, **stage.state(), **stage.identity})


def check_identity(path: Path, saved: dict[str, Any], identity: dict[str, Any]) -> None:
    """Refuse to go on with another network than that of a checkpoint; what either does not say is not compared.

    Args:
        identity: what the stage is made with: ``shape`` of the network, ``fingerprints`` of tokenizers, ...

    Raises:
        UserError: names the first thing that differs.
    """
    for key, now in identity.items():
        if key not in saved:
            continue
        if isinstance(now, dict) and not isinstance(saved[key], dict):
            raise UserError(f"{path}: {key} is a {type(saved[key]).__name__}; {INSTEAD}")
        if key == "fingerprints":
            for name in sorted(saved[key].keys() | now.keys()):
                a, b = (str(x.get(name, "none"))[:12] for x in (saved[key], now))
                if a != b:
                    raise UserError(f"{path}: of a run with another tokenizer of '{name}' ({a}, now {b}); {INSTEAD}")
        elif isinstance(now, dict):
            _check_shape(path, saved[key], now)
        elif saved[key] != now:
            raise UserError(f"{path}: of a run with another {key} ({saved[key]}, now {now}); {INSTEAD}")


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
