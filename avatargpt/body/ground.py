"""Bodies stay on the floor, y = 0: a rule on top of the decoded motion.

Decoded heights drift where a body lies, falls or kneels, down to 20 cm below the floor. The whole body is lifted there,
as far as its lowest joint has sunk. Motion that has not sunk is not touched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae.motion import Motion

SUNK = 0.03  # metres below the floor; toes and hands of real clips are lower in 0.02 % of the frames
SMOOTH = 3  # frames on either side that a lift is smoothed over, and begins ahead
EASE = 6  # frames over which it grows beside frames that stay as they are
_KERNEL = np.hanning(2 * SMOOTH + 3)[1:-1] / np.hanning(2 * SMOOTH + 3)[1:-1].sum()


def without_penetration(motion: Motion, after: bool = False, before: bool = False) -> Motion:
    """The motion with its root lifted where a joint is more than `SUNK` below the floor; itself where none is.

    Args:
        after: it follows on other frames, so the lift grows from nothing over its first `EASE` frames.
        before: others follow, so the lift fades over its last frames.
    """
    depth = -motion.joints[..., 1].min(1).astype(np.float64)
    wanted = np.minimum(depth, 2 * (depth - SUNK)).clip(0)  # nothing at SUNK, all of it from twice as deep on
    if not wanted.any():
        return motion
    highest = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, SMOOTH, "edge"), 2 * SMOOTH + 1).max(-1)
    lift = np.convolve(np.pad(highest, SMOOTH, "edge"), _KERNEL, "valid")  # nowhere less than what is wanted
    ramp = np.arange(1, len(lift) + 1) / (min(EASE, len(lift)) + 1)
    ease = np.sin(ramp.clip(0, 1) * np.pi / 2) ** 2
    lift *= (ease if after else 1) * (ease[::-1] if before else 1)
    return replace(motion, root=(motion.root + lift[:, None] * [0, 1, 0]).astype(motion.root.dtype))
