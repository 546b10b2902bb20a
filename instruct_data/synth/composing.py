"""Two to four clips in a row at poses that match: what ends sitting is followed by what begins sitting."""

# The poses at the seam decide which clip may follow which, so that real, keyframed and layered clips mix.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruct_data.clip import Clip
from instruct_data.joining import join_best, posture
from instruct_data.mixture import balanced_weights
from vqvae.errors import UserError
from vqvae.motion import Motion

_MAX_HEIGHT_DIFFERENCE = 0.16  # metres, of the pelvis at a seam
_MAX_COST = 0.42  # metres, of a seam
_COST_SCALE = 0.2  # metres: seams of this cost are chosen e times less often than perfect ones
_VELOCITY_SECONDS = 0.1
MIN_PART, MAX_PART = 36, 90  # frames of a stretch of a cyclic clip


@dataclass(frozen=True, eq=False)
class Chain:
    """Clips that follow one another."""

    motion: Motion  # all of them joined, canonical
    items: tuple[int, ...]  # index of every clip among those given
    mirrored: tuple[bool, ...]  # whether it is the mirrored one
    starts: tuple[int, ...]  # frame at which each begins


class Sequencer:
    """Draws chains of clips.

    Args:
        clips: the parts; every one may also be drawn mirrored.
        names: class of each, for balance; two parts of one class never follow one another.
        cyclic: per clip, whether any stretch shows all of it; then one of 1.8 to 4.5 s is taken.
        balance: 0 = as they come, 1 = all classes alike.
        mirror: whether mirrored clips are drawn too.
    """

    def __init__(
        self, clips: Sequence[Clip], names: Sequence[str], cyclic: Sequence[bool], balance: float, mirror: bool = True
    ) -> None:
        self.clips, self.names = list(clips), np.array(names)
        self.cyclic = np.array(cyclic, bool)
        self.weights = balanced_weights(list(names), balance)
        self.mirror = mirror
        first, last, frames = [], [], []
        for clip in self.clips:
            motion = clip.load()
            n = len(motion)
            frames.append(n)
            first.append(np.concatenate([x[0] for x in posture(motion, 0, 1)], -1))
            last.append(np.concatenate([x[0] for x in posture(motion, n - 1, n)], -1))
            pairs = motion.skeleton.mirror
        self.frames = np.where(self.cyclic, np.minimum(frames, MAX_PART), frames)
        flip = np.tile([-1.0, 1, 1], 2)
        begin, end = np.stack(first).astype(np.float32), np.stack(last).astype(np.float32)
        self.begin = np.stack([begin, begin[:, pairs] * flip.astype(np.float32)])
        self.end = np.stack([end, end[:, pairs] * flip.astype(np.float32)])

    def costs(self, item: int, mirrored: bool) -> np.ndarray:
        """Cost of every clip (row 0 as it is, row 1 mirrored) after the end of one; infinite where levels differ."""
        difference = self.begin - self.end[int(mirrored), item]
        cost = np.linalg.norm(difference[..., :3], axis=-1).mean(-1)
        cost = cost + _VELOCITY_SECONDS * np.linalg.norm(difference[..., 3:], axis=-1).mean(-1)
        level = np.abs(difference[..., 0, 1])
        return np.where((level > _MAX_HEIGHT_DIFFERENCE) | (cost > _MAX_COST), np.inf, cost)

    def draw(self, rng: np.random.Generator, allowed: Sequence[np.ndarray], longest: int) -> Chain | None:
        """One chain.

        Args:
            allowed: for every place, which clips may stand there: (N,) bool.
            longest: most frames altogether.

        Returns:
            None when nothing fits this time.
        """
        left = longest
        items: list[int] = []
        flips: list[bool] = []
        for place, mask in enumerate(allowed):
            room = left - MIN_PART * (len(allowed) - 1 - place)
            p = self.weights * (mask & (self.frames <= room))
            if place:
                p = p * (self.names != self.names[items[-1]])
                both = np.exp(-self.costs(items[-1], flips[-1]) / _COST_SCALE) * p
                both = both if self.mirror else both[:1]
            else:
                both = np.stack([p, p]) if self.mirror else p[None]
            total = both.sum()
            if not total > 0:
                return None
            k = int(rng.choice(both.size, p=(both / total).ravel()))
            flips.append(k >= len(self.clips))
            items.append(k % len(self.clips))
            left -= int(self.frames[items[-1]])
        motion, starts = self._join(items, flips, rng)
        if len(motion) > longest:
            return None
        return Chain(motion.canonical(), tuple(items), tuple(flips), tuple(starts))

    def _join(self, items: list[int], flips: list[bool], rng: np.random.Generator) -> tuple[Motion, list[int]]:
        out: Motion | None = None
        starts = [0]
        for item, flip in zip(items, flips, strict=True):
            part = self.clips[item].load()
            part = part.mirrored() if flip else part
            if self.cyclic[item] and len(part) > MIN_PART + 8:
                part = stretch(part, out, rng)
            if out is None:
                out = part
            else:
                out, seam = join_best(out, part)
                starts.append(seam)
        if out is None:
            raise UserError("compose: no clips to join")
        return out, starts


def stretch(motion: Motion, before: Motion | None, rng: np.random.Generator) -> Motion:
    """Part of a cyclic clip, 1.8 to 4.5 s, beginning at the pose that `before` ends with as nearly as it can."""
    length = int(rng.integers(MIN_PART, min(len(motion), MAX_PART) + 1))
    last = len(motion) - length
    if before is None:
        start = int(rng.integers(last + 1))
    else:
        pose, speed = posture(motion, 0, last + 1)
        pose_a, speed_a = posture(before, len(before) - 1, len(before))
        cost = np.linalg.norm(pose - pose_a, axis=-1).mean(-1)
        start = int(np.argmin(cost + _VELOCITY_SECONDS * np.linalg.norm(speed - speed_a, axis=-1).mean(-1)))
    return motion.slice(start, start + length).canonical()
