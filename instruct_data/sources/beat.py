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
from vqvae.face import FaceMotion

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
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise UserError(f"{path}: frames need weights and time ({type(e).__name__}: {e})") from None
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    fps = round(1 / step, 3) if step > 1e-4 else FPS
    return to_face(path, [str(n) for n in names], rows, fps, _head(turns, path))


def _head(turns: list[Any], path: Path) -> np.ndarray | None:
    lengths = {len(r) for r in turns}
    if lengths not in ({3}, {4}):
        return None
    try:
        r = np.array(turns, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{path}: rotation is not numbers") from None
    return r if r.shape[1] == 3 else euler(r[:, [3, 0, 1, 2]])


def euler(q: np.ndarray) -> np.ndarray:
    """(T, 4) quaternions w, x, y, z of a head looking along +Z, Y up -> (T, 3) our yaw, pitch, roll in radians.

    Order: yaw about Y, then pitch about the turned X, then roll about the turned Z. Positive X turns the head down and
    positive Z tilts it to the person's right shoulder (left is +X).
    """
    w, x, y, z = (q / np.maximum(np.linalg.norm(q, axis=1, keepdims=True), 1e-9)).T
    yaw = np.arctan2(2 * (w * y + x * z), 1 - 2 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2 * (y * z - w * x), -1, 1))
    roll = np.arctan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z))
    return np.stack([yaw, pitch, roll], 1)
