"""Live co-speech gestures: frames to senders, one by one, each when it is due."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.speech.audio import FPS
from avatargpt.speech.live import NO_SOUND, LiveRun, Sender, run_stream
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.gesture.features import InterlocutorAudio
    from avatargpt.gesture.stream import MotionStream


@dataclass
class Live(LiveRun):
    """The state of a live run, and the pieces of its motion where these are recorded."""

    pieces: list[Motion] = field(default_factory=list)

    def motion(self) -> Motion:
        """The recorded clip. Raises UserError where there is none."""
        if not self.pieces:
            raise UserError(NO_SOUND)
        return concatenate(self.pieces)


class _EvenStream:
    """A stream that releases each frame when the sound has reached its latency.

    The network produces all frames of a token at once; sent like that, a body would jerk forward and wait.
    """

    def __init__(
        self, stream: MotionStream, rate: int, interlocutor: InterlocutorAudio | None, live: Live, record: bool,
        one_by_one: bool,
    ) -> None:  # fmt: skip
        self._stream, self._rate, self._interlocutor, self._live = stream, rate, interlocutor, live
        self._record, self._one_by_one = record, one_by_one
        self._delay = math.ceil(round(stream.latency * FPS, 3))
        self._waiting: deque[Motion] = deque()
        self._samples = 0

    def push(self, pcm: np.ndarray) -> list[Motion]:
        self._samples += len(pcm)
        self._take(self._stream.push(pcm, None if self._interlocutor is None else self._interlocutor(pcm)))
        due = self._samples * FPS // self._rate - self._delay + 1 - self._live.frames
        return [self._waiting.popleft() for _ in range(min(max(due, 0), len(self._waiting)))]

    def finish(self) -> list[Motion]:
        for part in () if self._interlocutor is None else self._interlocutor.remaining():
            self._take(self._stream.push(np.zeros(0, np.float32), part))
        self._take(self._stream.finish())
        return list(self._waiting)

    def _take(self, piece: Motion | None) -> None:
        if piece is None:
            return
        if self._record:
            self._live.pieces.append(piece)
        if self._one_by_one:
            self._waiting.extend(piece.slice(k, k + 1) for k in range(len(piece)))
        else:
            self._live.frames += len(piece)


def perform(
    stream: MotionStream, rate: int, parts: Iterable[np.ndarray], senders: Sequence[Sender] = (),
    interlocutor: InterlocutorAudio | None = None, keep: int = 0, live: Live | None = None,
) -> Live:  # fmt: skip
    """Push sound and send every frame when it is due; the frames still due follow when the sound ends.

    Args:
        stream: of sound at `rate`. parts: blocks of samples, for even frames of at most one frame each.
        interlocutor: their sound, where the stream was begun with one.
        keep: frames to record for a file, after which the run ends; 0 = record nothing, run until the sound ends.
        live: filled while it runs, so that an interrupted run has its frames.
    """
    result = live or Live()
    even = _EvenStream(stream, rate, interlocutor, result, keep > 0, bool(senders))

    def send(frames: list[Motion]) -> bool:
        for frame in frames:
            for sender in senders:
                sender.send(result.frames, frame)
            result.frames += 1
        return not keep or stream.frames < keep

    run_stream(even, parts, send, result)
    return result
