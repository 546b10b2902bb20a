"""Gestures while somebody speaks: frames to whoever is to have them, one by one, each when it is due."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avatargpt.gesture.stream import Beside
from avatargpt.speech.audio import FPS
from avatargpt.speech.live import NO_SOUND, LiveRun, run_stream
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.gesture.stream import MotionStream


class Sender(Protocol):
    """Takes frames as they come: `avatargpt.export.websocket`."""

    failed: int

    def send(self, frame: int, motion: Motion) -> None: ...

    def close(self) -> None: ...


@dataclass
class Live(LiveRun):
    """What a live run has done.

    Attributes:
        kept: pieces of the motion, where they were wanted.
    """

    kept: list[Motion] = field(default_factory=list)

    def motion(self) -> Motion:
        """What was kept, as a clip. Raises UserError where nothing was."""
        if not self.kept:
            raise UserError(NO_SOUND)
        return concatenate(self.kept)


class _Even:
    """A stream that gives a frame when sound has come as far as its latency says.

    The network makes the frames of a token all at once; handed on like that, a body would jerk forward and wait.
    """

    def __init__(self, stream: MotionStream, rate: int, beside: Beside, live: Live, keep: bool, shown: bool) -> None:
        self._stream, self._rate, self._beside, self._live = stream, rate, beside, live
        self._keep, self._shown = keep, shown
        self._behind = math.ceil(round(stream.latency * FPS, 3))
        self._waiting: deque[Motion] = deque()
        self._samples = 0

    def push(self, pcm: np.ndarray) -> list[Motion]:
        self._samples += len(pcm)
        self._take(self._stream.push(pcm, self._beside(pcm)))
        due = self._samples * FPS // self._rate - self._behind + 1 - self._live.frames
        return [self._waiting.popleft() for _ in range(min(max(due, 0), len(self._waiting)))]

    def finish(self) -> list[Motion]:
        for part in self._beside.rest():
            self._take(self._stream.push(np.zeros(0, np.float32), part))
        self._take(self._stream.finish())
        return list(self._waiting)

    def _take(self, piece: Motion | None) -> None:
        if piece is None:
            return
        if self._keep:
            self._live.kept.append(piece)
        if self._shown:
            self._waiting.extend(piece.slice(k, k + 1) for k in range(len(piece)))
        else:
            self._live.frames += len(piece)


def perform(
    stream: MotionStream, rate: int, parts: Iterable[np.ndarray], senders: Sequence[Sender] = (),
    beside: Beside | None = None, keep: int = 0, live: Live | None = None,
) -> Live:  # fmt: skip
    """Push sound, hand on every frame when it is due; what is still due follows when the sound ends.

    Args:
        stream: of sound at `rate`. parts: blocks of samples, for even frames of at most one frame each.
        senders: get each frame.
        beside: gives the interlocutor's sound, where the stream was begun with one.
        keep: pieces are kept for a file until there are so many frames; then it is over.
        live: filled while it runs, so that an interrupted run has its frames.

    Raises:
        UserError: not one sample came.
    """
    done = live or Live()
    even = _Even(stream, rate, beside or Beside(rate, None), done, keep > 0, bool(senders))

    def hand_on(frames: list[Motion]) -> bool:
        for frame in frames:
            for sender in senders:
                sender.send(done.frames, frame)
            done.frames += 1
        return not keep or stream.frames < keep

    run_stream(even, parts, hand_on, done)
    return done
