"""Writes the tables of docs/scaling.md anew: python scripts/scaling.py"""

from __future__ import annotations

from pathlib import Path

from avatargpt.train.scaling.report import document, filled
from vqvae.motion import atomic_write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"

if __name__ == "__main__":
    text = filled(PAGE.read_text(encoding="utf-8"), document())
    atomic_write(PAGE, lambda p: p.write_text(text, encoding="utf-8"))
