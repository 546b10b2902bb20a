"""A camera: its pictures become a film, and the face in them goes to receivers while they come."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.video.faces import ALIVE, FPS, Face, FaceEstimator, relative_to, rest_of
from avatargpt.video.frames import INSTALL, MAX_SECONDS, Frame
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.files import reason

SIZE = "640x480"  # pixels that a camera is asked for; it may give others
CLOCK = 1000  # ticks a second of the film
REST_SECONDS = 30.0  # of the latest frames that tell the resting face
MIN_REST = 15  # frames before the resting face is taken away
MIN_CUTOFF, SPEED_CUTOFF = 1.5, 6.0  # Hz of a still value, and Hz more for a change of 1 a second


def source_of(camera: str, platform: str = sys.platform) -> tuple[str, str]:
    """FFmpeg's address and input format of a camera: its number, or on Windows its name.

    Raises:
        UserError: something else.
    """
    if platform.startswith("win") and camera.strip():
        return f"video={camera}", "dshow"
    if not (camera.isascii() and camera.isdigit() and len(camera) <= 2):
        raise UserError(f"--camera {camera}: accepted the number of a camera, such as 0")
    return (camera, "avfoundation") if platform == "darwin" else (f"/dev/video{camera}", "v4l2")


def pictures(address: str, form: str) -> Iterator[Frame]:
    """Open a camera; its frames come with the seconds since the first one.

    Raises:
        UserError: no such camera, it is in use, it gives no pictures, or PyAV is not installed.
    """
    if find_spec("av") is None:
        raise UserError(f"cameras need PyAV; install it: {INSTALL}")
    import av

    options = {} if form == "lavfi" else {"video_size": SIZE, "framerate": f"{FPS:g}"}
    try:
        container = av.open(address, format=form, options=options)
    except (av.FFmpegError, OSError, ValueError) as e:
        raise UserError(f"{address}: no camera that can be opened ({reason(e)}); accepted --camera 0, 1, ...") from None
    return _decode_camera(address, container)


def _decode_camera(address: str, container: Any) -> Iterator[Frame]:
    import av

    first = None
    with container:
        try:
            for frame in container.decode(video=0):
                now = time.monotonic()
                first = now if first is None else first
                yield Frame(now - first, frame.to_ndarray(format="rgb24"))
        except (av.FFmpegError, IndexError, EOFError) as e:
            if first is None:
                raise UserError(f"{address}: a camera without pictures ({reason(e)})") from None


class FilmWriter:
    """Writes frames (H, W, 3) uint8 with their own times into a .mkv."""

    def __init__(self, path: Path) -> None:
        import av

        self._av, self._last = av, -1
        self._stream: Any = None
        self._container: Any = av.open(str(path.absolute()), "w", format="matroska")

    def add(self, frame: Frame) -> None:
        height, width = (side // 2 * 2 for side in frame.picture.shape[:2])
        if self._stream is None:
            self._stream = self._container.add_stream("mpeg4", rate=round(FPS))
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.bit_rate = 8_000_000
            self._stream.codec_context.time_base = Fraction(1, CLOCK)
        picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.picture[:height, :width]), format="rgb24")
        self._last = max(self._last + 1, round(frame.time * CLOCK))
        picture.pts, picture.time_base = self._last, Fraction(1, CLOCK)
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()


class LiveFace:
    """The largest face of each frame as a `FaceMotion` of one frame, without any later one.

    The resting face is that of the last `REST_SECONDS`; values are smoothed by the 1 euro filter (Casiez et al. 2012),
    which follows fast changes at once.
    """

    def __init__(self, finder: FaceEstimator) -> None:
        self._finder = finder
        self._rows: deque[tuple[float, np.ndarray, np.ndarray | None]] = deque()
        self._time, self._values, self._speed = 0.0, np.zeros(0), np.zeros(0)

    def face(self, frame: Frame) -> FaceMotion | None:
        """The face of the next frame, or None where there is none."""
        faces = self._finder.faces(frame.picture, frame.time)
        if not faces:
            return None
        face = max(faces, key=lambda f: f.side)
        curves = np.concatenate([self._weights(face, frame.time), face.head])
        return FaceMotion.from_curves(self._smooth(curves, frame.time)[None], FPS)

    def _weights(self, face: Face, now: float) -> np.ndarray:
        self._rows.append((now, face.weights, face.mouth))
        while now - self._rows[0][0] > REST_SECONDS:
            self._rows.popleft()
        if len(self._rows) < MIN_REST:
            return np.asarray(face.weights * ALIVE)
        mouths = [m for _, _, m in self._rows if m is not None]
        mouth = np.stack(mouths) if len(mouths) == len(self._rows) else None
        rest = rest_of(np.stack([w for _, w, _ in self._rows]), mouth)
        return np.asarray(relative_to(rest, face.weights[None], None if mouth is None else mouth[-1:])[0] * ALIVE)

    def _smooth(self, values: np.ndarray, now: float) -> np.ndarray:
        if not len(self._values):
            self._time, self._values, self._speed = now, values, np.zeros_like(values)
            return values
        step = max(now - self._time, 1e-3)
        # angles take the short way round
        values = np.concatenate([values[:-3], np.unwrap([self._values[-3:], values[-3:]], axis=0)[1]])
        self._speed += _share(1.0, step) * ((values - self._values) / step - self._speed)
        self._values = self._values + _share(MIN_CUTOFF + SPEED_CUTOFF * np.abs(self._speed), step) * (
            values - self._values
        )
        self._time = now
        return self._values


def _share(cutoff: Any, step: float) -> Any:
    """Share of a new value in a low pass of that cut-off, Hz, after `step` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


def record(
    frames: Iterator[Frame], path: Path, seconds: float | None = None, face: LiveFace | None = None,
    send: Callable[[int, FaceMotion], None] = lambda number, motion: None,
) -> int:  # fmt: skip
    """Write a camera's frames into a film until its time is over or Ctrl-C, and give each face to `send` at once.

    Args:
        path: of the .mkv. seconds: at most so many; None = `MAX_SECONDS`.
        face: finds the face; None = nothing is sent. send: takes the number of a frame and a motion of one frame.

    Returns:
        The number of frames.
    """
    film, numbers = FilmWriter(path), count()
    total = 0
    try:
        for frame in frames:
            if frame.time >= (MAX_SECONDS if seconds is None else seconds):
                break
            film.add(frame)
            total += 1
            if face is not None and (motion := face.face(frame)) is not None:
                send(next(numbers), motion)
    except KeyboardInterrupt:  # the end of a recording, not of the command
        pass
    finally:
        film.close()
    if not total:
        raise UserError("the camera was stopped before its first picture")
    return total
