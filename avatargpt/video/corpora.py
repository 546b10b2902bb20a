"""Faces off the films of corpora (`instruct_data.sources.films`); what was read is kept till the store is written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from avatargpt.video import faces
from avatargpt.video.capture import NobodyError, capture_face
from instruct_data.sources.films import FilmFace
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write

VERSION = 1  # of what is kept: a change of the capture that changes its results gets a new one
RELIABILITY = tuple(faces.ALIVE.astype(float))


class FilmFaces:
    """The largest face of a stretch of a film, a `FaceCapture`.

    Args:
        folder: of what has been read, made with the first film. A build that is cut off goes on from it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: Path, start: float = 0.0, end: float | None = None) -> FilmFace:
        """Read it, or take what is kept. Raises UserError as `capture_face`."""
        about = path.stat()
        parts = [VERSION, str(path.resolve()), about.st_size, about.st_mtime_ns, start, end]
        place = self.folder / hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        motion, note = place.with_suffix(".npz"), place.with_suffix(".json")
        if not note.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            about_film: dict[str, object] = {}
            try:
                captured = capture_face(path, start, end)
                captured.motion.save(motion)
                about_film["start"] = captured.start
            except NobodyError as e:
                about_film["problem"] = str(e).removeprefix(f"{path}: ")
            atomic_write(note, lambda p: p.write_text(json.dumps(about_film), encoding="utf-8"))
        row = read_object(note)
        if "problem" in row:
            raise UserError(f"{path}: {row['problem']}")
        return FilmFace(FaceMotion.load(motion), float(row["start"]), RELIABILITY)
