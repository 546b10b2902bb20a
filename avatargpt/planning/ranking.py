"""Which of several plans is best: coherent, showable, without repetition, and of one person.

A sum of terms, each per activity or step and about 0 to 1; the weights are by hand. What is a network: the coherence
scorer and the sentence encoder. What is a rule: who acts (words of `avatargpt.planning.persons`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning.marks import actor_of, embedded, neutral
from avatargpt.planning.persons import who
from avatargpt.planning.scorer import Overlap, Question, Scorer
from avatargpt.planning.store import PlanLibrary
from avatargpt.planning.types import Activity
from avatargpt.requests.people import GENDER_OF, WORD, strange_names, subject_of
from avatargpt.requests.vector_index import unit

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

COHERENT, SHOWN, WEAK, AGAIN, OTHERS, NAMES = 1.0, 1.0, 1.0, 2.0, 1.0, 0.5
ALIKE = 0.85  # cosine from which a step says again what one before it said
KNOWN = 0.62  # as `executable.LEAST`: below it the motion side cannot make out a step
GOOD = 1.35  # worth from which no other sample is asked for: half of the written plans are so good
SELF = ("he", "she", "it", "they", "the person", "a person", "person")


def actor(scene: str) -> str:
    """``he``, ``she`` or ``it`` where the scene tells whose body it is, else empty. A rule on words."""
    said = who(scene, {}, "they")
    return said.gender if said.gender in ("he", "she", "it") else ""


def strangers(scene: str, steps: Sequence[str]) -> int:
    """How many steps somebody else does than the one who acts in the scene. A rule: the words before the verb."""
    own = actor(scene) or actor_of(list(steps))
    noun = who(scene, {}, "they").noun.split()[-1] if own else ""
    count = 0
    for step in steps:
        subject = subject_of(step).lower()
        last = subject.split()[-1] if subject else ""
        if not subject or subject in SELF or last == noun:
            count += subject in ("he", "she") and own in ("he", "she") and subject != own
            continue
        body = any(w in ("his", "her", "its", "their") for w in subject.split())  # "his arms rise"
        count += not body and not (GENDER_OF.get(last) == own and last in [w.lower() for w in WORD.findall(scene)])
    return count


@dataclass(frozen=True)
class Worth:
    """Terms of a plan.

    Attributes:
        coherent: mean probability that an activity makes sense in the scene.
        shown: mean of the steps' scores, each at most 1.
        weak, again, others: shares of steps that cannot be made out, are there before, are done by somebody else.
        names: 1 where people are named that the scene does not tell, else 0.
    """

    coherent: float
    shown: float
    weak: float
    again: float
    others: float
    names: float

    @property
    def sum(self) -> float:
        """The higher the better; `GOOD` is good."""
        bad = WEAK * self.weak + AGAIN * self.again + OTHERS * self.others + NAMES * self.names
        return COHERENT * self.coherent + SHOWN * self.shown - bad


class Ranker:
    """Judges plans.

    Args:
        library: whose scorer judges coherence. grounder: the sentence encoder. can_do: the motion side's scores of
            steps; None = all count as known.
    """

    def __init__(
        self, library: PlanLibrary, grounder: SentenceGrounder,
        can_do: Callable[[Sequence[str]], Sequence[float]] | None = None,
    ) -> None:  # fmt: skip
        self.library, self.grounder, self.can_do = library, grounder, can_do
        self.scorer, self.overlap = Scorer.of(library), Overlap(library)

    def worth(self, scene: str, activities: Sequence[Activity], done: Sequence[Activity] = ()) -> Worth:
        """Of a plan, or of what comes after `done`."""
        steps = [s for a in activities for s in a.steps]
        past = [s for a in done for s in a.steps]
        vectors = unit(self.grounder.sentence([*past, *steps]))
        near = vectors @ vectors.T
        again = [bool((near[i, :i] > ALIKE).any()) for i in range(len(past), len(vectors))]
        scores = np.ones(len(steps)) if self.can_do is None else np.asarray(self.can_do(steps), float)
        names = strange_names([*steps, *(a.task for a in activities)], scene)
        return Worth(
            self.coherent(scene, activities, past[-1] if past else ""), float(scores.clip(0, 1).mean()),
            float((scores < KNOWN).mean()), float(np.mean(again)), strangers(scene, steps) / len(steps),
            float(min(names, 1)),
        )  # fmt: skip

    def coherent(self, scene: str, activities: Sequence[Activity], before: str = "") -> float:
        """Mean of the scorer's probabilities; each activity after the last step before it."""
        lib = self.library
        width = lib.task_vectors.shape[1]
        who_acts = actor_of([s for a in activities for s in a.steps]) or "they"
        told = [(neutral(a.task, who_acts, False), [neutral(s, who_acts) for s in a.steps]) for a in activities]
        last = neutral(before, who_acts) if before else ""
        texts = [scene, last or scene, *(t for task, steps in told for t in (task, *steps))]
        vectors = lib.basis.reduce(self.grounder.sentence([embedded(t) for t in texts]), width)
        questions, at, behind = [], 2, vectors[1] if before else np.zeros(width, np.float32)
        for task, steps in told:
            own = vectors[at + 1 : at + 1 + len(steps)]
            words = self.overlap(scene, task, last, steps)
            questions.append(Question(vectors[0], vectors[at], behind, own, words))
            at, last, behind = at + 1 + len(steps), steps[-1], own[-1]
        return float(self.scorer.score(questions).mean())
