"""The form of our head: a distance field of ellipsoids and capsules, and rays that meet its surface.

Metres. Zero lies between the ears at the height of the eyes; X to the person's left, Y up, the face looks along +Z.
Every surface point is seen from one point inside, `CENTRE`, so longitude and elevation address it.
"""

from __future__ import annotations

import numpy as np

EYE = np.array([0.0318, 0.0, 0.0628])  # centre of the left eyeball
EYE_RADIUS = 0.0168
LID_RADIUS = EYE_RADIUS + 0.0016
NECK_END = -0.195
CENTRE = np.array([0.0, 0.0, -0.018])
_BLEND = 0.0075  # m, roundness of the smooth union
_LID_BLEND = 0.0042  # m, of the lids with the skin around them: a sharper one shows the ball behind
# centre, radii
_ELLIPSOIDS = (
    ((0, 0.036, -0.014), (0.0760, 0.083, 0.094)),  # skull
    ((0, 0.030, 0.040), (0.056, 0.052, 0.042)),  # forehead
    ((0, -0.030, 0.022), (0.0585, 0.076, 0.060)),  # face
    ((0, -0.0945, 0.0620), (0.0165, 0.0165, 0.0200)),  # chin
    ((0, -0.066, 0.070), (0.0270, 0.0200, 0.0140)),  # around the mouth
    ((0.0350, -0.032, 0.0520), (0.0230, 0.0200, 0.0190)),  # cheek
    ((0.0094, -0.0385, 0.0890), (0.0062, 0.0056, 0.0080)),  # side of the nose
)
# ends, radii
_CAPSULES = (
    ((0.051, -0.040, -0.002), (0.0125, -0.0945, 0.0580), 0.0165, 0.0130),  # jaw
    ((0.000, 0.008, 0.0800), (0.0, -0.020, 0.0905), 0.0052, 0.0052),  # bridge of the nose
    ((0.000, -0.020, 0.0905), (0.0, -0.0335, 0.0962), 0.0052, 0.0082),  # tip
    ((0.010, 0.019, 0.0735), (0.036, 0.020, 0.0620), 0.0110, 0.0095),  # ridge of the brow
    ((0.000, -0.040, -0.026), (0.0, -0.250, -0.034), 0.0440, 0.0475),  # neck
)
_SOCKET = (np.array([0.0325, -0.001, 0.0850]), 0.0175)


def smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth step between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    out: np.ndarray = t * t * (3 - 2 * t)
    return out


def _smooth_min(parts: list[np.ndarray], k: float) -> np.ndarray:
    low = np.minimum.reduce(parts)
    out: np.ndarray = low - k * np.log(sum(np.exp((low - p) / k) for p in parts))
    return out


def distance(points: np.ndarray) -> np.ndarray:
    """Signed distance (...,) of points (..., 3) to the skin without lips; both sides alike. First order only."""
    p = np.concatenate([np.abs(points[..., :1]), points[..., 1:]], -1)
    parts = []
    for centre, radii in _ELLIPSOIDS:
        q, r = p - np.array(centre), np.array(radii)
        k0, k1 = np.linalg.norm(q / r, axis=-1), np.linalg.norm(q / r**2, axis=-1)
        parts.append(k0 * (k0 - 1) / np.maximum(k1, 1e-9))
    for start, end, first, last in _CAPSULES:
        a, axis = np.array(start), np.array(end) - np.array(start)
        t = np.clip((p - a) @ axis / float(axis @ axis), 0, 1)
        parts.append(np.linalg.norm(p - a - t[..., None] * axis, axis=-1) - (first + t * (last - first)))
    skin = _smooth_min(parts, _BLEND)
    hollow = _SOCKET[1] - np.linalg.norm(p - _SOCKET[0], axis=-1)
    skin = -_smooth_min([-skin, -hollow], 0.0085)
    return _smooth_min([skin, np.linalg.norm(p - EYE, axis=-1) - LID_RADIUS], _LID_BLEND)


def gradient(points: np.ndarray) -> np.ndarray:
    """Unit gradient (..., 3) of :func:`distance` by central differences: the skin's normal."""
    step = 5e-5
    out = np.stack([distance(points + d) - distance(points - d) for d in np.eye(3) * step], -1)
    return out / np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-9)


def direction(longitude: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3); longitude 0 looks along +Z and grows towards +X, elevation grows upwards. Radians."""
    longitude, elevation = np.broadcast_arrays(longitude, elevation)
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(longitude), np.sin(elevation), flat * np.cos(longitude)], -1)


def cast(longitude: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """(..., 3) where rays from `CENTRE` leave the skin."""
    rays = direction(longitude, elevation)
    reach = np.full(rays.shape[:-1], 0.24)
    for _ in range(32):  # from outside inwards, shortened because the field is exact to first order only
        reach = reach - 0.85 * distance(CENTRE + rays * reach[..., None])
    out: np.ndarray = CENTRE + rays * reach[..., None]
    return out


def slide(points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """`moved` (N, 3) brought back to the height above the skin that `points` (N, 3) have: skin slides over bone."""
    lift = distance(moved) - distance(points)
    out: np.ndarray = moved - lift[:, None] * gradient(moved)
    return out
