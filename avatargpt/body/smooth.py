"""Whether a made stretch pops: the verifier of in-between candidates, measured against recordings.

A stretch may be as rough as recordings are, or as rough as the clips that it joins where these are rougher.
"""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.measures import TOES, jerk
from vqvae.motion import Motion

JERK = 3 * 0.166
"""Metres per frame^3 at 20 fps (`kinematics.measures.jerk`): three times the 95th percentile of all frames of
the corpus' 3,144 training clips, whose 99.9th is 0.47."""
STEP = 0.59
"""Metres per frame at 20 fps: the toes' 99.99th percentile over the same frames."""
NEAR = 40  # frames of the given clips that are looked at
SPAN = 3  # frames of a given clip that a third difference across the seam reaches


def roughness(start: Motion, middle: Motion, end: Motion) -> float:
    """How much of what is allowed the roughest frame takes, of jerk or of the toes' steps; above 1 the middle pops.

    Args:
        start, middle, end: as they stand, of one frame rate; the middle has at least 1 frame.
    """
    fps = middle.fps
    before, after = (m.joints for m in (start.slice(max(0, len(start) - NEAR), len(start)), end.slice(0, NEAR)))
    across = np.concatenate([before[-SPAN:], middle.joints, after[:SPAN]])
    shares = [
        kind(across, fps) / max([limit, *(kind(given, fps) for given in (before, after))])
        for kind, limit in ((_jerk, JERK), (_step, STEP))
    ]
    return max(shares)


def _jerk(joints: np.ndarray, fps: float) -> float:
    return float(jerk(joints, fps).max()) if len(joints) > SPAN else 0.0


def _step(joints: np.ndarray, fps: float) -> float:
    steps = np.linalg.norm(np.diff(joints[:, TOES], axis=0), axis=-1)
    return float(steps.max()) * fps / 20 if len(steps) else 0.0
