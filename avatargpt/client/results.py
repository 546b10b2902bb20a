"""What the server gives: clips and files that it keeps, errors, frames that come over a socket beside their sound."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np

AHEAD = 5.0  # seconds of sound that may be on their way without frames


class ServerError(ValueError):
    """An answer of the server other than success.

    Attributes:
        status: of HTTP; 0 = no answer. code, where: of the server's error, see docs/server.md.
    """

    def __init__(self, message: str, status: int = 0, code: str = "", where: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.status, self.code, self.where = status, code, where


# (steps done, steps in all), 0 in all = not known
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Clip:
    """A motion that the server keeps until it expires."""

    id: str
    prompt: str
    kind: str  # body, face, gesture, avatar
    seconds: float
    frames: int
    fps: float
    caption: str = ""
    notes: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()  # known captions
    links: dict[str, str] = field(default_factory=dict)  # format -> path on the server
    about: Any = field(default_factory=dict, repr=False)  # the whole answer

    @classmethod
    def of(cls, row: Any) -> Self:
        """From the JSON of the server."""
        same = {key: row[key] for key in ("id", "prompt", "kind", "seconds", "frames", "fps", "links")}
        return cls(**same, caption=row["caption"] or "", notes=(*row["notes"],), read_as=(*row["read_as"],), about=row)


@dataclass(frozen=True)
class Upload:
    """A file on the server, until it expires."""

    id: str
    kind: str  # motion, sound, film, avatar, picture
    name: str
    bytes: int
    motion: Clip | None = None  # of a motion's file


# A file, which is sent, or one that was sent before.
File = str | os.PathLike[str] | Upload


def clips_of(answer: Any) -> list[Clip]:
    """The motions of an answer."""
    return [Clip.of(row) for row in answer["motions"]]


@dataclass(frozen=True)
class Frames:
    """Frames of a stream.

    Attributes:
        start: number of the first one. fps: their rate. latency: seconds from a frame's time in the sound to its last
            sample that is needed; 0 for long motion.
        root: (T, 3) metres. rotations: (T, J, 4) local quaternions w, x, y, z of `vqvae.skeleton.SMPL22` or `SMPL52`.
        weights: (T, 52) of ARKit's shapes in 0..1; (T, 0) without a face. presets: (T, 12) of VRM in 0..1; (T, 0) where
            none were asked for.
    """

    start: int
    fps: float
    root: np.ndarray
    rotations: np.ndarray
    weights: np.ndarray
    presets: np.ndarray
    latency: float = 0.0

    @classmethod
    def of(cls, row: dict[str, Any], data: bytes, latency: float = 0.0) -> Self:
        """From the two messages of the server."""
        joints, channels = int(row["joints"]), int(row["channels"] or 0)
        rows = np.frombuffer(data, "<f4").reshape(int(row["frames"]), -1)
        root, turns, weights, presets = np.split(rows, np.cumsum([3, 4 * joints, channels]), axis=1)
        rotations = np.roll(turns.reshape(-1, joints, 4), 1, axis=-1)
        return cls(int(row["start"]), float(row["fps"]), root, rotations, weights, presets, latency)


def send_sound(socket: Any, blocks: Iterable[np.ndarray], rate: int, latency: float) -> Iterator[Frames]:
    """Send blocks of int16 samples on a thread of its own; the frames that come meanwhile, `latency` with them.

    Raises:
        ServerError: what the server says; whatever the blocks raise.
    """
    sender = _Sender(rate)
    thread = threading.Thread(target=sender.send, args=(socket, blocks), daemon=True)
    thread.start()
    try:
        for frames in frames_of(socket, latency):
            sender.count_arrived((frames.start + len(frames.root)) / frames.fps)
            yield frames
    except Exception:
        if sender.error is not None:  # the cause of the socket's end
            raise sender.error from None
        raise
    finally:
        sender.end()


class _Sender:
    """Sends sound, no further ahead of the frames than `AHEAD` seconds."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.error: BaseException | None = None
        self._seconds, self._ended = 0.0, False
        self._changed = threading.Condition()

    def count_arrived(self, seconds: float) -> None:
        """Frames up to a second have come."""
        with self._changed:
            self._seconds = seconds
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more is to be sent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _has_room(self, samples: int) -> bool:
        return self._ended or samples / self.rate < self._seconds + AHEAD

    def send(self, socket: Any, blocks: Iterable[np.ndarray]) -> None:
        """All blocks, and the end."""
        sent = 0
        try:
            for block in blocks:
                data = np.asarray(block, "<i2").tobytes()
                with self._changed:
                    self._changed.wait_for(partial(self._has_room, sent))
                if self._ended:
                    return
                socket.send(data)
                sent += len(data) // 2
            socket.send(json.dumps({"type": "end"}))
        except BaseException as e:  # of the blocks: a microphone that is gone; of the socket: the reader tells it, too
            self.error = e
            socket.close()


def message(socket: Any) -> dict[str, Any]:
    """The next text message. Raises ServerError for one that says so."""
    row: dict[str, Any] = json.loads(socket.recv())
    if row["type"] == "error":
        raise ServerError(f"the stream: {row['message']}", 0, row["code"], row.get("where") or "")
    return row


def frames_of(socket: Any, latency: float = 0.0) -> Iterator[Frames]:
    """Frames until the server has done."""
    while (row := message(socket))["type"] not in ("done", "stopped"):
        if row["type"] == "frames":
            yield Frames.of(row, socket.recv(), latency)
