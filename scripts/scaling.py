"""Writes the tables of docs/scaling.md, and that of the shipped models in docs/training.md, anew.

python scripts/scaling.py
"""

from __future__ import annotations

from pathlib import Path

from avatargpt.train.scaling.report import document, filled, table
from avatargpt.train.scaling.shipped import shipped
from vqvae.motion import atomic_write

ROOT = Path(__file__).resolve().parents[1]
HEAD = ["task", "model", "figure", "reached", "suite"]


def pages() -> dict[Path, str]:
    """Every page with its tables as they should be."""
    tables = {**document(), "shipped": table(HEAD, shipped(ROOT / "eval" / "results"))}
    paths = [ROOT / "docs" / name for name in ("scaling.md", "training.md")]
    return {path: filled(path.read_text(encoding="utf-8"), tables) for path in paths}


if __name__ == "__main__":
    for path, text in pages().items():
        atomic_write(path, lambda p, text=text: p.write_text(text, encoding="utf-8"))  # type: ignore[misc]
