"""Somebody who stands and talks: weight that goes from leg to leg over feet that stay. A rule, not a network."""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot
from vqvae.features.gesture import SOLES
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

APART = 0.04  # m that each foot stands outside its hip
TOES_OUT = np.radians(8.0)
REACH = 0.993  # of a leg's length, hip to ankle, where the weight is in the middle: knees at ease
SWAYS = ((0.010, 11.3), (0.004, 4.7)), ((0.004, 9.1), (0.002, 3.3))
"""Metres and seconds of the waves in which the pelvis goes sideways, and forward and back."""
_LEGS = ((1, 4, 7, 10, 1.0), (2, 5, 8, 11, -1.0))  # hip, knee, ankle, toe, side


def standing(start: int, stop: int, fps: float = 30.0, seed: int = 0) -> Motion:
    """Frames [start, stop) of somebody who stands at the origin facing +Z, pelvis upright, all above as at rest.

    Any part is what the whole would have there.

    Args:
        seed: of when the weight is where.
    """
    at, phases = np.arange(start, stop) / fps, np.random.default_rng([seed, 71]).uniform(0, 2 * np.pi, (2, 2))
    moved = [
        sum(size * np.sin(2 * np.pi * at / seconds + p) for (size, seconds), p in zip(waves, row, strict=True))
        for waves, row in zip(SWAYS, phases, strict=True)
    ]
    offsets = SMPL22.offsets
    thigh, shin = float(-offsets[4, 1]), float(-offsets[7, 1])
    ankle = SOLES - offsets[10, 1]
    height = ankle + np.sqrt((REACH * (thigh + shin)) ** 2 - APART**2) - offsets[1, 1]
    root = np.stack([moved[0], np.full(len(at), height), moved[1]], 1)
    rotations = rot.identity((len(at), len(SMPL22.names)))
    for hip, knee, foot, _, side in _LEGS:
        target = np.array([offsets[hip, 0] + side * APART, ankle, offsets[hip, 2]])
        turn = rot.about_y(side * TOES_OUT)
        upper, lower = _leg(target - root - offsets[hip], rot.rotate(turn, np.array([0.0, 0, 1])), thigh, shin)
        rotations[:, hip] = upper
        rotations[:, knee] = rot.multiply(rot.conjugate(upper), lower)
        rotations[:, foot] = rot.multiply(rot.conjugate(lower), turn)
    return Motion(rotations, root, fps)


def _leg(way: np.ndarray, front: np.ndarray, thigh: float, shin: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 4) of thigh and shin in the world for hip to ankle (T, 3), the knee to the `front` (3,)."""
    far = np.minimum(np.linalg.norm(way, axis=1), 0.9999 * (thigh + shin))
    down = way / np.linalg.norm(way, axis=1, keepdims=True)
    ahead = front - down * (down @ front)[:, None]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    cosine = (thigh**2 + far**2 - shin**2) / (2 * thigh * far)  # law of cosines, at the hip
    knee = thigh * (cosine[:, None] * down + np.sqrt(1 - cosine[:, None] ** 2) * ahead)
    side = np.cross(-down, ahead)

    def along(bone: np.ndarray) -> np.ndarray:
        up = -bone / np.linalg.norm(bone, axis=1, keepdims=True)
        return rot.from_matrix(np.stack([side, up, np.cross(side, up)], -1))

    return along(knee), along(way - knee)
