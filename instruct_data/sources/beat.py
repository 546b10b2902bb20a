"""Reader for BEAT's face files: ``{"names": [...], "frames": [{"weights": [...], "time": t, "rotation": [...]}]}``.

The corpus (Liu et al. 2022) stores 51 or 52 ARKit shapes at 60 frames per second, without the tongue in some files.
``rotation`` is read as the head's rotation where it is there: a quaternion x, y, z, w (ARKit's order), or three angles
in radians yaw, pitch, roll as this project writes them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.sources.face_json import read_json, to_face
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of

FPS = 60.0


def read_beat(path: str | os.PathLike[str]) -> FaceMotion:
    """One file, at the rate of its times (60 where they do not say).

    Raises:
        UserError: not such a file.
    """
    path = Path(path)
    return from_json(read_json(path), path)


def from_json(data: dict[str, Any], path: Path) -> FaceMotion:
    """The same from parsed JSON."""
    names, frames = data.get("names"), data.get("frames")
    if not isinstance(names, list) or not isinstance(frames, list) or not frames:
        raise UserError(f"{path}: no names and frames; accepted a BEAT face file")
    try:
        rows = [f["weights"] for f in frames]
        times = np.array([float(f.get("time", 0)) for f in frames])
        turns = [f.get("rotation") or [] for f in frames]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as e:
        raise UserError(f"{path}: frames need weights and time ({type(e).__name__}: {e})") from None
    fps = _rate(times)
    return to_face(path, [str(n) for n in names], rows, fps, _head(turns, path))


def _rate(times: np.ndarray) -> float:
    """Frames per second of the median step; where all steps are alike, of all together, since times are rounded."""
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 0.0
    if not step > 1e-4:
        return FPS
    if np.abs(steps - step).max() < 0.05 * step:
        step = float(times[-1] - times[0]) / len(steps)
    return round(1 / step, 3)


def _head(turns: list[Any], path: Path) -> np.ndarray | None:
    try:
        lengths = {len(r) for r in turns}
        if lengths not in ({3}, {4}):
            return None
        r = np.array(turns, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: rotation is not numbers") from None
    return r if r.shape[1] == 3 else angles_of(r[:, [3, 0, 1, 2]])
