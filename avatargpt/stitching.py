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

FADE = 10  # frames over which a seam's offset fades


def ease(frames: int) -> np.ndarray:
    """(frames,) weights falling from near 1 to near 0 with zero slope at both ends (smootherstep)."""
    t = (np.arange(frames) + 1) / (frames + 1)
    return 1 - t**3 * (t * (6 * t - 15) + 10)


def place(motion: Motion, frame: int, like: Motion, like_frame: int) -> Motion:
    """`motion` turned and moved in the plane so that its `frame` stands where `like_frame` of `like` does."""
    turn = float(like.heading[like_frame] - motion.heading[frame])
    turned = motion.moved(turn, np.zeros(3))
    shift = (like.root[like_frame] - turned.root[frame]) * np.array([1, 0, 1])
    return replace(turned, root=turned.root + shift)


def fade_in(stretch: Motion, decoded: Motion, real: Motion) -> Motion:
    """Remove the offset between the last decoded and the last real frame before `stretch`, fading over its start.

    Args:
        stretch: (T) frames to be corrected, placed already.
        decoded, real: one frame each, the same instant just before the stretch.
    """
    return _fade(stretch, decoded, real, np.arange(len(stretch)))


def fade_out(stretch: Motion, decoded: Motion, real: Motion) -> Motion:
    """The same at the other end: `decoded` and `real` are the frame just after the stretch."""
    return _fade(stretch, decoded, real, np.arange(len(stretch))[::-1])


def _fade(stretch: Motion, decoded: Motion, real: Motion, distance: np.ndarray) -> Motion:
    width = max(1, min(FADE, len(stretch)))
    weight = np.where(distance < width, ease(width)[np.minimum(distance, width - 1)], 0.0)
    a, b = decoded.rotations[0].astype(np.float64), real.rotations[0].astype(np.float64)
    offset = rot.to_axis_angle(rot.multiply(b, rot.conjugate(a)))
    turn = rot.from_axis_angle(weight[:, None, None] * offset)
    rotations = rot.multiply(turn, stretch.rotations.astype(np.float64))
    return replace(stretch, rotations=rotations, root=stretch.root + weight[:, None] * (real.root[0] - decoded.root[0]))


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
