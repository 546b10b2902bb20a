"""The avatar pipeline: speech to face, gestures and body of one person, for whole files and as a stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.avatar.bodies import Body, Standing
from avatargpt.avatar.compose import composed
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.audio_model.controls import LIVELY, Controls, LiveControls
from avatargpt.face.audio_model.idle import Span
from avatargpt.face.audio_model.stream import FaceStream
from avatargpt.face.pipeline import FacePipeline, driver_folder
from avatargpt.gesture.pipeline import GesturePerformer
from avatargpt.gesture.stream import MotionStream
from avatargpt.speech import audio as sound
from avatargpt.speech.audio import FPS
from vqvae.face import FaceMotion
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.gesture.words import TimedWord
    from instruct_data.face.score import Score


class AvatarPerformer:
    """Speech, an instruction and feelings to somebody who talks with face, hands and head over a body of any kind.

    Args:
        face: makes the 52 weights and the nods that are told. gestures: makes arms, fingers, trunk and head.
    """

    def __init__(self, face: FacePipeline, gestures: GesturePerformer) -> None:
        self.face, self.gestures = face, gestures

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> AvatarPerformer:
        """From a model folder; None = the packaged weights.

        Raises:
            UserError: no driver or no gesture network in it, or damaged weights.
        """
        gestures = GesturePerformer.load(folder)
        return cls(FacePipeline.load(driver_folder(None if folder is None else Path(folder))), gestures)

    def speak(
        self, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE, text: str = "",
        feelings: Sequence[Feeling] = (), score: Score | None = None, body: Body | None = None,
        controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        progress: Callable[[int], None] | None = None, **gestures: Any,
    ) -> AvatarMotion:  # fmt: skip
        """A whole talk of T frames, 30 a second.

        The 52 weights are those of the face alone, to the bit, unless `controls` ask for eye contact.

        Args:
            audio: speech, a file or samples (n,) at `rate`.
            text: a facial instruction; read unless `score` says what it means.
            feelings: emotion keyframes, instead of those that the text names.
            body: what pelvis and legs do; None = they stand.
            controls: of the face, blinks and idle life among them. lips: see `FacePerformer.perform`.
            seed: of blinks, idle life and of how gestures are drawn.
            progress: called with the frames made so far, of face and gestures together.
            gestures: ``words``, ``other``, ``speaker`` and what else `GesturePerformer.perform` takes.

        Raises:
            UserError: bad sound, text, words, speaker or control.
        """
        seconds = sound.open_sound(audio, rate).about.seconds
        if score is None:
            score = self.face.place([text], seconds, True, feelings)[0]
        made = self.gestures.perform(audio, rate, seed=seed, progress=progress, **gestures)
        done = len(made)
        clip = self.face.perform(
            text, audio, rate, feelings, score=score, head=lips,
            progress=None if progress is None else lambda frames: progress(done + frames),
        )  # fmt: skip
        face = self.face.with_controls(clip, replace(controls, eye_contact=0.0), score, seed)
        source = None if isinstance(audio, np.ndarray) else Path(audio)
        calm = self.face.spans(score)[1]
        return composed(body or Standing(seed), made, face, 0, source, text, controls.eye_contact, calm)

    def stream(
        self, rate: int = sound.RATE, text: str = "", feelings: Sequence[Feeling] = (), score: Score | None = None,
        body: Body | None = None, controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        seconds: float | None = None, **gestures: Any,
    ) -> AvatarStream:  # fmt: skip
        """A live stream; its pieces joined are what `speak` gives, to the bit, where `seconds` are the sound's.

        Args:
            rate: samples a second of what will be pushed.
            seconds: length of the sound where it is known: what is told is fitted to it.
            gestures: what `GesturePerformer.stream` takes. The rest: as in `speak`.

        Raises:
            UserError: what `speak` refuses; smoothing of the face, which needs the whole clip.
        """
        from avatargpt.face.audio_model.controls import LiveControls

        if score is None and text:
            read = self.face.place([text], seconds, True, feelings) if seconds else self.face.read([text])
            score = read[0]
        direction = self.face.direction(score, feelings, seconds)
        spans = self.face.spans(score)
        lively = LiveControls(replace(controls, eye_contact=0.0), sound.FPS, seed, *spans)
        return AvatarStream(
            self.face.driver.stream(rate, direction=direction, head=lips),
            self.gestures.stream(rate, seed=seed, **gestures), body or Standing(seed), lively, controls.eye_contact,
            spans[1],
        )  # fmt: skip


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
