"""A turn as numbers: its meaning, its words, and what it is said about."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from avatargpt.language.chat import slots
from avatargpt.language.chat.heard import Heard
from instruct_data.text.english import GERUND, THIRD

MEANING, WORDS = 3.0, 1.0  # weights of the sentence vector and of the words against the context
_BASES = frozenset(THIRD.values())
_PRONOUN = re.compile(r"(?:he|she|it|they|him|her)\b")
_SIDE = re.compile(r"\b(?:left|right|both)\b")
_TRAVEL = re.compile(r"undo|redo")
NEAR = 0.6  # similarity to a known movement from which a turn may be one


def masked(request: str, files: Sequence[str]) -> str:
    """The turn with its file names and lengths made alike, so that they do not count."""
    text = request
    for name in files:
        text = text.replace(name, f"clip.{name.rsplit('.', 1)[-1]}")
    return slots.with_length(text, " 5 seconds ")


def grams(text: str) -> list[str]:
    """Words, marks and pairs of neighbours."""
    found = re.findall(r"[a-z']+|[?!&+#:]|\d", text)
    return [*found, *(f"{a}_{b}" for a, b in zip(["^", *found], [*found, "$"], strict=True))]


def context(heard: Heard, text: str, known: float) -> np.ndarray:
    """What is there and what the words look like, (n,) float32.

    Args:
        text: the masked request. known: cosine to the nearest movement of the wording book.
    """
    words = text.split()
    first, second = (w.strip(".,!?") for w in [*words, "", ""][:2])
    count, said = len(heard.captions), bool(_PRONOUN.match(text))
    pointed = bool(slots.segments(text, heard.captions))
    return np.array(
        [
            count == 0, count == 1, count == 2, count > 2, heard.takes > 1, bool(heard.files), heard.planned,
            "5 seconds" in text, bool(slots.numbers(text)), len(words) <= 1, len(words) <= 2, len(words) <= 4,
            len(words) > 8, first in THIRD, first in _BASES, first in GERUND, said and second in THIRD, said, pointed,
            "?" in text, "!" in text, bool(_SIDE.search(text)), slots.factor(text) is not None,
            slots.times(text) is not None, bool(_TRAVEL.search(text)), 2 * known, 4 * max(0.0, known - NEAR),
        ],
        np.float32,
    )  # fmt: skip


def rows(
    heard: Sequence[Heard], vectors: np.ndarray, known: np.ndarray, places: dict[str, int]
) -> np.ndarray:
    """(B, 384 + context + words) float32.

    Args:
        vectors: (B, 384) unit vectors of the masked turns. known: (B,), see `context`.
        places: gram -> column.
    """
    texts = [masked(h.request, h.files) for h in heard]
    around = np.stack([context(h, t, float(k)) for h, t, k in zip(heard, texts, known, strict=True)])
    said = np.zeros((len(texts), len(places)), np.float32)
    for row, text in enumerate(texts):
        columns = sorted({places[g] for g in grams(text) if g in places})
        if columns:
            said[row, columns] = WORDS / len(columns) ** 0.5
    return np.concatenate([MEANING * vectors.astype(np.float32), around, said], axis=1)
