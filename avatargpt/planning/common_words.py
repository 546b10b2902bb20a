"""Words that a scene shares with a plan: a sentence vector is mostly about who acts, rare words about what happens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from avatargpt.planning.marks import embedded
from avatargpt.requests.lexical import lemmas

SHORTEST = 3  # letters of a word that counts


def bag(texts: Iterable[str]) -> frozenset[str]:
    """Lemmas of content words of all texts."""
    return frozenset(w for t in texts for w in lemmas(embedded(t)) if len(w) >= SHORTEST)


class CommonWords:
    """Shares of common words, weighted by how few of the documents have a word (inverse document frequency).

    Args:
        documents: words of each plan. persons: words for who acts, which do not count.
    """

    def __init__(self, documents: Sequence[frozenset[str]], persons: frozenset[str]) -> None:
        self.documents, self.persons = documents, persons
        counts = Counter(w for d in documents for w in d)
        self._rarest = math.log(max(len(documents), 2))
        self._weight = {w: math.log(len(documents) / n) for w, n in counts.items()}

    def weights(self, text: str) -> dict[str, float]:
        """What the words of a text weigh, together 1; empty where it has none that count."""
        found = {w: self._weight.get(w, self._rarest) for w in sorted(bag([text]) - self.persons)}
        total = sum(found.values())
        return {w: v / total for w, v in found.items()} if total > 0 else {}

    def shares(self, text: str) -> np.ndarray:
        """(N,) of each document, 0 to 1."""
        weights = self.weights(text)
        return np.array([sum(v for w, v in weights.items() if w in d) for d in self.documents], np.float64)
