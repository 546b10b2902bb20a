"""The face in a photo: its landmarks, how the head is turned, and the square around it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avatargpt.face.portrait import square_around
from avatargpt.video.frames import LONGEST, PICTURES, open_picture
from avatargpt.video.landmarker import Landmarker
from vqvae.errors import UserError
from vqvae.io.files import regular_file

MIN_FACE = 64  # pixels of the landmarks' box
MOST_FACES = 4  # that are looked for: of several none is chosen


class Photo(NamedTuple):
    """A photographed face."""

    picture: np.ndarray  # (S, S, 3) uint8, the square around it
    points: np.ndarray  # (70, 2) landmarks in shares of the square, iBUG's order and the irises
    head: np.ndarray  # (3,) yaw, pitch, roll against the camera, radians, signs of `FaceMotion`


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """The one face in a photo, upright by its metadata.

    Raises:
        UserError: not a picture, no face in it, several, or a face of fewer than `MIN_FACE` pixels; the landmarker is
            not installed.
    """
    from PIL import Image

    path = regular_file(path, f"accepted {' '.join(PICTURES)}")
    image = open_picture(Path(path))
    scale = min(1.0, LONGEST / max(image.size))
    small = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
    finder = Landmarker(MOST_FACES)
    try:
        marks = finder.marks(np.asarray(small), 0.0)
    finally:
        finder.close()
    if len(marks) != 1:
        count = f"{len(marks)} faces" if marks else "no face"
        raise UserError(f"{path}: {count} in it; accepted a photo of one face, see docs/avatar.md")
    points = marks[0].points * (np.array(image.size) / small.size)
    height = float(np.ptp(points, axis=0).max())
    if height < MIN_FACE:
        raise UserError(f"{path}: a face of {height:.0f} pixels; accepted at least {MIN_FACE}")
    corner, side = square_around(points, image.size)
    whole = max(1, int(side))
    (left, top), (right, bottom) = corner.tolist(), (corner + side).tolist()
    square = image.resize((whole, whole), Image.Resampling.LANCZOS, (left, top, right, bottom))
    return Photo(np.asarray(square), (points - corner) / side, marks[0].head)
