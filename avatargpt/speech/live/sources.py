"""Where live sound comes from: a pipe, a microphone, a recording at its own speed, or silence."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from avatargpt.speech.audio import FPS, FrameBlocks, check_rate
from avatargpt.speech.containers import container, wanted
from vqvae.errors import UserError

NOTHING_CAME = "no sound came, so there is nothing to move to"
INSTALL = 'pip install "avatargpt[live]"'
READ = 1 << 16  # bytes asked of a pipe at once
_HELD = 300  # blocks of the microphone that may wait: more than that and the machine is too slow


def from_pipe(file: BinaryIO) -> Iterator[np.ndarray]:
    """Raw mono PCM, 16 bit little-endian, as it arrives -> blocks (n,) int16; a last odd byte is dropped.

    Args:
        file: whose ``read`` gives what is there and does not wait for more: unbuffered, such as
            ``sys.stdin.buffer.raw``.

    Raises:
        UserError: the first bytes are those of a sound file.
    """
    data = b""
    while len(data) < wanted(data) and (more := file.read(READ)):
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
        data = file.read(READ)


def silence(rate: int, seconds: float | None = None) -> Iterator[np.ndarray]:
    """Blocks (n,) float32 of nothing, a second each, `seconds` of them; None = without end."""
    left = math.inf if seconds is None else max(1, round(seconds * rate))
    while left > 0:
        size = int(min(rate, left))
        left -= size
        yield np.zeros(size, np.float32)


def paced(
    parts: Iterable[np.ndarray], rate: int, now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Sound at the speed at which it would be spoken: what each video frame needs, when it is over."""
    start, given, frame, needed = now(), 0, 0, FrameBlocks(rate).needed
    for part in parts:
        while len(part):
            block, part = np.split(part, [needed(frame) - given])
            given += len(block)
            frame += given == needed(frame)
            wait = start + given / rate - now()
            if wait > 0:
                sleep(wait)
            yield block


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
