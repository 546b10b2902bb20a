"""One track after another without a seam: what the old one was away from the new one dies out (inertialization).

Source: D. Bollo, Inertialization: High-Performance Animation Transitions in Gears of War, GDC 2018: a quintic that
begins with the offset's place, speed and acceleration and ends with none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqvae import rotations as rot

BEFORE = 3  # frames that tell place, speed and acceleration
SHORTEST = 12  # frames of a transition, where it may be as long
HARDEST = 0.012  # radians per frame^2 of acceleration that go on
FURTHEST = 2.9  # radians of an offset whose speed still tells its direction


@dataclass(frozen=True, eq=False)
class Segment:
    """From `start` on a track follows `poses`.

    Attributes:
        start: frame. poses: (N, J, 4) from two frames before `start` up to where the next segment starts.
        blend: frames in which the offset dies out.
    """

    start: int
    poses: np.ndarray
    blend: int


def joined(segments: Sequence[Segment], frames: int) -> np.ndarray:
    """(frames, J, 4) through all segments, the first of which starts at 0."""
    out = np.zeros((frames, *segments[0].poses.shape[1:]))
    stops = [*(s.start for s in segments[1:]), frames]
    for number, (segment, stop) in enumerate(zip(segments, stops, strict=True)):
        own = segment.poses[BEFORE : BEFORE + stop - segment.start]
        if number == 0 or segment.start < BEFORE:
            out[segment.start : stop] = own
            continue
        before = segment.poses[:BEFORE]
        was = rot.to_axis_angle(rot.multiply(rot.conjugate(before), out[segment.start - BEFORE : segment.start]))
        decay = decaying(was, stop - segment.start, segment.blend)
        out[segment.start : stop] = rot.multiply(own, rot.from_axis_angle(decay))
    return rot.normalize(out)


def decaying(was: np.ndarray, frames: int, blend: int) -> np.ndarray:
    """Offsets (frames, J, 3) that go on from `BEFORE` of them, (3, J, 3), and are gone after `blend` frames.

    Where the offset was already shrinking faster than that, it is gone as much sooner (Bollo's limit against
    overshooting), but not within less than `SHORTEST`: to shoot over by a little is less to be seen than a jerk.
    """
    last = was[-1]
    size = np.linalg.norm(last, axis=-1)
    told = (size <= FURTHEST)[:, None]
    speed = np.where(told, was[-1] - was[-2], 0.0)
    turning = np.where(told, was[-1] - 2 * was[-2] + was[-3], 0.0)
    hard = np.linalg.norm(turning, axis=-1, keepdims=True)
    turning = turning * np.minimum(1, HARDEST / np.maximum(hard, 1e-9))
    along = (last * speed).sum(-1)
    sooner = np.where(along < -1e-9, -5 * size**2 / np.minimum(along, -1e-9), np.inf)
    length = np.clip(sooner, min(SHORTEST, blend), max(blend, 2))[:, None]
    u = np.minimum((np.arange(frames) + 1)[:, None, None] / length, 1.0)
    v, a = speed * length, turning * length**2
    c3 = -10 * last - 6 * v - 1.5 * a
    c4 = 15 * last + 8 * v + 1.5 * a
    c5 = -6 * last - 3 * v - 0.5 * a
    return np.asarray(last + u * (v + u * (a / 2 + u * (c3 + u * (c4 + u * c5)))))
