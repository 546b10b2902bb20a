"""When sound of a pipe is due: at once as it arrives, but no faster than it is spoken. A rule, with a clock.

A microphone's pipe delivers as fast as one speaks and must never be late; a synthesiser's delivers a sentence at once
and must be held back. Both are told by when their sound arrives, so a thread reads the pipe all the time, also while
weights are loaded: what waits in a pipe has no time of arrival.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from avatargpt.speech.audio import FrameBlocks
from avatargpt.speech.live.sources import NOTHING_CAME, READ
from vqvae.errors import UserError

LATE = 0.2  # s that sound may be late before there is silence instead; microphones deliver blocks of up to this
AHEAD = 0.5  # s by which sound has to be ahead of its time to count as faster than speech
MOST_WAITING = 30.0  # s of sound that may wait; then the pipe is not read
CATCH_UP = 1.05  # speed at which a delay of up to `LATE` that is no longer needed is made up for
_PILED = 0.05  # s from the start within which sound arrives that lay in the pipe before, at most so many samples:
_PIPE_HOLDS = READ // 2
_WAITED = 0.005  # s after which a part that was asked for had not been there yet


class Playout:
    """Sound with its times of arrival in, blocks of what one video frame needs out, each when it is due.

    A block is due when it has arrived and what came before is over. Chunks longer than a frame are thus handed on
    evenly, and a delay that a late chunk has brought shrinks again once chunks are in time. Where nothing comes for
    `LATE` seconds, blocks of silence do, and the pause is not made up for.

    Args:
        rate: samples a second. start: the time at which listening began, in seconds of any clock.
    """

    def __init__(self, rate: int, start: float) -> None:
        self._rate, self._start, self._needed = rate, start, FrameBlocks(rate).needed
        self._parts: deque[tuple[float, np.ndarray]] = deque()
        self._waiting = self._heard = self._piled = self._dropped = 0  # samples
        self._first: float | None = None
        self._clock: float | None = None  # when all that was handed on is over; None before `begin`
        self._filling, self._over, self.fast = False, False, False
        self._speed, self._given, self._frame = 1.0, 0, 0
        self._measured, self._least = 0, rate

    @property
    def waiting(self) -> float:
        """Seconds of sound that have arrived and not been handed on."""
        return self._waiting / self._rate

    @property
    def heard(self) -> bool:
        """Whether any sound arrived."""
        return self._heard > 0

    def arrived(self, part: np.ndarray, now: float, asked: float = -math.inf) -> None:
        """Samples (n,) that were read at `now`, by a reader that began to wait at `asked`.

        A part that was waited for was written at once: one of more than `AHEAD` seconds is no microphone's. One that
        lay there says nothing, for the reader may have been held up.
        """
        if not len(part):
            return
        if self._first is None:
            self._first = self._start if now < self._start + _PILED else now
        self._parts.append((now, part))
        self._waiting += len(part)
        self._heard += len(part)
        if now < self._start + _PILED:
            self._piled = min(self._heard, _PIPE_HOLDS)  # says nothing about how fast it comes
        elif now - asked > _WAITED:
            self.fast |= len(part) > AHEAD * self._rate or len(part) >= _PIPE_HOLDS
        self.fast |= (self._heard - self._piled) / self._rate > now - self._first + AHEAD
        while self._clock is None and not self.fast and self.waiting >= MOST_WAITING:
            self._drop()

    def ended(self) -> None:
        """No more will arrive."""
        self._over = True

    def _drop(self) -> None:
        part = self._parts.popleft()[1]
        self._waiting -= len(part)
        self._dropped += len(part)

    def begin(self, now: float) -> float:
        """From `now` on blocks are handed on; seconds of sound that are too old to be.

        What came as fast as it is spoken is live, and what of it came before is over. What comes faster waits for its
        turn, and so does what had ended: nothing of it is lost.
        """
        if not (self.fast or self._over):
            while self._parts:
                self._drop()
        self._clock = now
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
            return self._handed(block, due, False)
        if self._over:
            return None
        silent = self._clock + (self._size / self._rate if self._filling else LATE)
        if silent > now:
            return silent - now
        return self._handed(np.zeros(self._size, np.int16), silent if self._filling else now, True)

    @property
    def _size(self) -> int:
        """Samples until the next frame can be made."""
        return self._needed(self._frame) - self._given

    def _handed(self, block: np.ndarray, over: float, filling: bool) -> np.ndarray:
        self._clock, self._filling = over, filling
        self._given += len(block)
        self._frame += self._given == self._needed(self._frame)
        return block

    def _measure(self, given: int) -> None:
        """Sound of which some always waits has a delay that it does not need, unless it is much: a sentence."""
        self._measured += given
        self._least = min(self._least, self._waiting)
        if self._measured >= self._rate:
            self._speed = CATCH_UP if 0 < self._least / self._rate <= LATE else 1.0
            self._measured, self._least = 0, self._waiting


class Listener:
    """Reads a source of sound on a thread of its own, from now on.

    Args:
        parts: blocks of samples (n,), such as `sources.from_pipe` gives. rate: samples a second.
        late: called once with the seconds of sound that came before `blocks` was asked for and are too old, where there
            are any.
    """

    def __init__(self, parts: Iterable[np.ndarray], rate: int, late: Callable[[float], None]) -> None:
        self._play, self._late = Playout(rate, time.monotonic()), late
        self._more = threading.Condition()
        self._error: BaseException | None = None
        threading.Thread(target=self._listen, args=(parts,), daemon=True).start()

    def _listen(self, parts: Iterable[np.ndarray]) -> None:
        try:
            asked = time.monotonic()
            for part in parts:
                with self._more:
                    self._play.arrived(part, time.monotonic(), asked)
                    self._more.notify_all()
                    self._more.wait_for(lambda: self._play.waiting < MOST_WAITING)
                asked = time.monotonic()
        except BaseException as e:  # raised where the sound is asked for
            self._error = e
        with self._more:
            self._play.ended()
            self._more.notify_all()

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks (n,) of at most one video frame, each when it is due; silence where nothing comes.

        Raises:
            UserError: what the source raises, or not one sample came.
        """
        with self._more:
            dropped = self._play.begin(time.monotonic())
        if dropped > 0:
            self._late(dropped)
        while True:
            with self._more:
                if self._error is not None and not self._play.waiting:
                    raise self._error
                got = self._play.next(time.monotonic())
                if isinstance(got, float):
                    self._more.wait(got)
                    continue
                self._more.notify_all()
            if got is None:
                if not self._play.heard:
                    raise UserError(NOTHING_CAME)
                return
            yield got
