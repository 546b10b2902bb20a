"""`StepJudge`: how surely a motion shows words as they are said, learnt from clips that people looked at."""
# A sum of a few measures. Of descriptions of the motion, more of them, kernels over them and vectors of words and
# captions, none told unseen labels apart better.

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from avatargpt.body.constraints import shows
from avatargpt.body.model import BodyModel
from avatargpt.kinematics.joints import Signals
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.options import then
from vqvae.ground import ground_motion
from vqvae.io.data_files import read_json
from vqvae.io.files import atomic_write, parsing
from vqvae.motion import Motion
from vqvae.strict import Number, Strict

FILE = "judge.json"
MEASURES = (
    "known",  # probability that the reader gives the least known movement
    "alike",  # cosine of words and captions, by the sentence encoder
    "fit", "caption_fit",  # cosine of the motion to words and to captions, by the scorer
    "likelihood", "caption_likelihood",  # nats per token of words and of captions, by the language model
    "seen",  # by geometry: 1, or -1 where an action is not; 0 = nothing is known of it
    "top",  # metres a second of the fastest joint
    "clauses", "unshown",  # movements; stretches of words that nothing shows
    "seconds",
)  # fmt: skip
MIN_JUDGED = 12  # frames of a movement
FAR = 3.0  # standard deviations beyond which a measure does not count for more
# whether a motion shows what it was made for
Verdict = Literal["shown", "partly", "not"]


@dataclass(frozen=True)
class Shown:
    """What a motion was made for."""

    words: str
    captions: tuple[str, ...]  # that it is shown by
    actions: tuple[str, ...]  # of the captions; empty = none is known
    known: float  # probability of the least known one, 0..1
    unshown: int = 0  # stretches of the words that nothing shows


@dataclass(frozen=True)
class Judgement:
    """How surely a motion shows its words."""

    score: float  # the higher, the surer
    verdict: Verdict

    @classmethod
    def of(cls, parts: Sequence[Judgement]) -> Judgement:
        """Of several movements together: that of the worst."""
        return min(parts, key=lambda p: p.score, default=SURE)


SURE = Judgement(1.0, "shown")  # where something was measured, or nothing can be


class JudgeWeights(Strict):
    """What `judge.json` holds."""

    measures: list[str]
    mean: list[Number]
    scale: list[Number]
    weights: list[Number]
    # scores below which a motion does not show its words, and only partly
    not_below: Number
    partly_below: Number


class StepJudge:
    """A judge of motions."""

    def __init__(self, weights: JudgeWeights) -> None:
        self.weights = weights

    def judge(self, measures: np.ndarray) -> Judgement:
        """The judgement of measures (F,)."""
        w = self.weights
        score = float(standardise(measures, np.array(w.mean), np.array(w.scale)) @ np.array(w.weights))
        return Judgement(score, "not" if score < w.not_below else "partly" if score < w.partly_below else "shown")

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``judge.json``."""
        text = json.dumps(self.weights.model_dump(), indent=1) + "\n"
        return atomic_write(Path(folder) / FILE, lambda p: p.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> StepJudge | None:
        """That of a model folder, None where it has none; raises UserError for a damaged file."""
        path = Path(folder) / FILE
        if not path.is_file():
            return None
        with parsing(path, "a judge of motions"):
            weights = JudgeWeights(**read_json(path))
            sizes = {len(weights.mean), len(weights.scale), len(weights.weights)}
            if tuple(weights.measures) != MEASURES or sizes != {len(MEASURES)} or min(weights.scale) <= 0:
                raise ValueError("other measures")
            return cls(weights)


def judge_of(model: BodyModel) -> StepJudge | None:
    """The judge of a model's folder; None where it has none, or not what the judge measures with."""
    able = model.motion_scorer is not None and model.grounder is not None and model.phrase_index is not None
    return StepJudge.load(model.loaded.source) if able and model.loaded.source else None


def standardise(measures: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Measures (..., F) as standard deviations from their mean, at most `FAR`."""
    return np.asarray(((measures - mean) / scale).clip(-FAR, FAR))


def measure(model: BodyModel, motion: Motion, shown: Shown, codes: np.ndarray | None = None) -> np.ndarray:
    """`MEASURES` of a motion (F,); raises ValueError without scorer, encoder or with a motion too short.

    Args:
        codes: (N, R) of the motion, None = it is tokenised.
    """
    scorer, grounder = model.motion_scorer, model.grounder
    if scorer is None or grounder is None:
        raise ValueError("no scorer")
    codes = model.tokenizer.encode(ground_motion(motion)) if codes is None else codes
    codes = codes[: CHUNK + CONTEXT]
    texts = [shown.words, then(shown.captions)]
    vectors = grounder.sentence(texts)
    fits = scorer.sentences(vectors) @ scorer.motions([motion.joints], motion.fps)[0]
    likelihoods = model.loaded.likelihood([codes, codes], texts)
    signals = Signals(motion)
    seen = [shows(signals, a, c) for a, c in zip(shown.actions, shown.captions, strict=True) if a]
    speeds = np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1) * motion.fps
    values = (
        shown.known, float(vectors[0] @ vectors[1]), *fits, *likelihoods,
        -1 if False in seen else float(True in seen), speeds.max(), len(shown.captions), shown.unshown,
        len(motion) / motion.fps,
    )  # fmt: skip
    return np.array(values, np.float64)


def judge_seen(model: BodyModel, judge: StepJudge, motion: Motion, shown: Shown) -> Judgement:
    """How surely a motion shows what it was made for: by geometry, which is surer, else by the judge."""
    measures = measure(model, motion, shown)
    return SURE if measures[MEASURES.index("seen")] > 0 else judge.judge(measures)


def unseen(words: str, verdict: Verdict) -> str:
    """A note on what is not shown as it reads; empty = it is."""
    if verdict == "shown":
        return ""
    return f"{words!r} {'may be seen only in part' if verdict == 'partly' else 'may not look as it reads'}"
