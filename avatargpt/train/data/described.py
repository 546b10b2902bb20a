"""Clips of a store as rows of joint features with the sentences that are true of them, for the evaluator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avatargpt.metrics.degraded import DEGRADATIONS, LEAST, degrade
from avatargpt.metrics.evaluator.features import FPS, joint_features
from avatargpt.metrics.retrieval_metrics import ALIKE, alike, sides_of
from avatargpt.metrics.verdicts import Geometry
from instruct_data.clip import Clip
from instruct_data.mixture import clip_class
from instruct_data.synth.families import SOURCE as SYNTHETIC
from vqvae.motion import Motion

OTHER_SIDE = "mirrored"  # of the degradations


@dataclass
class Twin:
    """A clip made worse in some way.

    Attributes:
        frames: (T, 137) float16 of `joint_features`. right: whether it still shows what the clip shows.
    """

    frames: np.ndarray
    right: bool


@dataclass
class Described:
    """Clips with captions.

    Attributes:
        frames: (T, 137) float16 of each clip. captions: rows of `vectors` of each. classes: (n,) numbers of action and
            style. recorded: (n,) whether a clip was recorded: what is said of one such clip of a class and style is
            true of the others. vectors: (m, 384) unit sentence vectors. sides: (m,) of `sides_of`. twins: of each clip;
            empty where nobody can say what they show.
    """

    frames: list[np.ndarray]
    captions: list[list[int]]
    classes: np.ndarray
    recorded: np.ndarray
    vectors: np.ndarray
    sides: np.ndarray
    twins: list[list[Twin]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)


def seen(motion: Motion) -> np.ndarray:
    """(T, 137) float16 of `joint_features`."""
    return joint_features(motion.resampled(FPS).joints).astype(np.float16)


class Twins:
    """Makes clips worse, and asks the predicates whether they still show what they showed.

    Args:
        each: of a clip, in ways drawn at random.
    """

    def __init__(self, each: int) -> None:
        self.each, self.geometry = each, Geometry()

    def of(self, clip: Clip, motion: Motion, number: int) -> list[Twin]:
        """None of clips that no predicate is about, or that do not pass themselves.

        Where the first caption speaks of a side the mirrored clip is among them, and never right.

        Args:
            number: of the clip, from which the ways are drawn.
        """
        if len(motion) < LEAST:
            return []
        rng = np.random.default_rng([number, self.each])
        ways = rng.choice(list(DEGRADATIONS), min(self.each, len(DEGRADATIONS)), False).tolist()
        sided = sides_of(clip.captions[:1])[0] != 0
        if self.geometry.verdict(clip, motion) != 1.0:
            ways = []
        if sided:
            ways = [OTHER_SIDE, *(w for w in ways if w != OTHER_SIDE)][: self.each]
        out = []
        for way in ways:
            worse = degrade(motion, way, number)
            wrong = sided and way == OTHER_SIDE
            out.append(Twin(seen(worse), not wrong and self.geometry.verdict(clip, worse) == 1.0))
        return out


def described(clips: Iterable[Clip], grounder: Any, most: int = 4, every: int = 1, twins: int = 0) -> Described:
    """Clips that have captions, in order.

    Args:
        clips: bodies, each read once.
        grounder: gives `sentence(texts)`.
        most: captions of a clip that are taken, the first ones.
        every: only every so manieth keyframed clip is taken.
        twins: of a clip, at most.
    """
    texts: dict[str, int] = {}
    names: dict[str, int] = {}
    frames: list[np.ndarray] = []
    captions: list[list[int]] = []
    classes: list[int] = []
    recorded: list[bool] = []
    made: list[list[Twin]] = []
    maker = Twins(twins) if twins else None
    keyframed = -1
    for clip in clips:
        keyframed += clip.source == SYNTHETIC
        if clip.source == SYNTHETIC and keyframed % every:
            continue
        told = list(dict.fromkeys(clip.captions))[:most]
        motion = clip.load()
        if not told or len(motion) < 2:
            continue
        made.append(maker.of(clip, motion, len(frames)) if maker else [])
        frames.append(seen(motion))
        captions.append([texts.setdefault(t, len(texts)) for t in told])
        classes.append(names.setdefault(f"{clip_class(clip)}|{clip.style}", len(names)))
        recorded.append(clip.source != SYNTHETIC)
    vectors = grounder.sentence(list(texts)) if texts else np.zeros((0, 384))
    return Described(
        frames, captions, np.array(classes, int), np.array(recorded, bool), vectors.astype(np.float32),
        sides_of(list(texts)), made,
    )  # fmt: skip


class Draws:
    """Draws the rows of a step: some from few classes, so that details are learnt, the others from all.

    Args:
        near: share of a step from few classes. each: clips of one of these at most. balance: 1 = classes equally
            likely, 0 = clips. least: cosine of two captions from which on neither counts against the other.
    """

    def __init__(
        self, clips: Described, batch: int, near: float, each: int, balance: float, least: float = ALIKE
    ) -> None:
        self.clips, self.batch, self.each, self.least = clips, batch, each, least
        count = Counter(clips.classes.tolist())
        weight = np.array([count[c] ** -balance for c in clips.classes])
        self.weight = weight / weight.sum()
        self.of = {c: np.flatnonzero(clips.classes == c) for c in count}
        self.large = [c for c, n in count.items() if n >= 4]
        self.few = int(near * batch / each)

    def draw(self, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(B,) clips, (B,) one caption of each, and (B, B) which pairs are no counter-examples although no pairs."""
        rng, c = np.random.default_rng(list(seed)), self.clips
        rows: list[int] = []
        for name in rng.choice(self.large, min(self.few, len(self.large)), False) if self.large else ():
            rows += rng.choice(self.of[name], min(self.each, len(self.of[name])), False).tolist()
        rows += rng.choice(len(c), max(2, self.batch - len(rows)), p=self.weight).tolist()
        chosen = np.array(rows)
        told = np.array([c.captions[i][int(rng.integers(len(c.captions[i])))] for i in rows])
        same = c.classes[chosen][:, None] == c.classes[chosen][None]
        known = c.recorded[chosen]
        free = (same & known[:, None] & known[None]) | alike(c.vectors[told], c.sides[told], self.least)
        np.fill_diagonal(free, False)
        return chosen, told, free
