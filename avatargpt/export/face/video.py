"""Pictures of a face clip on our head: .png contact sheet, .gif, and .mp4 with the sound it was made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from avatargpt.export.sheet import drawable
from avatargpt.export.soundtrack import sound_of
from avatargpt.export.table import MOST_CLIPS, check_size
from avatargpt.export.video import GIF_FPS, encode_gif, encode_mp4
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.motion import atomic_write

CELL, COLUMNS, MAX_FRAMES = 196, 4, 40
_INK, _QUIET = (40, 46, 56), (106, 116, 130)


def pictures(motion: FaceMotion, size: int) -> Iterator[np.ndarray]:
    """Frames (size, size, 3) uint8 of the clip, seen from the front."""
    from avatargpt.export.face.render import FaceRenderer
    from avatargpt.export.head.head import turned
    from avatargpt.export.head.morphs import shaped

    renderer = FaceRenderer(size, size)
    for weights, quaternion in zip(motion.weights, turns(motion.head), strict=True):
        yield renderer.frame(turned(shaped(weights), quaternion))


def face_sheet(motions: list[FaceMotion], captions: list[str], path: str | os.PathLike[str], frames: int = 8) -> Path:
    """Write a PNG with `frames` pictures of each clip, their times and strongest shapes (which: `telling`).

    Raises:
        UserError: no clips, captions that do not match, frames outside 2..40, or an unwritable file.
    """
    from PIL import Image, ImageDraw, ImageFont

    path = Path(path)
    if not 1 <= len(motions) <= MOST_CLIPS or len(captions) != len(motions):
        given = f"{len(motions)} clips with {len(captions)} captions"
        raise UserError(f"{path}: {given}; accepted 1 to {MOST_CLIPS} clips, one caption each")
    if not 2 <= frames <= MAX_FRAMES:
        raise UserError(f"{path}: {frames} frames per clip; accepted 2 to {MAX_FRAMES}")
    title, small = ImageFont.load_default(16), ImageFont.load_default(11)
    columns = min(COLUMNS if frames > COLUMNS else frames, frames)
    lines, tall = -(-frames // columns), CELL + 34
    sheet = Image.new("RGB", (columns * CELL + 24, len(motions) * (lines * tall + 34) + 8), "white")
    draw, room = ImageDraw.Draw(sheet), columns * CELL - 50
    for i, (motion, caption) in enumerate(zip(motions, captions, strict=True)):
        top = i * (lines * tall + 34)
        draw.text((12, top + 8), _shortened(caption, lambda s: title.getlength(s) <= room) or "face", _INK, title)
        draw.text((columns * CELL + 12, top + 10), f"{motion.seconds:.1f} s", _QUIET, small, anchor="ra")
        index = telling(motion, frames)
        chosen = FaceMotion(motion.weights[index], motion.head[index], motion.fps)
        shapes = [_strongest(w, lambda s: small.getlength(s) <= CELL - 8) for w in chosen.weights]
        for k, picture in enumerate(pictures(chosen, CELL)):
            left, down = 12 + k % columns * CELL, top + 34 + k // columns * tall
            sheet.paste(Image.fromarray(picture), (left, down))
            draw.text((left + 5, down + 4), f"{index[k] / motion.fps:.2f} s", _QUIET, small)
            draw.text((left + 4, down + CELL + 2), shapes[k], _QUIET, small)
    return atomic_write(path, lambda temporary: sheet.save(temporary, format="PNG"))


def telling(motion: FaceMotion, frames: int) -> np.ndarray:
    """(frames,) indices, rising: in each of as many equal spans of the clip the frame that differs most from the one
    chosen before: a wink lasts a fifth of a second, evenly spaced pictures would miss it.

    Frames differ by the distance of their curves, weights and radians alike; the first by that from a face at rest.
    """
    seen = motion.curves
    edges = np.rint(np.linspace(0, len(motion), frames + 1)).astype(int)
    chosen: list[int] = []
    for start, end in zip(np.minimum(edges[:-1], len(motion) - 1), edges[1:], strict=True):
        before = seen[chosen[-1]] if chosen else 0.0
        away = np.linalg.norm(seen[start : max(end, start + 1)] - before, axis=1)
        chosen.append(int(start + away.argmax()))
    return np.array(chosen)


def _shortened(caption: str, fits: Callable[[str], bool]) -> str:
    """As many words as have room, and dots for those that have not."""
    words = drawable(caption).split()
    if fits(" ".join(words)):
        return " ".join(words)
    while words and not fits(" ".join(words) + " ..."):
        words.pop()
    return " ".join([*words, "..."])


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


def write_face_gif(motion: FaceMotion, path: Path, size: int = 320) -> Path:
    """A looping GIF of at most 20 frames a second, `size` pixels square.

    Raises:
        UserError: size outside 16..2048, or the file cannot be written.
    """
    check_size(path, motion.modality, size)
    clip = motion if motion.fps <= GIF_FPS else motion.resampled(GIF_FPS)
    return encode_gif(path, pictures(clip, size), len(clip), clip.fps, 192)


def write_face_mp4(
    motion: FaceMotion, path: Path, size: int = 480, audio: str | os.PathLike[str] | None = None
) -> Path:
    """H.264 (yuv420p) at the clip's frame rate, `size` pixels square, rounded up to even.

    Args:
        audio: a sound file that is put beside the pictures as AAC. Both start at 0; sound beyond the last frame is
            left out. More than two channels become one.

    Raises:
        UserError: PyAV is not installed, size outside 16..2048, not a sound file, or the file cannot be written.
    """
    check_size(path, motion.modality, size)
    return encode_mp4(path, lambda even: pictures(motion, even), motion.fps, size, sound_of(audio, motion.seconds))
