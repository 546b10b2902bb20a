"""The `gesture` layout: the upper body and the fingers, rotations native, so that export needs no inverse kinematics.

Per frame at 30 fps:

| channels | what | unit |
|---|---|---|
| 0:78 | 13 rotations, 6D (first two columns): `UPPER`; spine1 relative to the body's heading, the others local | |
| 78:258 | 30 local finger rotations, 6D | |
| 258:264 | left and right wrist relative to the chest (spine3), in its axes | m |
| 264:270 | how they moved since the frame before | m per frame |

The hands' places follow from the rotations and are not read in `decode`. They are there for the tokenizer: an error of
a shoulder and one of a finger weigh alike as rotations, yet move the hand by half a metre or by nothing, and a stroke
is a stroke by the speed of the hand.

The lower body and the root are not held: `decode` sets the person on straight legs at the origin, pelvis upright,
facing +Z. What the pelvis leans and tilts goes into spine1, so that trunk and hands stay where they were seen from the
heading; how the pelvis turns about the vertical and where it goes is left out. Of a motion without fingers the hands
are taken to be relaxed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features.base import FeatureSpec
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52

if TYPE_CHECKING:
    import torch

UPPER = (
    "spine1", "spine2", "spine3", "neck", "head", "l_collar", "r_collar", "l_shoulder", "r_shoulder", "l_elbow",
    "r_elbow", "l_wrist", "r_wrist",
)  # fmt: skip
JOINTS = tuple(SMPL22.index(n) for n in UPPER)
FINGERS = len(FINGER_NAMES)
MOVED = [*JOINTS, *range(len(SMPL22.names), len(SMPL52.names))]
"""The joints that the layout turns, as indices of `SMPL52`."""
CHEST, WRISTS = SMPL22.index("spine3"), [SMPL22.index("l_wrist"), SMPL22.index("r_wrist")]
SOLES = 0.02  # m, how high the toes' joints are above the floor of somebody who stands
STANDING = np.array([0.0, SOLES - SMPL22.rest_joints[SMPL22.index("l_foot"), 1], 0.0])
"""(3,) the root of somebody who stands on straight legs, metres."""
# Degrees by which the fingers of a hand at ease are bent, joints 1 to 3; the thumb's lie nearly as at rest.
_EASE = {
    "thumb": (6, 10, 12), "index": (16, 24, 12), "middle": (22, 28, 14), "ring": (26, 30, 15), "pinky": (28, 30, 15),
}  # fmt: skip


def bent_fingers(degrees: Mapping[str, tuple[float, ...]]) -> np.ndarray:
    """(30, 4) fingers of both hands, local quaternions.

    Args:
        degrees: finger -> by how much its joints 1 to 3 are bent towards the palm.
    """
    out = []
    for name in FINGER_NAMES:
        sign = -1.0 if name.startswith("l_") else 1.0  # a left palm looks down at rest: bending turns it about -Z
        angle = np.radians(degrees[name[2:-1]][int(name[-1]) - 1])
        # a thumb bends towards the palm, about the axis that stands square to it and to the knuckles
        axis = np.array([0.55, sign * -0.75, sign * 0.35]) if "thumb" in name else np.array([0, 0, sign])
        out.append(rot.from_axis_angle(axis / np.linalg.norm(axis) * angle))
    return np.stack(out)


def relaxed() -> np.ndarray:
    """(30, 4) fingers of hands at ease, local quaternions."""
    return bent_fingers(_EASE)


def pelvis_yaw(pelvis: np.ndarray) -> np.ndarray:
    """(T, 4) rotations of the pelvis -> (T,) what they turn about +Y, radians: the twist of swing and twist."""
    return 2 * np.arctan2(pelvis[:, 2], pelvis[:, 0])


class GestureFeatures(FeatureSpec):
    """See the module's table. Exactly invertible in all that the layout holds, to 1e-5 rad."""

    name, fps, dim = "gesture", 30.0, 6 * (len(UPPER) + FINGERS) + 12

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
        level = rot.multiply(rot.about_y(-pelvis_yaw(pelvis)), pelvis)
        upper[:, 0] = rot.multiply(level, upper[:, 0])
        fingers = np.broadcast_to(relaxed(), (len(motion), FINGERS, 4)) if motion.fingers is None else motion.fingers
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
    """(..., 270) unnormalised -> (..., 43, 3) where upper body and fingers are, the pelvis at the origin, metres."""
    import torch

    from vqvae.rotations import matrix_from_6d

    turned = matrix_from_6d(features[..., :258].unflatten(-1, (len(UPPER) + FINGERS, 6)))
    whole = torch.eye(3, dtype=features.dtype, device=features.device)
    whole = whole.expand(*features.shape[:-1], len(SMPL52.names), 3, 3).clone()
    whole[..., MOVED, :, :] = turned
    joints = SMPL52.fk_torch(whole, torch.zeros_like(features[..., :3]))
    return joints[..., MOVED, :]


def hands_from_chest(rotations: np.ndarray) -> np.ndarray:
    """(T, 22, 4) -> (T, 2, 3) left and right wrist from the chest, in its axes, metres."""
    joints, turned = SMPL22.fk_full(rotations, np.zeros((len(rotations), 3)))
    away = joints[:, WRISTS] - joints[:, CHEST, None]
    return np.asarray(np.einsum("tji,tkj->tki", turned[:, CHEST], away))
