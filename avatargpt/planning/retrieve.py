"""Which whole plans are near a scene: kinds of scenes, and scenes that were written once.

What is a network here: the sentence encoder (frozen). All numbers below were chosen by reading what comes first for the
sixty scenes of `eval/suites/plans.yaml`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning.common_words import CommonWords, bag
from avatargpt.planning.kinds import FIRST, LAST, MIDDLE, Part
from avatargpt.planning.marks import embedded
from avatargpt.planning.store import PlanLibrary
from avatargpt.requests.people import strange_names
from avatargpt.requests.vector_index import ranked

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

SCENES, COMPARED = 30, 8  # written scenes nearest by the stored components, and of these by all
KEYS, PARTS = 2, 3  # nearest wordings and activities that count
OWN = 0.5  # of the likeness of the activities, beside that of the scene
COMMON = 0.3  # of the share of common words: of wordings that were held out with a foreign person, the right kind comes
# first for 24 of 100 without it and for 47 with it, with its own person for 63 and 74
CLEARLY = 0.08  # by which a written scene must be nearer than a kind, whose plans are tidier
NEAR = 0.8  # from here on a plan is about such a scene; of sixty scenes seventeen are below, half of them read badly
USABLE = 0.62  # from here on a plan may be told behind a nearer one
STRANGE = 0.2  # less for each name of a person that the scene does not know
REMEMBERED = 10_000  # sentence vectors that are kept, 15 MB


@dataclass(frozen=True, eq=False)
class Story:
    """A whole plan that may be told.

    Attributes:
        name: the kind, or the written scene. row: of the written scene in the library, -1 = a kind.
        parts: its activities; of a written scene in its order. vectors: (n, 384) of them, unit.
        near: how near it is to what was asked. fits: (n,) cosine of each activity to what was asked.
    """

    name: str
    row: int
    parts: tuple[Part, ...]
    vectors: np.ndarray
    near: float
    fits: np.ndarray

    @property
    def ordered(self) -> bool:
        """Whether the activities are told in their order."""
        return self.row >= 0


def _best(values: np.ndarray, count: int) -> float:
    return float(np.sort(values)[-count:].mean())


class Retriever:
    """Looks scenes up in the library.

    Args:
        library: with its kinds. grounder: the sentence encoder of its vectors.
    """

    def __init__(self, library: PlanLibrary, grounder: SentenceGrounder) -> None:
        self.library, self.grounder = library, grounder
        self.width = library.task_vectors.shape[1]
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        table = library.kinds
        persons = bag(name for name, _ in table.persons)
        told = [bag([w, *(t for p in parts for t in (p.task, *p.steps))])
                for w, parts in zip(table.words, table.parts, strict=True)]  # fmt: skip
        self.common = CommonWords(told, persons)

    def ready(self) -> None:
        """Load the encoder now: a first answer need not wait for it."""
        self.grounder.load()

    def full(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, 384) unit vectors; the latest are remembered."""
        missing = [t for t in dict.fromkeys(texts) if t not in self._vectors]
        if missing:
            made = self.grounder.sentence([embedded(t) for t in missing])
            self._vectors.update(zip(missing, made, strict=True))
        out = np.stack([self._vectors[t] for t in texts]) if texts else np.zeros((0, 384), np.float32)
        while len(self._vectors) > REMEMBERED:
            self._vectors.popitem(last=False)
        return out

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, K)."""
        return self.library.basis.reduce(self.full(texts), self.width)

    def scene(self, text: str) -> np.ndarray:
        """(W,) components of a scene."""
        lib = self.library
        reduced: np.ndarray = lib.basis.reduce(self.full([text]), lib.scene_vectors.shape[1])[0]
        return reduced

    def nearest(self, scene: str, count: int = SCENES) -> list[int]:
        """Rows of the written scenes nearest by the components that the library keeps."""
        return [int(i) for i in ranked(self.library.scene_vectors @ self.scene(scene), count)]

    def stories(self, scene: str, count: int = SCENES) -> list[Story]:
        """All kinds and the nearest written scenes, the nearest first.

        Nearness: cosine of the scenes (of a kind the mean of its best `KEYS` wordings) plus `OWN` times the mean cosine
        of the scene and the best `PARTS` activities plus `COMMON` times the share of common words; of kinds `CLEARLY`
        more.
        """
        own = self.full([scene])[0]
        found = [*self._kinds(scene, own), *self._written(scene, own, self.nearest(scene, count))]
        return sorted(found, key=lambda s: -s.near)

    def _kinds(self, scene: str, own: np.ndarray) -> list[Story]:
        table, shares = self.library.kinds, self.common.shares(scene)
        keys, fits, starts = table.keys @ own, table.vectors @ own, table.starts
        out = []
        for k, (name, parts) in enumerate(zip(table.names, table.parts, strict=True)):
            rows = slice(int(starts[k]), int(starts[k + 1]))
            near = _best(keys[table.key_kind == k], KEYS) + OWN * _best(fits[rows], PARTS) + CLEARLY
            near += COMMON * float(shares[k])
            out.append(Story(name, -1, parts, table.vectors[rows], near, fits[rows]))
        return out

    def _written(self, scene: str, own: np.ndarray, rows: Sequence[int]) -> list[Story]:
        lib = self.library
        like = dict(zip(rows, self.full([lib.scenes[r] for r in rows]) @ own, strict=True))
        kept = sorted(rows, key=lambda r: -like[r])[: max(COMPARED, len(rows) - SCENES)]
        self.full([lib.tasks[i] for row in kept for i in lib.tasks_of(row)])  # at once: that is faster
        out, weights = [], self.common.weights(scene)
        for row in kept:
            parts = self.parts(row)
            vectors = self.full([p.task for p in parts])
            fits = vectors @ own
            said = [t for p in parts for t in (p.task, *p.steps)]
            told = bag([lib.scenes[row], *said])
            near = float(like[row]) + OWN * _best(fits, PARTS) - STRANGE * strange_names(said, scene)
            near += COMMON * sum(v for w, v in weights.items() if w in told)
            out.append(Story(lib.scenes[row], row, parts, vectors, near, fits))
        return out

    def parts(self, row: int) -> tuple[Part, ...]:
        """The activities of a written scene."""
        lib, rows = self.library, self.library.tasks_of(row)
        out = []
        for i in rows:
            at = FIRST if i == rows.start else LAST if i == rows.stop - 1 else MIDDLE
            out.append(Part(lib.tasks[i], tuple(lib.steps[k] for k in lib.steps_of(i)), frozenset((at,))))
        return tuple(out)
