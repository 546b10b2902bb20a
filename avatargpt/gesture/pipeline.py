"""`GesturePerformer`: a talk, its words and the other speaker to a moving body, from a model folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.gesture.accents import loudness
from avatargpt.gesture.config import TEMPERATURE
from avatargpt.gesture.driver import NAME, GestureDriver
from avatargpt.gesture.semantics import Manner, Meaning, Nearest, check_cues
from avatargpt.gesture.stream import Beside, check_lengths
from avatargpt.gesture.words import TimedWord, WordEncoder, word_encoder
from avatargpt.speech import audio as sound
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.gesture.bank import GestureBank
    from avatargpt.gesture.stream import MotionStream, Overlay

Speaker = str | int | Sequence[float] | np.ndarray | None
QUIET = 10 ** (-55 / 20)  # of full scale: a sound that is never louder has no speech in it


def network_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where a model folder keeps its gesture network: ``gesture`` in it, or itself; None = the packaged weights.

    Raises:
        UserError: no such folder, or no gesture network in it.
    """
    from avatargpt.resources import PACKAGE

    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; accepted a folder of weights")
    root = PACKAGE / "weights" if folder is None else Path(folder)
    for place in (root / NAME, root):
        if (place / f"{NAME}.json").is_file():
            return place
    raise UserError(f"{root / NAME}: no gesture network; train one with `python scripts/train.py gesture` "
                    "(docs/gesture_data.md), or name a folder that has one")  # fmt: skip


def nearest() -> Nearest:
    """Guesses the classes of words that the packaged table lacks. Raises UserError without the sentence encoder."""
    from avatargpt.lm.text_encoder import SentenceGrounder
    from instruct_data.gesture.classes import word_classes

    grounder = SentenceGrounder()
    return Nearest(word_classes(), grounder.sentence, grounder.number)


class GesturePerformer:
    """Speech to the gestures of somebody who stands and talks, or listens.

    Args:
        driver: the trained network. encoder: of words; None loads the one that it was trained with when words come.

    Raises:
        UserError: a network of other features than `vqvae.features`.
    """

    def __init__(self, driver: GestureDriver, encoder: WordEncoder | None = None) -> None:
        if driver.network.config.features != GestureFeatures.dim:
            raise UserError(f"{driver.source}: moves {driver.network.config.features} features; accepted: a network of "
                            f"the {GestureFeatures.dim} of a gesture")  # fmt: skip
        self.driver, self._given = driver, encoder

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> GesturePerformer:
        """From a model folder; None = the packaged weights.

        Raises:
            UserError: missing or damaged weights.
        """
        return cls(GestureDriver.load(network_folder(folder)))

    @cached_property
    def encoder(self) -> WordEncoder:
        """Reads words; loaded when the first come. Raises UserError where it is not installed."""
        return self._given or word_encoder(self.driver.network.config.words)

    @cached_property
    def bank(self) -> GestureBank | None:
        """Gestures that mean something, None where none lie beside the network. Raises UserError for damaged ones."""
        from avatargpt.gesture.bank import GestureBank

        if not Path(self.driver.source).is_dir():
            return None
        return GestureBank.load(self.driver.source)

    def overlay(
        self, manner: Manner, words: Sequence[TimedWord] | None = None, loud: Sequence[float] = (), seed: int = 0,
        rates: tuple[int, int] | None = None,
    ) -> Overlay | None:  # fmt: skip
        """What makes a manner of motion; None where there is nothing for it to do.

        Args:
            words: known by now, None = words are off: then none gets a gesture. loud: see `stream`.
            rates: samples a second of both voices, None = there is no interlocutor.

        Raises:
            UserError: a bank is needed and there is none, cues without words, or cues of gestures that it has not.
        """
        if manner.cues and words is None:
            raise UserError(f"--cue {manner.cues[0][0]}: words are off; accepted: with a transcript")
        if self.bank is None and manner != Manner():
            raise UserError(f"{self.driver.source}: no bank of gestures beside the network; --semantic, --calm, "
                            "--energy and --cue need one: `python scripts/train.py gesture-bank`")  # fmt: skip
        meant = words is not None and bool(manner.share or manner.cues)
        if self.bank is None or not (meant or manner.calm or manner.energy != 1 or rates):
            return None
        from avatargpt.gesture.overlay import Listening, Semantics
        from instruct_data.gesture.classes import word_classes

        meaning = Meaning(self.bank, word_classes(), manner, nearest(), seed) if meant else None
        attention = None if rates is None else Listening(*rates, seed)
        return Semantics(self.bank, manner, meaning, words or (), loud, attention)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names of those whose style it knows."""
        return tuple(self.driver.network.config.speakers)

    def stream(
        self, rate: int = sound.RATE, words: Iterable[TimedWord] | None = None, other: bool = False,
        other_rate: int | None = None, other_words: Iterable[TimedWord] | None = None, speaker: Speaker = None,
        head: str = "codes", seed: int = 0, temperature: float = TEMPERATURE, smooth: bool = True,
        semantics: Overlay | Manner | None = None, loud: Sequence[float] = (),
    ) -> MotionStream:  # fmt: skip
        """A live stream; its pieces joined are what `perform` gives.

        Args:
            rate: samples a second of what will be pushed. other_rate: of the interlocutor's; None = the same.
            words: known by now; an empty list where they come later, with ``say``; None = words are off.
            loud: of each of them, standard deviations above the usual one.
            other: whether the interlocutor is heard. The rest: as in `perform`.

        Raises:
            UserError: a speaker, head or temperature that is not accepted, or a network that needs the whole sound.
        """
        from avatargpt.gesture.decoding import Sampler
        from avatargpt.gesture.stream import MotionStream, SpokenGestures

        if other_words is not None and not other:
            raise UserError("words of an interlocutor who is not heard; accepted: with the sound of both")
        told = words is not None or other_words is not None
        words = None if words is None else list(words)
        if isinstance(semantics, Manner):
            semantics = self.overlay(semantics, words, loud, seed, (rate, other_rate or rate) if other else None)
        spoken = SpokenGestures(
            self.driver, rate, self.encoder if told else None, words or (), other, other_words or (), speaker, head,
            Sampler(temperature, seed=seed), smooth, other_rate,
        )  # fmt: skip
        return MotionStream(spoken, semantics)

    def perform(
        self, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE,
        words: Iterable[TimedWord] | None = None, other: str | os.PathLike[str] | np.ndarray | None = None,
        other_rate: int | None = None, other_words: Iterable[TimedWord] | None = None, speaker: Speaker = None,
        head: str = "codes", seed: int = 0, temperature: float = TEMPERATURE, smooth: bool = True,
        semantics: Overlay | Manner | None = None, progress: Callable[[int], None] | None = None,
    ) -> Motion:  # fmt: skip
        """A whole talk: T frames at 30 fps, a `Motion` with fingers (T, 30, 4), upright at the origin, facing +Z.

        Sound is read in blocks, two hours of it need no more memory than their motion.

        Args:
            audio: a sound file, or samples (n,) or (n, channels) at `rate`.
            words: with times, in order (`avatargpt.speech.words`); None = words are off.
            other: the interlocutor's sound, as long; samples at `other_rate` (None = `rate`). other_words: likewise.
            speaker: whose style: a name or number of `speakers`, eight numbers, or None: nobody's own.
            head: ``codes``: gestures are drawn by `seed` and `temperature`; ``features``: the mean motion.
            smooth: Savitzky-Golay smoothing over nine frames.
            semantics: how it is gestured, or an overlay of one's own; None = as the network does.
            progress: called with the frames made so far.

        Returns:
            The motion; its notes say what of the sound is doubtful.

        Raises:
            UserError: bad sound, an interlocutor of another length, a cue that nobody says, what `stream` refuses.
        """
        own = sound.open_sound(audio, rate)
        beside = None if other is None else sound.open_sound(other, other_rate or rate)
        if beside is not None:
            check_lengths(own.about, beside.about)
        words = None if words is None else list(words)
        if isinstance(semantics, Manner) and words is not None:
            check_cues(semantics, words)
        loud = loudness(audio, rate, words) if words and isinstance(semantics, Manner) else ()
        stream = self.stream(
            own.about.rate, words, beside is not None, None if beside is None else beside.about.rate, other_words,
            speaker, head, seed, temperature, smooth, semantics, loud,
        )  # fmt: skip
        peak, says = 0.0, Beside(own.about.rate, beside)
        pieces = []
        for block in own.parts:
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            pieces.append(stream.push(block, says(block)))
            if progress is not None:
                progress(stream.frames)
        pieces += [stream.push(np.zeros(0, np.float32), block) for block in says.rest()]
        pieces.append(stream.finish())
        where = "the sound" if isinstance(audio, np.ndarray) else os.fspath(audio)
        made = concatenate([piece for piece in pieces if piece is not None])
        token = self.driver.network.config.downsample
        return replace(made, notes=tuple(_doubts(str(where), own.about, peak, token)))


def _doubts(where: str, about: sound.AudioInfo, peak: float, token: int) -> list[str]:
    """What of a sound makes gestures worse than they could be, a line each."""
    notes = []
    if peak < QUIET:
        notes.append(f"{where}: silence, nothing in it that hands could follow; they do what those of a listener do")
    if about.rate < sound.RATE:
        notes.append(f"{where}: {about.rate} samples a second; the network has learnt from {sound.RATE} and misses "
                     f"what lies above {about.rate // 2} Hz")  # fmt: skip
    if about.channels > 1:
        notes.append(f"{where}: {about.channels} channels, heard as their mean; where each has another speaker, give "
                     "one and the other as interlocutor")  # fmt: skip
    if sound.frames_in(about.samples, about.rate) < token:
        notes.append(f"{where}: {about.seconds:.3g} s, shorter than a gesture's smallest part of {token} frames; this "
                     "is a pose")  # fmt: skip
    return notes
