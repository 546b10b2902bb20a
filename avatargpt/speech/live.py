"""Live sound: sources (pipe, microphone, paced recording, silence), their playout, and the loop over a stream."""

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np

from avatargpt.speech.audio import FPS, FrameBlocks, check_rate, container, header_size
from vqvae.errors import UserError

NO_SOUND = "no sound came, so there is nothing to move to"
INSTALL = 'pip install "avatargpt[live]"'
READ_BYTES = 1 << 16  # bytes requested of a pipe at once
MAX_MICROPHONE_BLOCKS = 300  # that may wait: with more than that the machine is too slow
MAX_LATE = 0.2  # s that sound may be late before silence takes its place; microphones deliver blocks of up to this
MIN_AHEAD = 0.5  # s by which sound has to be ahead of its time to count as faster than speech
MAX_WAITING = 30.0  # s of sound that may wait; then the pipe is not read
CATCH_UP = 1.05  # speed at which a delay of up to `MAX_LATE` that is no longer needed is made up for
MAX_KEPT = 5.0  # s of sound that came before the first frame could be made and may be kept
MAX_MARKS = 900  # blocks that a clock remembers: half a minute
_START_SECONDS = 0.05  # s from the start within which sound arrives that lay in the pipe before ...
_PIPE_SAMPLES = READ_BYTES // 2  # ... at most so many samples
_MIN_WAIT = 0.005  # s of waiting after which a part was not there yet when it was requested

Output = TypeVar("Output", covariant=True)


# The loop
class Stream(Protocol[Output]):
    """Takes blocks of samples, gives the motion that is ready."""

    def push(self, pcm: np.ndarray, /) -> Output: ...

    def finish(self) -> Output: ...


class Sender(Protocol):
    """Takes frames as they come: `avatargpt.export.udp_senders`, `avatargpt.export.websocket`."""

    failed: int

    def send(self, frame: int, motion: Any) -> None: ...

    def close(self) -> None: ...


@dataclass
class LiveRun:
    """Statistics of a live run: `frames` sent, `busy` seconds that the slowest block took."""

    frames: int = 0
    busy: float = 0.0


def run_stream(
    stream: Stream[Output], parts: Iterable[np.ndarray], send: Callable[[Output], bool], run: LiveRun,
    before: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Push sound, send at once what comes of it, and what is still due when the sound ends.

    Args:
        send: takes the stream's output; False ends the run.
        run: filled while it runs.
        before: called before each block, for example to change the stream's direction.
    """
    any_sound = False
    for part in parts:
        start = time.perf_counter()
        before()
        any_sound = any_sound or len(part) > 0
        if not send(stream.push(part)):
            return
        run.busy = max(run.busy, time.perf_counter() - start)
    if not any_sound:
        raise UserError(NO_SOUND)
    send(stream.finish())


# Sources
def pipe_blocks(file: BinaryIO) -> Iterator[np.ndarray]:
    """Raw mono PCM, 16 bit little-endian, as it arrives -> blocks (n,) int16; a last odd byte is dropped.

    Args:
        file: whose ``read`` gives what is there and does not wait for more: unbuffered, such as
            ``sys.stdin.buffer.raw``.
    """
    data = b""
    while len(data) < header_size(data) and (chunk := file.read(READ_BYTES)):
        data += chunk
    if kind := container(data):
        raise UserError(f"-: a sound file ({kind}), not raw samples; accepted raw 16 bit mono PCM (arecord -t raw); "
                        "a file is named instead of -")  # fmt: skip
    odd = b""
    while data:
        data = odd + data
        even = len(data) // 2 * 2
        odd = data[even:]
        if even:
            yield np.frombuffer(data[:even], "<i2")
        data = file.read(READ_BYTES)


def silent_blocks(rate: int, seconds: float | None = None) -> Iterator[np.ndarray]:
    """Blocks (n,) float32 of zeros, a second each, `seconds` of them; None = without end."""
    left = math.inf if seconds is None else max(1, round(seconds * rate))
    while left > 0:
        size = int(min(rate, left))
        left -= size
        yield np.zeros(size, np.float32)


def pace_sound(
    parts: Iterable[np.ndarray], rate: int, now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Sound at its own speed: the samples of each video frame, when its time is over."""
    start, sent, frame, needed = now(), 0, 0, FrameBlocks(rate).count_needed
    for part in parts:
        while len(part):
            block, part = np.split(part, [needed(frame) - sent])
            sent += len(block)
            frame += sent == needed(frame)
            wait = start + sent / rate - now()
            if wait > 0:
                sleep(wait)
            yield block


def microphone_blocks(name: str, rate: int) -> Iterator[np.ndarray]:
    """Blocks (n,) float32 of a microphone until the iterator is closed.

    At most `MAX_MICROPHONE_BLOCKS` wait; what comes while they do is silence afterwards, so that times stay right.

    Args:
        name: of the device or a part of it, its number, or ``default``.
    """
    check_rate(rate, 1, "microphone")
    try:
        import sounddevice
    except (ImportError, OSError) as e:  # OSError: PortAudio itself is not there
        raise UserError(f"microphone: {e}; install it with {INSTALL}, and PortAudio with your system's tools") from None
    device = None if name == "default" else int(name) if name.isdecimal() else name
    waiting: queue.Queue[tuple[int, np.ndarray]] = queue.Queue(MAX_MICROPHONE_BLOCKS)  # samples missed before; a block
    missed = 0

    def receive(data: np.ndarray, *_: object) -> None:
        nonlocal missed
        if waiting.full():
            missed += len(data)
        else:
            waiting.put_nowait((missed, data[:, 0].copy()))
            missed = 0

    try:
        with sounddevice.InputStream(rate, rate // FPS, device, 1, "float32", callback=receive):
            while True:
                silent, block = waiting.get()
                if silent:
                    yield np.zeros(silent, np.float32)
                yield block
    except (sounddevice.PortAudioError, ValueError) as e:
        raise UserError(f"microphone {name}: {e}; accepted default, a device's name or number") from None


class SoundClock:
    """Seconds of the sound as its source counts them, for seconds of what a stream was given.

    Both differ where early sound was dropped or silence took the place of late sound. The source may be written and
    read by different threads.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float, bool]] = deque(maxlen=MAX_MARKS)

    def note_sent(self, stream: float, source: float, is_sound: bool) -> None:
        """A block ended at second `stream` of the stream and second `source` of the source."""
        self._marks.append((stream, source, is_sound))

    def __call__(self, second: float) -> float:
        """Of a second of the stream that second of the source; the same where nothing was marked."""
        for stream, source, is_sound in self._marks.copy():
            if second <= stream:
                return max(source - (stream - second), 0.0) if is_sound else source
        if not self._marks:
            return second
        stream, source, _ = self._marks[-1]
        return source + second - stream


# Playout
class Playout:
    """Jitter buffer: sound with its times of arrival in, blocks of one video frame out, each when it is due.

    A block is due when it has arrived and the one before is over: longer chunks go out evenly, and the delay of a late
    chunk shrinks again once chunks are in time. Where nothing comes for `MAX_LATE` seconds, blocks of silence go out,
    and the pause is not made up for.
    """

    # A microphone's pipe delivers as fast as one speaks and must never be late; a synthesiser's delivers a sentence at
    # once and is held back. Times of arrival tell them apart.

    def __init__(self, rate: int, start: float, clock: SoundClock | None = None) -> None:
        self._rate, self._start, self._needed = rate, start, FrameBlocks(rate).count_needed
        self._sound_clock = clock or SoundClock()
        self._parts: deque[tuple[float, np.ndarray]] = deque()
        self._waiting = self._arrived = self._initial = self._dropped = 0  # samples
        self._first: float | None = None
        self._clock: float | None = None  # end of all that was sent; None before `begin`
        self._filling, self._over, self.fast = False, False, False
        self._speed, self._sent, self._frame = 1.0, 0, 0
        self._measured, self._least = 0, rate

    @property
    def waiting(self) -> float:
        """Seconds of sound that have arrived and not been sent."""
        return self._waiting / self._rate

    @property
    def has_sound(self) -> bool:
        """Whether any sound arrived."""
        return self._arrived > 0

    def receive(self, part: np.ndarray, now: float, requested: float = -math.inf) -> None:
        """Samples (n,) that were read at `now`, by a reader that began to wait at `requested`."""
        if not len(part):
            return
        if self._first is None:
            self._first = self._start if now < self._start + _START_SECONDS else now
        self._parts.append((now, part))
        self._waiting += len(part)
        self._arrived += len(part)
        if now < self._start + _START_SECONDS:
            self._initial = min(self._arrived, _PIPE_SAMPLES)  # tells nothing about the speed
        elif now - requested > _MIN_WAIT:
            # A part that was waited for was written at once: one of more than MIN_AHEAD seconds is no microphone's.
            # One that lay there tells nothing, because the reader may have been held up.
            self.fast |= len(part) > MIN_AHEAD * self._rate or len(part) >= _PIPE_SAMPLES
        self.fast |= (self._arrived - self._initial) / self._rate > now - self._first + MIN_AHEAD
        while self._clock is None and not self.fast and self.waiting >= MAX_WAITING:
            self._drop()

    def end(self) -> None:
        """No more will arrive."""
        self._over = True

    def _drop(self) -> None:
        part = self._parts.popleft()[1]
        self._waiting -= len(part)
        self._dropped += len(part)

    def begin(self, now: float, keep: float = 0.0) -> float:
        """Blocks are sent from `now` on; returns the seconds of sound that are too old and were dropped.

        Args:
            keep: seconds of live sound before `now` that are not too old: their blocks are due at once.
        """
        # Live sound that came before is over. Sound that comes faster, or has ended, waits for its turn.
        live = not (self.fast or self._over)
        while live and self._parts and (self._waiting - len(self._parts[0][1])) / self._rate >= keep:
            self._drop()
        self._clock = now - self.waiting if live else now
        return self._dropped / self._rate

    def next(self, now: float) -> np.ndarray | float | None:
        """A block that is due, or the seconds until one may be; None: it is over."""
        assert self._clock is not None
        if self._parts:
            arrival, part = self._parts[0]
            block = part[: self._size]
            due = max(arrival, self._clock + len(block) / self._rate / self._speed)
            if due > now:
                return due - now
            self._parts[0] = arrival, part[len(block) :]
            if len(block) == len(part):
                self._parts.popleft()
            self._waiting -= len(block)
            self._measure(len(block))
            return self._send(block, due, False)
        if self._over:
            return None
        silent = self._clock + (self._size / self._rate if self._filling else MAX_LATE)
        if silent > now:
            return silent - now
        return self._send(np.zeros(self._size, np.int16), silent if self._filling else now, True)

    @property
    def _size(self) -> int:
        """Samples until the next frame is complete."""
        return self._needed(self._frame) - self._sent

    def _send(self, block: np.ndarray, over: float, filling: bool) -> np.ndarray:
        self._clock, self._filling = over, filling
        self._sent += len(block)
        source = (self._arrived - self._waiting) / self._rate
        self._sound_clock.note_sent(self._sent / self._rate, source, not filling)
        self._frame += self._sent == self._needed(self._frame)
        return block

    def _measure(self, samples: int) -> None:
        # Sound of which a little always waits has a delay that it does not need; much of it is a waiting sentence.
        self._measured += samples
        self._least = min(self._least, self._waiting)
        if self._measured >= self._rate:
            self._speed = CATCH_UP if 0 < self._least / self._rate <= MAX_LATE else 1.0
            self._measured, self._least = 0, self._waiting


class Listener:
    """Reads a source of sound on a thread of its own, from now on: what waits in a pipe has no time of arrival."""

    def __init__(
        self, parts: Iterable[np.ndarray], rate: int, late: Callable[[float], None], keep: float = 0.0,
        clock: SoundClock | None = None,
    ) -> None:  # fmt: skip
        self._playout, self._late, self._keep = Playout(rate, time.monotonic(), clock), late, keep
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        threading.Thread(target=self._listen, args=(parts,), daemon=True).start()

    def _listen(self, parts: Iterable[np.ndarray]) -> None:
        try:
            requested = time.monotonic()
            for part in parts:
                with self._changed:
                    self._playout.receive(part, time.monotonic(), requested)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._playout.waiting < MAX_WAITING)
                requested = time.monotonic()
        except BaseException as e:  # raised in `blocks`
            self._error = e
        with self._changed:
            self._playout.end()
            self._changed.notify_all()

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks (n,) of at most one video frame, each when it is due; silence where nothing comes."""
        with self._changed:
            dropped = self._playout.begin(time.monotonic(), self._keep)
        if dropped > 0:
            self._late(dropped)
        while True:
            with self._changed:
                if self._error is not None and not self._playout.waiting:
                    raise self._error
                due = self._playout.next(time.monotonic())
                if isinstance(due, float):
                    self._changed.wait(due)
                    continue
                self._changed.notify_all()
            if due is None:
                if not self._playout.has_sound:
                    raise UserError(NO_SOUND)
                return
            yield due
