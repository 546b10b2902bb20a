"""`Situations`: the state of a body that words describe, and what it has to do first."""
# A linear classifier on the vectors of the sentence encoder, fitted when it is first needed: its examples are the
# phrasings of the phrase index, whose clips say in which posture they end, and by their actions who carries.

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.planning.compose import BRIDGES, KNEEL, LIE, SIT, STAND, START, UNKNOWN, follow
from avatargpt.planning.library import gender_of
from avatargpt.planning.types import Activity
from avatargpt.requests.english import PRONOUNS

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.phrase_index import PhraseIndex

# measured posture (`instruct_data.attributes.POSTURES`) -> pose of `compose`
POSES = {
    "standing": STAND, "bent_over": STAND, "lunging": STAND, "squatting": STAND, "upside_down": STAND,
    "sitting": SIT, "sitting_on_floor": SIT, "kneeling": KNEEL, "kneeling_left": KNEEL, "kneeling_right": KNEEL,
    "on_all_fours": KNEEL, "plank": KNEEL, "lying_face_up": LIE, "lying_face_down": LIE, "lying_on_side": LIE,
}  # fmt: skip
LOW = (SIT, KNEEL, LIE)
BASES = (STAND, *LOW)
# in names of actions: whose hands are full
LOADS = ("carry", "lift_box", "rock_baby")
UPRIGHT_EXAMPLES = 6000  # of some 40,000
RIDGE = 5.0
# scores, about 0 to 1; of the 80 descriptions of the suite `next_activity`, on which they were set, 76 are read right
MIN_LOW, MIN_MARGIN = 0.45, 0.25
MIN_LOADED = 0.5
MIN_PUTS_DOWN, MIN_GETS_UP = 0.6, 0.6  # cosines of a step to putting something down, to getting up


@dataclass(frozen=True)
class Situation:
    """What is known of a body between two activities."""

    pose: str = UNKNOWN  # as in `compose`: stand, sit, kneel, lie, or unknown
    loaded: bool = False  # the hands hold or carry something


class Situations:
    """Reads situations from descriptions, and begins activities as they allow."""

    def __init__(self, phrase_index: PhraseIndex, grounder: SentenceGrounder) -> None:
        self.phrase_index, self.grounder = phrase_index, grounder

    def read(self, described: str, posture: str = "") -> Situation:
        """The situation after what is described.

        Args:
            posture: measured at the end of the motion, one of `instruct_data.attributes.POSTURES`; empty = unknown.
        """
        pose = POSES.get(posture, UNKNOWN)
        if not described.strip():
            return Situation(pose)
        scores = self._scores(described)
        if pose == UNKNOWN:
            pose = follow(START, described)[0].base
        if pose not in BASES:
            best = BASES[int(scores[: len(BASES)].argmax())]
            low = scores[BASES.index(best)] >= max(MIN_LOW, scores[0] + MIN_MARGIN)
            pose = best if best == STAND or low else UNKNOWN
        return Situation(pose, bool(scores[-1] >= MIN_LOADED))

    def starts(self, step: str) -> str:
        """The pose in which a step begins: of its words, else as measured of clips with its caption."""
        if follow(replace(START, base=LIE), step)[1]:
            return STAND
        clauses = self.phrase_index.clauses(step, self.grounder)
        measured = self.phrase_index.measured.get(clauses[0].caption, {}) if clauses else {}
        return POSES.get(measured.get("start", ""), UNKNOWN)

    def begin_activity(self, activity: Activity, situation: Situation) -> Activity:
        """The activity, after getting up or putting down what the situation calls for."""
        first: list[str] = []
        says = PRONOUNS[gender_of(" ".join((activity.task, *activity.steps))) or "they"][0]
        step = activity.steps[0]
        if situation.loaded and self._like(step, "a person puts something down") < MIN_PUTS_DOWN:
            first.append(f"{says} puts it down")
        low = situation.pose in LOW and self._like(step, "a person gets up from the ground") < MIN_GETS_UP
        if low and self.starts(step) in (STAND, UNKNOWN):
            first.append(BRIDGES["getting up"][0].replace("{he}", says))
        if not first:
            return activity
        seconds = (*(BRIDGE_SECONDS for _ in first), *activity.seconds) if activity.seconds else ()
        return replace(activity, steps=(*first, *activity.steps), seconds=seconds)

    def _like(self, step: str, other: str) -> float:
        a, b = self.grounder.sentence([step, other])
        return float(a @ b)

    def _scores(self, described: str) -> np.ndarray:
        """(5,) of the poses `BASES` and of full hands."""
        vector = self.grounder.sentence([described])
        return np.asarray(_with_one(vector) @ self._weights)[0]

    @cached_property
    def _weights(self) -> np.ndarray:
        """(385, 5) of ridge regressions in which both sides of a question weigh the same."""
        index = self.phrase_index
        ends = [POSES.get(index.measured.get(c[""], {}).get("end", ""), UNKNOWN) for c in index.captions]
        loaded = np.array([any(w in c for w in LOADS) for c in index.classes])
        poses = np.array([BASES.index(e) if e in BASES else -1 for e in ends])
        rare = np.flatnonzero((poses > 0) | loaded)
        usual = np.flatnonzero((poses == 0) & ~loaded)
        usual = usual[np.linspace(0, len(usual) - 1, min(UPRIGHT_EXAMPLES, len(usual))).astype(int)]
        rows = np.concatenate([rare, usual])
        x, truths = _with_one(index.index.vectors_of(rows)), poses[rows]
        columns = []
        known = truths >= 0
        counts = np.bincount(truths[known], minlength=len(BASES)).clip(min=1)
        for k in range(len(BASES)):
            columns.append(_ridge(x[known], truths[known] == k, (1 / counts)[truths[known]]))
        truth = loaded[rows]
        share = np.where(truth, 1 / max(truth.sum(), 1), 1 / max((~truth).sum(), 1))
        columns.append(_ridge(x, truth, share))
        return np.stack(columns, 1)


BRIDGE_SECONDS = 3.0


def _with_one(vectors: np.ndarray) -> np.ndarray:
    return np.concatenate([vectors, np.ones((len(vectors), 1), vectors.dtype)], 1)


def _ridge(x: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> np.ndarray:
    weight = weight * (len(x) / weight.sum())
    weighted = x * weight[:, None]
    solution: np.ndarray = np.linalg.solve(weighted.T @ x + RIDGE * np.eye(x.shape[1]), weighted.T @ truth)
    return solution.astype(np.float32)
