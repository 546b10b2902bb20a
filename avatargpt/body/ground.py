"""Bodies stay on the floor, y = 0: a rule on top of the decoded motion.

Decoded heights drift where a body lies, falls or kneels, down to 20 cm below the floor. The whole body is lifted there,
as far as its lowest joint has sunk. Motion that has not sunk is not touched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae.ground import AHEAD, EASE, SUNK, lift_wanted, smoothed_lift, without_penetration
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

__all__ = ["AHEAD", "EASE", "SUNK", "PenetrationStream", "with_seam_lifted", "without_penetration"]


def with_seam_lifted(motion: Motion, first: int, last: int, floor: float = 0.0) -> Motion:
    """The motion lifted where the blended frames [first, last) have sunk, smoothly within `AHEAD` frames around them.

    Two clips on the floor are not on it halfway between: a hand passes through it where one lies and the next stands.

    Args:
        floor: height that the clips stand on, metres.
    """
    lo, hi = max(0, first - AHEAD), min(len(motion), last + AHEAD)
    near = motion.slice(lo, hi)
    wanted = lift_wanted(near.joints - np.array([0, floor, 0]))
    wanted[: first - lo] = wanted[last - lo :] = 0
    if not wanted.any():
        return motion
    root = motion.root.copy()
    root[lo:hi, 1] += smoothed_lift(wanted)
    return replace(motion, root=root)


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
            self.wanted = np.concatenate([self.wanted, lift_wanted(SMPL22.fk(rotations, root))])
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
            lift = smoothed_lift(self.wanted)[past : past + count]
            root = root + lift[:, None] * [0, 1, 0]
        self.rotations, self.root = self.rotations[count:], self.root[count:]
        self.wanted = self.wanted[max(0, past + count - AHEAD) :]
        return rotations, root
