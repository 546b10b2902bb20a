"""The avatar pipeline: speech to face, gestures and body of one person, for whole talks and as a stream."""

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
from avatargpt.face.pipeline import FacePipeline, driver_folder
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.speech import audio as sound
from vqvae.face import FaceMotion
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.idle import Span
    from avatargpt.face.audio_model.stream import FaceStream
    from avatargpt.gesture.stream import MotionStream
    from avatargpt.gesture.words import TimedWord
    from instruct_data.face.score import Score


class AvatarPipeline:
    """Speech, an instruction and feelings to a person who talks with face, hands and head over any body.

    Args:
        face: generates the 52 weights and instructed nods. gestures: generates arms, fingers, trunk and head.
    """

    def __init__(self, face: FacePipeline, gestures: GesturePipeline) -> None:
        self.face, self.gestures = face, gestures

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> AvatarPipeline:
        """From a model folder; None = the packaged weights.

        Raises:
            UserError: no driver or no gesture network in it, or damaged weights.
        """
        gestures = GesturePipeline.load(folder)
        return cls(FacePipeline.load(driver_folder(None if folder is None else Path(folder))), gestures)

    def speak(
        self, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE, text: str = "",
        feelings: Sequence[Feeling] = (), score: Score | None = None, body: Body | None = None,
        controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        progress: Callable[[int], None] | None = None, **gestures: Any,
    ) -> AvatarMotion:  # fmt: skip
        """A whole talk of T frames at 30 fps.

        The 52 weights are those of the face alone, to the bit, unless `controls` ask for eye contact.

        Args:
            audio: speech, a file or samples (n,) at `rate`.
            text: a facial instruction, parsed unless `score` is its result.
            feelings: emotion keyframes, instead of those named in the text.
            body: motion of pelvis and legs; None = they stand.
            controls: of the face: blinks, idle movement, eye contact. lips: see `FacePipeline.perform`.
            seed: of blinks, idle movement and the gestures.
            progress: called with the number of frames so far, of face and gestures together.
            gestures: ``words``, ``other``, ``speaker`` and other options of `GesturePipeline.perform`.

        Raises:
            UserError: bad sound, text, words, speaker or control.
        """
        seconds = sound.open_sound(audio, rate).about.seconds
        if score is None:
            score = self.face.place([text], seconds, True, feelings)[0]
        motion = self.gestures.perform(audio, rate, seed=seed, progress=progress, **gestures)
        clip = self.face.perform(
            text, audio, rate, feelings, score=score, head=lips,
            progress=None if progress is None else lambda frames: progress(len(motion) + frames),
        )  # fmt: skip
        # Eye contact depends on the combined head: `composed` adds it.
        face = self.face.with_controls(clip, replace(controls, eye_contact=0.0), score, seed)
        source = None if isinstance(audio, np.ndarray) else Path(audio)
        calm = self.face.spans(score)[1]
        return composed(body or Standing(seed), motion, face, 0, source, text, controls.eye_contact, calm)

    def stream(
        self, rate: int = sound.RATE, text: str = "", feelings: Sequence[Feeling] = (), score: Score | None = None,
        body: Body | None = None, controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        seconds: float | None = None, **gestures: Any,
    ) -> AvatarStream:  # fmt: skip
        """A live stream; its joined pieces are the result of `speak`, to the bit, if `seconds` are the sound's.

        Args:
            rate: samples a second of what will be pushed.
            seconds: length of the sound if it is known: the instruction is fitted to it.
            gestures: options of `GesturePipeline.stream`. The rest: as in `speak`.
        """
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
    """One talk: samples in chunks of any size in, pieces of the avatar out; frame i of all parts is at i / 30 s.

    The face's network has less look-ahead and waits for the gestures. Joined pieces are the clip of the whole sound,
    bit for bit, whatever the chunks; memory does not grow.

    Attributes:
        frames: given out so far.
    """

    def __init__(
        self, face: FaceStream, gestures: MotionStream, body: Body, lively: LiveControls, eye_contact: float = 0.0,
        calm: Sequence[Span] = (),
    ) -> None:  # fmt: skip
        self._face, self._gestures, self._body = face, gestures, body
        self._lively, self._eye_contact, self._calm = lively, eye_contact, calm
        self._curves: list[np.ndarray] = []
        self._motions: list[Motion] = []
        self.frames = 0

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return max(self._face.latency, self._gestures.latency)

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Add words of the speaker or the interlocutor; see `MotionStream.say`."""
        self._gestures.say(words, other)

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> AvatarMotion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are."""
        self._take(self._face.push(pcm), self._gestures.push(pcm, other))
        return self._ready()

    def finish(self) -> AvatarMotion | None:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends."""
        self._take(self._face.finish(), self._gestures.finish())
        return self._ready()

    def _take(self, rows: np.ndarray, motion: Motion | None) -> None:
        for row in rows:
            self._curves.append(self._lively(FaceMotion.from_curves(row[None], float(sound.FPS))).curves)
        if motion is not None:
            self._motions.append(motion)

    def _ready(self) -> AvatarMotion | None:
        count = min(len(self._curves), sum(len(m) for m in self._motions))
        if not count:
            return None
        motion = concatenate(self._motions)
        face = FaceMotion.from_curves(np.concatenate(self._curves[:count]), float(sound.FPS))
        out = composed(
            self._body, motion.slice(0, count), face, self.frames, eye_contact=self._eye_contact, calm=self._calm
        )
        self._curves = self._curves[count:]
        self._motions = [motion.slice(count, len(motion))] if len(motion) > count else []
        self.frames += count
        return out
