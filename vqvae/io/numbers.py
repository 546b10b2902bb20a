"""Numbers in text files: what Python takes beyond what the formats have is refused."""

from __future__ import annotations

import numpy as np


def plain_number(text: str) -> float:
    """The number that a word is: ASCII digits without the underscores that Python allows between them.

    Raises:
        ValueError: another word.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"not a number: {text[:40]!r}")
    return float(text)


def plain_numbers(text: str) -> np.ndarray:
    """(n,) float64 of all words of a text. Raises ValueError as `plain_number`, naming the word."""
    words = text.split()
    if not text.isascii() or "_" in text:
        bad = next(w for w in words if not w.isascii() or "_" in w)
        raise ValueError(f"not a number: {bad[:40]!r}")
    return np.array(words, np.float64)
