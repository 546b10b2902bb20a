"""Contact sheets: one row of evenly spaced poses per clip."""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.export.figure import PALETTE
from avatargpt.export.render import Renderer, fit_view, posed
from avatargpt.export.table import MOST_CLIPS
from vqvae.errors import UserError
from vqvae.motion import Motion, atomic_write

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

CELL_WIDTH, CELL_HEIGHT = 176, 232
SUPERSAMPLE = 2
MAX_FRAMES = 40
MOST_DRAWN = 4000  # letters of a caption that are looked at; Pillow measures no text of a million
_TYPED = str.maketrans(dict(zip("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--", strict=True)) | {"\u2026": "..."})
INK, QUIET = (40, 46, 56), (106, 116, 130)


def contact_sheet(
    motions: Sequence[Motion], captions: Sequence[str], path: str | os.PathLike[str], frames: int = 8
) -> Path:
    """Write a PNG with one row per clip: `frames` poses from first to last, time stamps, caption and legend.

    Each pose stands in the middle of its own cell; travel shows as the scrolling ground grid (lines every 0.5 m), as
    the green trail of the pelvis and as the distance from the start. The camera's direction is that of the first
    frame, 35 degrees to the body's left of straight ahead, for the whole row.

    Raises:
        UserError: no clips, captions that do not match, frames outside 2..40, or an unwritable file.
    """
    from PIL import Image, ImageDraw, ImageFont

    path = Path(path)
    if not 1 <= len(motions) <= MOST_CLIPS or len(captions) != len(motions):
        given = f"{len(motions)} clips with {len(captions)} captions"
        raise UserError(f"{path}: {given}; accepted 1 to {MOST_CLIPS} clips, one caption each")
    if not 2 <= frames <= MAX_FRAMES:
        raise UserError(f"{path}: {frames} frames per row; accepted 2 to {MAX_FRAMES}")
    title, small = ImageFont.load_default(17), ImageFont.load_default(13)
    width, row, margin = frames * CELL_WIDTH, CELL_HEIGHT + 34, 12
    sheet = Image.new("RGB", (width + 2 * margin, len(motions) * row + 30 + margin), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (motion, caption) in enumerate(zip(motions, captions, strict=True)):
        top = 30 + i * row
        length = f"{motion.seconds:.1f} s"
        draw.text((margin, top + 6), _shorten(draw, caption or "motion", title, width - 80), INK, title)
        draw.text((margin + width, top + 8), length, QUIET, small, anchor="ra")
        for k, (picture, stamp) in enumerate(_row(motion, frames)):
            left = margin + k * CELL_WIDTH
            sheet.paste(Image.fromarray(picture).reduce(SUPERSAMPLE), (left, top + 30))
            draw.text((left + 7, top + 34), stamp, QUIET, small)
            if k:
                draw.line((left, top + 30, left, top + 29 + CELL_HEIGHT), "white", 2)
    _legend(draw, margin, small)
    return atomic_write(path, lambda temporary: sheet.save(temporary, format="PNG"))


def _row(motion: Motion, frames: int) -> list[tuple[np.ndarray, str]]:
    """Pictures (uint8, supersampled) and their stamps, evenly spaced from the first frame to the last."""
    index = np.rint(np.linspace(0, len(motion) - 1, frames)).astype(int)
    turned = motion.moved(-float(motion.slice(0, 1).heading[0]), np.zeros(3))
    ends, root = posed(turned)[index], turned.root
    view = fit_view(ends, root[index] * np.array([1, 0, 1]), CELL_WIDTH / CELL_HEIGHT)
    renderer = Renderer(CELL_WIDTH * SUPERSAMPLE, CELL_HEIGHT * SUPERSAMPLE, view, motion.fingers is not None)
    out = []
    for t, e in zip(index, ends, strict=True):
        away = float(np.linalg.norm((root[t] - root[0])[::2]))
        stamp = f"{t / motion.fps:.1f} s" + (f"   {away:.1f} m" if away >= 0.25 else "")
        out.append((renderer.frame(e, root[t], root[: t + 1]), stamp))
    return out


def _legend(draw: ImageDraw, left: int, font: Font) -> None:
    for key, text in (("l_arm", "left"), ("r_arm", "right")):
        draw.ellipse((left, 11, left + 12, 23), PALETTE[key])
        draw.text((left + 18, 9), text, QUIET, font)
        left += 66
    text = "side of the body; grid 0.5 m; green: path of the pelvis; m: distance from the start"
    draw.text((left, 9), text, QUIET, font)


def drawable(text: str) -> str:
    """A caption in the letters that the built-in font has: accents are taken off, other letters become ``?``.

    Of what is longer than any row is wide the rest is left out.
    """
    plain = text[:MOST_DRAWN].translate(_TYPED)
    bare = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return " ".join(bare.encode("ascii", "replace").decode("ascii").split())


def _shorten(draw: ImageDraw, text: str, font: Font, width: int) -> str:
    text = drawable(text)
    if draw.textlength(text, font) <= width:
        return text

    def wide(letters: int) -> bool:
        return draw.textlength(text[:letters] + "...", font) > width

    room = bisect_right(range(len(text)), False, key=wide) - 1
    return text[: max(room, 0)].rstrip() + "..."
