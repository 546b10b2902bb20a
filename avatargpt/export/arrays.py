"""Array files: .npz (ours, AMASS / SMPL-X and MediaPipe) and .npy (HumanML3D features, positions + quaternions)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io import pos7
from vqvae.io.data_files import array_names, map_array
from vqvae.io.files import parsing
from vqvae.io.smplx import check_up, is_smplx, read_smplx
from vqvae.motion import MAX_FRAMES, UNIT_TOLERANCE, Motion, atomic_write
from vqvae.skeleton import SMPL22

JOINTS = len(SMPL22.names)
FPS = 20.0  # of a body's positions, which do not say theirs


def read_npz(path: Path, up: str | None = None) -> Motion:
    """Our own .npz, or an AMASS / SMPL-X one (told apart by the keys).

    Args:
        path: the file.
        up: the vertical axis of an SMPL file: z as in AMASS (None), or y. Our own files are always Y up.

    Raises:
        UserError: `up` is neither, or goes with another file; not a readable .npz, keys of neither kind, wrong
            shapes, NaN.
    """
    check_up(up or "z")
    if is_smplx(path):
        return read_smplx(path, up or "z")
    _check_no_up(path, up)
    return Motion.load(path)


def _check_no_up(path: Path, up: str | None) -> None:
    if up is not None:
        raise UserError(f"{path}: up goes with SMPL's .npz; this one says it itself")


def read_face_npz(path: Path, fps: float | None = None, up: str | None = None) -> FaceMotion | None:
    """Our own face .npz or MediaPipe's, None where the keys are of neither.

    Args:
        fps: frame rate of MediaPipe's, which need not say it. up: None; a face has no such axis.

    Raises:
        UserError: `fps` with another file, `up`.
    """
    from instruct_data.sources.mediapipe_npz import SHAPES, read_mediapipe

    keys = array_names(path)
    ours = {"weights", "names", "head"} <= keys
    if SHAPES in keys and not ours and "rotations" not in keys:
        _check_no_up(path, up)
        return read_mediapipe(path, fps)
    if fps is not None:
        raise UserError(f"{path}: fps goes with MediaPipe's .npz; this one says it itself")
    if not ours or "rotations" in keys:
        return None
    _check_no_up(path, up)
    return FaceMotion.load(path)


def write_npy(motion: Motion, path: Path, layout: str = "hml263") -> Path:
    """`hml263`: (T - 1, 263) at 20 fps. `pos7`: (T, 22, 7) = world position, world rotation w, x, y, z; of a gesture
    (T, 9, 7) as LLAvatarOS has them, x, y, z, w (`vqvae.io.pos7`).

    Raises:
        UserError: unknown layout, or too few frames for `hml263`.
    """
    if layout == "hml263":
        from vqvae.io.hml263 import HML263Features

        array = HML263Features().encode(motion)
    elif layout == "pos7" and motion.modality == "gesture":
        array = pos7.to_array(motion)
    elif layout == "pos7":
        positions, matrices = motion.skeleton.fk_full(motion.rotations, motion.root)
        whole = rot.continuous(rot.from_matrix(matrices))
        array = np.concatenate([positions, whole], -1).astype(np.float32)
    else:
        raise UserError(f"{path}: layout '{layout}'; accepted hml263, pos7")

    def write(temporary: Path) -> None:
        np.save(temporary, array, allow_pickle=False)

    return atomic_write(path, write)


def read_npy(path: Path, fps: float | None = None) -> Motion:
    """Any layout of :func:`write_npy`, told apart by its shape. `fps` applies to `pos7`, which stores none; without it
    20 for 22 joints, 30 for 9.

    Raises:
        UserError: not a .npy, another shape, NaN, features at another rate than 20.
    """
    array = map_array(path)
    accepted = "accepted (T, 263) HumanML3D features or (T, 22, 7) or (T, 9, 7) positions + quaternions"
    if array.ndim not in (2, 3) or array.shape[1:] not in ((263,), (JOINTS, 7), pos7.SHAPE):
        raise UserError(f"{path}: shape {array.shape}; {accepted}")
    _check_count(len(array), path)
    array = np.array(array)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: NaN or infinity at frame {_first_bad(array)}; accepted finite numbers")
    if array.shape[1:] == pos7.SHAPE:
        with parsing(path, "positions and quaternions of nine joints"):
            return pos7.from_array(array, pos7.FPS if fps is None else fps)
    fps = FPS if fps is None else fps
    if array.ndim == 2:
        from vqvae.io.hml263 import HML263Features

        if fps != HML263Features.fps:
            raise UserError(f"{path}: {fps:g} frames a second; accepted for HumanML3D features {HML263Features.fps:g}")
        return HML263Features().decode(array)
    whole = array[..., 3:].astype(np.float64)
    if (np.abs(np.linalg.norm(whole, axis=-1) - 1) > UNIT_TOLERANCE).any():
        raise UserError(f"{path}: quaternions of another length than 1; accepted w, x, y, z after the positions")
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
