"""Speech to motion while it is being spoken: samples in chunks of any size, pieces of a standing body out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from avatargpt.gesture.spoken import SpokenGestures
from avatargpt.gesture.stream import Gestures
from avatargpt.gesture.words import TimedWord
from avatargpt.speech.audio import FPS
from vqvae.features.gesture import GestureFeatures
from vqvae.motion import Motion


class Overlay(Protocol):
    """What changes features between the network and the body: all frames come out that went in, `delay` frames later.

    Frames are counted from 0 at the beginning of the talk; an overlay serves one talk.
    """

    @property
    def delay(self) -> int:
        """Frames by which what comes out is behind what goes in."""
        ...

    def push(self, features: np.ndarray) -> np.ndarray:
        """(k, 270) float32 of the next frames -> (j, 270) that are ready."""
        ...

    def say(self, words: Sequence[TimedWord]) -> None:
        """Further words of the speaker."""
        ...

    def hear(self, pcm: np.ndarray, other: np.ndarray | None) -> None:
        """Samples of the speaker and of the interlocutor, before the frames that are made of them."""
        ...

    def finish(self) -> np.ndarray:
        """The frames still due, (j, 270)."""
        ...


class MotionStream:
    """One talk, from samples to `Motion` pieces: 30 fps, upright at the origin, facing +Z, straight legs, with fingers.

    Pieces joined are the motion of the whole sound, bit for bit, whatever the chunks were; memory does not grow.

    Args:
        spoken: the network at work. overlay: between it and the body; None = none.

    Attributes:
        frames: given out so far.
    """

    def __init__(self, spoken: SpokenGestures, overlay: Overlay | None = None) -> None:
        self._spoken, self._overlay, self._layout = spoken, overlay, GestureFeatures()
        self.frames = 0

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return self._spoken.latency + (0 if self._overlay is None else self._overlay.delay) / FPS

    @property
    def repaired(self) -> int:
        """Samples so far that were not numbers and counted as silence."""
        return self._spoken.repaired

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Further words, in order, of the speaker or of the interlocutor; what is past is not shown.

        Raises:
            UserError: a stream that was begun with ``words=None``, or times that make no sense.
        """
        told = list(words)
        self._spoken.say(told, other)
        if self._overlay is not None and not other:
            self._overlay.say(told)

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> Motion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are.

        Raises:
            UserError: samples of another shape or type, after the end, or of a voice that the stream was begun without.
        """
        made = self._spoken.push(pcm, other)
        if self._overlay is not None:
            self._overlay.hear(pcm, other)
        return self._made(made, last=False)

    def finish(self) -> Motion | None:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends.

        Raises:
            UserError: the interlocutor's sound is longer or shorter by more than half a second.
        """
        return self._made(self._spoken.finish(), last=True)

    def _made(self, made: Gestures, last: bool) -> Motion | None:
        rows = made.features
        if self._overlay is not None:
            rows = self._overlay.push(rows)
            if last:
                rows = np.concatenate([rows, self._overlay.finish()])
        self.frames += len(rows)
        return self._layout.decode(rows) if len(rows) else None
