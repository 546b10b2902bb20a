"""Candidates for the next activity: from the nearest scenes, the nearest activities, and whoever else proposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.language.plans.marks import embedded
from avatargpt.language.plans.props import Props
from avatargpt.language.plans.references import of_another, strange_names
from avatargpt.language.plans.telling import statement
from avatargpt.planning.full_vectors import FullVectors
from avatargpt.planning.scorer import Overlap, Question, Scorer
from avatargpt.planning.store import PlanLibrary
from avatargpt.retrieval.index import ranked, unit

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder

SCENES, TASKS, TOLD, KEPT = 14, 60, 12, 36  # looked at: scenes, activities by meaning and by words; kept of them
# The weights of the fit start from least squares on 270 training scenes, each asked as if the library did not have it
# (what is predicted: how like an activity is to the nearest one that is truly told of the scene), times four. By hand,
# on training scenes too, were raised: the scene (2.5 times), rare words (1.6), the scorer (4) and foreign words (5
# times), for a likeness forgives more than a reader does. Hubs, others and what is not told are by hand alone.
NEAR = 0.85  # of the scene that an activity is from
DIRECT = 1.25  # of the activity's own likeness to the scene
SAID = 0.18  # of words that activity and scene share
RARE, LONG, LONGEST = 0.07, 0.034, 12  # of rare words in an activity; less for each word of it, of so many at most
FOREIGN, ODD = 0.18, 0.17  # less for each word of an activity, and for words of its steps, that the scene knows not
NAMED = 0.105  # more for each word that might be foreign: what names nothing is no better at home than what does
OTHERS = 0.28  # less for an activity of somebody or something else, and twice that for each strange name
JUDGED = 0.14  # of the scorer's probability
FULL = 0.4  # of the cosine of scene and activity with all components; by hand, see docs/planning.md
EVENT, SURELY = 1.0, 1.0  # of how well steps show an event of the scene, less the match from which they surely do
MEDIAN = 0.4  # that cosine, where it is not known
UNTOLD = 0.08  # less for an activity that does not say what the actor does
CROWD = 10  # scenes over which it is measured how near an activity is to everything
HUB, HUB_TASK = 0.7, 1.0  # how much of that is taken off, of scenes and of activities
Step = tuple[str, np.ndarray]
"""A step's text with marks and its (K,) vector."""
WORDS = 0.6  # of words in common against the cosine of scenes


@dataclass(frozen=True, eq=False)
class Candidate:
    """An activity that may come next; texts carry marks in place of the actor.

    Attributes:
        task, steps: texts. task_vector: (K,). step_vectors: (n, K).
        scene: row of the library's scene it is from, -1 = proposed from outside.
        row: of the library's activity, -1 likewise. place: 0 = first in its scene .. 1 = last.
        fit: how well it suits the asked scene, higher is better.
        judged: the scorer's probability.
        event: which event of the scene it is told as, -1 = none. match: how well its steps show that event.
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
    event: int = -1
    match: float = 0.0


@dataclass(frozen=True, eq=False)
class Asked:
    """A scene as the retrieval sees it.

    Attributes:
        text: the words. vector: (W,) reduced. nearness: (S,) to each scene of the library.
    """

    text: str
    vector: np.ndarray
    nearness: np.ndarray


def _crowd(rows: np.ndarray, scenes: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(n, P), (m, P) -> (n,) mean of the `CROWD` highest cosines.

    Args:
        own: (n,) which of the m each row belongs to, and does not count for it.
    """
    most = min(CROWD, max(len(scenes) - 1, 1))
    parts = []
    for i in range(0, len(rows), 1024):
        cosine = rows[i : i + 1024] @ scenes.T
        cosine[np.arange(len(cosine)), own[i : i + 1024]] = -1
        parts.append(np.partition(cosine, -most, axis=1)[:, -most:].mean(1))
    return np.concatenate(parts)


class Retriever:
    """Looks a scene up in the library.

    Args:
        library: with projections and scorer. grounder: the sentence encoder of its vectors.
    """

    def __init__(self, library: PlanLibrary, grounder: SentenceGrounder) -> None:
        self.library, self.grounder = library, grounder
        self.props, self.scorer = Props(library.texts(), grounder), Scorer.of(library)
        self.overlap = Overlap(library)
        self.width = library.task_vectors.shape[1]
        self.full = FullVectors(library, grounder)

    @cached_property
    def hubs(self) -> tuple[np.ndarray, np.ndarray]:
        """(S,), (A,): how near each scene and activity is to the `CROWD` nearest other scenes, less the mean.

        What is near to everything says little of any scene (the hubness correction of CSLS, Conneau et al. 2018).
        """
        lib = self.library
        around = lib.scene_vectors
        scenes = _crowd(around, around, np.arange(len(around)))
        relations = (("scene_task", lib.task_vectors), ("scene_steps", lib.means))
        both = [(lib.projected(r, "to", v), lib.projected(r, "from", around)) for r, v in relations]
        tasks = np.mean([_crowd(v, scenes_, lib.task_scene) for v, scenes_ in both], axis=0)
        return scenes - scenes.mean(), tasks - tasks.mean()

    def ready(self) -> None:
        """Make now what does not depend on the question: a first answer need not wait for it."""
        self.grounder.load()
        _ = self.hubs, self.library.scene_index.words

    def ask(self, scene: str) -> Asked:
        """Embed a scene and compare it with all scenes: cosine and shared rare words."""
        lib, index = self.library, self.library.scene_index
        vector = lib.basis.reduce(self.grounder.sentence([scene]), lib.scene_vectors.shape[1])[0]
        return Asked(scene, vector, index.scores(index.cosines(vector) - HUB * self.hubs[0], WORDS, scene))

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
        scenes = ranked(asked.nearness, SCENES + widen)
        own = unit(asked.vector[None, : self.width])
        direct = lib.projected("scene_task", "to", lib.task_vectors) @ lib.projected("scene_task", "from", own)[0]
        shown = lib.projected("scene_steps", "to", lib.means) @ lib.projected("scene_steps", "from", own)[0]
        both = 0.5 * (direct + shown) - HUB_TASK * self.hubs[1]
        rows = {r for s in scenes for r in lib.tasks_of(int(s))}
        rows |= {int(r) for r in ranked(both, TASKS + widen)}
        rows |= {int(r) for r in ranked(self._told(asked.text), TOLD)}
        found = []
        for row in sorted(rows):
            one = self.candidate(row)
            fit = NEAR * asked.nearness[one.scene] + DIRECT * both[row] + self._worded(one, asked)
            found.append(replace(one, fit=float(fit)))
        for one in more:
            mean = unit(one.step_vectors.mean(0, keepdims=True))
            task = one.task_vector[None]
            near = lib.projected("scene_task", "to", task) @ lib.projected("scene_task", "from", own)[0]
            seen = lib.projected("scene_steps", "to", mean) @ lib.projected("scene_steps", "from", own)[0]
            fit = NEAR * asked.nearness.max() + DIRECT / 2 * (near + seen)[0] + self._worded(one, asked)
            fit += EVENT * (one.match - SURELY) if one.event >= 0 else 0.0
            found.append(replace(one, fit=float(fit)))
        found.sort(key=lambda c: -c.fit)
        return self._nearest(self._judged(found[: 2 * KEPT + widen], asked)[: KEPT + widen], asked)

    def _nearest(self, found: list[Candidate], asked: Asked) -> list[Candidate]:
        """Ranked anew with the likeness of all components of scene and activity."""
        rows = [c.row for c in found if c.row >= 0]
        like = dict(zip(rows, self.full.likeness(asked.text, rows), strict=True))
        out = [replace(c, fit=c.fit + FULL * float(like.get(c.row, MEDIAN) - MEDIAN)) for c in found]
        return sorted(out, key=lambda c: -c.fit)

    def _judged(self, found: list[Candidate], asked: Asked) -> list[Candidate]:
        """With what is foreign to the scene taken off and the scorer's opinion added."""
        self.props.home([w for c in found for w in self._words(c)], asked.text)
        scores = self.judge(asked, found)
        out = []
        for one, score in zip(found, scores, strict=True):
            named = len(self.props.named(one.task, True))
            strange = min(sum(self.props.strangeness(one.task, asked.text, True)), 3)
            odd = sum(max(self.props.strangeness(s, asked.text), default=0.0) for s in one.steps) / len(one.steps)
            fit = one.fit - FOREIGN * strange + NAMED * named - ODD * odd + JUDGED * float(score)
            told = statement(one.task).startswith("{^he} ")
            names = strange_names((one.task, *one.steps), asked.text)
            fit -= OTHERS * (2 * names + (not told and of_another(one.task)))
            fit -= UNTOLD * (not told)
            out.append(replace(one, fit=fit, judged=float(score)))
        return sorted(out, key=lambda c: -c.fit)

    def _told(self, scene: str) -> np.ndarray:
        """(A,) words in common with the scene, of the activity or of its most telling step."""
        lib = self.library
        scores = self.overlap.index.scores(scene)
        tasks = scores[: len(lib.tasks)].copy()
        np.maximum.at(tasks, lib.step_task, scores[len(lib.tasks) :])
        return tasks

    def _worded(self, one: Candidate, asked: Asked) -> float:
        """What the words of an activity say for it: those of the scene, rare ones, few."""
        about, scene = self.overlap.bag(one.task), self.overlap.bag(asked.text)
        said = sum(v for w, v in about.items() if w in scene)
        return SAID * said + RARE * sum(about.values()) - LONG * min(len(one.task.split()), LONGEST)

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
