"""One file of another system, as what the suites look at.

Bodies are judged by their positions. Files of positions alone, ``.npy`` (T, 22, 3) and (T, 263), are taken as they
are, on whatever skeleton; they do not show where the head looks. All else has rotations.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from avatargpt import export
from avatargpt.evaluation.outputs import plausible
from avatargpt.kinematics.joints import FPS, Signals
from instruct_data.sources.face_files import read_json
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io import hml263, ms272
from vqvae.io.data_files import map_array
from vqvae.io.files import parsing
from vqvae.motion import MAX_FRAMES, Motion, check_fps

LEAST = 4  # frames
TALL = (0.7, 1.4)  # times our own bones, between which a body is in metres
SAME = 0.01  # relative difference of two frame rates that are one
ARRAYS = "(T, 22, 3) positions, (T, 263) HumanML3D, (T, 272) MotionStreamer, (T, 22, 7) positions with quaternions"


def blind(path: Path) -> bool:
    """Whether a file holds positions alone, without the head's rotation."""
    return path.suffix.lower() == ".npy" and map_array(path).shape[1:] in ((22, 3), (263,))


def headless(path: Path) -> bool:
    """Whether a face's file has no place for the head's rotation, as Audio2Face's JSON."""
    return path.suffix.lower() == ".json" and "weightMat" in read_json(path)


Seen = Callable[[np.ndarray], object]
"""Is shown the joints (T, 22, 3) of a body as its file has them."""


def body(path: Path, fps: float | None = None, seen: Seen | None = None) -> Signals:
    """What the predicates look at.

    Args:
        fps: rate of files that do not state theirs (20 without it); those that do must state the same.
        seen: is called where the file can be read.

    Raises:
        UserError: not readable, NaN, another rate, not of a size that people have, fewer than four frames.
    """
    got = _positions(path, fps)
    if got is None:
        return Signals(_motion(path, fps, seen))
    if seen is not None:
        seen(got[0])
    return Signals.of_joints(*got)


def motion(path: Path, fps: float | None = None, seen: Seen | None = None) -> Motion:
    """A body with rotations; of positions alone those that put the bones there (`hml263.swing_rotations`).

    Raises:
        UserError: as `body`.
    """
    got = _positions(path, fps)
    if got is None:
        return _motion(path, fps, seen)
    if seen is not None:
        seen(got[0])
    return _swung(path, got[0], got[1])


def both(path: Path, fps: float | None = None, seen: Seen | None = None) -> tuple[Motion, Signals]:
    """`motion` and `body` of a file that is read once.

    Raises:
        UserError: as `body`.
    """
    got = _positions(path, fps)
    if got is None:
        whole = _motion(path, fps, seen)
        return whole, Signals(whole)
    if seen is not None:
        seen(got[0])
    return _swung(path, got[0], got[1]), Signals.of_joints(*got)


def _swung(path: Path, joints: np.ndarray, fps: float) -> Motion:
    with parsing(path, "a body of 22 joints"):
        return Motion(hml263.swing_rotations(joints), joints[:, 0], fps)


def face(path: Path, fps: float | None = None) -> FaceMotion:
    """A face: Live Link CSV, our own or MediaPipe's .npz, .json, .glb.

    Raises:
        UserError: not readable, a body, another rate, fewer than four frames.
    """
    read = export.load(path)
    if not isinstance(read, FaceMotion):
        raise UserError(f"{path}: a motion of a body; accepted a face")
    _check_rate(path, read.fps, fps)
    _check_frames(path, len(read))
    return read


def _motion(path: Path, fps: float | None, seen: Seen | None) -> Motion:
    given = {"fps": fps} if path.suffix.lower() == ".npy" and fps is not None else {}
    read = export.load(path, **given)
    if not isinstance(read, Motion):
        raise UserError(f"{path}: a motion of a {read.modality}; accepted a body")
    _check_rate(path, read.fps, fps)
    _check_frames(path, len(read))
    joints = read.joints
    _check_size(path, joints)
    if seen is not None:
        seen(joints)
    return read


def _positions(path: Path, fps: float | None) -> tuple[np.ndarray, float, np.ndarray | None] | None:
    """Joints (T, 22, 3), their rate, and where the face points; None for files of rotations."""
    if path.suffix.lower() != ".npy":
        return None
    array = map_array(path, f"accepted {ARRAYS}")
    reader = _ARRAYS.get(array.shape[1:])
    if reader is None:
        if array.shape[1:] in ((22, 7), (9, 7)):
            return None
        raise UserError(f"{path}: shape {array.shape}; accepted {ARRAYS}")
    rate, take = reader
    if not LEAST <= len(array) <= MAX_FRAMES:
        raise UserError(f"{path}: {len(array)} frames; accepted {LEAST} to {MAX_FRAMES}")
    _check_rate(path, rate, fps)
    array = np.array(array, np.float64)
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        raise UserError(f"{path}: NaN or infinity at frame {int(np.argmin(finite))}; accepted finite numbers")
    with parsing(path, "a body"):
        joints, nose = take(array)
    _check_size(path, joints)
    rate = rate or fps or FPS
    check_fps(rate, str(path))
    return joints, rate, nose


_Taken = tuple[np.ndarray, np.ndarray | None]
_ARRAYS: dict[tuple[int, ...], tuple[float | None, Callable[[np.ndarray], _Taken]]] = {
    (22, 3): (None, lambda x: (x, None)),
    (263,): (hml263.HML263Features.fps, lambda x: (hml263.recover_joints(x), None)),
    (272,): (ms272.FPS, lambda x: (ms272.recover_joints(x), ms272.face_direction(x))),
}
"""Shape of a frame -> its frame rate (None = not fixed) and what joints, and where the face points, are taken by."""


def _check_rate(path: Path, stated: float | None, asked: float | None) -> None:
    if stated is not None and asked is not None and abs(stated - asked) > SAME * asked:
        raise UserError(f"{path}: {stated:g} frames a second; accepted {asked:g}, as --fps says")


def _check_frames(path: Path, count: int) -> None:
    if count < LEAST:
        raise UserError(f"{path}: {count} frames; accepted at least {LEAST}")


def _check_size(path: Path, joints: np.ndarray) -> None:
    """Centimetres, inches and normalised features are not positions in metres."""
    if not TALL[0] <= (size := plausible.size(joints)) <= TALL[1]:
        raise UserError(f"{path}: bones {size:.3g} times as long as a person's; accepted metres, "
                        f"{TALL[0]:g} to {TALL[1]:g} times")  # fmt: skip
