"""What a model has to beat: interpolation between two clips, holding the last pose, going on at the last velocity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion


def _frames(frames: int) -> int:
    if frames < 1:
        raise UserError(f"{frames} frames; at least 1 is needed")
    return frames


def interpolate(start: Motion, end: Motion, frames: int) -> Motion:
    """Spherical interpolation: `frames` frames between the last of `start` and the first of `end`.

    Rotations by slerp along the shorter arc (Shoemake 1985), root linearly, at t = (i + 1) / (frames + 1); both clips
    as they stand in the world.

    Raises:
        UserError: frames < 1 or different frame rates.
    """
    if abs(start.fps - end.fps) > 1e-6:
        raise UserError(f"clips at {start.fps} and {end.fps} fps; both need the same rate")
    t = (np.arange(_frames(frames)) + 1) / (frames + 1)
    a, b = start.rotations[-1:].astype(np.float64), end.rotations[:1].astype(np.float64)
    root = start.root[-1] + (end.root[0] - start.root[-1]) * t[:, None]
    return replace(start, rotations=rot.slerp(a, b, t[:, None]), root=root, caption="")


def hold(motion: Motion, frames: int) -> Motion:
    """The last pose, standing still for `frames` frames ("zero velocity" of Martinez et al. 2017)."""
    n = _frames(frames)
    rotations, root = np.repeat(motion.rotations[-1:], n, 0), np.repeat(motion.root[-1:], n, 0)
    return replace(motion, rotations=rotations, root=root, caption="")


def extrapolate(motion: Motion, frames: int, window: int = 4) -> Motion:
    """Goes on at constant linear and angular velocity: the mean over the last `window` steps.

    Every joint turns on about the axis and at the rate of its relative rotation over the window; the root keeps its
    velocity. A clip of one frame is held.
    """
    n, back = _frames(frames), min(window, len(motion) - 1)
    if back < 1:
        return hold(motion, n)
    last, before = motion.rotations[-1].astype(np.float64), motion.rotations[-1 - back].astype(np.float64)
    rate = rot.to_axis_angle(rot.multiply(rot.conjugate(before), last)) / back
    t = np.arange(1, n + 1)
    rotations = rot.multiply(last, rot.from_axis_angle(rate * t[:, None, None]))
    root = motion.root[-1] + (motion.root[-1] - motion.root[-1 - back]) / back * t[:, None]
    return replace(motion, rotations=rotations, root=root, caption="")
