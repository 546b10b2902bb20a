"""Feature layouts of the modalities `body`, `face` and `gesture`.

`body`, 20 frames per second, in the frame of the body's heading (yaw from hips and shoulders, see
`vqvae.motion.heading`, smoothed). Rotations are native, so that export needs no inverse kinematics.

| channels | content | unit |
|---|---|---|
| 0 | root height above the ground below the body | m |
| 1:3 | planar root velocity (x, z) in the previous frame's heading | m per frame |
| 3 | yaw rate of the heading | rad per frame |
| 4:10 | root rotation relative to the heading, 6D | |
| 10:136 | 21 local rotations, 6D (first two columns) | |
| 136:199 | 21 joint positions relative to the root, heading frame | m |
| 199:265 | 22 joint velocities, heading frame, root motion included | m per frame |
| 265:269 | contacts: left ankle, left foot, right ankle, right foot | 0 or 1 |
| 269 | rise of the ground (`vqvae.ground.support_level`), 0 on one level | m per frame |

`face`, 30 frames per second. All channels are absolute, so any stretch of frames stands alone.

| channels | content | unit |
|---|---|---|
| 0:52 | blendshape weights, Apple's order (`vqvae.arkit.NAMES`) | 0 to 1 |
| 52:55 | head yaw (+ left), pitch (+ up), roll (+ to the right shoulder) | radians |

`gesture`, 30 frames per second: the upper body and the fingers.

| channels | content | unit |
|---|---|---|
| 0:78 | 13 rotations, 6D: `UPPER`; spine1 relative to the body's heading, the others local | |
| 78:258 | 30 local finger rotations, 6D | |
| 258:264 | left and right wrist relative to the chest (spine3), in its axes | m |
| 264:270 | their change since the previous frame | m per frame |

The wrist channels follow from the rotations and are not read in `decode`. They weigh errors by their effect: the same
angle moves the hand by half a metre at a shoulder and by nothing at a fingertip. Lower body and root are not stored:
`decode` puts the person on straight legs at the origin, pelvis upright, facing +Z. Lean and tilt of the pelvis go into
spine1; its turn about the vertical and its path are dropped. Without fingers the hands are taken to be relaxed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.ground import support_level
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS, FACE_FPS, GESTURE_FPS
from vqvae.skeleton import FEET, FINGER_NAMES, SMPL22, SMPL52, constant

if TYPE_CHECKING:
    import torch

# a foot joint is in contact when it is low and slow; ankles rest about 8 cm above the floor, toes about 2 cm
CONTACT_HEIGHT = np.array([0.13, 0.07, 0.13, 0.07])
CONTACT_SPEED = 0.02  # metres per frame at 20 fps (0.4 m/s)
_STARTS = {"eyes": 0, "jaw": 14, "mouth": 18, "brows": 41, "cheeks": 46, "nose": 49, "tongue": 51, "head": 52}
UPPER = (
    "spine1", "spine2", "spine3", "neck", "head", "l_collar", "r_collar", "l_shoulder", "r_shoulder", "l_elbow",
    "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
JOINTS = tuple(SMPL22.index(n) for n in UPPER)
FINGERS = len(FINGER_NAMES)
# the joints that the layout turns, as indices of `SMPL52`
MOVED = [*JOINTS, *range(len(SMPL22.names), len(SMPL52.names))]
CHEST, WRISTS = SMPL22.index("spine3"), [SMPL22.index("l_wrist"), SMPL22.index("r_wrist")]
MIN_RISE_RATE = 0.003  # metres a frame; what a decoder adds on level ground must not add up to a slope
SOLES = 0.02  # m, height of the toes' joints above the floor when standing
# (3,) root of a person on straight legs, metres
STANDING = np.array([0.0, SOLES - SMPL22.rest_joints[SMPL22.index("l_foot"), 1], 0.0])
# degrees by which the fingers of a relaxed hand are bent, joints 1 to 3
_RELAXED = {
    "thumb": (6, 10, 12), "index": (16, 24, 12), "middle": (22, 28, 14), "ring": (26, 30, 15), "pinky": (28, 30, 15),
}  # fmt: skip


class FeatureSpec(ABC):
    """Converts Motion <-> the (T, `dim`) float32 array that networks see, `fps` rows a second.

    `name` identifies the layout in checkpoints.
    """

    name: str
    fps: float
    dim: int

    @abstractmethod
    def encode(self, motion: Motion) -> np.ndarray:
        """Motion (resampled to `fps`, made canonical) -> (T, D) float32."""

    @abstractmethod
    def decode(self, features: np.ndarray, caption: str = "") -> Motion:
        """(T, D) -> canonical Motion."""

    @abstractmethod
    def slices(self) -> dict[str, slice]:
        """Name of every group of channels -> its slice of D."""


def smooth_heading(joints: np.ndarray) -> np.ndarray:
    """(T, 22, 3) -> (T,) heading smoothed as a planar vector over three frames (weights 1 2 1), unwrapped."""
    # Averaged vectors, unlike angles, are stable when the body is upside down and the axis is short.
    across = (joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]).astype(np.float64)
    planar = across[:, [0, 2]]
    padded = np.concatenate([planar[:1], planar, planar[-1:]])
    planar = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.unwrap(np.arctan2(-planar[:, 1], planar[:, 0]))


@dataclass
class RootState:
    """State of a decoded stream between chunks: yaw (radians) and position of the ground below the root (3,)."""

    yaw: float
    position: np.ndarray


class BodyFeatures(FeatureSpec):
    """See the module's table. Exactly invertible but for the global position and yaw of the first frame, and for a rise
    of the ground below `MIN_RISE_RATE`.
    """

    name, fps = "body", BODY_FPS

    def __init__(self, rise: bool = True) -> None:
        """`rise` False: heights above y = 0 and no last channel, the layout of earlier tokenizers."""
        self.rise, self.dim = rise, 270 if rise else 269

    def slices(self) -> dict[str, slice]:
        return {
            "height": slice(0, 1), "velocity": slice(1, 3), "yaw": slice(3, 4), "root_rotation": slice(4, 10),
            "rotations": slice(10, 136), "positions": slice(136, 199), "joint_velocity": slice(199, 265),
            "contacts": slice(265, 269), **({"rise": slice(269, 270)} if self.rise else {}),
        }  # fmt: skip

    def encode(self, motion: Motion) -> np.ndarray:
        if motion.modality != "body":
            raise UserError(f"a {motion.modality} motion where a body is needed")
        motion = motion.resampled(self.fps)
        joints = motion.joints.astype(np.float64)
        yaw = smooth_heading(joints)
        back = rot.about_y(-yaw)
        level = support_level(joints) if self.rise else np.zeros(len(joints))
        joints[..., 1] -= level[:, None]
        root = motion.root - level[:, None] * np.array([0, 1, 0])
        # steps are in the heading of the frame they start from, so that decoding can integrate them
        step = np.diff(root, axis=0, prepend=root[:1])
        previous = np.concatenate([back[:1], back[:-1]])
        velocity = rot.rotate(previous, step)[:, [0, 2]]
        local = motion.rotations.astype(np.float64).copy()
        local[:, 0] = rot.multiply(back, local[:, 0])
        relative = rot.rotate(back[:, None], joints[:, 1:] - root[:, None])
        moved = np.diff(joints, axis=0, prepend=joints[:1])
        joint_velocity = rot.rotate(previous[:, None], moved)
        feet = joints[:, FEET]
        speed = np.linalg.norm(np.diff(feet, axis=0, prepend=feet[:1]), axis=-1)
        # the first frame has no speed; the second one's is taken
        if len(speed) > 1:
            speed[0] = speed[1]
        contacts = (feet[..., 1] < CONTACT_HEIGHT) & (speed < CONTACT_SPEED)
        n = len(root)
        return np.concatenate([
            root[:, 1:2], velocity, np.diff(yaw, prepend=yaw[:1])[:, None], rot.to_6d(local).reshape(n, -1),
            relative.reshape(n, -1), joint_velocity.reshape(n, -1), contacts,
            *([np.diff(level, prepend=level[:1])[:, None]] if self.rise else []),
        ], -1).astype(np.float32)  # fmt: skip

    def decode(self, features: np.ndarray, caption: str = "") -> Motion:
        rotations, root, _ = self.decode_chunk(features, None)
        return Motion(rotations, root, self.fps, "body", caption).canonical()

    def decode_chunk(self, features: np.ndarray, state: RootState | None) -> tuple[np.ndarray, np.ndarray, RootState]:
        """Rotations (T, 22, 4) and root (T, 3) of one chunk (T, 270) of a stream, and the state for the next chunk.

        `state` is the previous chunk's, or None for a stream's start (its first step is then ignored).
        """
        x = np.asarray(features, np.float64)
        rate, velocity = x[:, 3].copy(), x[:, 1:3].copy()
        rise = x[:, 269].copy() if self.rise else np.zeros(len(x))
        rise[np.abs(rise) < MIN_RISE_RATE] = 0
        if state is None:
            rate[0], velocity[0], rise[0], state = 0, 0, 0, RootState(0.0, np.zeros(3))
        yaw = state.yaw + np.cumsum(rate)
        previous = np.concatenate([[state.yaw], yaw[:-1]])
        step = rot.rotate(rot.about_y(previous), np.stack([velocity[:, 0], rise, velocity[:, 1]], -1))
        path = state.position + np.cumsum(step, 0)
        root = path + x[:, :1] * np.array([0, 1, 0])
        q = rot.from_6d(x[:, 4:136].reshape(len(x), 22, 6))
        # the root's rotation is stored relative to the heading
        q[:, 0] = rot.multiply(rot.about_y(yaw), q[:, 0])
        return q, root, RootState(float(yaw[-1]), path[-1])


class FaceFeatures(FeatureSpec):
    """See the module's table. Exactly invertible."""

    name, fps, dim = "face", FACE_FPS, arkit.COUNT + 3

    def slices(self) -> dict[str, slice]:
        stops = [*list(_STARTS.values())[1:], self.dim]
        return {name: slice(start, stop) for (name, start), stop in zip(_STARTS.items(), stops, strict=True)}

    def encode(self, motion: FaceMotion | Motion) -> np.ndarray:
        """FaceMotion (resampled to 30 fps) -> (T, 55) float32."""
        if not isinstance(motion, FaceMotion):
            raise UserError(f"a {motion.modality} motion where a face is needed")
        motion = motion.resampled(self.fps)
        return motion.curves

    # a face is no Motion; tokenizers and exporters use only their common methods
    def decode(self, features: np.ndarray, caption: str = "") -> FaceMotion:  # type: ignore[override]
        """(T, 55) -> FaceMotion; weights outside [0, 1] are clipped, angles to half a turn."""
        x = np.asarray(features, np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise UserError(f"face: features {x.shape}; accepted (T, {self.dim})")
        head = np.clip(x[:, arkit.COUNT :], -np.pi, np.pi)
        return FaceMotion(x[:, : arkit.COUNT], head, self.fps, caption)


def bend_fingers(degrees: Mapping[str, tuple[float, ...]]) -> np.ndarray:
    """(30, 4) local quaternions of both hands; `degrees`: finger -> bend of its joints 1 to 3 towards the palm."""
    out = []
    for name in FINGER_NAMES:
        sign = -1.0 if name.startswith("l_") else 1.0  # a left palm looks down at rest: bending turns it about -Z
        angle = np.radians(degrees[name[2:-1]][int(name[-1]) - 1])
        # a thumb bends towards the palm, about the axis that stands square to it and to the knuckles
        axis = np.array([0.55, sign * -0.75, sign * 0.35]) if "thumb" in name else np.array([0, 0, sign])
        out.append(rot.from_axis_angle(axis / np.linalg.norm(axis) * angle))
    return np.stack(out)


def relax_fingers() -> np.ndarray:
    """(30, 4) fingers of relaxed hands, local quaternions."""
    return bend_fingers(_RELAXED)


class GestureFeatures(FeatureSpec):
    """See the module's table. Exactly invertible in all that the layout holds, to 1e-5 rad."""

    name, fps, dim = "gesture", GESTURE_FPS, 6 * (len(UPPER) + FINGERS) + 12

    def slices(self) -> dict[str, slice]:
        return {
            "rotations": slice(0, 78), "fingers": slice(78, 258), "positions": slice(258, 264),
            "joint_velocity": slice(264, 270),
        }  # fmt: skip

    def encode(self, motion: Motion) -> np.ndarray:
        if motion.modality != "gesture":
            raise UserError(f"a {motion.modality} motion where a gesture is needed")
        motion = motion.resampled(self.fps)
        turns = motion.rotations.astype(np.float64)
        pelvis = turns[:, 0]
        upper = turns[:, JOINTS]
        # lean and tilt of the pelvis go into spine1; its turn is dropped
        yaw = 2 * np.arctan2(pelvis[:, 2], pelvis[:, 0])
        level = rot.multiply(rot.about_y(-yaw), pelvis)
        upper[:, 0] = rot.multiply(level, upper[:, 0])
        fingers = (
            np.broadcast_to(relax_fingers(), (len(motion), FINGERS, 4)) if motion.fingers is None else motion.fingers
        )
        places = hands_from_chest(turns).reshape(len(motion), 6)
        moved = np.diff(places, axis=0, prepend=places[:1])
        six = [rot.to_6d(q.astype(np.float64)).reshape(len(motion), -1) for q in (upper, fingers)]
        return np.concatenate([*six, places, moved], -1).astype(np.float32)

    def decode(self, features: np.ndarray, caption: str = "") -> Motion:
        x = np.asarray(features, np.float64)
        rotations = rot.identity((len(x), len(SMPL22.names)))
        rotations[:, JOINTS] = rot.from_6d(x[:, :78].reshape(len(x), -1, 6))
        fingers = rot.from_6d(x[:, 78:258].reshape(len(x), FINGERS, 6))
        root = np.repeat(STANDING[None], len(x), 0)
        return Motion(rotations, root, self.fps, "gesture", caption, fingers=fingers)


def gesture_joints(features: torch.Tensor) -> torch.Tensor:
    """(..., 270) unnormalised -> (..., 43, 3) joints of upper body and fingers, the pelvis at the origin, metres."""
    import torch

    from vqvae.rotations import matrix_from_6d

    turned = matrix_from_6d(features[..., :258].unflatten(-1, (len(UPPER) + FINGERS, 6)))
    matrices = torch.eye(3, dtype=features.dtype, device=features.device)
    matrices = matrices.expand(*features.shape[:-1], len(SMPL52.names), 3, 3)
    moved = constant(tuple(MOVED), features.device)
    matrices = matrices.index_copy(-3, moved, turned)
    return SMPL52.fk_torch(matrices, torch.zeros_like(features[..., :3])).index_select(-2, moved)


def hands_from_chest(rotations: np.ndarray) -> np.ndarray:
    """(T, 22, 4) -> (T, 2, 3) left and right wrist from the chest, in its axes, metres."""
    joints, turned = SMPL22.fk_full(rotations, np.zeros((len(rotations), 3)))
    away = joints[:, WRISTS] - joints[:, CHEST, None]
    return np.asarray(np.einsum("tji,tkj->tki", turned[:, CHEST], away))
