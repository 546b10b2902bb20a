"""Moving pictures: .gif through Pillow and .mp4 through PyAV, frame by frame in constant memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from avatargpt.export.render import TOGETHER, Renderer, fit_view, posed
from avatargpt.export.soundtrack import sound_of
from avatargpt.export.table import check_size, lacking
from vqvae.errors import UserError
from vqvae.motion import Motion, atomic_write
from vqvae.smoothing import gaussian

if TYPE_CHECKING:
    from av.video.stream import VideoStream

GIF_FPS = 20.0  # players round GIF delays to 1/100 s and slow down what is faster
_FOLLOW_SECONDS = 0.35  # time constant of the camera's smoothing
_CHUNK = 512


def pictures(motion: Motion, size: int) -> Iterator[np.ndarray]:
    """Frames (size, size, 3) uint8 of the clip, the camera following the body."""
    path = gaussian(motion.root.astype(np.float64) * [1, 0, 1], motion.fps * _FOLLOW_SECONDS)
    some = np.arange(0, len(motion), max(1, len(motion) // 500))
    sample = motion.taken(some)
    renderer = Renderer(size, size, fit_view(posed(sample), path[some]), motion.fingers is not None)
    for start in range(0, len(motion), _CHUNK):
        ends = posed(motion.slice(start, min(start + _CHUNK, len(motion))))
        for k in range(0, len(ends), TOGETHER):
            some = ends[k : k + TOGETHER]
            yield from renderer.frames(some, path[start + k : start + k + len(some)])


def write_gif(motion: Motion, path: Path, size: int = 360) -> Path:
    """A looping GIF of at most 20 frames a second, `size` pixels square.

    Raises:
        UserError: size outside 16..4096, or the file cannot be written.
    """
    check_size(path, motion.modality, size)
    clip = motion if motion.fps <= GIF_FPS else motion.resampled(GIF_FPS)
    return encode_gif(path, pictures(clip, size), len(clip), clip.fps, 128)


def encode_gif(path: Path, frames: Iterator[np.ndarray], count: int, fps: float, colours: int) -> Path:
    """A looping GIF of `count` frames (size, size, 3), at least one; written whole or not at all.

    One palette, of the first picture, for all: colours do not flicker and files stay small. Delays are whole hundredths
    of a second, by turns longer and shorter, so that all together last as long as the clip.

    Raises:
        UserError: a picture that stands still for longer than a GIF can say, or the file cannot be written.
    """
    from PIL import Image

    first = Image.fromarray(next(frames)).quantize(colours, dither=Image.Dither.NONE)
    rest = (Image.fromarray(f).quantize(palette=first, dither=Image.Dither.NONE) for f in frames)

    delays = (10 * np.diff(np.rint(np.arange(count + 1) * 100 / fps))).astype(int).tolist()

    def write(temporary: Path) -> None:
        try:
            first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=delays, loop=0, disposal=1)
        except OverflowError:  # pictures that are alike are written as one, its delay in 16 bits
            raise UserError(f"{path}: the picture stands still for more than 655 s; accepted for .gif at most that, "
                            "or .mp4") from None  # fmt: skip

    return atomic_write(path, write)


def write_mp4(
    motion: Motion, path: Path, size: int = 480, audio: str | os.PathLike[str] | None = None
) -> Path:
    """H.264 (yuv420p) at the clip's frame rate, `size` pixels square, rounded up to even.

    Args:
        audio: a sound file that is put beside the pictures (`avatargpt.export.soundtrack`).

    Raises:
        UserError: PyAV is not installed, size outside 16..4096, not a sound file, or the file cannot be written.
    """
    check_size(path, motion.modality, size)
    return encode_mp4(path, lambda even: pictures(motion, even), motion.fps, size, sound_of(audio, motion.seconds))


def encode_mp4(
    path: Path, draw: Callable[[int], Iterator[np.ndarray]], fps: float, size: int,
    sound: Callable[[Any], Any] | None = None,
) -> Path:  # fmt: skip
    """H.264 of the frames (size, size, 3) that `draw(size)` gives, its size even; written whole or not at all.

    The container is that of the suffix, .mp4 or .mov.

    Args:
        sound: makes the film's track from its container, with ``until(seconds)`` and ``finish()``.
    """
    try:
        import av
    except ImportError:
        raise lacking(path, path.suffix.lower()) from None
    size += size % 2
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"

    def write(temporary: Path) -> None:
        # absolute: FFmpeg takes what stands before a colon for a protocol
        kind = path.suffix[1:].lower()
        with av.open(str(temporary.absolute()), "w", format=kind, options={"movflags": "faststart"}) as container:
            rate = Fraction(fps).limit_denominator(1000)
            stream = cast("VideoStream", container.add_stream(codec, rate=rate))
            stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
            if codec == "libx264":
                # with its macroblock tree x264 does not write the same bytes every time
                stream.options = {"crf": "21", "preset": "veryfast", "mbtree": "0"}
            track = None if sound is None else sound(container)
            for k, picture in enumerate(draw(size)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                if track is not None:
                    track.until((k + 1) / fps)
            container.mux(stream.encode())
            if track is not None:
                track.finish()

    try:
        return atomic_write(path, write)
    except av.FFmpegError as e:
        raise UserError(f"{path}: the film cannot be written ({e})") from None
