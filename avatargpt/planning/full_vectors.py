"""Activities of the library by their full sentence vectors.

The library keeps 48 components of every activity's vector, enough to look it up; which of those that were found is
nearest is decided by all 384, made anew when they are needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.language.plans.marks import embedded
from avatargpt.planning.store import PlanLibrary

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder

REMEMBERED = 10_000  # vectors of activities that are kept, 15 MB


class FullVectors:
    """Makes them, and keeps the latest.

    Args:
        library: whose activities. grounder: the sentence encoder.
    """

    def __init__(self, library: PlanLibrary, grounder: SentenceGrounder) -> None:
        self.library, self.grounder = library, grounder
        self._vectors: OrderedDict[int, np.ndarray] = OrderedDict()

    def __call__(self, rows: Sequence[int]) -> np.ndarray:
        """(n, 384) unit vectors of the library's activities."""
        missing = [r for r in dict.fromkeys(rows) if r not in self._vectors]
        if missing:
            made = self.grounder.sentence([embedded(self.library.tasks[r]) for r in missing])
            self._vectors.update(zip(missing, made, strict=True))
        out = np.stack([self._vectors[r] for r in rows])
        while len(self._vectors) > REMEMBERED:
            self._vectors.popitem(last=False)
        return out

    def likeness(self, text: str, rows: Sequence[int]) -> np.ndarray:
        """(n,) cosine of a text and activities."""
        if not rows:
            return np.zeros(0, np.float32)
        cosine: np.ndarray = self(rows) @ self.grounder.sentence([embedded(text)])[0]
        return cosine
