"""The `hml263` layout: HumanML3D's 263 channels, for exchange with its models and files.

Frame rate 20, T frames give T - 1 rows, each in the frame of the body's smoothed facing:

| channels | what | unit |
|---|---|---|
| 0 | root yaw velocity: arcsin of the y part of the relative quaternion, i.e. half the yaw step | rad per frame |
| 1:3 | planar root velocity (x, z), in the facing of the frame it leads to | m per frame |
| 3 | root height | m |
| 4:67 | 21 joint positions, x and z relative to the root, y absolute | m |
| 67:193 | 21 x 6D rotations by inverse kinematics on the positions (first two matrix columns) | |
| 193:259 | 22 joint velocities, in the facing of the frame they start from | m per frame |
| 259:263 | contacts: left ankle, left foot, right ankle, right foot: squared displacement < 0.002 m^2 | 0 or 1 |

Source: Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions from Text", and the notebook
motion_representation of github.com/EricGuo5513/HumanML3D (MIT). Its peculiarities are kept: the facing used for the
channels counts the hips against the shoulders and is smoothed over seconds, so that it differs from the facing that
turns the first frame to +Z; the 6D channels swing fixed bone directions onto world directions, so that they depend on
that first facing. One is corrected by default: where the facing passes -Z the original flips the sign of one yaw step
(see `encode_joints`). Because of the smoothing, cutting a clip changes its features over the last 4 s.

Not kept: twist about the bones, global position and yaw, the floor's height. Other bodies are not retargeted to
HumanML3D's figure; our 22-joint skeleton has its proportions already.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import FeatureSpec
from vqvae.motion import Motion
from vqvae.skeleton import FEET, PARENTS, SMPL22, Skeleton
from vqvae.smoothing import gaussian

CONTACT_SQUARED = 0.002
SMOOTHING_FRAMES = 20.0
# Unit directions of HumanML3D's rest pose (arms hang, feet point forward); bone of each joint from its parent.
RAW_DIRECTIONS = np.zeros((22, 3))
RAW_DIRECTIONS[[1, 13], 0] = 1
RAW_DIRECTIONS[[2, 14], 0] = -1
RAW_DIRECTIONS[[3, 6, 9, 12], 1] = 1
RAW_DIRECTIONS[[4, 5, 7, 8, 16, 17, 18, 19, 20, 21], 1] = -1
RAW_DIRECTIONS[[10, 11, 15], 2] = 1
# The joint whose rotation precedes a joint's in its chain. The arms' chains start at spine3 from the root's rotation.
_PREVIOUS = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 12, 13, 14, 16, 17, 18, 19])


class HML263Features(FeatureSpec):
    """See the module's table. Positions come back within 0.1 mm, rotations without twist about the bones."""

    name, fps, dim = "hml263", 20.0, 263

    def slices(self) -> dict[str, slice]:
        return {
            "yaw": slice(0, 1), "velocity": slice(1, 3), "height": slice(3, 4), "positions": slice(4, 67),
            "rotations": slice(67, 193), "joint_velocity": slice(193, 259), "contacts": slice(259, 263),
        }  # fmt: skip

    def encode(self, motion: Motion) -> np.ndarray:
        """Motion of T frames at 20 fps -> (T - 1, 263) float32; other frame rates are resampled first."""
        return encode_joints(motion.resampled(self.fps).joints)

    def decode(self, features: np.ndarray, caption: str = "") -> Motion:
        """(T, 263) -> canonical Motion of T frames by `recover_joints` and `swing_rotations`."""
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of huge values is refused below
            joints = recover_joints(features)
            lengths = np.linalg.norm(joints[:, 1:].astype(np.float64) - joints[:, list(PARENTS[1:])], axis=-1)
        bad = ~(np.isfinite(lengths) & (lengths > 1e-9))
        if bad.any():
            frame, bone = np.argwhere(bad)[0]
            raise UserError(f"hml263: joint {bone + 1} is {lengths[frame, bone]:g} m from joint {PARENTS[bone + 1]} at "
                            f"frame {frame}; accepted bones of some length")  # fmt: skip
        return Motion(swing_rotations(joints), joints[:, 0], self.fps, "body", caption).canonical()


def _check(joints: np.ndarray, min_frames: int) -> np.ndarray:
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or len(x) < min_frames:
        raise UserError(f"hml263: joints {x.shape}; accepted (T, 22, 3) with T >= {min_frames}")
    if not np.isfinite(x).all():
        raise UserError(f"hml263: NaN or infinity at frame {int(np.argmin(np.isfinite(x).all((1, 2))))}")
    return x


def canonical_joints(joints: np.ndarray) -> np.ndarray:
    """(T, 22, 3) metres, float64, with lowest y 0, first root x = z = 0 and first frame facing +Z."""
    x = _check(joints, 1)
    across = x[0, 2] - x[0, 1] + x[0, 17] - x[0, 16]
    forward = _direction(np.cross([0.0, 1, 0], across))
    turn = rot.between(forward, np.array([0.0, 0, 1]))
    return rot.rotate(turn, x - [x[0, 0, 0], x[..., 1].min(), x[0, 0, 2]])


def _direction(v: np.ndarray) -> np.ndarray:
    """Unit vectors along the last axis; UserError where hips and shoulders give no direction."""
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    if (length < 1e-9).any():
        raise UserError(f"hml263: facing undefined at frame {int(np.argmax((length < 1e-9).reshape(-1)))}: "
                        "hips and shoulders give no horizontal direction")  # fmt: skip
    return v / length


def smooth_facing(joints: np.ndarray) -> np.ndarray:
    """(T, 22, 3) -> (T, 4) quaternions that turn the smoothed facing to +Z, w >= 0; the first is the identity."""
    # As the original: left hip - right hip but right shoulder - left shoulder; the shoulders, being wider, win.
    across = joints[:, 1] - joints[:, 2] + joints[:, 17] - joints[:, 16]
    across = _direction(across)
    forward = gaussian(np.cross([0.0, 1, 0], across), SMOOTHING_FRAMES)
    facing = rot.between(_direction(forward), np.broadcast_to([0.0, 0, 1], forward.shape))
    # As the original, so that channel 0 of the first row holds what the smoothing changed.
    facing[0] = [1, 0, 0, 0]
    return facing


def inverse_kinematics(joints: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """HumanML3D's rotations: each bone's shortest swing from RAW_DIRECTIONS, relative to the bone before it.

    `joints` (T, 22, 3) metres, `facing` (T, 4) at the start of every chain -> (T, 22, 4) quaternions, joint 0 = facing.
    """
    bones = joints[:, 1:] - joints[:, list(PARENTS[1:])]
    if (np.linalg.norm(bones, axis=-1) < 1e-9).any():
        frame, bone = np.argwhere(np.linalg.norm(bones, axis=-1) < 1e-9)[0]
        raise UserError(f"hml263: joint {bone + 1} lies on joint {PARENTS[bone + 1]} at frame {frame}")
    swing = rot.between(np.broadcast_to(RAW_DIRECTIONS[1:], bones.shape), bones)
    glob = np.concatenate([facing[:, None], swing], 1)
    local = rot.multiply(rot.conjugate(glob[:, _PREVIOUS]), glob)
    local[:, 0] = facing
    return local


def encode_joints(joints: np.ndarray, original_wrap: bool = False) -> np.ndarray:
    """World joints (T, 22, 3) in metres at 20 fps, T >= 2 -> HumanML3D's features (T - 1, 263) float32.

    The joints are brought to the floor, the origin and to face +Z first. `original_wrap` flips the sign of the yaw
    step in which the facing passes -Z, as the original does (its quaternions jump from q to -q), so its inverse is
    inexact.
    """
    x = canonical_joints(_check(joints, 2))
    n = len(x) - 1
    facing = smooth_facing(x)
    rotations = inverse_kinematics(x, facing)
    if not original_wrap:
        facing = rot.continuous(facing)
    # row t holds the step from frame t to t + 1
    step = np.diff(x, axis=0)
    velocity = rot.rotate(facing[1:], step[:, 0])[:, [0, 2]]
    turn = rot.multiply(facing[1:], rot.conjugate(facing[:-1]))
    local = x.copy()
    local[..., [0, 2]] -= x[:, :1, [0, 2]]
    local = rot.rotate(facing[:, None], local)
    joint_velocity = rot.rotate(facing[:-1, None], step)
    contacts = (step[:, FEET] ** 2).sum(-1) < CONTACT_SQUARED
    return np.concatenate([
        np.arcsin(np.clip(turn[:, 2:3], -1, 1)), velocity, x[:-1, 0, 1:2], local[:-1, 1:].reshape(n, -1),
        rot.to_6d(rotations[:-1, 1:]).reshape(n, -1), joint_velocity.reshape(n, -1), contacts,
    ], -1).astype(np.float32)  # fmt: skip


def recover_joints(features: np.ndarray, joints: int = 22) -> np.ndarray:
    """Positions from features (`recover_from_ric` of the original): yaw, velocity, height and positions only.

    (T, 12 J - 1), i.e. 263 of HumanML3D's 22 joints or 251 of KIT-ML's 21, -> (T, J, 3) float32 metres; the first frame
    stands at x = z = 0 and faces +Z.
    """
    f, width = np.asarray(features, np.float64), 12 * joints - 1
    if f.ndim != 2 or f.shape[1] != width or len(f) < 1:
        raise UserError(f"hml{width}: features {f.shape}; accepted (T, {width}) with T >= 1")
    if not np.isfinite(f).all():
        raise UserError(f"hml{width}: NaN or infinity at frame {int(np.argmin(np.isfinite(f).all(1)))}")
    half = np.concatenate([[0.0], np.cumsum(f[:-1, 0])])
    back = rot.conjugate(rot.about_y(2 * half))
    # Row t - 1 holds the step to frame t in the facing of frame t.
    step = np.zeros((len(f), 3))
    step[1:, 0], step[1:, 2] = f[:-1, 1], f[:-1, 2]
    root = np.cumsum(rot.rotate(back, step), 0)
    placed = f[:, 4 : 3 * joints + 1].reshape(len(f), joints - 1, 3)
    points = np.concatenate([np.zeros((len(f), 1, 3)), rot.rotate(back[:, None], placed)], 1)
    points[:, 0, 1] = f[:, 3]
    return (points + root[:, None] * [1, 0, 1]).astype(np.float32)


def swing_rotations(
    joints: np.ndarray, skeleton: Skeleton = SMPL22, turns: Mapping[int, np.ndarray] | None = None
) -> np.ndarray:
    """Local rotations (T, J, 4), float64, whose bones point where the joints (T, J, 3) in metres say.

    Twist about a single bone cannot be seen in positions and comes back as zero relative to the parent. Bone lengths
    are the skeleton's own, so positions are exact for joints made with the same skeleton. `turns`: rotations in the
    world (T, 4) of joints of which they are known.
    """
    x = np.asarray(joints, np.float64)
    local = rot.identity(x.shape[:2])
    glob = rot.identity(x.shape[:2])
    for j, parent in enumerate(skeleton.parents):
        above = glob[:, parent] if parent >= 0 else rot.identity((len(x),))
        children = [c for c, p in enumerate(skeleton.parents) if p == j]
        if turns and j in turns:
            local[:, j] = rot.multiply(rot.conjugate(above), turns[j])
        # One bone: its shortest swing. Several (pelvis, spine3): the least-squares rotation of all. None: identity.
        elif len(children) == 1:
            bone = rot.rotate(rot.conjugate(above), x[:, children[0]] - x[:, j])
            rest_bone = np.broadcast_to(skeleton.offsets[children[0]], bone.shape)
            local[:, j] = rot.between(rest_bone, bone)
        elif children:
            bones = rot.rotate(rot.conjugate(above)[:, None], x[:, children] - x[:, j : j + 1])
            local[:, j] = _kabsch(skeleton.offsets[children], bones)
        glob[:, j] = rot.multiply(above, local[:, j])
    return local


def _kabsch(rest_bones: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Rotation (T, 4) that takes rest (K, 3) nearest to bones (T, K, 3) in the least-squares sense (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(np.swapaxes(bones, -1, -2) @ rest_bones)
    sign = np.ones((len(bones), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    return rot.from_matrix((u * sign[:, None]) @ vt)
