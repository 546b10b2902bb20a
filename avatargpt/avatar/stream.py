"""An avatar while somebody speaks: samples in chunks of any size, pieces of the whole person out, on one clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.avatar.body_track import Body
from avatargpt.avatar.compose import composed
from avatargpt.export.avatar.clip import AvatarMotion
from avatargpt.face.audio_model.blinks import Span
from avatargpt.face.audio_model.controls import LiveControls
from avatargpt.face.audio_model.stream import FaceStream
from avatargpt.gesture.motion_stream import MotionStream
from avatargpt.speech.audio import FPS
from vqvae.face import FaceMotion
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.gesture.words import TimedWord


class AvatarStream:
    """One talk. The face, whose network hears less far ahead, waits for the gestures: frame i of all is at i / 30 s.

    Pieces joined are the clip of the whole sound, bit for bit, whatever the chunks were; memory does not grow.

    Attributes:
        frames: given out so far.
    """

    def __init__(
        self, face: FaceStream, gestures: MotionStream, body: Body, lively: LiveControls, eye_contact: float = 0.0,
        calm: Sequence[Span] = (),
    ) -> None:  # fmt: skip
        self._face, self._gestures, self._body = face, gestures, body
        self._lively, self._eye_contact, self._calm = lively, eye_contact, calm
        self._faces: list[np.ndarray] = []
        self._moved: list[Motion] = []
        self.frames = 0

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return max(self._face.latency, self._gestures.latency)

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Further words of the speaker or the interlocutor; see `MotionStream.say`."""
        self._gestures.say(words, other)

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> AvatarMotion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are.

        Raises:
            UserError: samples of another shape or type, after the end, or of a voice that the stream was begun without.
        """
        self._take(self._face.push(pcm), self._gestures.push(pcm, other))
        return self._ready()

    def finish(self) -> AvatarMotion | None:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends."""
        self._take(self._face.finish(), self._gestures.finish())
        return self._ready()

    def _take(self, rows: np.ndarray, moved: Motion | None) -> None:
        for row in rows:
            self._faces.append(self._lively(FaceMotion.from_curves(row[None], float(FPS))).curves)
        if moved is not None:
            self._moved.append(moved)

    def _ready(self) -> AvatarMotion | None:
        count = min(len(self._faces), sum(len(m) for m in self._moved))
        if not count:
            return None
        moved = concatenate(self._moved)
        face = FaceMotion.from_curves(np.concatenate(self._faces[:count]), float(FPS))
        out = composed(
            self._body, moved.slice(0, count), face, self.frames, eye_contact=self._eye_contact, calm=self._calm
        )
        self._faces = self._faces[count:]
        self._moved = [moved.slice(count, len(moved))] if len(moved) > count else []
        self.frames += count
        return out
