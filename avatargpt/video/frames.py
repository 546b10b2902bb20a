"""Films and folders of pictures as frames with the film's own times, upright, of bounded size and length.

Memory does not grow with length: one frame is decoded after another (PyAV), and those that are not asked for are never
turned into pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np

from vqvae.errors import UserError
from vqvae.io.files import reason, regular_file

if TYPE_CHECKING:
    from PIL.Image import Image

FILMS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
INSTALL = 'pip install "avatargpt[video-in]"'
MIN_SIDE, MAX_SIDE = 32, 8192  # pixels of a film
LONGEST = 1280  # pixels of the longer side of the frames that are looked at
FOCAL = 0.9  # focal length in lengths of the longer side: that of phones and webcams, 0.7 to 1.2
MAX_SECONDS = 3600.0  # of the stretch that is read
AT_ONCE = f"accepted {MAX_SECONDS:.0f} s at once, see --start and --end"
MAX_RATE = 30.0  # frames a second that are looked at
FOLDER_RATE = 30.0  # frames a second of a folder of pictures
MAX_PICTURES = 200_000
MAX_GAP = 1.0  # s without a person or a face, that are filled
MIN_CUT, CUT_RATIO = 18.0, 4.0  # mean change of a pixel, 0..255, in a cut, and in units of the usual change
LOOK = 12  # frames between two looks at whether the camera moves
MOVING, CHANGED = 0.4, 1.5  # share of looks that find it so, and grey levels by which half of the border changes then
_COARSE = 16  # pixels between those that are compared


class Frame(NamedTuple):
    """A picture and its second in the film."""

    time: float
    picture: np.ndarray  # (H, W, 3) uint8 RGB, upright


@dataclass(frozen=True)
class Film:
    """What a film says of itself.

    Attributes:
        path: the file, or the folder of pictures. width, height: pixels of an upright frame.
        fps: mean frames a second. seconds: length, 0 where the file does not say it.
        turn: degrees counter-clockwise by which its pictures have to be turned. sound: whether it has a sound track.
    """

    path: Path
    width: int
    height: int
    fps: float
    seconds: float
    turn: int = 0
    sound: bool = False


class Shots:
    """Numbers the shots of a film: a cut is a change of the picture that is large, and much larger than those before.

    The threshold follows the film's own changes, as PySceneDetect's adaptive detector does.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: np.ndarray | None = None
        self._changes: list[float] = []
        self._looks: list[np.ndarray] = []
        self._moved: dict[int, list[bool]] = {}

    def of(self, picture: np.ndarray) -> int:
        """The number of the shot of the next picture (H, W, 3) uint8."""
        small = picture[::_COARSE, ::_COARSE].astype(np.float32)
        if self._before is not None and self._before.shape == small.shape:
            change = float(np.abs(small - self._before).mean())
            usual = float(np.median(self._changes)) if self._changes else 0.0
            if change > MIN_CUT and change > CUT_RATIO * usual:
                self.number += 1
                self._changes.clear()
                self._looks.clear()
            else:
                self._changes = [*self._changes[-14:], change]
        self._before = small
        self._looks = [*self._looks, small.mean(-1)]
        if len(self._looks) > LOOK:
            self._moved.setdefault(self.number, []).append(_is_shifted(self._looks[0], self._looks[-1]))
            self._looks = self._looks[-1:]
        return self.number

    def is_moving(self, number: int) -> bool:
        """Whether the camera of that shot moves."""
        return bool(np.mean(self._moved.get(number, [False])) >= MOVING)


def _is_shifted(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether a picture is the other one moved, by phase correlation (Kuglin and Hines 1975).

    So is that of a large person before a wall; but then its border stays as it is.
    """
    change, edge = second - first, max(1, min(first.shape) // 8)
    border = [change[:edge], change[-edge:], change[:, :edge], change[:, -edge:]]
    moved = np.concatenate([part.ravel() for part in border]) - np.median(change)
    window = np.outer(*map(np.hanning, first.shape))
    a, b = (np.fft.rfft2((x - x.mean()) * window) for x in (first, second))
    match = np.fft.irfft2(a * b.conj() / np.maximum(np.abs(a * b), 1e-9), first.shape)
    return bool(match.argmax() and np.median(np.abs(moved)) > CHANGED)


class FrameRows:
    """What a dataclass holds of N frames, `times` (N,) in seconds among it."""

    times: np.ndarray

    def rows(self, rows: np.ndarray | slice) -> Self:
        """The frames of that index."""
        parts = {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}
        return replace(cast(Any, self), **{n: v[rows] for n, v in parts.items() if isinstance(v, np.ndarray)})

    def stretches(self) -> list[Self]:
        """The parts between gaps that are too long to be filled."""
        ends = [0, *(np.flatnonzero(np.diff(self.times) > MAX_GAP) + 1).tolist(), len(self.times)]
        return [self.rows(slice(a, b)) for a, b in pairwise(ends)]


def inspect(path: Path, rate: float = FOLDER_RATE) -> Film:
    """The facts of a film or a folder of pictures.

    Args:
        rate: frames a second of a folder's pictures.

    Raises:
        UserError: no such file, not a film, no pictures in it, a size that is not accepted, PyAV not installed.
    """
    if path.is_dir():
        files = _pictures(path)
        if not 1 <= len(files) <= MAX_PICTURES:
            accepted = f"accepted 1 to {MAX_PICTURES} pictures ({' '.join(PICTURES)}), or a film ({' '.join(FILMS)})"
            raise UserError(f"{path}: {len(files)} pictures; {accepted}")
        width, height = open_picture(files[0]).size
        return _check_film(Film(path, width, height, rate, len(files) / rate))
    regular_file(path, f"accepted {' '.join(FILMS)}, or a folder of pictures")
    with _container(path) as container:
        stream = container.streams.video[0]
        first = next(_decode_frames(path, container), None)
        if first is None:
            raise UserError(f"{path}: holds no picture that can be decoded; accepted a film")
        turn = int(round(getattr(first, "rotation", 0) or 0)) % 360
        width, height = (first.height, first.width) if turn % 180 else (first.width, first.height)
        fps = float(stream.average_rate or stream.guessed_rate or 0) or FOLDER_RATE
        seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        sound = any(s.channels for s in container.streams.audio)
    return _check_film(Film(path, width, height, fps, seconds, turn, sound))


def frames(
    film: Film, start: float = 0.0, end: float | None = None, rate: float = MAX_RATE, longest: int = LONGEST
) -> Iterator[Frame]:
    """Frames of a film between two of its seconds, at most `rate` a second, the longer side at most `longest` pixels.

    Times are the film's own, from its first frame on; a film of varying rate keeps them. Where its end is damaged, what
    comes before is read.

    Raises:
        UserError: nothing in that stretch, or more than `MAX_SECONDS`.
    """
    if end is None and film.seconds - start > MAX_SECONDS:
        raise UserError(f"{film.path}: {film.seconds:.0f} s; {AT_ONCE}")
    last = start + MAX_SECONDS if end is None else end
    step, due, count = 1 / rate, start, 0
    for time, frame in _turn_pictures(film, start, longest):
        if time >= last:
            if end is None:  # a film that does not say how long it is
                raise UserError(f"{film.path}: more than {MAX_SECONDS:.0f} s; {AT_ONCE}")
            break
        # half a film's frame of tolerance: times are rounded to the container's clock
        if time < start or time < due - 0.25 * min(step, 1 / max(film.fps, 1e-3)):
            continue
        due = max(due + step, time + 0.5 * step)
        count += 1
        yield Frame(time, frame() if callable(frame) else frame)
    if not count:
        length = f", which has {film.seconds:.2f} s" if film.seconds else ""
        raise UserError(f"{film.path}: no picture from {start:g} to {last:g} s{length}")


def _turn_pictures(film: Film, start: float, longest: int) -> Iterator[tuple[float, Any]]:
    """Times and what gives the upright picture of that time."""
    if film.path.is_dir():
        size = _size(film, longest)
        for k, file in enumerate(_pictures(film.path)):
            yield k / film.fps, lambda file=file: np.asarray(open_picture(file).resize(size))
        return
    width, height = _size(film, longest)
    if film.turn % 180:
        width, height = height, width
    with _container(film.path) as container:
        import av

        stream = container.streams.video[0]
        first = float(stream.start_time * stream.time_base) if stream.start_time is not None else None
        if start > 1.0:
            # to the key frame before; where a format cannot jump, frames are passed over
            try:
                container.seek(int(start / stream.time_base) + (stream.start_time or 0), stream=stream)
            except av.FFmpegError:
                container.seek(0)
        pictures = _decode_frames(film.path, container)
        if (ahead := next(pictures, None)) is None:  # some cannot be read from a key frame of their own on
            yield from _turn_pictures(film, 0.0, longest) if start > 1.0 else ()
            return
        for k, frame in enumerate(chain([ahead], pictures)):
            time = float(frame.pts * frame.time_base) if frame.pts is not None else k / film.fps
            first = time if first is None else first

            def picture(frame: Any = frame) -> np.ndarray:
                pixels = frame.reformat(width, height, "rgb24").to_ndarray()
                return np.ascontiguousarray(np.rot90(pixels, film.turn // 90)) if film.turn else pixels

            yield max(0.0, time - first), picture


def _decode_frames(path: Path, container: Any) -> Iterator[Any]:
    """Decoded frames up to the first that is damaged."""
    import av

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    try:
        yield from container.decode(stream)
    except (av.FFmpegError, EOFError):
        return


def _container(path: Path) -> Any:
    if find_spec("av") is None:
        raise UserError(f"{path}: films need PyAV; install it: {INSTALL}")
    import av

    try:
        # absolute: FFmpeg takes what stands before a colon for a protocol
        container = av.open(str(path.absolute()), metadata_errors="ignore")
    except (av.FFmpegError, OSError, ValueError) as e:
        raise UserError(f"{path}: not a film ({reason(e)}); accepted {' '.join(FILMS)}") from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{path}: has no pictures; accepted a film")
    return container


def _check_film(film: Film) -> Film:
    if not (MIN_SIDE <= film.width <= MAX_SIDE and MIN_SIDE <= film.height <= MAX_SIDE):
        raise UserError(f"{film.path}: {film.width} x {film.height} pixels; accepted {MIN_SIDE} to {MAX_SIDE} a side")
    return film


def _size(film: Film, longest: int) -> tuple[int, int]:
    """Width and height of an upright frame whose longer side is at most `longest`, even numbers."""
    scale = min(1.0, longest / max(film.width, film.height))
    return max(2, round(film.width * scale / 2) * 2), max(2, round(film.height * scale / 2) * 2)


def _pictures(folder: Path) -> list[Path]:
    """A folder's pictures in the order of the numbers in their names."""
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file()]
    except OSError as e:
        raise UserError(f"{folder}: cannot be read ({e.strerror or e})") from None
    return sorted(files, key=lambda p: [(int(t), "") if t.isdigit() else (-1, t) for t in re.split(r"(\d+)", p.name)])


def open_picture(file: Path) -> Image:
    """A picture file, upright by its metadata. Raises UserError where it is none."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            upright: Image.Image = ImageOps.exif_transpose(image).convert("RGB")
    except Exception as e:
        raise UserError(f"{file}: not a picture ({reason(e)}); accepted {' '.join(PICTURES)}") from None
    return upright
