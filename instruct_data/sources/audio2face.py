"""Reader for Audio2Face's blendshape export: ``exportFps, numPoses, numFrames, facsNames, weightMat``. No head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instruct_data.sources.face_json import to_face
from vqvae.errors import UserError
from vqvae.face import FaceMotion

DEFAULT_FPS = 30.0


def from_json(data: dict[str, Any], path: Path) -> FaceMotion:
    """A parsed file. ``facsNames`` may be ARKit names in any spelling.

    Raises:
        UserError: not such a file.
    """
    names, rows = data.get("facsNames"), data.get("weightMat")
    if not isinstance(names, list) or not isinstance(rows, list):
        raise UserError(f"{path}: no facsNames and weightMat; accepted an Audio2Face file")
    try:
        fps = float(data.get("exportFps", DEFAULT_FPS))
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: exportFps is no number") from None
    return to_face(path, [str(n) for n in names], rows, fps)
