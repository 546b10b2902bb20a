"""`Outcome`: what a step came to, as its motion is judged and measured; `Verifier`, which judges clauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from avatargpt.body.constraints import shows
from avatargpt.body.model import BodyModel
from avatargpt.kinematics.joints import Signals
from avatargpt.long.pipeline import ClauseCodes, StepClause, Verdict
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.phrase_scoring import OVERLAP_WEIGHT
from avatargpt.requests.vector_index import ranked, unit
from instruct_data.attributes import Measures
from vqvae.motion import Motion

# captions of other actions that a motion is compared with
COMPARED_ACTIONS = 96
MAX_BETTER = 4  # of them may fit better
MAX_CAPTION_COSINE = 0.7  # of captions that count as different
# phrasings searched for other words or another action, and captions of them that are tried
NEAR_PHRASINGS, MAX_REWORDED, MAX_REPLACEMENTS = 200, 1, 2
# cosine (with word overlap) of another action's phrasing to the caption
MIN_REPLACEMENT_SCORE = 0.6


@dataclass(frozen=True)
class Outcome:
    """What a step came to."""

    verdict: Verdict  # whether its motion shows it: by the text-motion scorer and, where a check is known, by geometry
    posture: str  # at its end, one of `instruct_data.attributes.POSTURES`
    place: tuple[float, float]  # x, z at its end, metres; the motion begins at the origin and faces +Z
    facing: float  # heading at its end, degrees, positive = to the left
    hand: str = ""  # that acts: left, right, both, or empty
    takes: int = 1  # how often it was made


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

    @property
    def cost(self) -> tuple[int, int]:
        """The lower, the better."""
        return ("shown", "partly", "not").index(self.verdict), self.better


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several clauses: partly where some are shown and others not."""
    kinds = set(verdicts)
    return verdicts[0] if len(kinds) == 1 else "partly"


def measured(motion: Motion, place: np.ndarray, facing: float, verdict: Verdict, takes: int) -> Outcome:
    """The outcome of a step's motion, which ends at a place (x, z) with a heading in degrees."""
    seen = Measures.of(motion)
    x, z = (round(float(v), 2) for v in place)
    return Outcome(verdict, seen.posture(len(seen.joints) - 1), (x, z), round(facing, 1), seen.hand, takes)


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

    def judged(self, result: ClauseCodes) -> Judgement:
        """Of a clause's motion without its transition; a turn is verified by its degrees already."""
        if result.clause.turn is not None:
            return Judgement(0, None)
        codes = result.codes[result.transition :]
        better = int(self.better([codes], result.clause.caption)[0])
        return Judgement(better, self.seen(codes, result.clause))

    def seen(self, codes: np.ndarray, clause: StepClause) -> bool | None:
        """Whether geometry sees a clause's action; None = no check is known."""
        if not clause.action:
            return None
        return shows(Signals(self.model.tokenizer.decode(codes)), clause.action, clause.caption)

    def better(self, codes: Sequence[np.ndarray], caption: str) -> np.ndarray:
        """Number of captions of other actions that fit each motion better than its caption, (B,).

        Captions that mean nearly the same do not count.
        """
        if not self.able:
            return np.zeros(len(codes), int)
        scorer, grounder = self.model.motion_scorer, self.model.grounder
        assert scorer is not None and grounder is not None
        vectors, sentences = self._actions
        motions = self.model.motion_vectors(codes)
        fit = motions @ scorer.texts([caption], grounder)[0]
        different = sentences @ grounder.sentence([caption])[0] < MAX_CAPTION_COSINE
        return np.asarray((motions @ vectors[different].T > fit[:, None]).sum(1))

    def reworded(self, clause: StepClause) -> list[StepClause]:
        """The clause with other captions of its action, the nearest first."""
        return self._near(clause, same=True)

    def similar(self, clause: StepClause) -> list[StepClause]:
        """The clause with captions of other actions, the nearest first."""
        return self._near(clause, same=False)

    def _near(self, clause: StepClause, same: bool) -> list[StepClause]:
        index, grounder, caption = self.model.phrase_index, self.model.grounder, clause.caption
        if index is None or grounder is None:
            return []
        scores = index.index.scores(index.index.cosines(grounder.sentence([caption]))[0], OVERLAP_WEIGHT, caption)
        own = {index.classes[i] for i in np.flatnonzero(scores >= scores.max() - 1e-6)}
        captions: dict[str, tuple[str, str]] = {}  # (action, caption) by caption, or by action
        for row in ranked(scores, NEAR_PHRASINGS):
            action, other = index.classes[row], index.captions[row][""]
            if (action in own) == same and other != caption and (same or scores[row] >= MIN_REPLACEMENT_SCORE):
                captions.setdefault(other if same else action, (action, other))
        limit = MAX_REWORDED if same else MAX_REPLACEMENTS
        return [self._as(clause, action, caption) for action, caption in list(captions.values())[:limit]]

    def _as(self, clause: StepClause, action: str, caption: str) -> StepClause:
        """The clause with another caption, and the attributes of its clips."""
        index = self.model.phrase_index
        measured = index.measured.get(caption, {}) if index is not None else {}
        spec = ClauseSpec(caption, 1.0, action=action, clause=clause.clause, measured=measured)
        return replace(clause, caption=caption, action=action, attributes=spec.attributes)
