"""Fits a decoded stretch of motion to the real frames it must meet, without a jump.

The decoder sees known tokens on both sides, so the stretch is smooth against the *decoded* neighbours; what is left is
the small reconstruction error of the neighbours themselves. That offset is measured at the seam and fades out inside
the stretch (inertialisation, Bollo 2018, with a fixed quintic ease); known frames are never touched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion

FADE = 12  # frames over which a seam's offset fades
FASTEST_TURN, FASTEST_SHIFT = 0.1, 0.02  # per frame: an offset's speed beyond this is noise


def fading(offset: np.ndarray, speed: np.ndarray, frames: int) -> np.ndarray:
    """An offset that goes on with its speed and comes to rest at zero: (frames, ...) for offset, speed (...) per frame.

    The quintic of least jerk between these ends; value k is taken k + 1 frames behind the seam.
    """
    n = frames + 1
    t = ((np.arange(frames) + 1) / n).reshape(-1, *[1] * np.ndim(offset))
    v = speed * n
    a, b, c = -6 * offset - 3 * v, 15 * offset + 8 * v, -10 * offset - 6 * v
    return np.asarray(a * t**5 + b * t**4 + c * t**3 + v * t + offset)


def place(motion: Motion, frame: int, like: Motion, like_frame: int) -> Motion:
    """`motion` turned and moved in the plane so that its `frame` stands where `like_frame` of `like` does."""
    turn = float(like.heading[like_frame] - motion.heading[frame])
    turned = motion.moved(turn, np.zeros(3))
    shift = (like.root[like_frame] - turned.root[frame]) * np.array([1, 0, 1])
    return replace(turned, root=turned.root + shift)


def fade_in(stretch: Motion, decoded: Motion, real: Motion) -> Motion:
    """Remove the offset between the decoded and the real frames before `stretch`, fading over its start.

    Args:
        stretch: (T) frames to be corrected, placed already.
        decoded, real: the last frames before the stretch, the same instants: one, or two so that speeds meet as well.
    """
    return _fade(stretch, _offsets(decoded, real), forward=True)


def fade_out(stretch: Motion, decoded: Motion, real: Motion) -> Motion:
    """The same at the other end: `decoded` and `real` are the first one or two frames after the stretch."""
    turns, shifts = _offsets(decoded, real)
    return _fade(stretch, (turns[::-1], shifts[::-1]), forward=False)


def _offsets(decoded: Motion, real: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors (n, J, 3) and root shifts (n, 3) that take the decoded frames to the real ones."""
    a, b = decoded.rotations.astype(np.float64), real.rotations.astype(np.float64)
    shifts = real.root.astype(np.float64) - decoded.root
    return rot.to_axis_angle(rot.multiply(b, rot.conjugate(a))), shifts


def _fade(stretch: Motion, offsets: tuple[np.ndarray, np.ndarray], forward: bool) -> Motion:
    """Offsets are given towards the seam: their last row is the frame that touches the stretch."""
    width = max(1, min(FADE, len(stretch)))
    faded = []
    for rows, fastest in zip(offsets, (FASTEST_TURN, FASTEST_SHIFT), strict=True):
        speed = rows[-1] - rows[-2] if len(rows) > 1 else np.zeros_like(rows[-1])
        norm = np.linalg.norm(speed, axis=-1, keepdims=True)
        speed = speed * np.minimum(1, fastest / np.maximum(norm, 1e-12))
        curve = np.zeros((len(stretch), *rows.shape[1:]))
        curve[:width] = fading(rows[-1], speed, width)
        faded.append(curve if forward else curve[::-1])
    rotations = rot.multiply(rot.from_axis_angle(faded[0]), stretch.rotations.astype(np.float64))
    return replace(stretch, rotations=rotations, root=stretch.root + faded[1])


def bend(stretch: Motion, turn: float, shift: np.ndarray) -> Motion:
    """Spread a turn (radians) about the first frame and then a planar shift (3,) evenly over the stretch.

    Frame i of n takes (i + 1) / (n + 1) of both, so that the frame after the stretch takes all.
    """
    n = len(stretch)
    share = (np.arange(n) + 1) / (n + 1)
    q = rot.about_y(share * turn)
    origin = stretch.root[0] * np.array([1, 0, 1])
    rotations = stretch.rotations.astype(np.float64).copy()
    rotations[:, 0] = rot.multiply(q, rotations[:, 0])
    root = rot.rotate(q, stretch.root - origin) + origin + share[:, None] * shift
    return replace(stretch, rotations=rotations, root=root)


def missing(stretch: Motion, turn: float, after: Motion, target: Motion) -> np.ndarray:
    """What `bend` must shift by, (3,) planar metres, so that behind it the frame `after` stands where `target` does.

    Args:
        stretch: as given to `bend`.
        turn: radians, as given to `bend`.
        after: the frame behind the stretch, before bending.
        target: a motion whose first frame is to be reached.
    """
    planar = np.array([1, 0, 1])
    origin = stretch.root[0] * planar
    arrives = rot.rotate(rot.about_y(turn), after.root[0] - origin) + origin
    return np.asarray((target.root[0] - arrives) * planar)


def retimed(motion: Motion, frames: int) -> Motion:
    """The same movement in another number of frames (at least 1), ends kept."""
    if frames == len(motion):
        return motion
    t = np.linspace(0, len(motion) - 1, frames)
    i = np.minimum(t.astype(int), max(len(motion) - 2, 0))
    j, f = np.minimum(i + 1, len(motion) - 1), t - i
    rotations = rot.slerp(motion.rotations[i].astype(np.float64), motion.rotations[j].astype(np.float64), f[:, None])
    return replace(motion, rotations=rotations, root=motion.root[i] + (motion.root[j] - motion.root[i]) * f[:, None])


def medoid(candidates: list[Motion]) -> int:
    """The candidate nearest to all others (mean joint distance in the world, metres): the consensus of the samples."""
    joints = np.stack([m.joints for m in candidates])
    distance = np.linalg.norm(joints[:, None] - joints[None], axis=-1).mean((2, 3))
    return int(distance.sum(1).argmin())
