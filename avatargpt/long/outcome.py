"""`Verifier`, which judges whether motions show their words, and what is taken of several tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from avatargpt.body.judge import SURE, Judgement, Shown, Verdict, judge_of, measure
from avatargpt.body.model import BodyModel
from avatargpt.long.pipeline import StepClause, held_posture
from avatargpt.options import mix
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.phrase_index import OVERLAP_WEIGHT
from avatargpt.requests.vector_index import rank_scores
from vqvae.motion import Motion

MAX_RETRIES = 2  # of a motion that does not show its caption
# phrasings searched for other words or another action, and captions of them that are tried
NEAR_PHRASINGS, MAX_REWORDED, MAX_REPLACEMENTS = 200, 1, 2
# cosine (with word overlap) of another action's phrasing to the caption
MIN_REPLACEMENT_SCORE = 0.6


T = TypeVar("T")


@dataclass(frozen=True)
class Try(Generic[T]):
    """Something else to make in place of what is not shown."""

    make: Callable[[], T]
    note: str = ""  # what is other about it; empty = another seed alone
    instead: bool = False  # whether it shows another action


@dataclass(frozen=True)
class Best(Generic[T]):
    """What is taken of all that was made."""

    result: T
    verdict: Verdict
    note: str  # what is other about it
    takes: int  # how much was made


def best_of_tries(first: T, judge: Callable[[T], Judgement], tries: Iterable[Try[T]]) -> Best[T]:
    """What shows its words best: the first, or one of the tries, which are made until one shows something of them."""
    best, judged, note, takes = first, judge(first), "", 1
    for attempt in tries:
        if judged.verdict != "not":
            break
        other = attempt.make()
        judgement, takes = judge(other), takes + 1
        if judgement.score > judged.score and (not attempt.instead or judgement.verdict != "not"):
            best, judged, note = other, judgement, attempt.note
    return Best(best, judged.verdict, note, takes)


class Verifier:
    """Tests whether motions show their words, see `avatargpt.body.judge`."""

    def __init__(self, model: BodyModel) -> None:
        self.model, self.judge = model, judge_of(model)

    @property
    def able(self) -> bool:
        """Whether the model has what it takes."""
        return self.judge is not None

    def judge_motion(self, motion: Motion, clause: StepClause, codes: np.ndarray | None = None) -> Judgement:
        """Of a clause's motion without its transition; a turn is verified by its degrees already."""
        if clause.turn is not None:
            return SURE
        shown = Shown(clause.words or clause.caption, (clause.caption,), (clause.action,), clause.known)
        return self.judge_shown(motion, shown, codes)

    def judge_step(self, motion: Motion, step: str, clauses: Sequence[StepClause], codes: np.ndarray) -> Judgement:
        """Of all of a step's motion, without its first transition."""
        if all(c.turn is not None for c in clauses):
            return SURE
        unshown = len(self.model.request(step).unshown)
        captions, actions = (tuple(getattr(c, name) for c in clauses) for name in ("caption", "action"))
        return self.judge_shown(motion, Shown(step, captions, actions, min(c.known for c in clauses), unshown), codes)

    def judge_shown(self, motion: Motion, shown: Shown, codes: np.ndarray | None = None) -> Judgement:
        """Of a motion; `SURE` where there is no judge."""
        return SURE if self.judge is None else self.judge.judge(measure(self.model, motion, shown, codes))

    def tries(self, clause: StepClause) -> Iterator[tuple[StepClause, str, bool]]:
        """Clauses to make in place of one, what is other about each, and whether it is another action.

        The same with other seeds, twice, then other words, then near actions.
        """
        for attempt in range(MAX_RETRIES):
            yield replace(clause, seed=mix(clause.seed, 60 + attempt)), "", False
        for other in self.near_clauses(clause, same=True):
            yield other, f"{clause.caption!r} in other words: {other.caption!r}", False
        for other in self.near_clauses(clause, same=False):
            yield other, f"{clause.caption!r} could not be shown; shown instead: {other.caption!r}", True

    def near_clauses(self, clause: StepClause, same: bool) -> list[StepClause]:
        """The clause with other captions of the same action, or with those of others, the nearest first."""
        index, grounder, caption = self.model.phrase_index, self.model.grounder, clause.caption
        if index is None or grounder is None:
            return []
        scores = index.index.scores(index.index.cosines(grounder.sentence([caption]))[0], OVERLAP_WEIGHT, caption)
        own = {index.classes[i] for i in np.flatnonzero(scores >= scores.max() - 1e-6)}
        captions: dict[str, tuple[str, str]] = {}  # (action, caption) by caption, or by action
        for row in rank_scores(scores, NEAR_PHRASINGS):
            action, other = index.classes[row], index.captions[row][""]
            if (action in own) == same and other != caption and (same or scores[row] >= MIN_REPLACEMENT_SCORE):
                captions.setdefault(other if same else action, (action, other))
        out = []
        for action, other in list(captions.values())[: MAX_REWORDED if same else MAX_REPLACEMENTS]:
            # with the attributes of its clips
            spec = ClauseSpec(other, 1.0, action=action, clause=clause.clause, measured=index.measured.get(other, {}))
            attributes = {**spec.attributes, **held_posture(clause)}
            out.append(replace(clause, caption=other, action=action, attributes=attributes))
        return out
