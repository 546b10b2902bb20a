"""Vectorised geometry for posing: Euler matrices, two-bone reach, filters along the frames of stacked clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray


def euler(pitch: Array, yaw: Array, roll: Array) -> Array:
    """Matrices of yaw about Y, then pitch about X, then a tilt to the left about -Z. Degrees (...,) -> (..., 3, 3)."""
    p, y, r = np.radians(pitch), np.radians(yaw), -np.radians(roll)
    cp, sp, cy, sy, cr, sr = np.cos(p), np.sin(p), np.cos(y), np.sin(y), np.cos(r), np.sin(r)
    out = np.empty((*np.shape(p), 3, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = cp * sr, cp * cr, -sp
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp
    return out


def apply(matrix: Array, vector: Array) -> Array:
    """(..., 3, 3) times (..., 3)."""
    return (
        matrix[..., 0] * vector[..., 0, None] + matrix[..., 1] * vector[..., 1, None]
        + matrix[..., 2] * vector[..., 2, None]
    )  # fmt: skip


def unapply(matrix: Array, vector: Array) -> Array:
    """The transposed matrix times the vector."""
    return (
        matrix[..., 0, :] * vector[..., 0, None] + matrix[..., 1, :] * vector[..., 1, None]
        + matrix[..., 2, :] * vector[..., 2, None]
    )  # fmt: skip


def cross(a: Array, b: Array) -> Array:
    """Cross product of (..., 3), faster than numpy's."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


def dot(a: Array, b: Array) -> Array:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def length(a: Array) -> Array:
    return np.sqrt(dot(a, a))


def unit(a: Array) -> Array:
    return a / np.maximum(length(a), 1e-9)[..., None]


def square_to(axis: Array, direction: Array, instead: Array) -> Array:
    """Unit part of `direction` square to the unit `axis`; where it vanishes, that of `instead`."""
    out = direction - axis * dot(axis, direction)[..., None]
    fallback = instead - axis * dot(axis, instead)[..., None]
    short = np.clip(1 - length(out) / 0.15, 0, 1)[..., None]
    return unit(out + short * fallback)


def frame(x: Array, y: Array, z: Array) -> Array:
    """Matrices with these columns."""
    return np.stack([x, y, z], -1)


def smoothstep(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def minimum_jerk(s: Array) -> Array:
    """10 s^3 - 15 s^4 + 6 s^5 (Flash and Hogan 1985), the path from 0 to 1 of least jerk."""
    return s * s * s * (10 + s * (6 * s - 15))


def bend(
    root: Array, target: Array, pole: Array, upper: float, lower: float, shortest: float, soft: float
) -> tuple[Array, Array]:
    """Middle and end joint of a two-bone limb that reaches for a target.

    Args:
        root, target: (N, 3).
        pole: (N, 3) unit direction square to the line, in which the middle joint stands off.
        upper, lower: bone lengths.
        shortest: distance of root and end at the largest bend.
        soft: share of the length over which the last stretch is approached, so that a limb does not snap straight.

    Returns:
        middle and end (N, 3); the end differs from the target where that is out of reach.
    """
    way = target - root
    distance = length(way)
    axis = way / np.maximum(distance, 1e-9)[:, None]
    far = upper + lower
    soft = soft * far
    over = np.maximum(distance - (far - soft), 0)
    reached = np.where(over > 0, far - soft + (soft * 0.96) * over / (soft + over), distance)
    reached = np.maximum(reached, shortest)
    along = (upper * upper - lower * lower + reached * reached) / (2 * reached)
    off = np.sqrt(np.maximum(upper * upper - along * along, 0))
    return root + axis * along[:, None] + pole * off[:, None], root + axis * reached[:, None]


@dataclass(frozen=True, eq=False)
class Layout:
    """Frames of several clips one after another."""

    counts: Array  # (B,) frames of each clip

    @cached_property
    def starts(self) -> Array:
        return np.concatenate([[0], np.cumsum(self.counts)])

    @cached_property
    def clip(self) -> Array:
        """(N,) clip of each frame."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @cached_property
    def frame(self) -> Array:
        """(N,) number of each frame within its clip."""
        return np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], self.counts)

    def shifted(self, offset: int) -> Array:
        """(N,) indices of the frame `offset` later, staying within the clip."""
        if offset not in self._shifts:
            first, last = self._ends
            self._shifts[offset] = np.clip(np.arange(self.starts[-1]) + offset, first, last)
        return self._shifts[offset]

    @cached_property
    def _shifts(self) -> dict[int, Array]:
        return {}

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        """(N,) first and last frame of each frame's clip."""
        return np.repeat(self.starts[:-1], self.counts), np.repeat(self.starts[1:] - 1, self.counts)

    def smooth(self, values: Array, sigma: float) -> Array:
        """Gaussian filter along each clip, ends held. values (N, ...), sigma in frames."""
        reach = int(np.ceil(2.5 * sigma))
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        weights /= weights.sum()
        return sum(w * values[self.shifted(o)] for w, o in zip(weights, range(-reach, reach + 1), strict=True))

    def envelope(self, values: Array) -> Array:
        """A smooth curve that is nowhere below `values` (N,): the largest of the neighbours, then smoothed."""
        largest, reach = values, 3
        for o in range(-reach, reach + 1):
            largest = np.maximum(largest, values[self.shifted(o)])
        return self.smooth(largest, reach / 2.5)
