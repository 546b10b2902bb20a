"""The `body` layout: rotations are native, so that export needs no inverse kinematics.

Per frame, in the frame of the body's heading (yaw from hips and shoulders, see `vqvae.motion.heading`, smoothed):

| channels | what | unit |
|---|---|---|
| 0 | root height | m |
| 1:3 | planar root velocity (x, z) in the previous frame's heading | m per frame |
| 3 | yaw rate of the heading | rad per frame |
| 4:10 | root rotation relative to the heading, 6D | |
| 10:136 | 21 local rotations, 6D (first two columns) | |
| 136:199 | 21 joint positions relative to the root, heading frame | m |
| 199:265 | 22 joint velocities, heading frame, root motion included | m per frame |
| 265:269 | contacts: left ankle, left foot, right ankle, right foot | 0 or 1 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features.base import FeatureSpec
from vqvae.motion import Motion

FEET = (7, 10, 8, 11)
# A foot joint is in contact when it is low and slow. Ankles rest about 8 cm above the floor, toes about 2 cm.
CONTACT_HEIGHT = np.array([0.13, 0.07, 0.13, 0.07])
CONTACT_SPEED = 0.02  # metres per frame at 20 fps (0.4 m/s)


def smooth_heading(joints: np.ndarray) -> np.ndarray:
    """(T, 22, 3) -> (T,) heading smoothed as a planar vector over three frames (weights 1 2 1), unwrapped.

    Averaging vectors rather than angles keeps it stable when the body is upside down and the axis is short.
    """
    across = (joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]).astype(np.float64)
    planar = across[:, [0, 2]]
    padded = np.concatenate([planar[:1], planar, planar[-1:]])
    planar = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.unwrap(np.arctan2(-planar[:, 1], planar[:, 0]))


@dataclass
class RootState:
    """Where a decoded stream stands: yaw (radians) and planar position (3,), carried from chunk to chunk."""

    yaw: float
    position: np.ndarray


class BodyFeatures(FeatureSpec):
    """See the module's table. Exactly invertible but for the global position and yaw of the first frame."""

    name, fps, dim = "body", 20.0, 269

    def slices(self) -> dict[str, slice]:
        return {
            "height": slice(0, 1), "velocity": slice(1, 3), "yaw": slice(3, 4), "root_rotation": slice(4, 10),
            "rotations": slice(10, 136), "positions": slice(136, 199), "joint_velocity": slice(199, 265),
            "contacts": slice(265, 269),
        }  # fmt: skip

    def encode(self, motion: Motion) -> np.ndarray:
        if motion.modality != "body":
            raise UserError(f"a {motion.modality} motion where a body is needed")
        motion = motion.resampled(self.fps)
        joints = motion.joints.astype(np.float64)
        yaw = smooth_heading(joints)
        back = rot.about_y(-yaw)
        root = motion.root.astype(np.float64)
        step = np.diff(root, axis=0, prepend=root[:1])
        previous = np.concatenate([back[:1], back[:-1]])
        velocity = rot.rotate(previous, step)[:, [0, 2]]
        local = motion.rotations.astype(np.float64).copy()
        local[:, 0] = rot.multiply(back, local[:, 0])
        relative = rot.rotate(back[:, None], joints[:, 1:] - root[:, None])
        moved = np.diff(joints, axis=0, prepend=joints[:1])
        joint_velocity = rot.rotate(previous[:, None], moved)
        feet = joints[:, list(FEET)]
        speed = np.linalg.norm(np.diff(feet, axis=0, prepend=feet[:1]), axis=-1)
        if len(speed) > 1:
            speed[0] = speed[1]
        contacts = (feet[..., 1] < CONTACT_HEIGHT) & (speed < CONTACT_SPEED)
        n = len(root)
        return np.concatenate([
            root[:, 1:2], velocity, np.diff(yaw, prepend=yaw[:1])[:, None], rot.to_6d(local).reshape(n, -1),
            relative.reshape(n, -1), joint_velocity.reshape(n, -1), contacts,
        ], -1).astype(np.float32)  # fmt: skip

    def decode(self, features: np.ndarray, caption: str = "") -> Motion:
        rotations, root, _ = self.decode_chunk(features, None)
        return Motion(rotations, root, self.fps, "body", caption).canonical()

    def decode_chunk(self, features: np.ndarray, state: RootState | None) -> tuple[np.ndarray, np.ndarray, RootState]:
        """Integrate one chunk of a stream.

        Args:
            features: (T, 269).
            state: the previous chunk's, or None for a stream's start (its first step is then ignored).

        Returns:
            rotations (T, 22, 4), root (T, 3), the state to go on with.
        """
        x = np.asarray(features, np.float64)
        rate, velocity = x[:, 3].copy(), x[:, 1:3].copy()
        if state is None:
            rate[0], velocity[0], state = 0, 0, RootState(0.0, np.zeros(3))
        yaw = state.yaw + np.cumsum(rate)
        previous = np.concatenate([[state.yaw], yaw[:-1]])
        step = rot.rotate(rot.about_y(previous), np.stack([velocity[:, 0], 0 * rate, velocity[:, 1]], -1))
        path = state.position + np.cumsum(step, 0)
        root = np.stack([path[:, 0], x[:, 0], path[:, 2]], -1)
        q = rot.from_6d(x[:, 4:136].reshape(len(x), 22, 6))
        q[:, 0] = rot.multiply(rot.about_y(yaw), q[:, 0])
        return q, root, RootState(float(yaw[-1]), path[-1])


