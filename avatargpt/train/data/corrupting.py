"""Activities and continuations that are true, and the same corrupted: what the scorer of plans learns to tell apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatargpt.planning.scorer import Overlap, Question
from avatargpt.planning.store import PlanLibrary

KINDS = (
    "shuffled", "foreign", "foreign_near", "one_foreign", "one_near", "repeated", "other_task", "same_plan",
    "elsewhere", "elsewhere_near",
)  # fmt: skip
DRAWN = (*KINDS, "elsewhere", "elsewhere_near", "elsewhere_near")
"""In training, how often each kind is met."""
CONTINUATIONS = ("shuffled", "foreign", "foreign_near", "repeated")
EASY = ("foreign", "repeated")


@dataclass(frozen=True)
class Rows:
    """An activity as rows of a library; `before` is the step before it, -1 = none."""

    scene: int
    task: int
    before: int
    steps: tuple[int, ...]


class Corruptor:
    """True activities of a library and corrupted ones, drawn from a generator."""

    def __init__(self, library: PlanLibrary) -> None:
        self.library, self.overlap = library, Overlap(library)
        cosine = library.scene_vectors @ library.scene_vectors.T
        np.fill_diagonal(cosine, -2)
        self.near = np.argsort(-cosine, axis=1)[:, : min(8, len(cosine) - 1)]

    def question(self, rows: Rows) -> Question:
        """What the scorer reads."""
        lib, k = self.library, self.library.task_vectors.shape[1]
        before = lib.step_vectors[rows.before] if rows.before >= 0 else np.zeros(k, np.float32)
        last = lib.steps[rows.before] if rows.before >= 0 else ""
        words = self.overlap(lib.scenes[rows.scene], lib.tasks[rows.task], last, [lib.steps[i] for i in rows.steps])
        vectors = lib.step_vectors[list(rows.steps)]
        return Question(lib.scene_vectors[rows.scene, :k], lib.task_vectors[rows.task], before, vectors, words)

    def true(self, task: int) -> Rows:
        """The activity as it stands in the library."""
        lib, scene = self.library, int(self.library.task_scene[task])
        steps = lib.steps_of(task)
        return Rows(scene, task, -1 if task == lib.task_starts[scene] else steps.start - 1, tuple(steps))

    def elsewhere(self, scene: int, near: bool, rng: np.random.Generator) -> int:
        """Another scene."""
        while True:
            other = int(rng.choice(self.near[scene])) if near else int(rng.integers(len(self.library.scenes)))
            if other != scene:
                return other

    def _other(self, scene: int, near: bool, rng: np.random.Generator) -> int:
        return int(rng.choice(self.library.tasks_of(self.elsewhere(scene, near, rng))))

    def wrong(self, task: int, kind: str, rng: np.random.Generator) -> Rows:
        """The activity corrupted in one of `KINDS`; its scene, and mostly its task, stay."""
        lib, true = self.library, self.true(task)
        steps, siblings = list(true.steps), lib.tasks_of(true.scene)
        n = len(steps)
        if kind == "shuffled" and n > 1:
            steps = _permuted(steps, rng)
        elif kind == "repeated" and n > 1:
            i, j = rng.choice(n, 2, replace=False)
            steps[i] = steps[j]
        elif kind in ("foreign", "foreign_near"):
            steps = list(lib.steps_of(self._other(true.scene, kind == "foreign_near", rng)))
        elif kind == "same_plan" and len(siblings) > 1:
            steps = list(lib.steps_of(int(rng.choice([t for t in siblings if t != task]))))
        elif kind in ("elsewhere", "elsewhere_near"):
            return replace(self.true(self._other(true.scene, kind == "elsewhere_near", rng)), scene=true.scene,
                           before=true.before)  # fmt: skip
        elif kind == "other_task":
            return replace(true, task=self._other(true.scene, False, rng))
        else:
            other = self._other(true.scene, kind == "one_near", rng)
            steps[rng.integers(n)] = int(rng.choice(lib.steps_of(other)))
        return replace(true, steps=tuple(steps))

    def continuation(self, scene: int, kind: str, rng: np.random.Generator) -> list[Rows]:
        """All activities of a scene after the first, as they are (kind ``true``) or corrupted (`CONTINUATIONS`)."""
        lib = self.library
        rest = [self.true(t) for t in lib.tasks_of(scene)[1:]]
        if kind == "repeated":
            rest = [self.wrong(r.task, "repeated", rng) for r in rest]
        elif kind == "shuffled":
            steps = _permuted([i for r in rest for i in r.steps], rng)
            ends = np.cumsum([len(r.steps) for r in rest])
            rest = [replace(r, steps=tuple(steps[e - len(r.steps) : e])) for r, e in zip(rest, ends, strict=True)]
        elif kind != "true":
            other = self.elsewhere(scene, kind == "foreign_near", rng)
            foreign = [self.true(t) for t in lib.tasks_of(other)[1:]]
            rest = [replace(f, scene=scene) for f in foreign]
            rest[0] = replace(rest[0], before=lib.steps_of(lib.tasks_of(scene)[0])[-1])
        return rest


def _permuted(rows: list[int], rng: np.random.Generator) -> list[int]:
    order = rng.permutation(len(rows))
    while (order == np.arange(len(rows))).all():
        order = rng.permutation(len(rows))
    return [rows[int(i)] for i in order]
