"""`Retriever`: the plans of the library that are nearest to a scene."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning import library as plans
from avatargpt.planning.kinds import KindReader
from avatargpt.planning.library import PlanLibrary, StoryPart
from avatargpt.requests.english import lemmas, strange_names
from avatargpt.requests.vector_index import rank_scores

MIN_LETTERS = 3  # letters of a word that counts


def bag(texts: Iterable[str]) -> frozenset[str]:
    """Lemmas of content words of all texts."""
    return frozenset(w for t in texts for w in lemmas(plans.word_for_encoder(t)) if len(w) >= MIN_LETTERS)


class CommonWords:
    """Shares of common words, weighted by inverse document frequency."""

    def __init__(self, documents: Sequence[frozenset[str]], persons: frozenset[str]) -> None:
        self.documents, self.persons = documents, persons
        counts = Counter(w for d in documents for w in d)
        self._rarest = math.log(max(len(documents), 2))
        self._weight = {w: math.log(len(documents) / n) for w, n in counts.items()}

    def weights(self, text: str) -> dict[str, float]:
        """Weights of the words of a text, together 1; empty where none counts."""
        words = {w: self._weight.get(w, self._rarest) for w in sorted(bag([text]) - self.persons)}
        total = sum(words.values())
        return {w: v / total for w, v in words.items()} if total > 0 else {}

    def shares(self, text: str) -> np.ndarray:
        """(N,) of each document, 0 to 1."""
        weights = self.weights(text)
        return np.array([sum(v for w, v in weights.items() if w in d) for d in self.documents], np.float64)


# written scenes nearest by the stored components, and of these by all
NEAREST_SCENES, COMPARED_SCENES = 30, 8
BEST_KEYS, BEST_PARTS = 2, 3  # nearest wordings and activities that count
# of the likeness of the scene, and of that of the activities
SCENE_WEIGHT, ACTIVITY_WEIGHT = 1.8, 0.5
# of the share of common words; wordings that were held out with a foreign person find the right kind in 24 of 100 cases
# without it and in 47 with it, wordings with their usual person in 63 and 74
WORD_WEIGHT = 0.3
# by which a written scene must be nearer than a kind, whose plans are tidier
KIND_BONUS = 0.08
MIN_ABOUT = 0.52  # likeness of the scene, and half that of the activities, from which on a plan is about such a scene
# of the logarithm of how likely a kind is, by that of the likeliest; what a written scene counts as; from where on a
# plan of the kind is about the scene
KIND_WEIGHT, WRITTEN_SHARE, SURE_SHARE = 0.3, 0.05, 0.3
MIN_USABLE = 1.0  # nearness from which on a plan may follow a nearer one
NEAREST_PARTS = 12  # activities of any plan, where no plan is about a scene
# less for each name of a person that the scene does not know
NAME_COST = 0.2
MAX_REMEMBERED = 10_000  # sentence vectors that are kept, 15 MB


V = TypeVar("V")


def recall(
    memory: OrderedDict[str, V], texts: Sequence[str], compute: Callable[[list[str]], Iterable[V]], most: int
) -> list[V]:
    """What belongs to each text, of those that the memory lacks computed together; it keeps so many, the latest."""
    if missing := [t for t in dict.fromkeys(texts) if t not in memory]:
        memory.update(zip(missing, compute(missing), strict=True))
    out = [memory[t] for t in texts]
    while len(memory) > most:
        memory.popitem(last=False)
    return out


def about(story: plans.Story) -> bool:
    """Whether a plan is about the scene in question."""
    return story.share >= SURE_SHARE or story.likeness + ACTIVITY_WEIGHT * _best(story.fits, BEST_PARTS) >= MIN_ABOUT


def _best(values: np.ndarray, count: int) -> float:
    return float(np.sort(values)[-count:].mean())


# Nearness is by the frozen sentence encoder and by rare words in common: a sentence vector is mostly about the actor.
# All numbers were chosen by reading the first plans for the sixty scenes of `eval/suites/plans.yaml`.
class Retriever:
    """Looks scenes up in the library.

    Args:
        library: with its kinds. grounder: the sentence encoder of its vectors.
        kinds: reads which of them a scene is; None, or of other kinds = likeness of texts alone decides.
    """

    def __init__(self, library: PlanLibrary, grounder: SentenceGrounder, kinds: KindReader | None = None) -> None:
        self.library, self.grounder = library, grounder
        self.kinds = kinds if kinds is not None and kinds.names == library.kinds.names else None
        self.width = library.task_vectors.shape[1]
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        table = library.kinds
        persons = bag(name for name, _ in table.persons)
        documents = [bag([w, *(t for p in parts for t in (p.task, *p.steps))])
                for w, parts in zip(table.words, table.parts, strict=True)]  # fmt: skip
        self.common = CommonWords(documents, persons)

    def ready(self) -> None:
        """Load the encoder now: a first answer need not wait for it."""
        self.grounder.load()

    def full(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, 384) unit vectors; the latest are remembered."""

        def compute(missing: list[str]) -> np.ndarray:
            return self.grounder.sentence([plans.word_for_encoder(t) for t in missing])

        vectors = recall(self._vectors, texts, compute, MAX_REMEMBERED)
        return np.stack(vectors) if texts else np.zeros((0, 384), np.float32)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, K)."""
        return self.library.basis.reduce(self.full(texts), self.width)

    def scene(self, text: str) -> np.ndarray:
        """(W,) components of a scene."""
        lib = self.library
        return lib.basis.reduce(self.full([text]), lib.scene_vectors.shape[1])[0]

    def nearest(self, scene: str, count: int = NEAREST_SCENES) -> list[int]:
        """Rows of the written scenes nearest by the components that the library keeps."""
        return [int(i) for i in rank_scores(self.library.scene_vectors @ self.scene(scene), count)]

    def stories(self, scene: str, count: int = NEAREST_SCENES) -> list[plans.Story]:
        """All kinds and the nearest written scenes, the nearest first."""
        # Nearness: `SCENE_WEIGHT` times the cosine of the scenes (of a kind the mean of its `BEST_KEYS` wordings), plus
        # `ACTIVITY_WEIGHT` times
        # the mean cosine of the scene and the `BEST_PARTS` activities, plus `WORD_WEIGHT` times the share of common
        # words; of kinds `KIND_BONUS` more.
        vector = self.full([scene])[0]
        kinds, written = self._kinds(scene, vector), self._find_written(scene, vector, self.nearest(scene, count))
        stories = [*kinds, *written]
        if self.kinds is not None:
            shares = self.kinds.shares(scene)
            likely = [*shares, *[WRITTEN_SHARE] * len(written)]
            costs = KIND_WEIGHT * np.log(likely / shares.max())
            stories = [
                replace(s, nearness=s.nearness + cost, share=float(share))
                for s, cost, share in zip(stories, costs, likely, strict=True)
            ]
        return sorted(stories, key=lambda s: -s.nearness)

    def _kinds(self, scene: str, vector: np.ndarray) -> list[plans.Story]:
        table, shares = self.library.kinds, self.common.shares(scene)
        keys, fits, starts = table.keys @ vector, table.vectors @ vector, table.starts
        out = []
        for k, (name, parts) in enumerate(zip(table.names, table.parts, strict=True)):
            rows = slice(int(starts[k]), int(starts[k + 1]))
            likeness = _best(keys[table.key_kind == k], BEST_KEYS)
            nearness = SCENE_WEIGHT * likeness + ACTIVITY_WEIGHT * _best(fits[rows], BEST_PARTS)
            nearness = nearness + KIND_BONUS + WORD_WEIGHT * float(shares[k])
            out.append(plans.Story(name, -1, parts, table.vectors[rows], nearness, fits[rows], likeness))
        return out

    def _find_written(self, scene: str, vector: np.ndarray, rows: Sequence[int]) -> list[plans.Story]:
        lib = self.library
        like = dict(zip(rows, self.full([lib.scenes[r] for r in rows]) @ vector, strict=True))
        nearest = sorted(rows, key=lambda r: -like[r])[: max(COMPARED_SCENES, len(rows) - NEAREST_SCENES)]
        self.full([lib.tasks[i] for row in nearest for i in lib.tasks_of(row)])  # at once: that is faster
        out, weights = [], self.common.weights(scene)
        for row in nearest:
            parts = self.parts(row)
            vectors = self.full([p.task for p in parts])
            fits = vectors @ vector
            texts = [t for p in parts for t in (p.task, *p.steps)]
            words = bag([lib.scenes[row], *texts])
            nearness = SCENE_WEIGHT * float(like[row]) + ACTIVITY_WEIGHT * _best(fits, BEST_PARTS)
            nearness -= NAME_COST * strange_names(texts, scene)
            nearness += WORD_WEIGHT * sum(v for w, v in weights.items() if w in words)
            out.append(plans.Story(lib.scenes[row], row, parts, vectors, nearness, fits, float(like[row])))
        return out

    def loose(self, scene: str) -> plans.Story:
        """The activities of all plans that are nearest to a scene, which no plan is about."""
        lib, table, vector = self.library, self.library.kinds, self.full([scene])[0]
        reduced = self.embed([scene])[0]
        every = [p for parts in table.parts for p in parts]
        rows = rank_scores(np.concatenate([lib.task_vectors @ reduced, table.vectors @ vector]), 4 * NEAREST_PARTS)
        n = len(lib.tasks)
        near = [every[i - n] if i >= n else StoryPart(lib.tasks[i], self.steps(int(i)), frozenset()) for i in rows]
        anywhere = frozenset((plans.FIRST, plans.MIDDLE, plans.LAST))
        parts = tuple(StoryPart(p.task, p.steps, anywhere) for p in near)
        vectors = self.full([p.task for p in parts])
        best = rank_scores(vectors @ vector, NEAREST_PARTS)
        parts, vectors = tuple(parts[i] for i in best), vectors[best]
        return plans.Story("", -1, parts, vectors, 0.0, vectors @ vector)

    def steps(self, task: int) -> tuple[str, ...]:
        """The steps of an activity of a written scene, by its row."""
        return tuple(self.library.steps[k] for k in self.library.steps_of(task))

    def parts(self, row: int) -> tuple[StoryPart, ...]:
        """The activities of a written scene."""
        lib, rows = self.library, self.library.tasks_of(row)
        out = []
        for i in rows:
            at = plans.FIRST if i == rows.start else plans.LAST if i == rows.stop - 1 else plans.MIDDLE
            out.append(StoryPart(lib.tasks[i], self.steps(i), frozenset((at,))))
        return tuple(out)
