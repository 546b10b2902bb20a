"""Gestures and avatars as methods of the public API, inherited by `avatargpt.api.AvatarGPT`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from avatargpt.gesture.config import TEMPERATURE

if TYPE_CHECKING:
    import torch

    from avatargpt.avatar.bodies import Body
    from avatargpt.avatar.pipeline import AvatarPerformer
    from avatargpt.export.avatar import AvatarMotion
    from avatargpt.face.tokens import FaceTokens
    from avatargpt.gesture.pipeline import GesturePerformer, Speaker
    from avatargpt.gesture.semantics import Manner
    from avatargpt.gesture.stream import MotionStream
    from avatargpt.gesture.words import TimedWord
    from avatargpt.lm.loaded import LoadedModel
    from avatargpt.lm.scorer import TextMotionScorer
    from avatargpt.speech.words import Words
    from vqvae.motion import Motion


class DeviceCalls:
    """Moves a loaded model.

    Attributes:
        loaded: the network with its tokenizers. face_tokens: its tasks for faces.
    """

    loaded: LoadedModel
    face_tokens: FaceTokens

    @property
    def motion_scorer(self) -> TextMotionScorer | None:
        """Tells how well a motion fits a text."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.loaded.device

    def to(self, device: str | torch.device) -> Self:
        """Move what answers in whole clips: language models, motion tokenizers, sentence encoder, scorer; itself.

        What goes frame by frame beside live sound (speech to face, gestures) and the readers of words stay on the CPU.

        Args:
            device: ``cpu``, ``cuda``, ``cuda:1``, ... The same seeds may give other motion where rounding differs.

        Raises:
            UserError: no such device here.
        """
        self.loaded.to(device)
        apart = vars(self.face_tokens).get("loaded", self.loaded)  # the small model of the face, where it is read yet
        if apart is not self.loaded:
            apart.to(device)
        if self.motion_scorer is not None:
            self.motion_scorer.network.to(self.device)
        return self


Audio = str | os.PathLike[str] | np.ndarray
Said: TypeAlias = "str | os.PathLike[str] | Words | Iterable[TimedWord] | None"


class GestureCalls:
    """The gesture network of a model folder, loaded when it is first used; without a folder the packaged one."""

    @property
    def source(self) -> str:
        """The folder that the model comes from, empty = none."""
        raise NotImplementedError

    @cached_property
    def gestures(self) -> GesturePerformer:
        """The performer of gestures. Raises UserError where the model folder has no gesture network."""
        from avatargpt.gesture.pipeline import GesturePerformer

        return GesturePerformer.load(self.source or None)

    def gesture(
        self, audio: Audio, words: Said = None, other: Audio | None = None, other_words: Said = None,
        speaker: Speaker = None, seed: int = 0, rate: int = 16_000, other_rate: int | None = None, head: str = "codes",
        temperature: float = TEMPERATURE, smooth: bool = True, manner: Manner | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Motion:  # fmt: skip
        """Speech to co-speech gestures: T frames at 30 fps, a `Motion` with fingers (T, 30, 4).

        Args:
            audio: a sound file, or samples (n,) or (n, channels) at `rate`.
            words: what is said: a text, a file of text or of word times (`avatargpt.speech.transcripts.words_of`
                finds or checks the times), words with times, or None: words are off.
            other, other_words: the interlocutor's, samples at `other_rate` (None = `rate`).
            manner: gestures that mean words, calm, energy, cues; None = `Manner()`.
            speaker, seed, head, temperature, smooth, progress: see
                `avatargpt.gesture.pipeline.GesturePerformer.perform`.

        Returns:
            The motion; its notes say what of sound and words is doubtful.

        Raises:
            UserError: no gesture network, bad sound, words that do not belong to it, an interlocutor of another length.
        """
        from dataclasses import replace

        from avatargpt.gesture.semantics import Manner

        performer = self.gestures
        said, notes = timed(words, audio, rate)
        answer, more = (None, ()) if other is None else timed(other_words, other, other_rate or rate)
        made = performer.perform(
            audio, rate, said, other, other_rate, answer, speaker, head, seed, temperature, smooth, manner or Manner(),
            progress,
        )  # fmt: skip
        return replace(made, notes=(*notes, *more, *made.notes))

    def gesture_stream(self, rate: int = 16_000, **options: Any) -> MotionStream:
        """Gestures while somebody speaks; see `avatargpt.gesture.pipeline.GesturePerformer.stream`."""
        return self.gestures.stream(rate, **options)


def timed(words: Said, audio: Audio, rate: int) -> tuple[Iterable[TimedWord] | None, tuple[str, ...]]:
    """Words with times, and what is doubtful of them."""
    from avatargpt.speech.words import Words

    if isinstance(words, str | os.PathLike | Words):
        from avatargpt.face.audio_model.driver import Driver
        from avatargpt.speech.transcripts import words_of

        found = words_of(words, audio, Driver.load(), rate)
        return found.words, found.notes
    return words, ()


Under = str | os.PathLike[str] | Any
"""``idle``, a text, a file, or a `Motion`."""


class AvatarCalls(GestureCalls):
    """Face, gestures and body of a model folder together; loaded when they are first used."""

    def generated(self, text: str, seed: int) -> Motion:
        """The body motion of a text."""
        raise NotImplementedError

    @cached_property
    def avatars(self) -> AvatarPerformer:
        """The performer of avatars. Raises UserError where the model folder has no driver or no gesture network."""
        from avatargpt.avatar.pipeline import AvatarPerformer

        return AvatarPerformer.load(self.source or None)

    def speak(
        self, audio: Audio, words: Said = None, text: str = "", emotion: str | None = None, body: Under = "idle",
        other: Audio | None = None, other_words: Said = None, seed: int = 0, rate: int = 16_000,
        manner: Manner | None = None, progress: Callable[[int], None] | None = None, **options: Any,
    ) -> AvatarMotion:  # fmt: skip
        """Speech to one avatar: face, gestures with fingers and a body under them, T frames at 30 fps.

        Args:
            audio: a sound file, or samples (n,) at `rate`.
            words, other, other_words: see `gesture`.
            text: what the face does. emotion: its feelings, as ``--emotion`` takes them.
            body: ``idle``: it stands; a text, generated by `generate` with `seed`; a file; or a `Motion`.
            manner: gestures that mean words, calm, energy, cues; None = `Manner()`.
            options: of `avatargpt.avatar.pipeline.AvatarPerformer.speak` (``controls``, ``lips``, ``score``) and of
                `gesture` (``speaker``, ``temperature``, ``smooth``).

        Returns:
            The clip; its notes say what of sound and words is doubtful, and where the body was held or cut.

        Raises:
            UserError: no gesture network, bad sound, words that do not belong to it, a body that is no motion.
        """
        from dataclasses import replace

        from avatargpt.face.audio_model.conditioning import parse_emotions
        from avatargpt.gesture.semantics import Manner
        from avatargpt.speech.audio import open_sound

        seconds = open_sound(audio, rate).about.seconds
        feelings = parse_emotions(emotion, seconds) if emotion is not None else []
        said, notes = timed(words, audio, rate)
        answer, more = (None, ()) if other is None else timed(other_words, other, rate)
        made = self.avatars.speak(
            audio, rate, text, feelings, body=self._under(body, seed), seed=seed, progress=progress, words=said,
            other=other, other_words=answer, semantics=manner or Manner(), **options,
        )  # fmt: skip
        return replace(made, notes=(*notes, *more, *made.notes))

    def speak_stream(
        self, blocks: Iterable[np.ndarray], rate: int = 16_000, text: str = "", emotion: str | None = None,
        body: Under = "idle", seed: int = 0, **options: Any,
    ) -> Iterator[AvatarMotion]:  # fmt: skip
        """An avatar while somebody speaks: blocks of samples (n,) in, pieces of the clip out as they are ready.

        Face and gestures share a clock: frame i of all pieces together is at second i / 30 of the sound.

        Args:
            options: of `avatargpt.avatar.pipeline.AvatarPerformer.stream`. The rest: as in `speak`.

        Raises:
            UserError: as `speak`, and samples of another shape or type.
        """
        from avatargpt.face.audio_model.conditioning import parse_emotions

        feelings = parse_emotions(emotion) if emotion is not None else []
        stream = self.avatars.stream(rate, text, feelings, body=self._under(body, seed), seed=seed, **options)
        for block in blocks:
            piece = stream.push(block)
            if piece is not None:
                yield piece
        piece = stream.finish()
        if piece is not None:
            yield piece

    def _under(self, body: Under, seed: int) -> Body:
        from avatargpt.avatar.bodies import body_of

        return body_of(body, lambda text: self.generated(text, seed), seed)
