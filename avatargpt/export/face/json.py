"""JSON forms of a face: Audio2Face (default) and BEAT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import atomic_write

DIGITS = 6
LAYOUTS = ("audio2face", "beat")


def audio2face(motion: FaceMotion) -> dict[str, Any]:
    """As Audio2Face exports blendshape weights; the head's rotation has no place in it."""
    return {
        "exportFps": motion.fps, "trackPath": motion.caption, "numPoses": arkit.COUNT, "numFrames": len(motion),
        "facsNames": list(arkit.NAMES), "weightMat": motion.weights.astype(float).round(DIGITS).tolist(),
    }  # fmt: skip


def beat(motion: FaceMotion) -> dict[str, Any]:
    """As the BEAT corpus stores faces; ``rotation`` holds yaw, pitch, roll in radians (docs/face.md)."""
    weights = motion.weights.astype(float).round(DIGITS).tolist()
    head = motion.head.astype(float).round(DIGITS).tolist()
    rows = zip(weights, head, strict=True)
    frames = [{"weights": w, "time": round(i / motion.fps, 6), "rotation": h} for i, (w, h) in enumerate(rows)]
    return {"names": list(arkit.NAMES), "frames": frames}


def write_json(motion: FaceMotion, path: Path, layout: str = "audio2face") -> Path:
    """Write either form.

    Raises:
        UserError: unknown layout.
    """
    if layout not in LAYOUTS:
        raise UserError(f"{path}: layout '{layout}'; accepted {', '.join(LAYOUTS)}")
    text = json.dumps(audio2face(motion) if layout == "audio2face" else beat(motion))
    return atomic_write(path, lambda p: p.write_text(text + "\n", encoding="utf-8"))


def read_face_json(path: Path) -> FaceMotion:
    """Either form, told apart by its keys.

    Raises:
        UserError: neither.
    """
    from instruct_data.sources import audio2face as a2f
    from instruct_data.sources import beat as beat_files
    from instruct_data.sources.face_json import read_json

    data = read_json(path)
    if "facsNames" in data or "weightMat" in data:
        return a2f.from_json(data, path)
    if "names" in data and "frames" in data:
        return beat_files.from_json(data, path)
    raise UserError(f"{path}: keys {', '.join(list(data)[:4]) or 'none'}; accepted BEAT (names, frames) or Audio2Face "
                    "(facsNames, weightMat)")  # fmt: skip
