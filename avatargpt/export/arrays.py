"""Array files: .npz (ours and AMASS / SMPL-X) and .npy (HumanML3D features, positions + quaternions)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES, Motion, atomic_write
from vqvae.skeleton import SMPL22

JOINTS = len(SMPL22.names)
SMPLX_POSE = 165  # 55 joints x 3: body 22, jaw, eyes, 2 x 15 hand joints
# AMASS is Z up; this turns +Z to +Y.
Z_UP_TO_Y_UP = rot.from_axis_angle(np.array([-np.pi / 2, 0.0, 0.0]))
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")


def read_npz(path: Path, up: str = "z") -> Motion:
    """Our own .npz, or an AMASS / SMPL-X one (told apart by the keys).

    Args:
        path: the file.
        up: the vertical axis of an SMPL file: z as in AMASS, or y. Our own files are always Y up.

    Raises:
        UserError: `up` is neither, not a readable .npz, keys of neither kind, wrong shapes, NaN.
    """
    if up not in ("y", "z"):
        raise UserError(f"{path}: up '{up}'; accepted y, z")
    try:
        with np.load(path, allow_pickle=False) as z:
            names = set(z.files)
            if "rotations" in names or "trans" not in names:
                data = None
            else:
                wanted = ("trans", "poses", "root_orient", "pose_body", *_RATES)
                data = {k: z[k] for k in wanted if k in names}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as e:
        first = str(e).splitlines()[0] if str(e) else "empty"
        raise UserError(f"{path}: not a readable .npz ({first})") from None
    return Motion.load(path) if data is None else _from_smplx(data, path, up)


def _from_smplx(data: dict[str, np.ndarray], path: Path, up: str) -> Motion:
    rate = next((data[k] for k in _RATES if k in data), None)
    if rate is None or rate.size != 1:
        raise UserError(f"{path}: SMPL .npz without a frame rate; accepted one number as mocap_framerate")
    try:
        if "poses" in data:
            poses = np.asarray(data["poses"], np.float64)
        elif {"root_orient", "pose_body"} <= data.keys():
            poses = np.concatenate([np.asarray(data[k], np.float64) for k in ("root_orient", "pose_body")], -1)
        else:
            raise UserError(f"{path}: SMPL .npz without poses; accepted poses, or root_orient and pose_body")
        trans, fps = np.asarray(data["trans"], np.float64), float(rate.reshape(()))
    except (TypeError, ValueError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError(f"{path}: SMPL .npz with values that are not numbers; accepted float arrays") from None
    if poses.ndim != 2 or poses.shape[1] < 3 * JOINTS or trans.shape != (len(poses), 3):
        raise UserError(f"{path}: poses {poses.shape}, trans {trans.shape}; accepted (T, 66 or more) and (T, 3)")
    _check_count(len(poses), path)
    local = rot.from_axis_angle(poses[:, : 3 * JOINTS].reshape(-1, JOINTS, 3))
    if up == "z":
        local[:, 0] = rot.multiply(Z_UP_TO_Y_UP, local[:, 0])
        trans = rot.rotate(Z_UP_TO_Y_UP, trans)
    return _motion(local, trans, fps, path)


def write_smplx(motion: Motion, path: Path) -> Path:
    """AMASS' SMPL-X keys: trans, poses (T, 165), root_orient, pose_body, betas, gender, mocap_frame_rate; Z up."""
    back = rot.conjugate(Z_UP_TO_Y_UP)
    local = motion.rotations.astype(np.float64)
    local[:, 0] = rot.multiply(back, local[:, 0])
    poses = np.zeros((len(motion), SMPLX_POSE))
    poses[:, : 3 * JOINTS] = rot.to_axis_angle(local).reshape(len(motion), -1)
    trans = rot.rotate(back, motion.root.astype(np.float64))

    def write(temporary: Path) -> None:
        np.savez(
            temporary, trans=trans, poses=poses, root_orient=poses[:, :3], pose_body=poses[:, 3 : 3 * JOINTS],
            betas=np.zeros(16), gender="neutral", surface_model_type="smplx", mocap_frame_rate=float(motion.fps),
            mocap_time_length=motion.seconds,
        )  # fmt: skip

    return atomic_write(path, write)


def write_npy(motion: Motion, path: Path, layout: str = "hml263") -> Path:
    """`hml263`: (T - 1, 263) at 20 fps. `pos7`: (T, 22, 7) = world position, world rotation w, x, y, z.

    Raises:
        UserError: unknown layout, or too few frames for `hml263`.
    """
    if layout == "hml263":
        from vqvae.features.hml263 import HML263Features

        array = HML263Features().encode(motion)
    elif layout == "pos7":
        positions, matrices = motion.skeleton.fk_full(motion.rotations, motion.root)
        whole = rot.from_matrix(matrices)
        whole = rot.continuous(whole) if len(motion) > 1 else whole
        array = np.concatenate([positions, whole], -1).astype(np.float32)
    else:
        raise UserError(f"{path}: layout '{layout}'; accepted hml263, pos7")

    def write(temporary: Path) -> None:
        np.save(temporary, array, allow_pickle=False)

    return atomic_write(path, write)


def read_npy(path: Path, fps: float = 20.0) -> Motion:
    """Either layout of :func:`write_npy`, told apart by its shape. `fps` applies to `pos7`, which stores none.

    Raises:
        UserError: not a .npy, another shape, NaN.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise UserError(f"{path}: not a readable .npy ({str(e).splitlines()[0] if str(e) else 'empty'})") from None
    accepted = "accepted (T, 263) HumanML3D features or (T, 22, 7) positions + quaternions"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"{path}: not an array of numbers; {accepted}")
    if array.ndim not in (2, 3) or array.shape[1:] not in ((263,), (JOINTS, 7)):
        raise UserError(f"{path}: shape {array.shape}; {accepted}")
    _check_count(len(array), path)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: NaN or infinity at frame {_first_bad(array)}; accepted finite numbers")
    if array.ndim == 2:
        from vqvae.features.hml263 import HML263Features

        return HML263Features().decode(array)
    whole = array[..., 3:].astype(np.float64)
    if (np.linalg.norm(whole, axis=-1) < 0.5).any():
        raise UserError(f"{path}: quaternions of length 0; accepted unit quaternions w, x, y, z after the positions")
    whole = rot.normalize(whole)
    local = whole.copy()
    for j in range(1, JOINTS):
        local[:, j] = rot.multiply(rot.conjugate(whole[:, SMPL22.parents[j]]), whole[:, j])
    return _motion(local, array[:, 0, :3], fps, path)


def _first_bad(array: np.ndarray) -> int:
    return int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(1)))


def _check_count(count: int, path: Path) -> None:
    if not 1 <= count <= MAX_FRAMES:
        raise UserError(f"{path}: {count} frames; accepted 1 to {MAX_FRAMES}")


def _motion(local: np.ndarray, root: np.ndarray, fps: float, path: Path) -> Motion:
    try:
        return Motion(local, root, fps)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
