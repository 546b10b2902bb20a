"""Distances between a motion and the motion it should be: joints in metres in, errors out.

Arrays are (T, 22, 3) world positions of one clip, Y up; both clips have the same number of frames.
"""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import heading


def _pair(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if a.shape != b.shape or a.ndim != 3 or a.shape[1:] != (22, 3) or not len(a):
        raise ValueError(f"joints {a.shape} and {b.shape}; both must be (T, 22, 3) with the same T >= 1")
    return a, b


def heading_frame(joints: np.ndarray) -> np.ndarray:
    """Every frame with its root's x and z and its yaw taken away; heights stay.

    The yaw is that of the hips and shoulders (`vqvae.motion.heading`).

    Args:
        joints: (T, 22, 3) metres.

    Returns:
        (T, 22, 3) float64 metres.
    """
    x = np.asarray(joints, np.float64)
    return rot.rotate(rot.about_y(-heading(x))[:, None], x - x[:, :1] * [1, 0, 1])


def start_aligned(joints: np.ndarray) -> np.ndarray:
    """The whole clip moved so that its first frame stands at x = z = 0 and faces +Z. (T, 22, 3) -> same, float64."""
    x = np.asarray(joints, np.float64)
    return rot.rotate(rot.about_y(-heading(x[:1])[0]), x - x[0, 0] * [1, 0, 1])


def mpjpe_heading(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean per-joint position error in the heading frame, millimetres.

    mean over frames and joints of |h(predicted) - h(target)|, h = `heading_frame` of each clip by itself: pose and
    height count, path and direction do not. Source: MPJPE after Ionescu et al. 2014 (Human3.6M), in the root-and-yaw
    free frame in which the tokenizers of HumanML3D's line are compared.
    """
    a, b = _pair(predicted, target)
    return float(1000 * np.linalg.norm(heading_frame(a) - heading_frame(b), axis=-1).mean())


def mpjpe_global(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean per-joint position error in the world as the clips stand, millimetres (Ionescu et al. 2014)."""
    a, b = _pair(predicted, target)
    return float(1000 * np.linalg.norm(a - b, axis=-1).mean())


def drift(predicted: np.ndarray, target: np.ndarray, fps: float, seconds: float = 10.0, align: bool = True) -> float:
    """How far the root has strayed after some time, millimetres in the ground plane.

    |root_xz(predicted) - root_xz(target)| at frame round(seconds * fps) (definition of this project).

    Args:
        predicted: (T, 22, 3).
        target: (T, 22, 3).
        fps: frames per second.
        seconds: when to look.
        align: move both clips to the same start first (`start_aligned`), so that only what accumulates counts.

    Returns:
        Millimetres; NaN when the clip ends before that time.
    """
    a, b = _pair(predicted, target)
    frame = round(seconds * fps)
    if frame >= len(a):
        return float("nan")
    if align:
        a, b = start_aligned(a), start_aligned(b)
    return float(1000 * np.linalg.norm((a - b)[frame, 0, [0, 2]]))


def _pose_distance(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    a, b = _pair(predicted, target)
    return np.linalg.norm((a - b).reshape(len(a), -1), axis=-1)


def ade(predicted: np.ndarray, target: np.ndarray) -> float:
    """Average displacement error, metres: mean over frames of the L2 norm of the 66-d joint vector's difference.

    Give it the predicted (or in-between) frames alone. It is not a mean over joints: an error of d at all 22 joints
    counts as d * sqrt(22). Source: Yuan & Kitani 2020 (DLow), as MotionGPT (Jiang et al. 2023) uses it.
    """
    return float(_pose_distance(predicted, target).mean())


def fde(predicted: np.ndarray, target: np.ndarray) -> float:
    """Final displacement error, metres: `ade`'s norm at the last frame alone (same sources)."""
    return float(_pose_distance(predicted, target)[-1])
