"""Bodies stay on the floor, y = 0: a rule on top of the decoded motion.

Decoded heights drift where a body lies, falls or kneels, down to 20 cm below the floor. The whole body is lifted there,
as far as its lowest joint has sunk. Motion that has not sunk is not touched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

SUNK = 0.03  # metres below the floor; toes and hands of real clips are lower in 0.02 % of the frames
SMOOTH = 3  # frames on either side that a lift is smoothed over, and begins ahead
EASE = 6  # frames over which it grows beside frames that stay as they are
AHEAD = 2 * SMOOTH  # frames on either side that a lift depends on
_KERNEL = np.hanning(2 * SMOOTH + 3)[1:-1] / np.hanning(2 * SMOOTH + 3)[1:-1].sum()


def without_penetration(motion: Motion, after: bool = False, before: bool = False) -> Motion:
    """The motion with its root lifted where a joint is more than `SUNK` below the floor; itself where none is.

    Args:
        after: it follows on other frames, so the lift grows from nothing over its first `EASE` frames.
        before: others follow, so the lift fades over its last frames.
    """
    wanted = _wanted(motion.joints)
    if not wanted.any():
        return motion
    lift = _smoothed(wanted)
    ramp = np.arange(1, len(lift) + 1) / (min(EASE, len(lift)) + 1)
    ease = np.sin(ramp.clip(0, 1) * np.pi / 2) ** 2
    lift *= (ease if after else 1) * (ease[::-1] if before else 1)
    return replace(motion, root=(motion.root + lift[:, None] * [0, 1, 0]).astype(motion.root.dtype))


def with_seam_lifted(motion: Motion, first: int, last: int, floor: float = 0.0) -> Motion:
    """The motion lifted where the blended frames [first, last) have sunk, smoothly within `AHEAD` frames around them.

    Two clips on the floor are not on it halfway between: a hand passes through it where one lies and the next stands.

    Args:
        floor: height that the clips stand on, metres.
    """
    lo, hi = max(0, first - AHEAD), min(len(motion), last + AHEAD)
    near = motion.slice(lo, hi)
    wanted = _wanted(near.joints - np.array([0, floor, 0]))
    wanted[: first - lo] = wanted[last - lo :] = 0
    if not wanted.any():
        return motion
    root = motion.root.copy()
    root[lo:hi, 1] += _smoothed(wanted)
    return replace(motion, root=root)


def _wanted(joints: np.ndarray) -> np.ndarray:
    """(T,) metres that joints (T, J, 3) must be lifted: nothing at `SUNK`, all of it from twice as deep on."""
    depth = -joints[..., 1].min(1).astype(np.float64)
    return np.asarray(np.minimum(depth, 2 * (depth - SUNK)).clip(0))


def _smoothed(wanted: np.ndarray) -> np.ndarray:
    """(T,) a smooth lift, nowhere less than what is wanted (T,)."""
    highest = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, SMOOTH, "edge"), 2 * SMOOTH + 1).max(-1)
    return np.convolve(np.pad(highest, SMOOTH, "edge"), _KERNEL, "valid")


class PenetrationStream:
    """`without_penetration` for frames that arrive in pieces: the same frames, `AHEAD` later, whatever the pieces.

    Kept: the frames not yet out, and what was wanted in them and in `AHEAD` frames before.
    """

    def __init__(self) -> None:
        self.rotations, self.root = np.zeros((0, 22, 4)), np.zeros((0, 3))
        self.wanted = np.zeros(0)

    def push(self, rotations: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take (T, 22, 4) rotations and (T, 3) root, metres; as many frames as are final now."""
        if len(root):
            self.wanted = np.concatenate([self.wanted, _wanted(SMPL22.fk(rotations, root))])
            self.rotations = np.concatenate([self.rotations, rotations])
            self.root = np.concatenate([self.root, root])
        return self._out(max(0, len(self.root) - AHEAD))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The frames still held back."""
        return self._out(len(self.root))

    def _out(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        rotations, root = self.rotations[:count], self.root[:count]
        past = len(self.wanted) - len(self.root)
        if count and self.wanted.any():
            lift = _smoothed(self.wanted)[past : past + count]
            root = root + lift[:, None] * [0, 1, 0]
        self.rotations, self.root = self.rotations[count:], self.root[count:]
        self.wanted = self.wanted[max(0, past + count - AHEAD) :]
        return rotations, root
