"""Where the floor of a clip is, and clips brought to the floor that tokens are made on, y = 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vqvae.motion import Motion

BELOW, ABOVE = -0.1, 0.2  # metres; nearer to 0 it is no other floor but feet that sink a little, or a jump


def floor_of(motion: Motion) -> float:
    """Height of the floor that a clip stands on, metres: the lowest joints' second percentile.

    0 where that is between `BELOW` and `ABOVE`. Files begin elsewhere whose pelvis is the origin, or an actor stands on
    a stage; a clip that stays in the air all the while looks the same.
    """
    lowest = float(np.percentile(motion.joints[..., 1].min(1), 2))
    return 0.0 if BELOW <= lowest <= ABOVE else lowest


def raised(motion: Motion, height: float) -> Motion:
    """The motion so many metres higher; itself for 0."""
    if not height:
        return motion
    return replace(motion, root=motion.root + np.array([0, height, 0], np.float32))


def grounded(motion: Motion) -> Motion:
    """The motion on the floor y = 0; itself where it stands there."""
    return raised(motion, -floor_of(motion))
