"""Rows of a contrastive step: partly from few classes, so that their details are learnt, the others from all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

MIN_CLASS = 4  # clips of a class that a part of a step is drawn from


class ClassDraws:
    """Draws clips and a caption of each.

    Args:
        classes: (n,) of the clips. captions: rows of sentences of each clip. batch: clips of a step.
        few: classes that share a part of the step. each: clips of one of these at most.
        balance: 1 = classes equally likely, 0 = clips.
    """

    def __init__(
        self, classes: np.ndarray, captions: Sequence[Sequence[int]], batch: int, few: int, each: int, balance: float
    ) -> None:
        self.captions, self.batch, self.few, self.each = captions, batch, few, each
        count = Counter(classes.tolist())
        weight = np.array([count[c] ** -balance for c in classes])
        self.weight = weight / weight.sum()
        self.rows = {c: np.flatnonzero(classes == c) for c in count}
        self.large = [c for c, n in count.items() if n >= MIN_CLASS]

    def draw(self, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(B,) clips and (B,) a caption of each."""
        rng = np.random.default_rng(list(seed))
        rows: list[int] = []
        # Clips of one class differ in details alone (count, side, manner), which a contrast with other classes would
        # not teach.
        for c in rng.choice(self.large, min(self.few, len(self.large)), False) if self.large else ():
            rows += rng.choice(self.rows[c], min(self.each, len(self.rows[c])), False).tolist()
        rows += rng.choice(len(self.weight), max(2, self.batch - len(rows)), p=self.weight).tolist()
        captions = [self.captions[i][int(rng.integers(len(self.captions[i])))] for i in rows]
        return np.array(rows), np.array(captions)
