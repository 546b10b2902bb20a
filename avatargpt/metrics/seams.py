"""How visible the seams of long motion are: jerk around transitions, after FlowMDM (Barquero et al. 2024).

The jerk of a frame is the third difference of the joints, L1 over xyz, largest joint, at 20 fps and not divided by time
(`avatargpt.kinematics.measures.jerk`). Its mean over many transitions, frame by frame of a window of 60 frames, is the
profile; PJ is the profile's maximum, AUJ the sum over frames of its distance to the mean jerk of real motion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.kinematics.measures import contact_slide, foot_skate, jerk, transition_jerk

WINDOW = 60  # frames at 20 fps


def windows(joints: np.ndarray, centres: Sequence[float], size: int = WINDOW) -> list[np.ndarray]:
    """Stretches (size, 22, 3) of (T, 22, 3) joints about each centre (frame), those that lie within the motion."""
    starts = [round(c - size / 2) for c in centres]
    return [joints[s : s + size] for s in starts if 0 <= s <= len(joints) - size]


def mean_jerk(clips: Sequence[np.ndarray], fps: float = 20.0) -> float:
    """Mean `jerk` over all frames of clips (T, 22, 3), T >= 4 (shorter ones are left out)."""
    return float(np.concatenate([jerk(c, fps) for c in clips if len(c) >= 4]).mean())


def seam_figures(cut: Sequence[np.ndarray], real: float, fps: float = 20.0) -> dict[str, float]:
    """All figures of one way to make transitions.

    Args:
        cut: windows of equal length (W, 22, 3), the transition in the middle.
        real: mean jerk of real motion.
        fps: frames per second.

    Returns:
        ``peak_jerk`` PJ; ``area_under_jerk`` AUJ; ``area_above``, ``area_below``: its two parts, rougher and smoother
        than real motion; ``mean_jerk``; ``foot_skate`` (share of frames, see `physics.foot_skate`) and
        ``contact_slide`` (mm per frame), means over windows.
    """
    profile = np.mean([jerk(w, fps) for w in cut], axis=0)
    peak, area = transition_jerk(list(cut), fps, real)
    return {
        "peak_jerk": peak, "area_under_jerk": area,
        "area_above": float(np.maximum(profile - real, 0).sum()),
        "area_below": float(np.maximum(real - profile, 0).sum()), "mean_jerk": float(profile.mean()),
        "foot_skate": float(np.mean([foot_skate(w, fps) for w in cut])),
        "contact_slide": float(np.mean([contact_slide(w, fps) for w in cut])),
    }  # fmt: skip
