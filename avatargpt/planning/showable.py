"""What the motion side can show, as far as it may matter in a scene: a vocabulary for who plans in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning.marks import embedded
from avatargpt.requests.vector_index import ranked

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.planning.store import PlanLibrary
    from avatargpt.requests.phrase_index import PhraseIndex

SCENES, QUESTIONS = 4, 40  # written scenes whose steps are looked up, and how many steps of them


class Showable:
    """Movements of the phrase index that suit a scene.

    They are the nearest to the scene itself, to what was done in it, and to the steps of the nearest written scenes: a
    scene says where somebody is, its written neighbours what a body does there.

    Args:
        phrase_index, grounder: of the motion side. library: written plans; None = the scene alone is looked up.
    """

    def __init__(
        self, phrase_index: PhraseIndex, grounder: SentenceGrounder, library: PlanLibrary | None = None
    ) -> None:
        self.phrase_index, self.grounder, self.library = phrase_index, grounder, library

    def near(self, texts: Sequence[str], most: int) -> list[str]:
        """At most `most` movements, one per action: the nearest to each text, then the second nearest, and so on."""
        asked = list(dict.fromkeys(t for t in texts if t.strip()))
        asked += [t for t in self._written(asked[0]) if t not in asked] if asked else []
        return list(self.phrase_index.movements(asked, self.grounder, most))

    def _written(self, scene: str) -> list[str]:
        """Steps of the nearest written scenes, spread over them."""
        lib = self.library
        if lib is None:
            return []
        vector = lib.basis.reduce(self.grounder.sentence([scene]), lib.scene_vectors.shape[1])[0]
        rows = [int(s) for s in ranked(lib.scene_vectors @ vector, SCENES)]
        steps = [embedded(lib.steps[i]) for s in rows for t in lib.tasks_of(s) for i in lib.steps_of(t)]
        at = np.linspace(0, len(steps) - 1, min(QUESTIONS, len(steps))).astype(int)
        return [" ".join(steps[i].split()) for i in at]
