"""A check by eye: the film with the landmarks of the person in it, and beside it the figure that was read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from avatargpt.export.renderers import BodyRenderer, capsule_ends, fit_view
from avatargpt.export.video import encode_mp4, face_pictures
from avatargpt.video.capture import Capture
from avatargpt.video.frames import frames
from avatargpt.video.poses import AT
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.files import atomic_write
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

FORMS = (".mp4", ".mov", ".png")
SIDE = 480  # pixels of either picture
SHEET_COLUMNS, SHEET_CELL = 8, 240
LEFT, RIGHT, MIDDLE = (240, 150, 40), (50, 120, 230), (250, 230, 90)  # colours of our figure's limbs
_LIMBS = ("shoulder elbow wrist", "shoulder hip knee ankle heel toe ankle")
_LINES = [
    (AT[f"{s}_{a}"], AT[f"{s}_{b}"], LEFT if s == "l" else RIGHT)
    for s in "lr"
    for names in _LIMBS
    for a, b in pairwise(names.split())
] + [(AT["l_shoulder"], AT["r_shoulder"], MIDDLE), (AT["l_hip"], AT["r_hip"], MIDDLE)]
_VISIBLE = 0.3  # of a landmark that is drawn


def write_overlay(captured: Capture, path: Path) -> Path:
    """A film (.mp4, .mov) or a sheet of eight moments (.png). Raises UserError for another suffix."""
    check_overlay(path)
    if path.suffix.lower() == ".png":
        return _sheet(captured, path)
    motion = captured.body or captured.motion
    shown = np.arange(len(motion))
    return encode_mp4(path, lambda _: _pairs(captured, motion.fps, shown), motion.fps, SIDE, width=2 * SIDE)


def check_overlay(path: Path) -> None:
    """Raises UserError for a suffix that no overlay is written as."""
    if path.suffix.lower() not in FORMS:
        form = path.suffix or path.name
        raise UserError(f"--overlay {path}: cannot be written as {form}; accepted {' '.join(FORMS)}")


def _sheet(captured: Capture, path: Path) -> Path:
    motion = captured.body or captured.motion
    count = len(motion)
    moments = np.unique(np.linspace(0, count - 1, min(SHEET_COLUMNS, count)).round().astype(int))
    sheet = Image.new("RGB", (SHEET_CELL * len(moments), 2 * SHEET_CELL), "white")
    for column, pair in enumerate(_pairs(captured, motion.fps, moments)):
        for row in (0, 1):
            half = Image.fromarray(pair[:, row * SIDE : (row + 1) * SIDE])
            small = half.resize((SHEET_CELL, SHEET_CELL), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * SHEET_CELL, row * SHEET_CELL))
    return atomic_write(path, lambda temporary: sheet.save(temporary, format="PNG"))


def _pairs(captured: Capture, fps: float, shown: np.ndarray) -> Iterator[np.ndarray]:
    """(SIDE, 2 * SIDE, 3) uint8 for the frames `shown` of the motion, rising."""
    if captured.body is not None:
        figures = _figures(captured.body, shown)
    else:
        assert isinstance(captured.motion, FaceMotion)
        figures = face_pictures(captured.motion.at_frames(shown), SIDE)
    last = captured.start + (len(captured.motion) + 1) / captured.motion.fps
    films = frames(captured.film, max(0.0, captured.start - 1 / fps), last + 1)
    picture = next(films)
    following = next(films, None)
    around = _around(captured, picture.picture.shape[1], picture.picture.shape[0])
    for k, figure in zip(shown, figures, strict=True):
        time = captured.start + k / fps
        while following is not None and following.time <= time + 1e-3:
            picture, following = following, next(films, None)
        image = Image.fromarray(picture.picture)
        draw = ImageDraw.Draw(image)
        width = max(2, image.height // 150)
        if (person := captured.person) is not None and (row := _row(person.times, picture.time)) is not None:
            for a, b, colour in _LINES:
                if min(person.visible[row, [a, b]]) >= _VISIBLE:
                    draw.line([*map(tuple, person.points[row, [a, b]])], fill=colour, width=width)
        if (face := captured.face) is not None and (row := _row(face.times, picture.time)) is not None:
            draw.rectangle([*face.boxes[row]], outline=MIDDLE, width=width)
        image = image.crop(around)
        image.thumbnail((SIDE, SIDE))
        pair = Image.new("RGB", (2 * SIDE, SIDE), (20, 20, 20))
        pair.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
        pair.paste(Image.fromarray(figure), (SIDE, 0))
        yield np.asarray(pair)


def _around(captured: Capture, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the film that the person is in, pixels."""
    boxes = []
    if captured.person is not None:
        points = captured.person.points
        boxes += [np.percentile(points.min(1), 2, axis=0), np.percentile(points.max(1), 98, axis=0)]
    if captured.face is not None:
        face = captured.face.boxes
        boxes += [np.percentile(face[:, :2], 2, axis=0), np.percentile(face[:, 2:], 98, axis=0)]
    low, high = np.min(boxes, 0), np.max(boxes, 0)
    half = max(0.6 * float((high - low).max()), 0.1 * height)
    x, y = (low + high) / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    return left, top, min(width, max(left + 2, round(x + half))), min(height, max(top + 2, round(y + half)))


def _row(times: np.ndarray, time: float) -> int | None:
    """The row of that second of the film."""
    row = int(np.abs(times - time).argmin())
    return row if abs(times[row] - time) < 0.02 else None


def _figures(motion: Motion, shown: np.ndarray) -> Iterator[np.ndarray]:
    """Our figure as the camera sees it, which follows the path."""
    path = gaussian(motion.root.astype(np.float64) * [1, 0, 1], motion.fps * 0.35)
    ends = capsule_ends(motion)
    view = fit_view(ends[:: max(1, len(ends) // 500)], path[:: max(1, len(ends) // 500)], yaw=0.0)
    renderer = BodyRenderer(SIDE, SIDE, view)
    for k in shown:
        yield renderer.frame(ends[k], path[k])
