"""Loss curves of a training run as a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io.json_lines import json_rows
from vqvae.motion import atomic_write

PICTURE, TABLE = "losses.png", "log.csv"
SHARE, SPEED = "mfu", "tokens_s"  # a run that tells its speed has a column for the share, blank where none is known


def read_log(path: str | os.PathLike[str]) -> dict[str, dict[int, float]]:
    """Curves of a log.jsonl: name -> {step: value}. A step that was run again counts once, with its last value.

    Raises:
        UserError: missing, or a line that is no report of a step.
    """
    curves: dict[str, dict[int, float]] = {}
    for n, row in json_rows(path):
        try:
            step = int(row.pop("step"))
            row.pop("minutes", None)
            for name, value in row.items():
                curves.setdefault(name, {})[step] = float(value)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f"{path}: line {n}: not a report of a training step ({e})") from None
    return curves


def table_of(folder: str | os.PathLike[str]) -> Path | None:
    """``log.csv`` beside ``log.jsonl``: a row per step, a column per figure; None where nothing was reported."""
    folder = Path(folder)
    curves = read_log(folder / "log.jsonl") if (folder / "log.jsonl").is_file() else {}
    steps = sorted({step for curve in curves.values() for step in curve})
    if not steps:
        return None
    if SPEED in curves:
        curves.setdefault(SHARE, {})
    rows = [["step", *curves]]
    rows += [[str(n), *(f"{c[n]:.6g}" if n in c else "" for c in curves.values())] for n in steps]
    text = "\n".join(",".join(row) for row in rows) + "\n"
    return atomic_write(folder / TABLE, lambda p: p.write_text(text, encoding="utf-8"))


def plot_log(folder: str | os.PathLike[str]) -> Path | None:
    """Draw every curve of ``log.jsonl`` into ``losses.png`` beside it, one small plot each.

    Returns:
        The picture; None, with a note on stderr, when matplotlib is not installed or nothing was reported yet.
    """
    folder = Path(folder)
    if not (folder / "log.jsonl").is_file():
        return None
    curves = read_log(folder / "log.jsonl")
    if not curves:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print(f"note: no {folder / PICTURE}: matplotlib is not installed (pip install matplotlib)", file=sys.stderr)
        return None
    names = sorted(curves, key=lambda name: (name.startswith("val_"), name))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, place)
        steps = sorted(curves[name])
        axes.plot(steps, [curves[name][s] for s in steps], marker="." if len(steps) < 20 else "", linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    figure.supxlabel("step", fontsize=9)
    return atomic_write(folder / PICTURE, lambda p: figure.savefig(p, dpi=120))
