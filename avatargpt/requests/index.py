"""The one index of texts that is looked up by meaning and by words: phrasings, exemplars and plans are kept in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from avatargpt.requests.lexical import WordIndex

BLOCK = 2048  # rows that are widened at a time; they stay in the processor's cache


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one, float32."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: np.ndarray = (vectors / np.maximum(norms, 1e-6)).astype(np.float32)
    return scaled


def ranked(scores: np.ndarray, count: int | None = None) -> np.ndarray:
    """Rows of the `count` highest scores (None = of all), the best first; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:count]


@dataclass(frozen=True, eq=False)
class Reduced:
    """Vectors as a file holds them: n rows of width w along r directions, in 8 bits.

    They are compared as they are: what is asked for is turned into the directions, and the rows are widened a block at
    a time, which costs a fourth of a product with all of them as wide as they were, and no memory.

    Attributes:
        rows: (n, r) int8. scale: (n, 1) float32, what each row is to be multiplied by. basis: (w, r) float16, None: r
            is w.
    """

    rows: np.ndarray
    scale: np.ndarray
    basis: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def full(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n or as many as `which` picks, w) float32."""
        wide = np.ascontiguousarray(self.rows[which]).astype(np.float32)  # columns take thrice as long to multiply
        wide *= self.scale[which]
        return wide if self.basis is None else wide @ self.basis.astype(np.float32).T

    def products(self, asked: np.ndarray) -> np.ndarray:
        """(m, w) -> (m, n) float32 products with every row."""
        asked = asked.astype(np.float32, copy=False)
        turned = asked if self.basis is None else asked @ self.basis.astype(np.float32)
        out = np.empty((len(asked), len(self)), np.float32)
        for start in range(0, len(self), BLOCK):
            wide = self.rows[start : start + BLOCK].astype(np.float32)
            np.matmul(turned, wide.T, out=out[:, start : start + BLOCK])
        out *= self.scale[:, 0]
        return out


class VectorIndex:
    """Texts with their sentence vectors and words.

    Args:
        texts: n of them. vectors: (n, w) unit vectors; float32 ones are not copied, reduced ones not expanded.
        words: of the texts, where a file holds them.
    """

    def __init__(
        self, texts: Sequence[str], vectors: np.ndarray | Reduced, words: WordIndex | None = None
    ) -> None:  # fmt: skip
        self.texts, self._words = texts, words
        self.held = vectors if isinstance(vectors, Reduced) else np.asarray(vectors, np.float32)

    @property
    def vectors(self) -> np.ndarray:
        """(n, w) float32; reduced ones are expanded at each call."""
        return self.held.full() if isinstance(self.held, Reduced) else self.held

    def some(self, which: np.ndarray) -> np.ndarray:
        """(k, w) float32, the vectors of these texts."""
        return self.held.full(which) if isinstance(self.held, Reduced) else self.held[which]

    @cached_property
    def words(self) -> WordIndex:
        """Of the texts; built at the first request where no file holds them, for loading need not wait for it."""
        return WordIndex.of(self.texts) if self._words is None else self._words

    def cosines(self, asked: np.ndarray) -> np.ndarray:
        """Cosine of every text to what is asked for: (n,) of one vector (w,), (m, n) of several (m, w)."""
        if isinstance(self.held, Reduced):
            return self.held.products(asked[None])[0] if asked.ndim == 1 else self.held.products(asked)
        return self.held @ asked if asked.ndim == 1 else asked @ self.held.T

    def scores(self, cosines: np.ndarray, weight: float, *texts: str) -> np.ndarray:
        """(n,): `cosines` and `weight` times the words in common (0..1) with that of `texts` which has most of them."""
        return cosines + weight * np.maximum.reduce([self.words.scores(t) for t in texts])
