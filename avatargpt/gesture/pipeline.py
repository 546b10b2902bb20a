"""`GesturePipeline`: speech, its words and the interlocutor's speech to a moving body, with the models of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.gesture.features import InterlocutorAudio, TimedWord, WordEncoder, check_lengths, loudness
from avatargpt.gesture.network import NAME, GestureDriver, GestureOptions
from avatargpt.gesture.semantics import Manner, StrokePlanner, check_cues, load_guesser
from avatargpt.gesture.speech_file import SpeechFile
from avatargpt.gesture.word_encoders import word_encoder
from avatargpt.lm.checkpoint import find_part
from avatargpt.resources import PACKAGE
from avatargpt.speech import audio as sound
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.gesture.overlay import SemanticOverlay
    from avatargpt.gesture.semantics import GestureBank
    from avatargpt.gesture.stream import GestureMotionStream

SILENCE_PEAK = 10 ** (-55 / 20)  # of full scale: a sound that is never louder has no speech in it


def network_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The gesture network of a model folder: ``gesture`` in it, or itself; None = the packaged weights."""
    root = PACKAGE / "weights" if folder is None else Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder}: no such folder; accepted a folder of weights")
    place = find_part(folder, NAME)
    if place is None:
        raise UserError(f"{root / NAME}: no gesture network; train one with "
                        "`python scripts/train.py gesture` (docs/avatar_training.md), or name a folder that has one")
    return place


class GesturePipeline:
    """Speech to the gestures of a standing person who talks or listens."""

    def __init__(self, driver: GestureDriver, encoder: WordEncoder | None = None) -> None:
        if driver.network.config.features != GestureFeatures.dim:
            raise UserError(f"{driver.source}: moves {driver.network.config.features} features; accepted: a network of "
                            f"the {GestureFeatures.dim} of a gesture")  # fmt: skip
        self.driver, self._encoder = driver, encoder

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> GesturePipeline:
        """From a model folder; None = the packaged weights. Raises UserError for missing or damaged weights."""
        return cls(GestureDriver.load(network_folder(folder)))

    @cached_property
    def encoder(self) -> WordEncoder:
        """The encoder of words. Raises UserError where it is not installed."""
        return self._encoder or word_encoder(self.driver.network.config.words)

    @cached_property
    def bank(self) -> GestureBank | None:
        """The gesture bank in the network's folder, None = there is none. Raises UserError for a damaged one."""
        from avatargpt.gesture.semantics import GestureBank

        if not Path(self.driver.source).is_dir():
            return None
        return GestureBank.load(self.driver.source)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names in the network's table of styles."""
        return tuple(self.driver.network.config.speakers)

    def overlay(
        self, manner: Manner, rate: int, other_rate: int | None = None, words: Sequence[TimedWord] | None = None,
        loud: Sequence[float] = (), seed: int = 0, start: np.ndarray | None = None,
    ) -> SemanticOverlay | None:  # fmt: skip
        """The overlay of a talk; None where there is no bank of gestures beside the network.

        Args:
            rate, other_rate: samples a second of both voices, None = there is no interlocutor.
            words: known by now; None = words are off, and none gets a gesture. loud: see `stream`.
            start: (270,) features of the pose before the first frame; None = the network's first.
        """
        if manner.cues and words is None:
            raise UserError(f"--cue {manner.cues[0][0]}: words are off; accepted: with a transcript")
        if self.bank is None and manner != Manner():
            raise UserError(f"{self.driver.source}: no bank of gestures beside the network; --semantic, --calm, "
                            "--energy and --cue need one: `python scripts/train.py gesture-bank`")  # fmt: skip
        if self.bank is None:
            return None
        from avatargpt.gesture.overlay import ListenerBehaviour, SemanticOverlay
        from instruct_data.gesture.plan import word_classes
        from instruct_data.gesture.strokes import turns_in

        guesser = load_guesser() if words is not None and (manner.share or manner.cues) else None
        planner = StrokePlanner(self.bank, word_classes(), manner, guesser, seed)
        listener = ListenerBehaviour(rate, other_rate, seed)
        before = None if start is None else turns_in(start)
        return SemanticOverlay(self.bank, manner, planner, words or (), loud, listener, before)

    def stream(
        self, rate: int = sound.RATE, words: Iterable[TimedWord] | None = None, other: bool = False,
        other_rate: int | None = None, other_words: Iterable[TimedWord] | None = None,
        semantics: Manner | None = None, loud: Sequence[float] = (), heard: Sequence[SpeechFile] = (),
        seconds: float | None = None, start_pose: Motion | None = None, **options: Any,
    ) -> GestureMotionStream:  # fmt: skip
        """A live stream; its pieces joined are the result of `perform`, if `seconds` are the sound's.

        Args:
            rate: samples a second of what will be pushed. other_rate: of the interlocutor's; None = the same.
            words: known by now; an empty list where they come later, with ``say``; None = words are off.
            loud: loudness of each of them, standard deviations above the mean.
            other: whether the interlocutor is heard.
            heard: features by file of each voice, for a network that hears these.
            seconds: of the sound, where that is known: hands are at rest by then. The rest: as in `perform`.
        """
        from avatargpt.gesture.stream import Edges, GestureMotionStream, SpeechGestureStream

        if other_words is not None and not other:
            raise UserError("words of an interlocutor who is not heard; accepted: with the sound of both")
        with_words = words is not None or other_words is not None
        words = None if words is None else list(words)
        settings = GestureOptions(**options)
        if start_pose is None:
            start = self.driver.network.rest.numpy()
        else:  # (270,) of the last frame of a body
            last = start_pose.slice(len(start_pose) - 1, len(start_pose))
            start = np.asarray(GestureFeatures().encode(replace(last, modality="gesture"))[0])
        overlay = None
        if semantics is not None:
            answering = (other_rate or rate) if other else None
            overlay = self.overlay(semantics, rate, answering, words, loud, settings.seed, start)
        frames = None if seconds is None else sound.frames_in(round(seconds * rate), rate)
        speech = SpeechGestureStream(
            self.driver, rate, self.encoder if with_words else None, words or (), other, other_words or (), other_rate,
            settings, heard, frames, start,
        )  # fmt: skip
        return GestureMotionStream(speech, overlay, Edges(start, self.driver.network.rest.numpy(), frames))

    def perform(
        self, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE,
        words: Iterable[TimedWord] | None = None, other: str | os.PathLike[str] | np.ndarray | None = None,
        other_rate: int | None = None, other_words: Iterable[TimedWord] | None = None,
        semantics: Manner | None = None, progress: Callable[[int], None] | None = None,
        features: Sequence[str | os.PathLike[str]] = (), start_pose: Motion | None = None, **options: Any,
    ) -> Motion:  # fmt: skip
        """A whole talk: T frames at 30 fps, a `Motion` with fingers (T, 30, 4), upright at the origin, facing +Z.

        Sound is read in blocks: memory grows with the motion alone.

        Args:
            audio: a sound file, or samples (n,) or (n, channels) at `rate`.
            words: with times, in order (`avatargpt.speech.words`); None = words are off.
            other: the interlocutor's sound, as long; samples at `other_rate` (None = `rate`). other_words: likewise.
            semantics: semantic gestures, calm, energy, cues; None = the network alone.
            features: files of the sound's features (`avatargpt.gesture.speech_file`), of both voices where there are
                two, for a network that hears these.
            start_pose: the motion before, from whose last frame this one sets out; None = from rest. The end is at
                rest.

        Returns:
            The motion; its notes hold warnings about the sound.

        Raises:
            UserError: bad sound, an interlocutor of another length, a cue that nobody says, what `stream` refuses.
        """
        speaker = sound.open_sound(audio, rate)
        interlocutor = None if other is None else sound.open_sound(other, other_rate or rate)
        if interlocutor is not None:
            check_lengths(speaker.about, interlocutor.about)
        words = None if words is None else list(words)
        if semantics is not None and words is not None:
            check_cues(semantics, words)
        loud = loudness(audio, rate, words) if words and semantics is not None else ()
        sounds = [speaker] if interlocutor is None else [speaker, interlocutor]
        if len(features) > len(sounds):
            raise UserError(f"{features[-1]}: {len(features)} files of features; accepted: one for each voice")
        heard = [SpeechFile(path, voice.about) for path, voice in zip(features, sounds, strict=False)]
        stream = self.stream(
            speaker.about.rate, words, interlocutor is not None,
            None if interlocutor is None else interlocutor.about.rate, other_words, semantics, loud, heard,
            speaker.about.samples / speaker.about.rate, start_pose, **options,
        )  # fmt: skip
        peak, answers = 0.0, InterlocutorAudio(speaker.about.rate, interlocutor)
        pieces = []
        for block in speaker.parts:
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            pieces.append(stream.push(block, answers(block)))
            if progress is not None:
                progress(stream.frames)
        # The interlocutor's sound may end a little later.
        pieces += [stream.push(np.zeros(0, np.float32), block) for block in answers.drain_blocks()]
        pieces.append(stream.finish())
        motion = concatenate([piece for piece in pieces if piece is not None])
        where = "the sound" if isinstance(audio, np.ndarray) else os.fspath(audio)
        token = self.driver.network.config.downsample
        return replace(motion, notes=tuple(_warnings(str(where), speaker.about, peak, token)))


def _warnings(where: str, about: sound.AudioInfo, peak: float, token: int) -> list[str]:
    # Properties of a sound that degrade its gestures, a line each.
    notes = []
    if peak < SILENCE_PEAK:
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
