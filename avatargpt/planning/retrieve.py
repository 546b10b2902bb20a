"""Candidates for the next activity: from the nearest scenes, the nearest activities, and whoever else proposes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning.persons import embedded
from avatargpt.planning.props import Props
from avatargpt.planning.scorer import Overlap, Question, Scorer
from avatargpt.planning.store import PlanLibrary, unit
from avatargpt.planning.telling import statement

if TYPE_CHECKING:
    from avatargpt.text import SentenceGrounder

SCENES, TASKS, KEPT = 14, 30, 36
NEAR = 1.25  # weight of the scene that an activity is from
DIRECT = 0.4  # weight of the activity's own likeness to the scene
UNTOLD = 0.12  # less for an activity that does not say what the actor does
CROWD = 10  # scenes over which it is measured how near an activity is to everything
HUB = 0.7  # how much of that is taken off
Step = tuple[str, np.ndarray]
"""A step's text with marks and its (K,) vector."""
WORDS = 0.25  # weight of words in common against the cosine of scenes


@dataclass(frozen=True, eq=False)
class Candidate:
    """An activity that may come next; texts carry marks in place of the actor.

    Attributes:
        task, steps: texts. task_vector: (K,). step_vectors: (n, K).
        scene: row of the library's scene it is from, -1 = proposed from outside.
        row: of the library's activity, -1 likewise. place: 0 = first in its scene .. 1 = last.
        fit: how well it suits the asked scene, higher is better.
        judged: the scorer's probability.
    """

    task: str
    steps: tuple[str, ...]
    task_vector: np.ndarray
    step_vectors: np.ndarray
    scene: int
    row: int
    place: float
    fit: float = 0.0
    judged: float = 0.0


@dataclass(frozen=True, eq=False)
class Asked:
    """A scene as the retrieval sees it.

    Attributes:
        text: the words. vector: (W,) reduced. nearness: (S,) to each scene of the library.
    """

    text: str
    vector: np.ndarray
    nearness: np.ndarray


def _crowd(rows: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    """(n, P), (m, P) -> (n,) mean of the `CROWD` highest cosines."""
    most = min(CROWD, len(scenes))
    parts = [np.partition(rows[i : i + 1024] @ scenes.T, -most, axis=1)[:, -most:].mean(1)
             for i in range(0, len(rows), 1024)]  # fmt: skip
    return np.concatenate(parts)


class Retriever:
    """Looks a scene up in the library.

    Args:
        library: with projections and scorer. grounder: the sentence encoder of its vectors.
    """

    def __init__(self, library: PlanLibrary, grounder: SentenceGrounder) -> None:
        self.library, self.grounder = library, grounder
        self.props, self.scorer = Props(library, grounder), Scorer.of(library)
        self.overlap = Overlap(library)
        self.width = library.task_vectors.shape[1]

    @cached_property
    def hubs(self) -> tuple[np.ndarray, np.ndarray]:
        """(S,), (A,): how near each scene and activity of the library is to its `CROWD` nearest scenes, less the mean.

        What is near to everything says little of any scene (the hubness correction of CSLS, Conneau et al. 2018).
        """
        lib = self.library
        some = slice(None, None, max(1, len(lib.scenes) // 800))
        around = lib.scene_vectors[some]
        scenes = _crowd(lib.scene_vectors, around)
        relations = (("scene_task", lib.task_vectors), ("scene_steps", lib.means))
        tasks = np.mean(
            [_crowd(lib.projected(r, "to", own), lib.projected(r, "from", around)) for r, own in relations], axis=0
        )
        return scenes - scenes.mean(), tasks - tasks.mean()

    def ask(self, scene: str) -> Asked:
        """Embed a scene and compare it with all scenes: cosine and shared rare words."""
        lib = self.library
        vector = lib.basis.reduce(self.grounder.sentence([scene]), lib.scene_vectors.shape[1])[0]
        nearness = lib.scene_vectors @ vector - HUB * self.hubs[0] + WORDS * lib.scene_index.scores(scene)
        return Asked(scene, vector, nearness)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Texts with or without marks -> (n, K)."""
        return self.library.basis.reduce(self.grounder.sentence([embedded(t) for t in texts]), self.width)

    def candidate(self, row: int) -> Candidate:
        """An activity of the library."""
        lib = self.library
        scene, steps = int(lib.task_scene[row]), lib.steps_of(row)
        siblings = lib.tasks_of(scene)
        place = (row - siblings.start) / max(len(siblings) - 1, 1)
        return Candidate(
            lib.tasks[row], tuple(lib.steps[i] for i in steps), lib.task_vectors[row], lib.step_vectors[list(steps)],
            scene, row, place,
        )  # fmt: skip

    def outside(self, task: str, steps: Sequence[str]) -> Candidate:
        """An activity that is not the library's."""
        vectors = self.embed([task, *steps])
        return Candidate(task, tuple(steps), vectors[0], vectors[1:], -1, -1, 0.5)

    def candidates(self, asked: Asked, more: Sequence[Candidate] = (), widen: int = 0) -> list[Candidate]:
        """Those that suit a scene best, the best first.

        Args:
            more: proposed from outside; they are ranked with the rest.
            widen: how many more scenes are looked at, for scenes that go on for long.
        """
        lib = self.library
        scenes = np.argsort(-asked.nearness, kind="stable")[: SCENES + widen]
        own = unit(asked.vector[None, : self.width])
        direct = lib.projected("scene_task", "to", lib.task_vectors) @ lib.projected("scene_task", "from", own)[0]
        shown = lib.projected("scene_steps", "to", lib.means) @ lib.projected("scene_steps", "from", own)[0]
        both = 0.5 * (direct + shown) - HUB * self.hubs[1]
        rows = {r for s in scenes for r in lib.tasks_of(int(s))}
        rows |= {int(r) for r in np.argsort(-both, kind="stable")[: TASKS + widen]}
        found = []
        for row in sorted(rows):
            one = self.candidate(row)
            found.append(replace(one, fit=float(NEAR * asked.nearness[one.scene] + DIRECT * both[row])))
        for one in more:
            mean = unit(one.step_vectors.mean(0, keepdims=True))
            task = one.task_vector[None]
            near = lib.projected("scene_task", "to", task) @ lib.projected("scene_task", "from", own)[0]
            seen = lib.projected("scene_steps", "to", mean) @ lib.projected("scene_steps", "from", own)[0]
            found.append(replace(one, fit=float(NEAR * asked.nearness.max() + DIRECT / 2 * (near + seen)[0])))
        found.sort(key=lambda c: -c.fit)
        return self._judged(found[: 2 * KEPT + widen], asked)[: KEPT + widen]

    def _judged(self, found: list[Candidate], asked: Asked) -> list[Candidate]:
        """With what is foreign to the scene taken off and the scorer's opinion added."""
        self.props.home([w for c in found for w in self._words(c)], asked.text)
        scores = self.judge(asked, found)
        out = []
        for one, score in zip(found, scores, strict=True):
            strange = sum(self.props.strangeness(one.task, asked.text, True)) + 2 * self._named(one, asked.text)
            strange += one.task.startswith(("{^o_", "They ", "The "))  # somebody else acts
            odd = sum(max(self.props.strangeness(s, asked.text), default=0.0) for s in one.steps) / len(one.steps)
            fit = one.fit - 0.2 * min(strange, 3) - 0.12 * odd + 0.15 * float(score)
            fit -= UNTOLD * (not statement(one.task).startswith("{^he} "))
            out.append(replace(one, fit=fit, judged=float(score)))
        return sorted(out, key=lambda c: -c.fit)

    @staticmethod
    def _named(one: Candidate, scene: str) -> int:
        """Names of people in an activity that the scene does not tell."""
        found = {n for t in (one.task, *one.steps) for n in re.findall(r"(?<=[\w,}] )[A-Z][a-z]+", t)}
        return sum(n not in scene for n in found)

    def _words(self, one: Candidate) -> list[str]:
        return self.props.named(one.task, True) + [w for s in one.steps for w in self.props.named(s)]

    def judge(self, asked: Asked, found: Sequence[Candidate], before: Step | None = None) -> np.ndarray:
        """(n,) the scorer's probabilities of activities in this scene, after the step `before`."""
        scene = asked.vector[: self.width]
        text, last = before or ("", np.zeros(self.width, np.float32))
        return self.scorer.score([
            Question(scene, c.task_vector, last, c.step_vectors, self.overlap(asked.text, c.task, text, c.steps))
            for c in found
        ])  # fmt: skip
