"""Gestures as calls of the public API: what `avatargpt.api.AvatarGPT` inherits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from avatargpt.gesture.config import TEMPERATURE

if TYPE_CHECKING:
    from avatargpt.gesture.manner import Manner
    from avatargpt.gesture.motion_stream import MotionStream
    from avatargpt.gesture.performer import GesturePerformer, Speaker
    from avatargpt.gesture.words import TimedWord
    from avatargpt.speech.words.words import Words
    from vqvae.motion import Motion

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
        from avatargpt.gesture.performer import GesturePerformer

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
            words: what is said: a text, a file of text or of word times (`avatargpt.face.words.transcripts.words_of`
                finds or checks the times), words with times, or None: words are off.
            other, other_words: the interlocutor's, samples at `other_rate` (None = `rate`).
            manner: gestures that mean words, calm, energy, cues; None = `Manner()`.
            speaker, seed, head, temperature, smooth, progress: see
                `avatargpt.gesture.performer.GesturePerformer.perform`.

        Returns:
            The motion; its notes say what of sound and words is doubtful.

        Raises:
            UserError: no gesture network, bad sound, words that do not belong to it, an interlocutor of another length.
        """
        from dataclasses import replace

        from avatargpt.gesture.manner import Manner

        performer = self.gestures
        said, notes = timed(words, audio, rate)
        answer, more = (None, ()) if other is None else timed(other_words, other, other_rate or rate)
        made = performer.perform(
            audio, rate, said, other, other_rate, answer, speaker, head, seed, temperature, smooth, manner or Manner(),
            progress,
        )  # fmt: skip
        return replace(made, notes=(*notes, *more, *made.notes))

    def gesture_stream(self, rate: int = 16_000, **options: Any) -> MotionStream:
        """Gestures while somebody speaks; see `avatargpt.gesture.performer.GesturePerformer.stream`."""
        return self.gestures.stream(rate, **options)


def timed(words: Said, audio: Audio, rate: int) -> tuple[Iterable[TimedWord] | None, tuple[str, ...]]:
    """Words with times, and what is doubtful of them."""
    from avatargpt.speech.words.words import Words

    if isinstance(words, str | os.PathLike | Words):
        from avatargpt.face.words.transcripts import words_of

        found = words_of(words, audio, rate)
        return found.words, found.notes
    return words, ()
