"""`AvatarPerformer`: a talk to one avatar; the face, the gestures and the body of one model folder together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.avatar.body_track import Body, Standing
from avatargpt.avatar.compose import composed
from avatargpt.export.avatar.clip import AvatarMotion
from avatargpt.face.audio_model.controls import LIVELY, Controls
from avatargpt.face.performer import FacePerformer, driver_folder
from avatargpt.gesture.performer import GesturePerformer
from avatargpt.speech import audio as sound

if TYPE_CHECKING:
    from avatargpt.avatar.stream import AvatarStream
    from avatargpt.face.audio_model.conditioning import Feeling
    from instruct_data.face.score import Score


class AvatarPerformer:
    """Speech, an instruction and feelings to somebody who talks with face, hands and head over a body of any kind.

    Args:
        face: makes the 52 weights and the nods that are told. gestures: makes arms, fingers, trunk and head.
    """

    def __init__(self, face: FacePerformer, gestures: GesturePerformer) -> None:
        self.face, self.gestures = face, gestures

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> AvatarPerformer:
        """From a model folder; None = the packaged weights.

        Raises:
            UserError: no driver or no gesture network in it, or damaged weights.
        """
        gestures = GesturePerformer.load(folder)
        return cls(FacePerformer.load(driver_folder(None if folder is None else Path(folder))), gestures)

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
        seconds = sound.opened(audio, rate).about.seconds
        if score is None:
            score = self.face.placed([text], seconds, True, feelings)[0]
        made = self.gestures.perform(audio, rate, seed=seed, progress=progress, **gestures)
        done = len(made)
        clip = self.face.perform(
            text, audio, rate, feelings, score=score, head=lips,
            progress=None if progress is None else lambda frames: progress(done + frames),
        )  # fmt: skip
        face = self.face.lively(clip, replace(controls, eye_contact=0.0), score, seed)
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
        from avatargpt.avatar.stream import AvatarStream
        from avatargpt.face.audio_model.controls import LiveControls

        if score is None and text:
            read = self.face.placed([text], seconds, True, feelings) if seconds else self.face.read([text])
            score = read[0]
        direction = self.face.direction(score, feelings, seconds)
        spans = self.face.spans(score)
        lively = LiveControls(replace(controls, eye_contact=0.0), sound.FPS, seed, *spans)
        return AvatarStream(
            self.face.driver.stream(rate, direction=direction, head=lips),
            self.gestures.stream(rate, seed=seed, **gestures), body or Standing(seed), lively, controls.eye_contact,
            spans[1],
        )  # fmt: skip
