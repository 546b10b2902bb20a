"""Gestures, avatars and devices as methods of the public API, inherited by `avatargpt.api.AvatarGPT`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from avatargpt.gesture.config import TEMPERATURE, Speaker

if TYPE_CHECKING:
    import torch

    from avatargpt.avatar.bodies import Body
    from avatargpt.avatar.pipeline import AvatarPipeline
    from avatargpt.export.avatar import AvatarMotion
    from avatargpt.face.tokens import FaceTokens
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.gesture.semantics import Manner
    from avatargpt.gesture.stream import MotionStream
    from avatargpt.gesture.words import TimedWord
    from avatargpt.lm.loaded import LoadedModel
    from avatargpt.lm.scorer import TextMotionScorer
    from avatargpt.speech.words import Words
    from vqvae.motion import Motion

Audio = str | os.PathLike[str] | np.ndarray
Transcript: TypeAlias = "str | os.PathLike[str] | Words | Iterable[TimedWord] | None"
# `idle`, a text, a file, or a `Motion`.
BodySource = str | os.PathLike[str] | Any


class DeviceCalls:
    """Moves a loaded model between devices.

    Attributes:
        loaded: the network with its tokenizers. face_tokens: its tasks for faces.
    """

    loaded: LoadedModel
    face_tokens: FaceTokens

    @property
    def motion_scorer(self) -> TextMotionScorer | None:
        """Scores how well a motion fits a text."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.loaded.device

    def to(self, device: str | torch.device) -> Self:
        """Move language models, motion tokenizers, sentence encoder and scorer; returns the model itself.

        Models that run frame by frame with live sound (speech to face, gestures) and readers of words stay on the CPU.

        Args:
            device: ``cpu``, ``cuda``, ``cuda:1``, ... The same seeds may give other motion where rounding differs.

        Raises:
            UserError: no such device here.
        """
        self.loaded.to(device)
        face_model = vars(self.face_tokens).get("loaded", self.loaded)  # the face's own model, if it is loaded
        if face_model is not self.loaded:
            face_model.to(device)
        if self.motion_scorer is not None:
            self.motion_scorer.network.to(self.device)
        return self


class SpeechCalls:
    """Gestures and avatars from speech; their networks are loaded on first use."""

    @property
    def source(self) -> str:
        """The folder that the model was loaded from, empty = none: then the packaged weights are used."""
        raise NotImplementedError

    def generated(self, text: str, seed: int) -> Motion:
        """The body motion of a text."""
        raise NotImplementedError

    @cached_property
    def gestures(self) -> GesturePipeline:
        """The gesture pipeline. Raises UserError where the model folder has no gesture network."""
        from avatargpt.gesture.pipeline import GesturePipeline

        return GesturePipeline.load(self.source or None)

    @cached_property
    def avatars(self) -> AvatarPipeline:
        """The avatar pipeline. Raises UserError where the model folder has no driver or no gesture network."""
        from avatargpt.avatar.pipeline import AvatarPipeline

        return AvatarPipeline.load(self.source or None)

    def gesture(
        self, audio: Audio, words: Transcript = None, other: Audio | None = None, other_words: Transcript = None,
        speaker: Speaker = None, seed: int = 0, rate: int = 16_000, other_rate: int | None = None, head: str = "codes",
        temperature: float = TEMPERATURE, smooth: bool = True, manner: Manner | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Motion:  # fmt: skip
        """Speech to co-speech gestures: T frames at 30 fps, a `Motion` with fingers (T, 30, 4).

        Args:
            audio: a sound file, or samples (n,) or (n, channels) at `rate`.
            words: a text, a file of text or of word times (`avatargpt.speech.transcripts.words_of` aligns or checks
                it), words with times, or None: words are off.
            other, other_words: the interlocutor's, samples at `other_rate` (None = `rate`).
            manner: semantic gestures, calm, energy, cues; None = `Manner()`.
            speaker, seed, head, temperature, smooth: see `avatargpt.gesture.config.GestureOptions`.
            progress: called with the number of frames so far.

        Returns:
            The motion; its notes hold warnings about sound and words.

        Raises:
            UserError: no gesture network, bad sound, words that do not belong to it, an interlocutor of another length.
        """
        from avatargpt.gesture.semantics import Manner

        pipeline = self.gestures
        timed, notes = timed_words(words, audio, rate)
        answers, more_notes = (None, ()) if other is None else timed_words(other_words, other, other_rate or rate)
        motion = pipeline.perform(
            audio, rate, timed, other, other_rate, answers, manner or Manner(), progress, speaker=speaker, head=head,
            seed=seed, temperature=temperature, smooth=smooth,
        )  # fmt: skip
        return replace(motion, notes=(*notes, *more_notes, *motion.notes))

    def gesture_stream(self, rate: int = 16_000, **options: Any) -> MotionStream:
        """Live gestures; see `avatargpt.gesture.pipeline.GesturePipeline.stream`."""
        return self.gestures.stream(rate, **options)

    def speak(
        self, audio: Audio, words: Transcript = None, text: str = "", emotion: str | None = None,
        body: BodySource = "idle", other: Audio | None = None, other_words: Transcript = None, seed: int = 0,
        rate: int = 16_000, manner: Manner | None = None, progress: Callable[[int], None] | None = None, **options: Any,
    ) -> AvatarMotion:  # fmt: skip
        """Speech to one avatar: face, gestures with fingers and a body, T frames at 30 fps.

        Args:
            audio: a sound file, or samples (n,) at `rate`.
            words, other, other_words: see `gesture`.
            text: a facial instruction. emotion: feelings, as ``--emotion`` takes them.
            body: ``idle`` stands; a text, generated by `generate` with `seed`; a file; or a `Motion`.
            manner: semantic gestures, calm, energy, cues; None = `Manner()`.
            options: of `avatargpt.avatar.pipeline.AvatarPipeline.speak` (``controls``, ``lips``, ``score``) and of
                `gesture` (``speaker``, ``temperature``, ``smooth``).

        Returns:
            The clip; its notes hold warnings about sound and words, and where the body was held or cut.

        Raises:
            UserError: no gesture network, bad sound, words that do not belong to it, a body that is no motion.
        """
        from avatargpt.face.audio_model.conditioning import parse_emotions
        from avatargpt.gesture.semantics import Manner
        from avatargpt.speech.audio import open_sound

        seconds = open_sound(audio, rate).about.seconds
        feelings = parse_emotions(emotion, seconds) if emotion is not None else []
        timed, notes = timed_words(words, audio, rate)
        answers, more_notes = (None, ()) if other is None else timed_words(other_words, other, rate)
        avatar = self.avatars.speak(
            audio, rate, text, feelings, body=self._body(body, seed), seed=seed, progress=progress, words=timed,
            other=other, other_words=answers, semantics=manner or Manner(), **options,
        )  # fmt: skip
        return replace(avatar, notes=(*notes, *more_notes, *avatar.notes))

    def speak_stream(
        self, blocks: Iterable[np.ndarray], rate: int = 16_000, text: str = "", emotion: str | None = None,
        body: BodySource = "idle", seed: int = 0, **options: Any,
    ) -> Iterator[AvatarMotion]:  # fmt: skip
        """A live avatar: blocks of samples (n,) in, pieces of the clip out as they are ready.

        Face and gestures share a clock: frame i of the joined pieces is at second i / 30 of the sound.

        Args:
            options: of `avatargpt.avatar.pipeline.AvatarPipeline.stream`. The rest: as in `speak`.
        """
        from avatargpt.face.audio_model.conditioning import parse_emotions

        feelings = parse_emotions(emotion) if emotion is not None else []
        stream = self.avatars.stream(rate, text, feelings, body=self._body(body, seed), seed=seed, **options)
        for block in blocks:
            if (piece := stream.push(block)) is not None:
                yield piece
        if (piece := stream.finish()) is not None:
            yield piece

    def _body(self, source: BodySource, seed: int) -> Body:
        from avatargpt.avatar.bodies import body_of

        return body_of(source, lambda text: self.generated(text, seed), seed)


def timed_words(
    words: Transcript, audio: Audio, rate: int
) -> tuple[Iterable[TimedWord] | None, tuple[str, ...]]:
    """Words with times, and warnings about them."""
    from avatargpt.speech.words import Words

    if isinstance(words, str | os.PathLike | Words):
        from avatargpt.face.audio_model.driver import Driver
        from avatargpt.speech.transcripts import words_of

        result = words_of(words, audio, Driver.load(), rate)
        return result.words, result.notes
    return words, ()
