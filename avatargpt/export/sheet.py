"""Contact sheets: a PNG with some pictures of each clip."""

from __future__ import annotations

import os
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from avatargpt.export.formats import MAX_CLIPS
from avatargpt.export.mesh import PALETTE
from avatargpt.export.renderers import BodyRenderer, capsule_ends, fit_view
from avatargpt.export.video import face_pictures
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion, atomic_write

if TYPE_CHECKING:
    from PIL.Image import Image

    from avatargpt.export.avatar import AvatarMotion

CELL_WIDTH, CELL_HEIGHT = 176, 232  # pixels of a pose
FACE_CELL, FACE_COLUMNS = 196, 4
SUPERSAMPLE = 2
MAX_FRAMES = 40
MAX_LETTERS = 4000  # of a caption that are looked at; Pillow measures no text of a million
_TYPED = str.maketrans(dict(zip("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--", strict=True)) | {"\u2026": "..."})
INK, QUIET = (40, 46, 56), (106, 116, 130)


def contact_sheet(
    motions: Sequence[Motion] | Sequence[FaceMotion] | Sequence[AvatarMotion], captions: Sequence[str],
    path: str | os.PathLike[str], frames: int = 8,
) -> Path:  # fmt: skip
    """Write a PNG with `frames` pictures of each clip, time stamps and captions; all clips of one kind.

    Bodies: a row of poses from first to last. Each pose stands in the middle of its own cell; travel shows as the
    scrolling ground grid (lines every 0.5 m), as the green trail of the pelvis and as the distance from the start. The
    camera's direction is that of the first frame, 35 degrees to the body's left of straight ahead, for the whole row.
    Faces: the most expressive moments (`expressive_frames`) with their strongest shapes. Avatars: all bodies, below
    them all faces.
    """
    path = Path(path)
    if not 1 <= len(motions) <= MAX_CLIPS or len(captions) != len(motions):
        count = f"{len(motions)} clips with {len(captions)} captions"
        raise UserError(f"{path}: {count}; accepted 1 to {MAX_CLIPS} clips, one caption each")
    if not 2 <= frames <= MAX_FRAMES:
        raise UserError(f"{path}: {frames} frames per clip; accepted 2 to {MAX_FRAMES}")
    if motions[0].modality == "face":
        sheet = _face_sheet(cast("Sequence[FaceMotion]", motions), captions, frames)
    elif motions[0].modality == "avatar":
        avatars = cast("Sequence[AvatarMotion]", motions)
        # Without fingers: a figure with them is seen from the hips up.
        bodies = _body_sheet([replace(a.body, fingers=None, modality="body") for a in avatars], captions, frames)
        columns = -(-bodies.width // FACE_CELL)
        sheet = _stack(bodies, _face_sheet([a.face for a in avatars], captions, frames, columns))
    else:
        sheet = _body_sheet(cast("Sequence[Motion]", motions), captions, frames)
    return atomic_write(path, lambda temporary: sheet.save(temporary, format="PNG"))


def _stack(above: Image, below: Image) -> Image:
    """One picture above another."""
    from PIL import Image

    sheet = Image.new("RGB", (max(above.width, below.width), above.height + below.height), "white")
    sheet.paste(above, (0, 0))
    sheet.paste(below, (0, above.height))
    return sheet


def write_png(motion: Motion | FaceMotion | AvatarMotion, path: Path, frames: int = 8) -> Path:
    """The contact sheet of one clip, its caption above."""
    return contact_sheet(cast("list[Motion]", [motion]), [motion.caption], path, frames)


def _body_sheet(motions: Sequence[Motion], captions: Sequence[str], frames: int) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    title, small = ImageFont.load_default(17), ImageFont.load_default(13)
    width, row, margin = frames * CELL_WIDTH, CELL_HEIGHT + 34, 12
    sheet = Image.new("RGB", (width + 2 * margin, len(motions) * row + 30 + margin), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (motion, caption) in enumerate(zip(motions, captions, strict=True)):
        top = 30 + i * row
        text = shorten(caption or "motion", lambda s: title.getlength(s) <= width - 80)
        draw.text((margin, top + 6), text, INK, title)
        draw.text((margin + width, top + 8), f"{motion.seconds:.1f} s", QUIET, small, anchor="ra")
        for k, (picture, stamp) in enumerate(body_row(motion, frames)):
            left = margin + k * CELL_WIDTH
            sheet.paste(Image.fromarray(picture).reduce(SUPERSAMPLE), (left, top + 30))
            draw.text((left + 7, top + 34), stamp, QUIET, small)
            if k:
                draw.line((left, top + 30, left, top + 29 + CELL_HEIGHT), "white", 2)
    for left, key, text in ((margin, "l_arm", "left"), (margin + 66, "r_arm", "right")):
        draw.ellipse((left, 11, left + 12, 23), PALETTE[key])
        draw.text((left + 18, 9), text, QUIET, small)
    legend = "side of the body; grid 0.5 m; green: path of the pelvis; m: distance from the start"
    draw.text((margin + 132, 9), legend, QUIET, small)
    return sheet


def body_row(motion: Motion, frames: int) -> list[tuple[np.ndarray, str]]:
    """Pictures (uint8, supersampled) and their stamps, evenly spaced from the first frame to the last."""
    index = np.rint(np.linspace(0, len(motion) - 1, frames)).astype(int)
    turned = motion.moved(-float(motion.slice(0, 1).heading[0]), np.zeros(3))
    ends, root = capsule_ends(turned)[index], turned.root
    view = fit_view(ends, root[index] * np.array([1, 0, 1]), CELL_WIDTH / CELL_HEIGHT)
    renderer = BodyRenderer(CELL_WIDTH * SUPERSAMPLE, CELL_HEIGHT * SUPERSAMPLE, view, motion.fingers is not None)
    out = []
    for t, e in zip(index, ends, strict=True):
        distance = float(np.linalg.norm((root[t] - root[0])[::2]))
        stamp = f"{t / motion.fps:.1f} s" + (f"   {distance:.1f} m" if distance >= 0.25 else "")
        out.append((renderer.frame(e, root[t], root[: t + 1]), stamp))
    return out


def shorten(caption: str, fits: Callable[[str], bool]) -> str:
    """As many words as have room, and dots for those that have not."""
    # the built-in font has ASCII: accents are taken off, other letters become ``?``
    plain = unicodedata.normalize("NFKD", caption[:MAX_LETTERS].translate(_TYPED))
    bare = "".join(c for c in plain if not unicodedata.combining(c))
    words = bare.encode("ascii", "replace").decode("ascii").split()
    if fits(" ".join(words)):
        return " ".join(words)
    count = bisect_right(range(len(words)), False, key=lambda n: not fits(" ".join([*words[:n], "..."]))) - 1
    return " ".join([*words[: max(count, 0)], "..."])


def _face_sheet(
    motions: Sequence[FaceMotion], captions: Sequence[str], frames: int, most: int = FACE_COLUMNS
) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    title, small = ImageFont.load_default(16), ImageFont.load_default(11)
    columns = min(most, frames)
    lines, tall = -(-frames // columns), FACE_CELL + 34
    sheet = Image.new("RGB", (columns * FACE_CELL + 24, len(motions) * (lines * tall + 34) + 8), "white")
    draw, room = ImageDraw.Draw(sheet), columns * FACE_CELL - 50
    for i, (motion, caption) in enumerate(zip(motions, captions, strict=True)):
        top = i * (lines * tall + 34)
        draw.text((12, top + 8), shorten(caption, lambda s: title.getlength(s) <= room) or "face", INK, title)
        draw.text((columns * FACE_CELL + 12, top + 10), f"{motion.seconds:.1f} s", QUIET, small, anchor="ra")
        index = expressive_frames(motion, frames)
        chosen = FaceMotion(motion.weights[index], motion.head[index], motion.fps)
        shapes = [_strongest(w, lambda s: small.getlength(s) <= FACE_CELL - 8) for w in chosen.weights]
        for k, picture in enumerate(face_pictures(chosen, FACE_CELL)):
            left, down = 12 + k % columns * FACE_CELL, top + 34 + k // columns * tall
            sheet.paste(Image.fromarray(picture), (left, down))
            draw.text((left + 5, down + 4), f"{index[k] / motion.fps:.2f} s", QUIET, small)
            draw.text((left + 4, down + FACE_CELL + 2), shapes[k], QUIET, small)
    return sheet


def expressive_frames(motion: FaceMotion, frames: int) -> np.ndarray:
    """(frames,) indices, rising: in each of as many equal spans of the clip the frame that differs most from the one
    chosen before: a wink lasts a fifth of a second, evenly spaced pictures would miss it.

    Frames differ by the distance of their curves, weights and radians alike; the first by that from a face at rest.
    """
    curves = motion.curves
    edges = np.rint(np.linspace(0, len(motion), frames + 1)).astype(int)
    chosen: list[int] = []
    for start, end in zip(np.minimum(edges[:-1], len(motion) - 1), edges[1:], strict=True):
        before = curves[chosen[-1]] if chosen else 0.0
        distance = np.linalg.norm(curves[start : max(end, start + 1)] - before, axis=1)
        chosen.append(int(start + distance.argmax()))
    return np.array(chosen)


def _strongest(weights: np.ndarray, fits: Callable[[str], bool]) -> str:
    """The largest weights, four at most, as many as have room in two lines; both sides as one where they are alike."""
    named: dict[str, float] = {}
    for name, w in zip(arkit.NAMES, weights, strict=True):
        stem = name.removesuffix("Left").removesuffix("Right")
        twin = weights[arkit.MIRROR[arkit.INDEX[name]]]
        key = stem if stem in arkit.SIDED and abs(float(w) - float(twin)) < 0.1 else name
        named[key] = max(named.get(key, 0.0), float(w))
    largest = sorted(named.items(), key=lambda item: -item[1])[:4]
    parts = [f"{n} {w:.2f}".replace(" 0.", " .") for n, w in largest if w >= 0.05]
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}  {part}".strip()
        if lines[-1] and not fits(longer):
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines[:2])
