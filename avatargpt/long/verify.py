"""Whether what was made shows its caption: the text-motion scorer among captions of other actions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from avatargpt.body.model import BodyModel
from avatargpt.requests.phrase_scoring import OVERLAP_WEIGHT
from avatargpt.requests.vector_index import ranked

OTHERS = 96  # captions of as many other actions that a motion is compared with
BETTER = 4  # of them at most may fit better
ALIKE = 0.7  # cosine of captions that say nearly the same
LOOKED_AT, INSTEAD = 200, 2  # phrasings looked at for what may be shown instead, and actions of them that are tried
MEANS = 0.6  # cosine (with word overlap) below which another action has nothing to do with what was asked


class Verifier:
    """Compares motions with their captions, by a network (`avatargpt.lm.scorer`).

    Args:
        model: with a scorer, a phrase index and a sentence encoder; without them nothing can be verified.
    """

    def __init__(self, model: BodyModel) -> None:
        self.model = model
        self.able = model.motion_scorer is not None and model.grounder is not None and model.phrase_index is not None

    @cached_property
    def _others(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Actions, their captions as the scorer hears them (n, dim), and as sentences (n, 384)."""
        index, scorer, grounder = self.model.phrase_index, self.model.motion_scorer, self.model.grounder
        assert index is not None and scorer is not None and grounder is not None
        first: dict[str, str] = {}
        for action, caption in zip(index.classes, index.captions, strict=True):
            first.setdefault(action, caption[""])
        names = sorted(first)
        names = [names[i] for i in np.linspace(0, len(names) - 1, min(OTHERS, len(names))).astype(int)]
        captions = [first[n] for n in names]
        return names, scorer.texts(captions, grounder), grounder.sentence(captions)

    def better(self, codes: Sequence[np.ndarray], caption: str) -> np.ndarray:
        """How many other captions fit each motion better than its own, (B,); 0 where nothing can be verified.

        Captions that mean nearly the same do not count.

        Args:
            codes: (N, R) each.
        """
        if not self.able:
            return np.zeros(len(codes), int)
        scorer, grounder = self.model.motion_scorer, self.model.grounder
        assert scorer is not None and grounder is not None
        _, heard, meant = self._others
        seen = self.model.motion_vectors(codes)
        own = seen @ scorer.texts([caption], grounder)[0]
        foreign = meant @ grounder.sentence([caption])[0] < ALIKE
        return np.asarray((seen @ heard[foreign].T > own[:, None]).sum(1))

    def near(self, caption: str) -> list[str]:
        """Captions of the nearest other actions, at most `INSTEAD`, the nearest first."""
        index, grounder = self.model.phrase_index, self.model.grounder
        if index is None or grounder is None:
            return []
        scores = index.index.scores(index.index.cosines(grounder.sentence([caption]))[0], OVERLAP_WEIGHT, caption)
        own = {index.classes[i] for i in np.flatnonzero(scores >= scores.max() - 1e-6)}
        found: dict[str, str] = {}
        for row in ranked(scores, LOOKED_AT):
            if index.classes[row] not in own and scores[row] >= MEANS:
                found.setdefault(index.classes[row], index.captions[row][""])
        return list(found.values())[:INSTEAD]
