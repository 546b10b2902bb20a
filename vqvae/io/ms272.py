"""MotionStreamer's 272 channels, for exchange with its models and files.

Frame rate 30, T frames give T rows. "Facing" is the yaw of the root's own rotation; the first frame keeps its own.

| channels | what | unit |
|---|---|---|
| 0:2 | planar root velocity (x, z) that leads to the frame, in the facing of the frame before; first 0 | m per frame |
| 2:8 | turn against the frame before: 6D rotation about Y (first two rows of the matrix); first identity | |
| 8:74 | 22 joint positions without facing, x and z relative to the root, y over the clip's lowest joint | m |
| 74:140 | 22 velocities: differences of 8:74 that lead to the frame; first 0 | m per frame |
| 140:272 | 22 x 6D local rotations (first two rows of the matrix), the root's without facing | |

Source: Xiao et al. 2025, "MotionStreamer" (arXiv 2503.15451), and the processing scripts of
github.com/Li-xingXiao/272-dim-Motion-Representation. The accumulated turn counts from the first frame, which the
scripts make face +Z before.

Not kept: place and first facing of the clip, the floor's height. Positions are those of the recorded body, so
`recover_joints` reads them and not the rotations.
"""

from __future__ import annotations

import numpy as np

from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

DIM, FPS, JOINTS = 272, 30.0, 22
_CHEST, _HEAD = SMPL22.index("spine3"), SMPL22.index("head")
_POSITIONS, _ROTATIONS = slice(8, 74), slice(140, 272)


def _matrices(rows: np.ndarray) -> np.ndarray:
    """(..., 6) -> (..., 3, 3) by Gram-Schmidt."""
    a, b = rows[..., :3], rows[..., 3:]
    with np.errstate(invalid="ignore", divide="ignore"):
        x = a / np.linalg.norm(a, axis=-1, keepdims=True)
        y = b - (x * b).sum(-1, keepdims=True) * x
        y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], -2)


def _check_features(features: np.ndarray) -> np.ndarray:
    f = np.asarray(features, np.float64)
    if f.ndim != 2 or f.shape[1] != DIM or not len(f):
        raise UserError(f"ms272: features {f.shape}; accepted (T, {DIM}) with T >= 1")
    if not np.isfinite(f).all():
        raise UserError(f"ms272: NaN or infinity at frame {int(np.argmin(np.isfinite(f).all(1)))}")
    return f


def recover_joints(features: np.ndarray) -> np.ndarray:
    """Positions (T, 22, 3) float32 metres from channels 0:74 of (T, 272); the first root at x = z = 0."""
    f = _check_features(features)
    turn = _matrices(f[:, 2:8])
    if not np.isfinite(turn).all():
        raise UserError(f"ms272: frame {int(np.argmin(np.isfinite(turn).all((1, 2))))}: a turn without direction")
    back = np.empty_like(turn)
    back[0] = turn[0]
    for i in range(1, len(f)):
        back[i] = turn[i] @ back[i - 1]
    back = np.swapaxes(back, 1, 2)
    step = np.zeros((len(f), 3))
    step[:, 0], step[:, 2] = f[:, 0], f[:, 1]
    step[1:] = np.einsum("tij,tj->ti", back[:-1], step[1:])
    x = np.einsum("tij,tkj->tki", back, f[:, _POSITIONS].reshape(-1, JOINTS, 3))
    return np.asarray(x + np.cumsum(step, 0)[:, None] * np.array([1, 0, 1]), np.float32)


def face_direction(features: np.ndarray) -> np.ndarray:
    """(T, 3) unit vectors of the face in the chest's axes, from channels 140:272; (0, 0, 1) is straight ahead."""
    local = _matrices(_check_features(features)[:, _ROTATIONS].reshape(-1, JOINTS, 6))
    turn, j = np.broadcast_to(np.eye(3), (len(local), 3, 3)), _HEAD
    while j != _CHEST:
        turn, j = local[:, j] @ turn, SMPL22.parents[j]
    if not np.isfinite(turn).all():
        raise UserError(f"ms272: frame {int(np.argmin(np.isfinite(turn).all((1, 2))))}: a rotation without direction")
    return np.asarray(turn[:, :, 2])
