"""Vectorised geometry for posing: Euler matrices, two-bone reach, filters along frames, and the pose of the trunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vqvae.limbs import middle_joint
from vqvae.skeleton import SMPL22

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
    return middle_joint(root, axis, pole, upper, lower, reached), root + axis * reached[:, None]


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

    def shift(self, offset: int) -> Array:
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
        return sum(w * values[self.shift(o)] for w, o in zip(weights, range(-reach, reach + 1), strict=True))

    def envelope(self, values: Array) -> Array:
        """A smooth curve that is nowhere below `values` (N,): the largest of the neighbours, then smoothed."""
        largest, reach = values, 3
        for o in range(-reach, reach + 1):
            largest = np.maximum(largest, values[self.shift(o)])
        return self.smooth(largest, reach / 2.5)


OFFSET = {n: SMPL22.offsets[i] for i, n in enumerate(SMPL22.names)}
J = {n: i for i, n in enumerate(SMPL22.names)}
THIGH, SHIN = -OFFSET["l_knee"][1], -OFFSET["l_ankle"][1]
UPPER_ARM, FOREARM = OFFSET["l_elbow"][0], OFFSET["l_wrist"][0]
FLAT = 8.0  # pitch of the foot when the sole is flat, degrees (of the standing recordings)
TOE_HEIGHT = 0.006  # of the foot joint on the floor, metres
_C, _S = np.cos(np.radians(FLAT)), np.sin(np.radians(FLAT))
TOE = OFFSET["l_foot"]
TOE_FORWARD = TOE[2] * _C + TOE[1] * _S
ANKLE_HEIGHT = TOE_HEIGHT - (TOE[1] * _C - TOE[2] * _S)
HEEL_BACK = 0.05
# a standing pelvis leaves the knees about 12 degrees bent, as in recordings
STAND = float(-OFFSET["l_hip"][1] + ANKLE_HEIGHT + 0.9935 * (THIGH + SHIN))
SPINE_LIMITS = (85.0, 75.0, 45.0)
HEAD_LIMITS = (62.0, 80.0, 42.0)


def soft_limit(value: Array, limit: float) -> Array:
    """Identity up to 80 % of `limit`, then bending towards it."""
    knee = 0.8 * limit
    over = np.maximum(np.abs(value) - knee, 0)
    return np.sign(value) * (np.minimum(np.abs(value), knee) + (limit - knee) * np.tanh(over / (limit - knee)))


@dataclass(eq=False)
class Trunk:
    """Global positions (N, 3) and matrices (N, 3, 3) of the central joints, hips, and the arms' bases."""

    position: dict[str, Array]
    matrix: dict[str, Array]

    def move(self, delta: Array) -> None:
        """Shift everything by (N, 3)."""
        for name in self.position:
            self.position[name] = self.position[name] + delta


def pose_trunk(pelvis: Array, turn: Array, spine: Array) -> Trunk:
    """Pelvis to spine3.

    Args:
        pelvis: (N, 3) position of the pelvis, metres.
        turn: (N, 3) its pitch, yaw, roll, degrees.
        spine: (N, 3) sum over the three spine joints, degrees.
    """
    position, matrix = {"pelvis": pelvis}, {"pelvis": euler(turn[:, 0], turn[:, 1], turn[:, 2])}
    limited = np.stack([soft_limit(spine[:, i], SPINE_LIMITS[i]) for i in range(3)], 1)
    # the lumbar part bends most, the chest turns most
    shares = {"spine1": (0.38, 0.2, 0.36), "spine2": (0.34, 0.36, 0.34), "spine3": (0.28, 0.44, 0.3)}
    up = "pelvis"
    for name, share in shares.items():
        local = euler(limited[:, 0] * share[0], limited[:, 1] * share[1], limited[:, 2] * share[2])
        position[name] = position[up] + matrix[up] @ OFFSET[name]
        matrix[name] = matrix[up] @ local
        up = name
    for name in ("l_hip", "r_hip"):
        position[name] = position["pelvis"] + matrix["pelvis"] @ OFFSET[name]
    for name in ("neck", "l_collar", "r_collar"):
        position[name] = position["spine3"] + matrix["spine3"] @ OFFSET[name]
    return Trunk(position, matrix)


def pose_head(trunk: Trunk, head: Array) -> None:
    """Neck and head, half of the angles (N, 3) each, within limits."""
    half = np.stack([soft_limit(head[:, i], HEAD_LIMITS[i]) for i in range(3)], 1) / 2
    local = euler(half[:, 0], half[:, 1], half[:, 2])
    trunk.matrix["neck"] = trunk.matrix["spine3"] @ local
    trunk.position["head"] = trunk.position["neck"] + trunk.matrix["neck"] @ OFFSET["head"]
    trunk.matrix["head"] = trunk.matrix["neck"] @ local


def gaze_angles(trunk: Trunk, point: Array) -> tuple[Array, Array]:
    """Pitch and yaw of the head relative to the chest that look at a point (N, 3), degrees."""
    eyes = trunk.position["neck"] + apply(trunk.matrix["spine3"], np.array([0.0, 0.13, 0.08])[None])
    way = unapply(trunk.matrix["spine3"], point - eyes)
    flat = np.sqrt(way[:, 0] ** 2 + way[:, 2] ** 2)
    return -np.degrees(np.arctan2(way[:, 1], np.maximum(flat, 1e-6))), np.degrees(np.arctan2(way[:, 0], way[:, 2]))
