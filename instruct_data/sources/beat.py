"""Reader for BEAT's face files: ``{"names": [...], "frames": [{"weights": [...], "time": t, "rotation": [...]}]}``.

The corpus (Liu et al. 2022) stores 51 or 52 ARKit shapes at 60 frames per second, without the tongue in some files.
``time`` is in seconds; frames that are missing are filled in linearly. ``rotation`` is read as the head's rotation
where it is there: a quaternion x, y, z, w (ARKit's order), or three angles in radians yaw, pitch, roll as this project
writes them; a frame without one among others gets it from its neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.sources.face_json import to_face
from instruct_data.sources.times import MAX_GAP, even
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of

FPS = 60.0


def from_json(data: dict[str, Any], path: Path) -> FaceMotion:
    """A parsed file, at the rate of its times (60 where no frame has one).

    Raises:
        UserError: not such a file, times that are no rising seconds, rotations of another kind.
    """
    names, frames = data.get("names"), data.get("frames")
    if not isinstance(names, list) or not isinstance(frames, list) or not frames:
        raise UserError(f"{path}: no names and frames; accepted a BEAT face file")
    try:
        rows = [f["weights"] for f in frames]
        timed = any("time" in f for f in frames) and len(frames) > 1
        times = np.array([float(f["time"]) for f in frames]) if timed else None
        rotations = [f.get("rotation") or [] for f in frames]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as e:
        raise UserError(f"{path}: frames need weights and time ({type(e).__name__}: {e})") from None
    face = to_face(path, [str(n) for n in names], rows, FPS, _head(rotations, path))
    if times is None:
        return face
    _check(times, path)
    try:
        return FaceMotion.from_curves(*even(face.curves, times - times[0], _rounding(times)))
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


def _check(times: np.ndarray, path: Path) -> None:
    """Raises UserError for times (T,), T > 1, that are no seconds that rise from frame to frame."""
    steps = np.diff(times)
    wrong = ~(np.isfinite(steps) & (steps > 0) & (steps <= MAX_GAP))
    if wrong.any():
        at = int(wrong.argmax()) + 1
        raise UserError(f"{path}: frame {at + 1}: time {times[at]:g} after {times[at - 1]:g}; accepted seconds that "
                        f"rise, by at most {MAX_GAP:g}")  # fmt: skip
    if np.median(steps) > 1:
        raise UserError(f"{path}: times {np.median(steps):g} apart; accepted seconds, at least one frame in each")


def _rounding(times: np.ndarray) -> float:
    """Seconds to which times are rounded, 0 where they are not to less than six decimals."""
    return next((10.0**-d for d in range(1, 6) if np.abs(times - times.round(d)).max() < 1e-9), 0.0)


def _head(rotations: list[Any], path: Path) -> np.ndarray | None:
    """(T, 3) yaw, pitch, roll; None where no frame has a rotation. Frames without one get it from their neighbours."""
    try:
        lengths = np.array([len(r) for r in rotations])
    except TypeError:
        raise UserError(f"{path}: rotation is not numbers") from None
    there = np.flatnonzero(lengths)
    if not len(there):
        return None
    wide = int(lengths[there[0]])
    odd = np.flatnonzero((lengths > 0) & ((lengths != wide) | (wide not in (3, 4))))
    if len(odd):
        raise UserError(f"{path}: frame {odd[0] + 1}: rotation of {lengths[odd[0]]} numbers; accepted 4 (x, y, z, w) "
                        "or 3 (yaw, pitch, roll) in all frames")  # fmt: skip
    if len(there) < len(rotations) / 2:
        raise UserError(f"{path}: rotation in {len(there)} of {len(rotations)} frames, not in frame "
                        f"{int(lengths.argmin()) + 1}; accepted in most of them")  # fmt: skip
    try:
        r = np.array([rotations[i] for i in there], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: rotation is not numbers") from None
    if wide == 4:
        empty = np.flatnonzero(np.linalg.norm(r, axis=1) < 1e-6)
        if len(empty):
            raise UserError(f"{path}: frame {there[empty[0]] + 1}: rotation 0, 0, 0, 0 is no quaternion")
        r = angles_of(r[:, [3, 0, 1, 2]])
    return np.stack([np.interp(np.arange(len(rotations)), there, column) for column in r.T], 1)
