"""Measures of the body, and its trunk: pelvis, spine, neck and head from blended angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.synth.geometry import Array, apply, euler, unapply
from vqvae.skeleton import SMPL22

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
# minimum height of a joint's centre above the floor
RADIUS = {"pelvis": 0.095, "l_hip": 0.075, "r_hip": 0.075, "spine1": 0.09, "spine2": 0.09, "spine3": 0.09,
          "neck": 0.06, "head": 0.09, "l_shoulder": 0.06, "r_shoulder": 0.06, "l_knee": 0.045, "r_knee": 0.045,
          "l_elbow": 0.035, "r_elbow": 0.035, "l_wrist": 0.03, "r_wrist": 0.03}  # fmt: skip
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

    def moved(self, delta: Array) -> None:
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
