"""Quaternions (w, x, y, z) in numpy, and the 6D form in numpy and torch.

Torch conversions use roma; loading and exporting motion needs no torch. The 6D form is the first two columns of the
rotation matrix (Zhou et al. 2019, arXiv 1812.07035), orthonormalised by Gram-Schmidt on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def identity(shape: tuple[int, ...]) -> np.ndarray:
    """Identity quaternions of shape (*shape, 4), float64."""
    q = np.zeros((*shape, 4))
    q[..., 0] = 1
    return q


def normalize(q: np.ndarray) -> np.ndarray:
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product: apply b first, then a. (..., 4), broadcasting."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack([
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ], -1)  # fmt: skip


def conjugate(q: np.ndarray) -> np.ndarray:
    return q * np.array([1, -1, -1, -1], q.dtype)


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Rotate vectors v (..., 3) by q (..., 4), broadcasting."""
    u, w = q[..., 1:], q[..., :1]
    t = 2 * np.cross(u, v)
    return v + w * t + np.cross(u, t)


def below_parents(world: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Rotations (T, J, 4) in the world -> those relative to the parents (J), of which -1 is the world."""
    local = world.copy()
    for j, p in enumerate(parents):
        if p >= 0:
            local[:, j] = multiply(conjugate(world[:, p]), world[:, j])
    return local


def from_axis_angle(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), radians -> quaternions (..., 4)."""
    v = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    half = angle / 2
    # sin(x/2)/x -> 1/2 - x^2/48 near zero
    scale = np.where(angle < 1e-6, 0.5 - angle**2 / 48, np.sin(half) / np.where(angle < 1e-6, 1, angle))
    return np.concatenate([np.cos(half), v * scale], -1)


def to_axis_angle(q: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) -> rotation vectors (..., 3), radians, angle <= pi."""
    q = np.where(q[..., :1] < 0, -q, q)
    n = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(n, q[..., :1])
    return q[..., 1:] * np.where(n < 1e-9, 2.0, angle / np.where(n < 1e-9, 1, n))


def from_euler(angles: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """(T, k) radians about the axes (0 to 2 = X to Z), applied from right to left -> quaternions (T, 4)."""
    q = identity((len(angles),))
    for half, axis in zip(angles.T / 2, axes, strict=True):
        turn = np.zeros((len(angles), 4))
        turn[:, 0], turn[:, 1 + axis] = np.cos(half), np.sin(half)
        q = multiply(q, turn)
    return q


def about_y(angle: np.ndarray | float) -> np.ndarray:
    """Quaternion of a turn by `angle` radians about +Y (positive turns +Z towards +X: to the character's left)."""
    half = np.asarray(angle, np.float64) / 2
    return np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], -1)


def to_matrix(q: np.ndarray) -> np.ndarray:
    """(..., 4) -> (..., 3, 3); q need not be exactly unit."""
    w, x, y, z = np.moveaxis(normalize(q), -1, 0)
    return np.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ], -1).reshape(*q.shape[:-1], 3, 3)  # fmt: skip


def from_matrix(m: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 4) with w >= 0. Picks the largest of the four candidates (stable everywhere)."""
    d = np.diagonal(m, axis1=-2, axis2=-1)
    t = d.sum(-1)
    four = np.stack([1 + t, 1 - t + 2 * d[..., 0], 1 - t + 2 * d[..., 1], 1 - t + 2 * d[..., 2]], -1)
    s = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]]
    a = [m[..., 2, 1] + m[..., 1, 2], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 0] + m[..., 0, 1]]
    rows = np.stack([
        np.stack([four[..., 0], s[0], s[1], s[2]], -1), np.stack([s[0], four[..., 1], a[2], a[1]], -1),
        np.stack([s[1], a[2], four[..., 2], a[0]], -1), np.stack([s[2], a[1], a[0], four[..., 3]], -1),
    ], -2)  # fmt: skip
    q = normalize(np.take_along_axis(rows, four.argmax(-1)[..., None, None], -2)[..., 0, :])
    return np.where(q[..., :1] < 0, -q, q)


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shortest rotation taking direction a (..., 3) to direction b (..., 3)."""
    a, b = a / np.linalg.norm(a, axis=-1, keepdims=True), b / np.linalg.norm(b, axis=-1, keepdims=True)
    q = np.concatenate([1 + (a * b).sum(-1, keepdims=True), np.cross(a, b)], -1)
    # Opposite directions: half a turn about any axis square to a, here the one from its smallest component.
    axis = np.cross(a, np.eye(3)[np.abs(a).argmin(-1)])
    half_turn = np.concatenate([np.zeros_like(q[..., :1]), np.broadcast_to(axis, q[..., 1:].shape)], -1)
    return normalize(np.where(q[..., :1] < 1e-8, half_turn, q))


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle in radians of the rotation from a to b, (..., 4) each."""
    return 2 * np.arccos(np.clip(np.abs((normalize(a) * normalize(b)).sum(-1)), 0, 1))


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray | float) -> np.ndarray:
    """Spherical interpolation along the shorter arc; t broadcasts against (...,)."""
    t = np.asarray(t, np.float64)[..., None]
    rel = multiply(conjugate(a), b)
    return multiply(a, from_axis_angle(to_axis_angle(rel) * t))


def continuous(q: np.ndarray) -> np.ndarray:
    """Flip signs along axis 0 so that neighbouring quaternions lie in the same half-space. (T, ..., 4)."""
    dots = (q[1:] * q[:-1]).sum(-1, keepdims=True)
    sign = np.concatenate([np.ones_like(q[:1, ..., :1]), np.cumprod(np.where(dots < 0, -1.0, 1.0), 0)])
    return q * sign


def to_6d(q: np.ndarray) -> np.ndarray:
    """(..., 4) -> (..., 6): first column, then second column of the matrix."""
    return np.moveaxis(to_matrix(q)[..., :2], -1, -2).reshape(*q.shape[:-1], 6)


def from_6d(x: np.ndarray) -> np.ndarray:
    """(..., 6) -> unit quaternions (..., 4); Gram-Schmidt."""
    a, b = x[..., :3], x[..., 3:]
    a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-8)
    b = b - (a * b).sum(-1, keepdims=True) * a
    b = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), 1e-8)
    return from_matrix(np.stack([a, b, np.cross(a, b)], -1))


def matrix_from_quaternion(q: torch.Tensor) -> torch.Tensor:
    """Unit quaternions (..., 4) w, x, y, z -> (..., 3, 3), differentiable, by roma."""
    import roma

    return roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(q))


def matrix_from_6d(x: torch.Tensor) -> torch.Tensor:
    """(..., 6) -> (..., 3, 3), differentiable, by roma's Gram-Schmidt."""
    import roma

    return roma.special_gramschmidt(x.unflatten(-1, (2, 3)).transpose(-1, -2))
