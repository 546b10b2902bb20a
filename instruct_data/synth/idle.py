"""Idle standing poses out of real clips, for keyframed actions to begin from and to return to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_data.clip import Clip
from instruct_data.synth.derived.layering import activity
from vqvae.motion import Motion

STANDING = (0.86, 1.05)  # metres: height of the pelvis of somebody who stands upright
_QUIET = 0.12  # metres per second, mean over the joints
_APART = 0.34  # metres: feet farther apart than this are in mid-stride
_PLAIN = ("", "normal", "youthful", "active", "masculine", "feminine")


def idle_frame(motion: Motion) -> int | None:
    """The quietest frame in which somebody stands upright with both arms hanging; None if there is none."""
    joints = motion.joints.astype(np.float64)
    if len(motion) < 3:
        return None
    speed = np.linalg.norm(np.gradient(joints, axis=0), axis=-1).mean(-1) * motion.fps
    acts = activity(motion)
    feet = np.linalg.norm((joints[:, 7] - joints[:, 8])[:, ::2], axis=-1)
    flat = np.abs(joints[:, 10, 1] - joints[:, 11, 1]) < 0.04
    pelvis = joints[:, 0, 1]
    fine = (speed < _QUIET) & ~acts.left & ~acts.right & ~acts.head & (feet < _APART) & flat
    fine &= (pelvis > STANDING[0]) & (pelvis < STANDING[1])
    return int(np.flatnonzero(fine)[np.argmin(speed[fine])]) if fine.any() else None


def idle_stances(clips: Sequence[Clip], count: int, seed: int = 0) -> np.ndarray:
    """Standing poses of different clips.

    Args:
        clips: real clips; only those of a plain style are looked at.
        count: how many poses at most.

    Returns:
        (S, 22, 4) float64 local rotations of bodies that face +Z; S may be less than `count`, also 0.
    """
    rng = np.random.default_rng([seed, 6])
    plain = [c for c in clips if c.style in _PLAIN]
    out: list[np.ndarray] = []
    for i in rng.permutation(len(plain)):
        if len(out) == count:
            break
        motion = plain[int(i)].load()
        frame = idle_frame(motion)
        if frame is not None:
            out.append(motion.slice(frame, frame + 1).canonical().rotations[0].astype(np.float64))
    return np.stack(out) if out else np.zeros((0, 22, 4))
