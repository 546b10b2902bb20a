"""AMASS, SMPL-H and SMPL-X ``.npz`` files: axis-angle poses, Z up, any frame rate.

Rotations carry over as they are (both rest poses are the same T-pose); the body shape does not.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.arrays import array_names, read_arrays
from vqvae.io.guard import understanding
from vqvae.motion import MAX_FRAMES, Motion, atomic_write
from vqvae.skeleton import FINGER_NAMES, SMPL22

BODY = len(SMPL22.names)
POSE = 165  # 55 joints x 3: body 22, jaw, eyes, 2 x 15 hand joints
# The hands follow jaw and eyes, the left one first, three joints of each finger in this order.
_FINGER_ORDER = ("index", "middle", "pinky", "ring", "thumb")
_HANDS = [3 * (BODY + 3 + 15 * (n[0] == "r") + 3 * _FINGER_ORDER.index(n[2:-1]) + int(n[-1]) - 1) for n in FINGER_NAMES]
_HANDS_AT = np.array([[k, k + 1, k + 2] for k in _HANDS])  # (30, 3) columns of our fingers
UPS = ("z", "y")
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
# AMASS stands on z = 0, facing along -y; this takes z to y.
_Z_UP_TO_Y_UP = rot.from_axis_angle(np.array([-np.pi / 2, 0.0, 0.0]))


def check_up(up: str) -> None:
    """Raises UserError unless `up` names an axis that files stand along."""
    if up not in UPS:
        raise UserError(f"up {up!r}; accepted {' or '.join(UPS)}")


def _poses(data: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 22, 3) rotation vectors from either spelling."""
    if "poses" in data:
        poses = np.asarray(data["poses"], np.float64)
        if poses.ndim != 2 or poses.shape[1] < BODY * 3 or poses.shape[1] % 3:
            raise UserError(f"poses {poses.shape}; accepted (T, 66 or more): SMPL 72, SMPL-H 156, SMPL-X 165")
        return poses[:, : BODY * 3].reshape(-1, BODY, 3)
    if "root_orient" in data and "pose_body" in data:
        root, body = np.asarray(data["root_orient"], np.float64), np.asarray(data["pose_body"], np.float64)
        if root.ndim != 2 or root.shape[1] != 3 or body.shape != (len(root), (BODY - 1) * 3):
            raise UserError(f"root_orient {root.shape}, pose_body {body.shape}; accepted (T, 3) and (T, 63)")
        return np.concatenate([root, body], 1).reshape(-1, BODY, 3)
    raise UserError("SMPL .npz without poses; accepted 'poses', or 'root_orient' and 'pose_body'")


def _motion(data: dict[str, np.ndarray], up: str) -> Motion:
    check_up(up)
    rate = next((data[k] for k in _RATES if k in data), None)
    if rate is None or rate.size != 1:
        raise UserError(f"no frame rate; accepted one number as {' or '.join(_RATES)}")
    try:
        vectors, fps = _poses(data), float(rate.reshape(()))
        if "trans" not in data or data["trans"].shape != (len(vectors), 3):
            found = data["trans"].shape if "trans" in data else "is missing"
            raise UserError(f"trans {found} beside {len(vectors)} poses; accepted (T, 3) for T poses")
        root = np.asarray(data["trans"], np.float64)
    except (TypeError, ValueError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError("SMPL .npz with values that are not numbers; accepted float arrays") from None
    if not 1 <= len(vectors) <= MAX_FRAMES:
        raise UserError(f"{len(vectors)} frames; accepted 1 to {MAX_FRAMES}")
    rotations = rot.from_axis_angle(vectors)
    if up == "z":
        rotations[:, 0] = rot.multiply(_Z_UP_TO_Y_UP, rotations[:, 0])
        root = rot.rotate(_Z_UP_TO_Y_UP, root)
    return Motion(rotations, root, fps)


def is_smplx(path: str | os.PathLike[str]) -> bool:
    """Whether a readable ``.npz`` has the keys of an SMPL motion rather than ours."""
    names = array_names(path)
    return "rotations" not in names and "trans" in names


def read_smplx(path: str | os.PathLike[str], up: str = "z", hands: bool = False) -> Motion:
    """One file as a Motion at its own frame rate, where it stands.

    Args:
        path: the file.
        up: its vertical axis: ``z`` as in AMASS, or ``y``.
        hands: make a gesture, with the fingers of SMPL-X's poses (T, 165) as they are, since both rest poses are flat
            hands; a file whose poses count from SMPL-X's mean hand says no such thing.

    Raises:
        UserError: names the file and what is wrong: `up`, not a readable .npz, missing keys, shapes, NaN.
    """
    path = Path(path)
    data = read_arrays(path, ("poses", "root_orient", "pose_body", "trans", *_RATES), MAX_FRAMES)
    with understanding(path, "an SMPL motion"):
        body = _motion(data, up)
        if not hands:
            return body
        poses = np.asarray(data.get("poses", np.zeros(0)), np.float64)
        if poses.ndim != 2 or poses.shape[1] != POSE:
            raise UserError(f"poses {poses.shape}; accepted (T, {POSE}), SMPL-X with both hands")
        return replace(body, modality="gesture", fingers=rot.from_axis_angle(poses[:, _HANDS_AT]))


def write_smplx(motion: Motion, path: str | os.PathLike[str]) -> Path:
    """AMASS' SMPL-X keys: trans, poses (T, 165), root_orient, pose_body, betas, gender, mocap_frame_rate; Z up.

    The fingers of a gesture stand in `poses`.
    """
    back = rot.conjugate(_Z_UP_TO_Y_UP)
    local = motion.rotations.astype(np.float64)
    local[:, 0] = rot.multiply(back, local[:, 0])
    poses = np.zeros((len(motion), POSE))
    poses[:, : 3 * BODY] = rot.to_axis_angle(local).reshape(len(motion), -1)
    if motion.fingers is not None:
        poses[:, _HANDS_AT] = rot.to_axis_angle(motion.fingers.astype(np.float64))
    trans = rot.rotate(back, motion.root.astype(np.float64))

    def write(temporary: Path) -> None:
        np.savez(
            temporary, trans=trans, poses=poses, root_orient=poses[:, :3], pose_body=poses[:, 3 : 3 * BODY],
            betas=np.zeros(16), gender="neutral", surface_model_type="smplx", mocap_frame_rate=float(motion.fps),
            mocap_time_length=motion.seconds,
        )  # fmt: skip

    return atomic_write(path, write)
