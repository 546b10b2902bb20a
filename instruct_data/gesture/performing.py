"""How arms follow a stroke, and how one movement goes over into another."""

# Tracks follow one another without a seam: the offset of the old one from the new one dies out (D. Bollo,
# Inertialization: High-Performance Animation Transitions in Gears of War, GDC 2018), along a quintic that begins with
# the offset's place, speed and acceleration and ends with none of them.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_data.gesture.plan import Placed
from instruct_data.gesture.strokes import LIMB
from vqvae import rotations as rot
from vqvae.smoothing import minimum_jerk

BEFORE = 3  # frames from which place, speed and acceleration are taken
MIN_BLEND = 12  # frames of a transition, where it may be as long
MAX_ACCELERATION = 0.012  # radians per frame^2 that are continued
MAX_OFFSET = 2.9  # radians up to which an offset's speed has a direction


def decay_offsets(offsets: np.ndarray, frames: int, blend: int) -> np.ndarray:
    """Offsets (frames, J, 3) that continue the last `BEFORE` ones, (3, J, 3), and vanish after `blend` frames.

    Offsets that shrink faster vanish sooner (Bollo's limit against overshooting), but not within less than
    `MIN_BLEND`: a small overshoot is less visible than a jerk.
    """
    last = offsets[-1]
    size = np.linalg.norm(last, axis=-1)
    reliable = (size <= MAX_OFFSET)[:, None]
    speed = np.where(reliable, offsets[-1] - offsets[-2], 0.0)
    turning = np.where(reliable, offsets[-1] - 2 * offsets[-2] + offsets[-3], 0.0)
    norm = np.linalg.norm(turning, axis=-1, keepdims=True)
    turning = turning * np.minimum(1, MAX_ACCELERATION / np.maximum(norm, 1e-9))
    along = (last * speed).sum(-1)
    sooner = np.where(along < -1e-9, -5 * size**2 / np.minimum(along, -1e-9), np.inf)
    length = np.clip(sooner, min(MIN_BLEND, blend), max(blend, 2))[:, None]
    u = np.minimum((np.arange(frames) + 1)[:, None, None] / length, 1.0)
    v, a = speed * length, turning * length**2
    c3 = -10 * last - 6 * v - 1.5 * a
    c4 = 15 * last + 8 * v + 1.5 * a
    c5 = -6 * last - 3 * v - 0.5 * a
    return np.asarray(last + u * (v + u * (a / 2 + u * (c3 + u * (c4 + u * c5)))))


REACH = 20  # frames that hands take to a stroke where there is time, however short its own preparation
RISE, BACK = 22, 22  # frames to raised hands, and from a stroke back to them
SETTLE = 4  # frames


def through(keys: Sequence[tuple[float, float]], at: np.ndarray) -> np.ndarray:
    """Values (T,) of minimum-jerk ways from key to key, (frame, value) each; ends held."""
    out = np.full(len(at), float(keys[0][1]))
    for (a, x), (b, y) in zip(keys, keys[1:], strict=False):
        out = np.where(at >= a, x + (y - x) * minimum_jerk((at - a) / max(b - a, 1e-6)), out)
    return out


def stroke_poses(placed: Placed, start: int, stop: int, side: str) -> np.ndarray:
    """(stop - start, 19, 4) what one limb does in frames [start, stop) of a stroke."""
    s, at = placed.stroke, np.arange(start, stop) - placed.frame
    source = s.emphasis + _until(at * placed.tempo, max(s.end - s.emphasis, SETTLE))
    out = _read(s.turns[:, LIMB[side]], source)
    rest = np.repeat(s.rest_pose[LIMB[side]][None, :4], len(out), 0)
    out[:, :4] = rot.slerp(rest, out[:, :4], placed.size)  # arms less or further from rest, fingers as they are
    return out


def _until(at: np.ndarray, end: float) -> np.ndarray:
    """Frames since the emphasis that come to a stop at `end` softly, over `SETTLE` frames before and after it."""
    late = np.clip(at - (end - SETTLE), 0, 2 * SETTLE)
    return np.asarray(np.minimum(at, end + SETTLE) - late**2 / (4 * SETTLE))


def _read(turns: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Turns (T, J, 4) read off at fractional frames, ends held."""
    place = np.clip(at, 0, len(turns) - 1)
    low = np.minimum(place.astype(int), max(len(turns) - 2, 0))
    return rot.slerp(turns[low], turns[np.minimum(low + 1, len(turns) - 1)], (place - low)[:, None])
