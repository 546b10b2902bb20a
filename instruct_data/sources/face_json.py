"""What the JSON readers of faces share: reading strictly, rows to a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.face.clips import check_weights
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_object
from vqvae.motion import MAX_FRAMES

MAX_BYTES = 1 << 28  # about four hours of curves; parsed, they take some ten times as much memory


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: no such file, too large, not JSON, not an object.
    """
    return read_object(path, MAX_BYTES, "accepted BEAT (names, frames), Audio2Face (facsNames, weightMat)")


def to_face(
    path: Path, names: list[str], rows: list[Any], fps: float, head: np.ndarray | None = None, least: int = 20
) -> FaceMotion:
    """Named columns to a clip; shapes that the file does not have stay at 0.

    Args:
        path: for messages.
        names: of the columns.
        rows: T rows of weights.
        fps: frames per second.
        head: (T, 3) yaw, pitch, roll in radians, ours; None = still.
        least: how many ARKit names there must be.

    Raises:
        UserError: few known names, rows of another length, NaN, weights far from 0 to 1, no rows.
    """
    where = arkit.columns(names)
    if len(where) < least:
        raise UserError(f"{path}: {len(where)} of its {len(names)} names are ARKit shapes; accepted at least {least}")
    if not 0 < len(rows) <= MAX_FRAMES:
        raise UserError(f"{path}: {len(rows)} frames; accepted 1 to {MAX_FRAMES}")
    try:
        values = np.array(rows, np.float64)
        if values.ndim != 2 or values.shape[1] != len(names):
            raise ValueError(f"shape {values.shape}")
        known = list(where.values())
        check_weights(values[:, known], [names[c] for c in known])
        weights = np.zeros((len(values), arkit.COUNT))
        weights[:, list(where)] = values[:, known]
        return FaceMotion(weights, np.zeros((len(values), 3)) if head is None else head, fps)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    except (TypeError, ValueError, OverflowError) as e:
        raise UserError(f"{path}: rows of weights differ from the {len(names)} names ({e})") from None
