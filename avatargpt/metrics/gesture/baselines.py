"""Baselines of gesture: the mean pose, and strokes of a bank placed on onsets of similar prosody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatargpt.metrics.gesture.beats import UPPER, at_30, emphases, hand_speeds
from avatargpt.speech.audio import FPS, RATE, frames_in
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

MAX_GAP = 3.0  # s to the next emphasis that still count
BLEND = 0.3  # s in which a stroke is entered and left
ANTICIPATION = 2.0  # s before its emphasis from which a stroke may begin


def mean_pose(real: Sequence[Motion], frames: int) -> Motion:
    """The mean of all poses of some clips, held for `frames` frames at 30 fps.

    Rotations are averaged as the principal eigenvector of the sum of q q^T (Markley et al. 2007), roots linearly.
    """
    if not real or frames < 1:
        raise UserError(f"mean pose of {len(real)} clips for {frames} frames; at least one of each is needed")
    q = np.concatenate([at_30(m).rotations for m in real]).astype(np.float64)
    _, vectors = np.linalg.eigh(np.einsum("tji,tjk->jik", q, q))
    root = np.concatenate([at_30(m).root for m in real]).mean(0)
    pose = np.repeat(vectors[None, :, :, -1], frames, 0)
    return Motion(pose, np.repeat(root[None], frames, 0), float(FPS), real[0].modality)


@dataclass(frozen=True)
class Stroke:
    """One gesture of a bank.

    Attributes:
        motion: from rest to rest or cut out of a longer talk.
        emphasis: seconds from its start at which its stroke is at its peak.
    """

    motion: Motion
    emphasis: float


class StrokeBank:
    """Strokes with what they have in common with emphases of speech: how strong, and how long until the next.

    A bank needs no sound: the strength of a stroke is the rank of its peak hand speed among those of the bank, that of
    an emphasis the rank of its onset strength in the sound. With the ranks stands the room that they have: seconds from
    the stroke's emphasis to its end, or to the next emphasis of the sound.
    """

    def __init__(self, strokes: Sequence[Stroke]) -> None:
        """Raises UserError for an empty bank, or a stroke whose emphasis lies outside its motion."""
        if not strokes:
            raise UserError("a bank of no strokes; at least one is needed")
        for i, s in enumerate(strokes):
            if not 0 <= s.emphasis <= s.motion.seconds:
                raise UserError(f"stroke {i}: emphasis at {s.emphasis:.2f} s of {s.motion.seconds:.2f} s")
        self.strokes = [replace(s, motion=at_30(s.motion, 2)) for s in strokes]
        peaks = np.array([hand_speeds(s.motion).max() for s in self.strokes])
        room = np.array([min(s.motion.seconds - s.emphasis, MAX_GAP) for s in self.strokes])
        self.prosody = np.stack([_ranks(peaks), room / MAX_GAP], 1)
        self.rest_pose = mean_pose([s.motion.slice(0, 1) for s in self.strokes], 1)

    def gesticulate(self, audio: np.ndarray, frames: int | None = None) -> Motion:
        """The prosody-nearest stroke on every emphasis of a sound, rest between them.

        The same stroke does not come twice in a row where the bank has others. Only the upper body moves.

        Args:
            audio: (n,) mono, 16 kHz.
            frames: of the result at 30 fps; default: as long as the sound.

        Returns:
            A Motion at 30 fps.
        """
        at, prosody = prosody_of(audio)
        count = frames or frames_in(len(audio), RATE)
        rotations = np.repeat(self.rest_pose.rotations.astype(np.float64), count, 0)
        distance = np.linalg.norm(prosody[:, None] - self.prosody, axis=-1)
        last = -1
        for i, time in enumerate(at):
            if last >= 0 and len(self.strokes) > 1:
                distance[i, last] = np.inf
            last = int(distance[i].argmin())
            begin = (at[i - 1] + time) / 2 - BLEND / 2 if i else -np.inf
            end = (time + at[i + 1]) / 2 + BLEND / 2 if i + 1 < len(at) else np.inf
            _lay(rotations, self.strokes[last], time, max(begin, time - ANTICIPATION), end)
        return Motion(
            rotations, np.repeat(self.rest_pose.root, count, 0), float(FPS), self.rest_pose.modality,
            skeleton=self.rest_pose.skeleton,
        )


# Place of each value among all, 0..1; 0.5 where there is only one.
def _ranks(x: np.ndarray) -> np.ndarray:
    if len(x) < 2:
        return np.full(len(x), 0.5)
    return np.argsort(np.argsort(x, kind="stable"), kind="stable") / (len(x) - 1)


def prosody_of(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `emphases` of a sound: (N,) seconds and (N, 2) prosody as `StrokeBank` compares it."""
    times, strengths = emphases(audio)
    gaps = np.minimum(np.append(np.diff(times), MAX_GAP), MAX_GAP)[: len(times)]
    return times, np.stack([_ranks(strengths), gaps / MAX_GAP], 1)


# Blend a stroke into (T, J, 4) `rotations`, its emphasis at `time`, what lies outside [begin, end] cut off.
def _lay(rotations: np.ndarray, stroke: Stroke, time: float, begin: float, end: float) -> None:
    first = round((time - stroke.emphasis) * FPS)  # frame of the result in which the stroke's first frame falls
    a = int(max(first, np.ceil(max(begin, 0) * FPS)))
    b = int(min(first + len(stroke.motion), len(rotations), np.floor(min(end * FPS, len(rotations)))))
    if b - a < 2:
        return
    n = np.arange(b - a)
    ramp = np.clip(np.minimum(n + 1, b - a - n) / min(BLEND * FPS, (b - a) / 2), 0, 1)
    weight = (ramp * ramp * (3 - 2 * ramp))[:, None]
    new = stroke.motion.rotations[a - first : b - first][:, UPPER].astype(np.float64)
    rotations[a:b, UPPER] = rot.slerp(rotations[a:b][:, UPPER], new, weight)
