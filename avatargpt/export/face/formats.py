"""Face formats in the table: one function each, imports inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.export.table import reader, writer

if TYPE_CHECKING:
    from vqvae.face import FaceMotion


@writer(".csv", holds=("face",))
def _write_csv(motion: FaceMotion, path: Path) -> None:
    from avatargpt.export.face.livelink import write_livelink

    write_livelink(motion, path)


@reader(".csv")
def _read_csv(path: Path) -> FaceMotion:
    from instruct_data.sources.livelink import read_livelink

    return read_livelink(path)


@writer(".json", holds=("face",), layouts={"face": ("audio2face", "beat")})
def _write_json(motion: FaceMotion, path: Path, layout: str = "audio2face") -> None:
    from avatargpt.export.face.json import write_json

    write_json(motion, path, layout)


@reader(".json")
def _read_json(path: Path) -> FaceMotion:
    from avatargpt.export.face.json import read_face_json

    return read_face_json(path)


def read_face_npz(path: Path, fps: float | None = None) -> FaceMotion | None:
    """Our own face .npz or MediaPipe's, None where the keys are of neither.

    Args:
        fps: frame rate of MediaPipe's, which need not say it.

    Raises:
        UserError: `fps` with another file.
    """
    from instruct_data.sources.mediapipe_npz import SHAPES, read_mediapipe
    from vqvae.errors import UserError
    from vqvae.face import FaceMotion
    from vqvae.io.arrays import array_names

    keys = array_names(path)
    ours = {"weights", "names", "head"} <= keys
    if SHAPES in keys and not ours and "rotations" not in keys:
        return read_mediapipe(path, fps)
    if fps is not None:
        raise UserError(f"{path}: fps goes with MediaPipe's .npz; this one says it itself")
    return FaceMotion.load(path) if ours and "rotations" not in keys else None
