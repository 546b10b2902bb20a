"""What can be wrong with a motion by itself: sliding feet, jerks, floating, sinking; and how fast it is.

Every function takes world joints (T, 22, 3) in metres, Y up, floor at y = 0, and the frame rate. None of these has a
right value of its own: give the figure of real clips beside it.
"""

from __future__ import annotations

import numpy as np

from vqvae.smoothing import running_mean

TOES = (10, 11)
"""The joints called l_foot, r_foot: the balls of the feet, about 2 cm above the floor in standing."""
ANKLES = (7, 8)
EXTREMITIES = {"l_ankle": 7, "r_ankle": 8, "l_wrist": 20, "r_wrist": 21}


def _joints(joints: np.ndarray, least: int) -> np.ndarray:
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or len(x) < least:
        raise ValueError(f"joints {x.shape}; accepted (T, 22, 3) with T >= {least}")
    return x


def _planar_speed(feet: np.ndarray, fps: float) -> np.ndarray:
    return np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * fps


def foot_skate(joints: np.ndarray, fps: float, height: float = 0.05, speed: float = 0.5, window: int = 5) -> float:
    """Share of frame steps in which a foot slides on the floor, 0..1.

    A step counts when either toe joint (10, 11) is below `height` in both its frames and moves faster than `speed` in
    the plane, both in this step and on the average over `window` steps (zeros beyond the ends). 0.5 m/s is 2.5 cm per
    frame at 20 fps. Source: Karunratanakul et al. 2023 (Guided Motion Diffusion), "foot skating ratio". The ankles
    are left out: they swing while the toes stand. Real clips score 0.05 to 0.075 there.
    """
    feet = _joints(joints, 2)[:, list(TOES)]
    moved = _planar_speed(feet, fps)
    average = running_mean(moved, window, "constant")
    low = feet[..., 1] < height
    sliding = low[1:] & low[:-1] & (moved > speed) & (average > speed)
    return float(sliding.any(1).mean())


def dart_skate(joints: np.ndarray, fps: float, height: float = 0.03) -> float:
    """Speed of the toes weighted by how near the floor they are, cm/s.

    mean over steps and toe joints (10, 11) of d * (2 - 2^(h / 0.03)), d = planar displacement of the step, h = the
    higher of its two heights limited to [0, 0.03]. Source: Zhao et al. 2025 (DART), after Zhang et al. 2018 (MANN).
    """
    feet = _joints(joints, 2)[:, list(TOES)]
    h = np.clip(np.maximum(feet[1:, :, 1], feet[:-1, :, 1]) / height, 0, 1)
    return float(100 * (_planar_speed(feet, fps) * (2 - 2**h)).mean())


def contact_slide(joints: np.ndarray, fps: float, height: float = 0.05) -> float:
    """Mean planar displacement of toe joints below `height` in both frames of a step, mm per frame at 20 fps.

    0 without contact. Source: the "slide" of physical motion scores (mean foot displacement in contact).
    """
    feet = _joints(joints, 2)[:, list(TOES)]
    low = feet[..., 1] < height
    contact = low[1:] & low[:-1]
    return float(1000 / 20 * _planar_speed(feet, fps)[contact].mean()) if contact.any() else 0.0


def jerk(joints: np.ndarray, fps: float) -> np.ndarray:
    """Jerk of every frame: third finite difference, L1 norm over xyz, maximum over joints.

    Not divided by time: metres per frame^3 at 20 fps (other rates are scaled by (fps / 20)^3).
    Source: Barquero et al. 2024 (FlowMDM).

    Args:
        joints: (T, 22, 3), T >= 4.
        fps: frames per second.

    Returns:
        (T - 3,); entry i spans frames i .. i + 3.
    """
    third = np.diff(_joints(joints, 4), n=3, axis=0)
    return np.abs(third).sum(-1).max(-1) * (fps / 20) ** 3


def peak_jerk(joints: np.ndarray, fps: float) -> float:
    """Largest `jerk` of the clip, metres per frame^3 at 20 fps."""
    return float(jerk(joints, fps).max())


def seam_jerk(joints: np.ndarray, fps: float, seam: int, reach: int = 2) -> float:
    """Largest `jerk` about the seam between frames seam - 1 and seam.

    Looks at the third differences that span the seam or come within `reach` frames of it.

    Raises:
        ValueError: no frame on one side of the seam.
    """
    x = _joints(joints, 4)
    if not 0 < seam < len(x):
        raise ValueError(f"seam {seam}; accepted 1 .. {len(x) - 1}")
    values = jerk(x, fps)
    first = min(max(0, seam - 3 - reach), len(values) - 1)
    return float(values[first : seam + reach].max())


def transition_jerk(windows: list[np.ndarray], fps: float, real: float) -> tuple[float, float]:
    """Peak jerk PJ and area under the jerk AUJ over transition windows (FlowMDM: 60 frames at 20 fps).

    The mean over sequences is taken for each frame of the window; PJ is its maximum, AUJ the sum over frames of
    |mean jerk - real|. Source: Barquero et al. 2024 (FlowMDM).

    Args:
        windows: equally long clips (W, 22, 3) with the transition in the middle.
        fps: frames per second.
        real: mean `jerk` over real clips.

    Returns:
        PJ and AUJ, metres per frame^3 at 20 fps.
    """
    if not windows or len({len(w) for w in windows}) != 1:
        raise ValueError("transition_jerk: at least one window, all of the same length")
    mean = np.mean([jerk(w, fps) for w in windows], axis=0)
    return float(mean.max()), float(np.abs(mean - real).sum())


def peak_speeds(joints: np.ndarray, fps: float) -> dict[str, float]:
    """Largest speed of each wrist and ankle in the world, m/s, by joint name (first differences)."""
    speed = np.linalg.norm(np.diff(_joints(joints, 2), axis=0), axis=-1) * fps
    return {name: float(speed[:, j].max()) for name, j in EXTREMITIES.items()}


def peak_speed(joints: np.ndarray, fps: float) -> float:
    """Largest speed among wrists and ankles, m/s."""
    return max(peak_speeds(joints, fps).values())


def jitter(joints: np.ndarray, fps: float) -> float:
    """Mean length of the second difference over frames and joints, mm per frame^2 at 20 fps.

    Source: the "jitter" of physical motion scores (mean acceleration x 1000). Real motion has plenty: compare.
    """
    second = np.diff(_joints(joints, 3), n=2, axis=0)
    return float(1000 * np.linalg.norm(second, axis=-1).mean() * (fps / 20) ** 2)


def dynamic(joints: np.ndarray, fps: float) -> float:
    """Mean length of the first difference over frames and joints, mm per frame at 20 fps (how much moves at all)."""
    first = np.diff(_joints(joints, 2), axis=0)
    return float(1000 * np.linalg.norm(first, axis=-1).mean() * fps / 20)


def float_share(joints: np.ndarray, fps: float, height: float = 0.05) -> float:
    """Share of frames whose lowest joint is higher than `height` metres, 0..1. Jumps and runs count too; `fps` unused.

    Source: after the "float" scores of PhysDiff (Yuan et al. 2023), as a share of frames.
    """
    return float((_joints(joints, 1)[..., 1].min(1) > height).mean())


def penetration(joints: np.ndarray, fps: float) -> float:
    """Mean depth of the lowest joint below the floor, mm, 0 for frames above it; `fps` unused.

    Source: after "penetrate" of PhysDiff (Yuan et al. 2023), on joints instead of mesh vertices.
    """
    return float(1000 * np.maximum(-_joints(joints, 1)[..., 1].min(1), 0).mean())
