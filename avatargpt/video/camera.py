"""Where a person is before the camera, and where up is: from the landmarks of a film whose camera is not known.

The camera's axes: right of the picture, up, towards the camera; metres. It stands still and does not roll.
"""

from __future__ import annotations

import numpy as np

from avatargpt.video.poses import AT
from vqvae import rotations as rot
from vqvae.posture import unit

FOCAL = 0.9  # focal length in lengths of the picture's longer side: that of phones and webcams, 0.7 to 1.2
FOCAL_DOUBT = 0.3  # standard deviation of its logarithm
TILT_DOUBT = np.radians(4)  # of a camera's elevation as read from a standing person
MIN_DEPTH = 0.5  # m of a path in depth that can say how long the lens is
MAX_TILT = np.radians(50)  # of the camera; beyond, the person is not standing
_LEGS = ("l_ankle", "r_ankle", "l_knee", "r_knee")


def place_origin(
    points: np.ndarray, world: np.ndarray, weight: np.ndarray, size: tuple[int, int], focal: float
) -> np.ndarray:
    """(T, 3) metres: where the origin of `world` lies, by least squares over the projected landmarks.

    Args:
        points: (T, 33, 2) pixels. world: (T, 33, 3) metres. weight: (T, 33). size: of the picture. focal: pixels.
    """
    rows, right = _projection(points, world, size, focal)
    normal = np.einsum("tj,tjka,tjkb->tab", weight, rows, rows) + 1e-9 * np.eye(3)
    x = np.linalg.solve(normal, np.einsum("tj,tjka,tjk->ta", weight, rows, right)[..., None])[..., 0]
    return np.asarray(x * [1, 1, -1])


def mismatch(points: np.ndarray, world: np.ndarray, weight: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T,) metres: how far the projected landmarks lie from where they are seen, at the person's depth."""
    rows, right = _projection(points, world, size, FOCAL * max(size))
    x = place_origin(points, world, weight, size, FOCAL * max(size)) * [1, 1, -1]
    off = np.linalg.norm(np.einsum("tjka,ta->tjk", rows, x) - right, axis=-1)
    return np.asarray((off * weight).sum(1) / weight.sum(1))


def _projection(
    points: np.ndarray, world: np.ndarray, size: tuple[int, int], focal: float
) -> tuple[np.ndarray, np.ndarray]:
    """Linear equations (T, 33, 2, 3) and right sides (T, 33, 2) of the origin's place, its depth positive."""
    u = (points[..., 0] - size[0] / 2) / focal
    v = (size[1] / 2 - points[..., 1]) / focal
    zero, one = np.zeros_like(u), np.ones_like(u)
    rows = np.stack([np.stack([one, zero, -u], -1), np.stack([zero, one, -v], -1)], -2)
    return rows, np.stack([-world[..., 0] - u * world[..., 2], -world[..., 1] - v * world[..., 2]], -1)


def upright(world: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(3,) the vertical, as a person who stands has it: the mean direction from the feet to the shoulders.

    Frames of `world` (T, 33, 3) count as far as the legs are straight and seen, and the trunk stands over them. The
    picture's own vertical where nobody stands.
    """
    at = {name: world[:, k] for name, k in AT.items()}
    feet = (at["l_ankle"] + at["r_ankle"]) / 2
    hips, top = (at["l_hip"] + at["r_hip"]) / 2, (at["l_shoulder"] + at["r_shoulder"]) / 2
    weight = visible[:, [AT[n] for n in _LEGS]].min(1)
    for side in "lr":
        thigh, shin = unit(at[f"{side}_knee"] - at[f"{side}_hip"]), unit(at[f"{side}_ankle"] - at[f"{side}_knee"])
        weight = weight * np.clip(((thigh * shin).sum(-1) - 0.7) / 0.2, 0, 1)
    axis, trunk = unit(top - feet), unit(top - hips)
    weight = weight * np.clip(((axis * trunk).sum(-1) - 0.85) / 0.1, 0, 1)
    if weight.sum() < 5:
        return np.array([0.0, 1, 0])
    mean = unit((axis * weight[:, None]).sum(0))
    for _ in range(5):  # the axes that agree
        far = np.arccos(np.clip(axis @ mean, -1, 1))
        mean = unit((axis * (weight / (1 + (far / np.radians(6)) ** 2))[:, None]).sum(0))
    return mean if mean[1] > np.cos(MAX_TILT) else np.array([0.0, 1, 0])


def level_camera(up: np.ndarray) -> np.ndarray:
    """(4,) quaternion that turns the camera's axes until `up` (3,) is the world's."""
    return rot.between(up, np.array([0.0, 1, 0]))


def lens(before: np.ndarray, floor: np.ndarray, up: np.ndarray) -> float:
    """The true focal length in units of the one that `before` was computed with.

    A longer lens stretches depth alone. On a level floor the rise of a person's way in the picture, and the camera's
    tilt, say how deep it goes; weighted against what lenses usually have.

    Args:
        before: (T, 3) places in the camera's axes. floor: (T,) metres of the lowest foot below the place, along `up`.
        up: (3,) the vertical.
    """
    ground = before - floor[:, None] * up
    depth = ground[:, 2] - ground[:, 2].mean()
    spread = float(depth.std())
    if np.ptp(depth) < MIN_DEPTH or up[2] <= np.sin(TILT_DOUBT) / 2:
        return 1.0
    # along the floor the vertical does not change: y cos(tilt) + depth * stretch * sin(tilt) is constant
    y = ground[:, 1] - ground[:, 1].mean()
    rise = -float((y * depth).mean()) / spread**2
    tilt = float(np.arctan2(up[2], up[1]))
    if rise <= 0.02:
        return 1.0
    measured = np.log(rise / np.tan(tilt))
    doubt = np.hypot(TILT_DOUBT / (np.sin(tilt) * np.cos(tilt)), 0.03 / (rise * spread))
    share = FOCAL_DOUBT**2 / (FOCAL_DOUBT**2 + doubt**2)
    return float(np.exp(np.clip(share * measured, -2 * FOCAL_DOUBT, 2 * FOCAL_DOUBT)))
