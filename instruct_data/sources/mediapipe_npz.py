"""Reader for the `.npz` that voice2motion's preprocessing writes from video with MediaPipe."""

# Arrays of the file:
# - `blendshapes`: (T, 52), `_neutral` and MediaPipe's 51 shapes by alphabet; no tongue, and the cheeks never puff.
# - `head_angles`: (T, 3) pitch, yaw, roll in degrees, turned as its renderer does (Rz Rx Ry: + pitch down, + yaw to the
#   person's left, + roll to the right shoulder). Their zero depends on the camera, so the clip's median is taken off.
# - `bad_frames`: frames without a face, filled in from their neighbours here.
# - `fps`: the video's frame rate; voice2motion does not write it.

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.sources.face_files import check_weights
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import array_names, read_arrays

SHAPES, RATE = "blendshapes", "fps"
DEFAULT_FPS = 30.0
SIGNS = np.array([1.0, -1.0, 1.0])  # of yaw, pitch, roll in the file relative to ours


def kind(path: Path) -> tuple[bool, bool]:
    """Whether an `.npz` has MediaPipe's shapes, and whether it has their frame rate."""
    names = array_names(path)
    return SHAPES in names, RATE in names


def read_mediapipe(path: str | os.PathLike[str], fps: float | None = None) -> FaceMotion:
    """One file. `fps`: of the video; None: what the file says, `DEFAULT_FPS` where it does not."""
    path = Path(path)
    data = read_arrays(path, (SHAPES, "head_angles", "bad_frames", RATE))
    if SHAPES not in data:
        raise UserError(f"{path}: no {SHAPES} in it; accepted what voice2motion's preprocessing writes")
    try:
        shapes = np.asarray(data[SHAPES], np.float64)
        angles = np.asarray(data.get("head_angles", np.zeros((len(shapes), 3))), np.float64)
    except (TypeError, ValueError) as e:
        raise UserError(f"{path}: not numbers ({e})") from None
    if shapes.ndim != 2 or shapes.shape[1] != len(arkit.MEDIAPIPE) or angles.shape != (len(shapes), 3):
        raise UserError(f"{path}: {SHAPES} {shapes.shape}, head_angles {angles.shape}; accepted (T, 52) and (T, 3)")
    good = _good(data.get("bad_frames"), len(shapes), path)
    where = arkit.columns(list(arkit.MEDIAPIPE))
    weights = np.zeros((len(shapes), arkit.COUNT))
    weights[:, list(where)] = shapes[:, list(where.values())]
    turned = angles[:, [1, 0, 2]]
    # about their mean direction first: the median of angles on both sides of 180 degrees is neither's
    turned = _wrapped(turned - np.degrees(np.angle(np.exp(1j * np.radians(turned[good])).mean(0))))
    turned = _wrapped(turned - np.median(turned[good], 0))
    both = np.concatenate([weights, np.radians(turned) * SIGNS], 1)
    every = np.arange(len(both))
    both = np.stack([np.interp(every, every[good], column[good]) for column in both.T], 1)
    try:
        used = list(where.values())
        names, rows = [arkit.MEDIAPIPE[c] for c in used], [int(t) + 1 for t in every[good]]
        check_weights(shapes[good][:, used], names, rows)
        return FaceMotion.from_curves(both, _rate(data.get(RATE), fps))
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


def _wrapped(degrees: np.ndarray) -> np.ndarray:
    out: np.ndarray = (degrees + 180) % 360 - 180
    return out


def _rate(in_file: Any, fps: float | None) -> float:
    """Frames per second: that of the file, `fps` where it has none."""
    if in_file is None:
        return DEFAULT_FPS if fps is None else fps
    try:
        rate = float(in_file)
    except (TypeError, ValueError):
        raise UserError(f"{RATE} is no number") from None
    if fps is not None and abs(fps - rate) > 1e-6 * rate:
        raise UserError(f"{fps:g} frames a second; accepted {rate:g}, which the file says")
    return rate


def _good(bad: Any, count: int, path: Path) -> np.ndarray:
    """(T,) bool: frames in which a face was seen."""
    good = np.ones(count, bool)
    listed = np.asarray([] if bad is None else bad)
    if listed.size:
        if listed.dtype.kind not in "iu" or listed.min() < 0 or listed.max() >= count:
            raise UserError(f"{path}: bad_frames are not frame numbers below {count}")
        good[listed] = False
    if not good.any():
        raise UserError(f"{path}: no frame with a face")
    return good
