"""The one index of texts that is looked up by meaning and by words: phrasings, exemplars and plans are kept in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from avatargpt.language.lexical import WordIndex


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one, float32."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-6)).astype(np.float32)
    return scaled


def ranked(scores: np.ndarray, count: int | None = None) -> np.ndarray:
    """Rows of the `count` highest scores (None = of all), the best first; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:count]


class VectorIndex:
    """Texts with their sentence vectors and words.

    Args:
        texts: n of them. vectors: (n, w) unit vectors; float32 ones are not copied.
    """

    def __init__(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        self.texts, self.vectors = texts, np.asarray(vectors, np.float32)

    @cached_property
    def words(self) -> WordIndex:
        """Of the texts; built at the first request, for loading a model need not wait for it."""
        return WordIndex(self.texts)

    def cosines(self, asked: np.ndarray) -> np.ndarray:
        """Cosine of every text to what is asked for: (n,) of one vector (w,), (m, n) of several (m, w)."""
        return self.vectors @ asked if asked.ndim == 1 else asked @ self.vectors.T

    def scores(self, cosines: np.ndarray, weight: float, *texts: str) -> np.ndarray:
        """(n,): `cosines` and `weight` times the words in common (0..1) with that of `texts` which has most of them."""
        return cosines + weight * np.maximum.reduce([self.words.scores(t) for t in texts])
