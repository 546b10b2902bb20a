"""`Verifier`, which judges whether motions show their clauses, and what is taken of several tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from avatargpt.body.constraints import shows
from avatargpt.body.model import BodyModel
from avatargpt.kinematics.joints import Signals
from avatargpt.long.pipeline import StepClause, Verdict
from avatargpt.options import mix
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.phrase_index import OVERLAP_WEIGHT
from avatargpt.requests.vector_index import rank_scores, unit
from vqvae.motion import Motion

MAX_RETRIES = 2  # of a motion that does not show its caption
# captions of other actions that a motion is compared with
COMPARED_ACTIONS = 96
MAX_BETTER = 4  # of them may fit better
MAX_CAPTION_COSINE = 0.7  # of captions that count as different
# phrasings searched for other words or another action, and captions of them that are tried
NEAR_PHRASINGS, MAX_REWORDED, MAX_REPLACEMENTS = 200, 1, 2
# cosine (with word overlap) of another action's phrasing to the caption
MIN_REPLACEMENT_SCORE = 0.6


@dataclass(frozen=True)
class Judgement:
    """How well a motion shows a clause: first of all by the verdict, then by captions that fit better."""

    better: int  # of `COMPARED_ACTIONS` captions of other actions those that fit the motion better
    seen: bool | None  # whether geometry sees the action; None = no check is known

    @property
    def verdict(self) -> Verdict:
        """Both agree: shown, or not; else partly."""
        fits = self.better <= MAX_BETTER
        if fits and self.seen is not False:
            return "shown"
        return "partly" if fits or self.seen else "not"

    @classmethod
    def of(cls, parts: Sequence[Judgement]) -> Judgement:
        """Of several clauses together: that of the worst."""
        seen = [p.seen for p in parts]
        return cls(max((p.better for p in parts), default=0), False if False in seen else True in seen or None)

    @property
    def cost(self) -> tuple[int, int]:
        """The lower, the better."""
        return ("shown", "partly", "not").index(self.verdict), self.better


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several clauses: partly where some are shown and others not."""
    kinds = set(verdicts)
    return verdicts[0] if len(kinds) == 1 else "partly"


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
    """What shows its words best: the first, or one of the tries, which are made until one is shown."""
    best, judged, note, takes = first, judge(first), "", 1
    for attempt in tries:
        if judged.verdict == "shown" or (attempt.instead and judged.verdict == "partly"):
            break
        other = attempt.make()
        judgement, takes = judge(other), takes + 1
        if judgement.cost < judged.cost and (not attempt.instead or judgement.verdict == "shown"):
            best, judged, note = other, judgement, attempt.note
    return Best(best, judged.verdict, note, takes)


def unseen(caption: str, verdict: Verdict) -> str:
    """A note on what is not shown as it reads; empty = it is."""
    if verdict == "shown":
        return ""
    return f"{caption!r} {'is only partly seen' if verdict == 'partly' else 'may not look as it reads'}"


@dataclass
class Verifier:
    """Tests whether a motion shows its caption, by the text-motion scorer (`avatargpt.lm.scorer`) and by geometry."""

    model: BodyModel
    able: bool = field(init=False)

    def __post_init__(self) -> None:
        model = self.model
        self.able = model.motion_scorer is not None and model.grounder is not None and model.phrase_index is not None

    @cached_property
    def _actions(self) -> tuple[np.ndarray, np.ndarray]:
        """Captions of other actions, as vectors of the scorer (n, dim) and of the sentence encoder (n, 384)."""
        index, scorer = self.model.phrase_index, self.model.motion_scorer
        assert index is not None and scorer is not None
        rows: dict[str, int] = {}
        table = zip(index.classes, index.captions, index.index.texts, strict=True)
        for row, (action, caption, text) in enumerate(table):
            if text == caption[""]:
                rows.setdefault(action, row)
        names = sorted(rows)
        chosen = np.linspace(0, len(names) - 1, min(COMPARED_ACTIONS, len(names))).astype(int)
        # as the index holds them: to compute them would take half as long as the first motion
        sentences = unit(index.index.vectors_of(np.array([rows[names[i]] for i in chosen])))
        return scorer.sentences(sentences), sentences

    def judge_motion(self, motion: Motion, clause: StepClause) -> Judgement:
        """Of a clause's motion without its transition; a turn is verified by its degrees already."""
        if clause.turn is not None:
            return Judgement(0, None)
        seen = shows(Signals(motion), clause.action, clause.caption) if clause.action else None
        return Judgement(self.better(motion, clause.caption), seen)

    def better(self, motion: Motion, caption: str) -> int:
        """Number of captions of other actions that fit a motion better than its caption.

        Captions that mean nearly the same do not count.
        """
        if not self.able:
            return 0
        scorer, grounder = self.model.motion_scorer, self.model.grounder
        assert scorer is not None and grounder is not None
        vectors, sentences = self._actions
        vector = scorer.motions([motion.joints], motion.fps)[0]
        fit = vector @ scorer.texts([caption], grounder)[0]
        different = sentences @ grounder.sentence([caption])[0] < MAX_CAPTION_COSINE
        return int((vectors[different] @ vector > fit).sum())

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
            out.append(replace(clause, caption=other, action=action, attributes=spec.attributes))
        return out
