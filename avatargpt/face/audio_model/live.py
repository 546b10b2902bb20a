"""A face while somebody speaks: where samples come from, and the loop that hands frames on."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import numpy as np

from avatargpt.export.face.websocket import INSTALL
from avatargpt.face.audio_model.stream import FaceStream
from avatargpt.signals.audio import FPS, check_rate
from avatargpt.signals.containers import container, wanted
from vqvae.errors import UserError
from vqvae.face import FaceMotion

READ = 1 << 16  # bytes asked of a pipe at once
NOTHING_CAME = "no sound came, so there is no face"
LATE, DRIFT = 0.2, 0.001  # s, share
_HELD = 300  # blocks of the microphone that may wait: more than that and the machine is too slow


class Sender(Protocol):
    """Takes frames as they come: `avatargpt.export.face.live_link`, `avatargpt.export.face.websocket`."""

    failed: int

    def send(self, frame: int, motion: FaceMotion) -> None: ...

    def close(self) -> None: ...


def from_pipe(file: BinaryIO) -> Iterator[np.ndarray]:
    """Raw mono PCM, 16 bit little-endian, as it arrives -> blocks (n,) int16; a last odd byte is dropped.

    Args:
        file: with ``read1``, so that what is there is not kept back, such as ``sys.stdin.buffer``.

    Raises:
        UserError: the first bytes are those of a sound file.
    """
    data = b""
    while len(data) < wanted(data) and (more := file.read1(READ)):  # type: ignore[attr-defined]
        data += more
    if kind := container(data):
        raise UserError(f"-: a sound file ({kind}), not raw samples; accepted raw 16 bit mono PCM (arecord -t raw); "
                        "a file is named instead of -")  # fmt: skip
    rest = b""
    while data:
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2")
        data = file.read1(READ)  # type: ignore[attr-defined]


def paced(
    parts: Iterable[np.ndarray], rate: int, now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep, late: float = math.inf, speed: float = 1.0,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Sound at the speed at which it would be spoken: blocks of one video frame, each when it is over.

    Args:
        late: seconds that may be made up for; what comes later than that is not hurried.
        speed: of the clock.
    """
    start, given, step = now(), 0, max(1, rate // FPS)
    for part in parts:
        for first in range(0, len(part), step):
            block = part[first : first + step]
            start = max(start, now() - late - given / rate / speed)
            given += len(block)
            wait = start + given / rate / speed - now()
            if wait > 0:
                sleep(wait)
            yield block


def held_back(
    parts: Iterable[np.ndarray], rate: int, now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[np.ndarray]:  # fmt: skip
    """A pipe that may be faster than speech (a synthesiser's), no faster than it; pauses are not made up for.

    A microphone's pipe passes as it comes: its blocks may be `LATE` long, its clock fast by `DRIFT`.
    """
    return paced(parts, rate, now, sleep, LATE, 1 + DRIFT)


def microphone(name: str, rate: int) -> Iterator[np.ndarray]:
    """Blocks (n,) float32 of a microphone until the iterator is closed.

    At most `_HELD` blocks wait; what comes while they do is silence afterwards, so that times stay right.

    Args:
        name: of the device or a part of it, its number, or ``default``.

    Raises:
        UserError: the package ``sounddevice`` or its PortAudio is missing, or no such device.
    """
    check_rate(rate, 1, "microphone")
    try:
        import sounddevice
    except (ImportError, OSError) as e:  # OSError: PortAudio itself is not there
        raise UserError(f"microphone: {e}; install it with {INSTALL}, and PortAudio with your system's tools") from None
    device = None if name == "default" else int(name) if name.isdecimal() else name
    waiting: queue.Queue[tuple[int, np.ndarray]] = queue.Queue(_HELD)  # samples missed before, and a block
    missed = 0

    def heard(data: np.ndarray, *_: object) -> None:
        nonlocal missed
        if waiting.full():
            missed += len(data)
        else:
            waiting.put_nowait((missed, data[:, 0].copy()))
            missed = 0

    try:
        with sounddevice.InputStream(rate, rate // FPS, device, 1, "float32", callback=heard):
            while True:
                silent, block = waiting.get()
                if silent:
                    yield np.zeros(silent, np.float32)
                yield block
    except (sounddevice.PortAudioError, ValueError) as e:
        raise UserError(f"microphone {name}: {e}; accepted default, a device's name or number") from None


@dataclass
class Live:
    """What a live run has done.

    Attributes:
        frames: handed on. busy: seconds that the slowest block took to become frames.
        kept: (55,) rows, where they were wanted.
    """

    frames: int = 0
    busy: float = 0.0
    kept: list[np.ndarray] = field(default_factory=list)

    def motion(self) -> FaceMotion:
        """What was kept, as a clip.

        Raises:
            UserError: nothing.
        """
        if not self.kept:
            raise UserError(NOTHING_CAME)
        rows = np.stack(self.kept)
        return FaceMotion.from_curves(rows, float(FPS))


def perform(
    stream: FaceStream, parts: Iterable[np.ndarray], senders: Sequence[Sender] = (),
    change: Callable[[FaceMotion], FaceMotion] = lambda frame: frame, keep: int = 0, live: Live | None = None,
) -> Live:  # fmt: skip
    """Push sound, hand on every frame at once; what is still due follows when the sound ends.

    Args:
        stream: of the sound's rate.
        parts: blocks of samples.
        senders: get each frame.
        change: from a clip of one frame to another (controls).
        keep: so many frames are kept for a file; when they are there, it is over.
        live: filled while it runs, so that an interrupted run has its frames.

    Raises:
        UserError: not one sample came.
    """
    live = live or Live()

    def hand_on(rows: np.ndarray) -> bool:
        for row in rows:
            frame = change(FaceMotion.from_curves(row[None], float(FPS)))
            for sender in senders:
                sender.send(live.frames, frame)
            live.frames += 1
            if keep:
                live.kept.append(np.concatenate([frame.weights[0], frame.head[0]]))
                if len(live.kept) >= keep:
                    return False
        return True

    heard = False
    for part in parts:
        start = time.perf_counter()
        heard = heard or len(part) > 0
        if not hand_on(stream.push(part)):
            return live
        live.busy = max(live.busy, time.perf_counter() - start)
    if not heard:
        raise UserError(NOTHING_CAME)
    hand_on(stream.finish())
    return live
