"""Talks of the gesture corpus: their configuration, monologues and conversations, and files of the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import model_validator

from avatargpt.gesture.words import SENTENCE
from avatargpt.speech import word_files
from avatargpt.speech.audio import FPS, RATE
from avatargpt.speech.words import Word, checked_words
from avatargpt.train.gesture.voices import Utterance, Voice, Voices, mixed
from avatargpt.train.speech_data.augment import recorded
from instruct_data.gesture.classes import sentences
from instruct_data.gesture.plan import Style
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, Rate, Share, Strict

PERFORMERS = ("ChrBrad", "ChrBrad2", "ChrGarza", "ChrConnor", "keyed")
MIN_SECONDS, MAX_SECONDS = 24.0, 60.0  # of a talk
FRAME_MULTIPLE = 12  # frames of a talk: whole tokens of 2, 3, 4 or 6 frames
TRIES = 8  # sentences until a voice says one as it is written
INTERLOCUTOR = ".interlocutor"


class Speaker(Strict):
    """The style of a speaker, see `instruct_data.gesture.plan.Style`."""

    performers: list[str] = list(PERFORMERS)
    rate: Share = 0.6
    semantic: Share = 0.9
    size: Rate = 1.0
    tempo: Rate = 1.1
    left: Share = 0.25
    both: Share = 0.5
    head: Rate = 1.0
    drift: Rate = 1.0
    rest: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = sorted(set(self.performers) - set(PERFORMERS))
        if unknown:
            raise UserError(f"performers: {', '.join(unknown)}; accepted: {', '.join(PERFORMERS)}")
        if not 0.5 <= self.size <= 1.1 or not 0.7 <= self.tempo <= 1.6:
            raise UserError(f"size {self.size:g}, tempo {self.tempo:g}; accepted: 0.5 to 1.1, 0.7 to 1.6")
        return self

    def style(self, name: str) -> Style:
        """As the style of a plan."""
        return Style(**{**self.model_dump(), "name": name, "performers": tuple(self.performers)})


class CorpusData(Strict):
    """The section `data`."""

    minutes: Rate = 120.0  # of motion in all
    dyadic: Share = 0.4  # share of it that is one side of a conversation; both sides are stored
    # Share of the monologues with recorded speech; a recording is reused with other speakers' gestures
    recorded: Share = 0.25
    flite: Share = 0.5  # share of flite among the synthetic voices
    ours: Share = 0.7  # share of our own sentences
    situated: Share = 0.5  # share of the sounds with a simulated recording situation (noise, echo, telephone)
    val: Share = 0.06  # share of the talks for validation; their sentences also occur in training
    store: Rate = 60.0  # minutes of motion for a tokenizer
    words: str = SENTENCE  # encoder of words, as in `avatargpt.gesture.words`
    seed: NonNegativeInt = 0


class CorpusRecipe(Strict):
    """A configuration of the gesture-corpus stage."""

    data: CorpusData = CorpusData()
    speakers: dict[str, Speaker] = {"usual": Speaker()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.speakers:
            raise UserError("speakers: none; accepted: at least one")
        return self


@dataclass(frozen=True, eq=False)
class Track:
    """One person's sound, (n,) float32 at 16 kHz, and words in order."""

    voice: str
    audio: np.ndarray
    words: tuple[Word, ...]


@dataclass(frozen=True, eq=False)
class Talk:
    """A talk of T frames by one person, or by two on one clock."""

    frames: int
    tracks: tuple[Track, ...]


class _Speaker:
    """A synthetic voice, or the unused recordings of a person."""

    def __init__(self, name: str | None, recordings: list[Utterance], voice: Voice | None = None) -> None:
        self.recordings, self.voice = recordings, voice
        self.name = name or (voice.name if voice else "")


class Talks:
    """Generates talks; equal numbers and seeds give equal talks."""

    def __init__(
        self, data: CorpusData, voices: Voices, texts: Sequence[str], recordings: Sequence[tuple[str, Utterance]] = ()
    ) -> None:
        self._data, self._voices, self._texts = data, voices, texts
        self._recordings: dict[str, list[Utterance]] = {}
        for name, utterance in recordings:
            self._recordings.setdefault(name.split("/")[0], []).append(utterance)

    def talk(self, number: int, seed: int) -> Talk:
        """Talk `number`; its kind and speakers are random."""
        rng = np.random.default_rng([seed, 61, number])
        seconds = float(rng.uniform(MIN_SECONDS, MAX_SECONDS))
        if rng.random() < self._data.dyadic:
            return self._conversation(seconds, rng)
        return self._monologue(self._speaker(rng), seconds, rng)

    def _text(self, rng: np.random.Generator) -> str:
        if not self._texts or rng.random() < self._data.ours:
            return sentences().draw(rng)
        return self._texts[int(rng.integers(len(self._texts)))]

    def _speaker(self, rng: np.random.Generator, synthetic: bool = False) -> _Speaker:
        # Recordings serve monologues alone, so their share of these is larger than that of all talks.
        if self._recordings and not synthetic and rng.random() < self._data.recorded / max(1 - self._data.dyadic, 0.01):
            names = list(self._recordings)
            sizes = np.array([len(self._recordings[n]) for n in names], float)
            name = names[int(rng.choice(len(names), p=sizes / sizes.sum()))]
            utterances = self._recordings[name]
            return _Speaker(name, [utterances[i] for i in rng.permutation(len(utterances))])
        return _Speaker(None, [], self._voices.voice(rng))

    def _next(self, speaker: _Speaker, rng: np.random.Generator) -> Utterance | None:
        if speaker.voice is None:
            return speaker.recordings.pop() if speaker.recordings else None
        for _ in range(TRIES):
            try:
                return speaker.voice.say(self._text(rng), rng)
            except UserError:  # numbers or names that are not spoken as they are written
                continue
        raise UserError(f"{speaker.voice.name}: says none of {TRIES} sentences as they are written")

    def _monologue(self, speaker: _Speaker, seconds: float, rng: np.random.Generator) -> Talk:
        utterances: list[tuple[float, Utterance]] = []
        now = float(rng.uniform(0.5, 1.6))
        while now < seconds - 1.5 and (utterance := self._next(speaker, rng)) is not None:
            utterances.append((now, utterance))
            now += utterance.seconds + _pause(rng)
        end = utterances[-1][0] + utterances[-1][1].seconds
        return self._mix([(speaker.name, utterances)], end + float(rng.uniform(0.8, 2.2)), rng)

    def _conversation(self, seconds: float, rng: np.random.Generator) -> Talk:
        speakers = (self._speaker(rng, True), self._speaker(rng, True))
        turns: tuple[list[tuple[float, Utterance]], list[tuple[float, Utterance]]] = ([], [])
        now, who = float(rng.uniform(0.4, 1.2)), int(rng.integers(2))
        while now < seconds - 1.5:
            for k in range(int(rng.integers(1, 4))):
                utterance = self._next(speakers[who], rng)
                assert utterance is not None
                now += float(rng.uniform(0.3, 0.9)) if k else 0.0
                turns[who].append((now, utterance))
                now += utterance.seconds
            now += float(np.clip(rng.normal(0.35, 0.3), -0.15, 1.5))  # turns may overlap a little
            who = 1 - who
        pairs = [(s.name, t) for s, t in zip(speakers, turns, strict=True)]
        return self._mix(pairs, now + float(rng.uniform(0.6, 1.8)), rng)

    def _mix(
        self, pairs: Sequence[tuple[str, list[tuple[float, Utterance]]]], seconds: float, rng: np.random.Generator
    ) -> Talk:
        frames = max(FRAME_MULTIPLE, round(seconds * FPS) // FRAME_MULTIPLE * FRAME_MULTIPLE)
        tracks = []
        for name, utterances in pairs:
            audio, words = mixed(utterances, frames / FPS)
            if rng.random() < self._data.situated:
                audio = recorded(audio, rng)
            tracks.append(Track(name, audio.astype(np.float32), tuple(_ordered(words))))
        return Talk(frames, tuple(tracks))


def _pause(rng: np.random.Generator) -> float:
    kind = rng.random()
    low, high = (0.25, 0.7) if kind < 0.5 else (0.7, 1.5) if kind < 0.82 else (1.8, 4.0)
    return float(rng.uniform(low, high))


def _ordered(words: Sequence[Word]) -> list[Word]:
    # Without words of zero length, or that begin before the previous one ends.
    out: list[Word] = []
    for word in words:
        if word.end > word.start and (not out or word.start >= out[-1].end - 1e-6):
            out.append(word)
    return out


def write_talk(talk: Talk, features: dict[str, np.ndarray], folder: Path) -> None:
    """Write sound, motion (T, 270) and words of both sides, as the suite `gesture` reads them."""
    for k, (name, rows) in enumerate(features.items()):
        _write_track(talk.tracks[k], folder / name)
        if len(talk.tracks) == 2:
            _write_track(talk.tracks[1 - k], folder / f"{name}{INTERLOCUTOR}")
        GestureFeatures().decode(rows).save(folder / f"{name}.npz")


def _write_track(track: Track, path: Path) -> None:
    import soundfile

    def write(target: Path) -> None:
        soundfile.write(target, track.audio, RATE, subtype="PCM_16", format="FLAC")

    atomic_write(path.with_name(f"{path.name}.flac"), write)
    if track.words:
        seconds = len(track.audio) / RATE
        words = checked_words(path.name, list(track.words), track.voice, seconds)
        word_files.write(words, path.with_name(f"{path.name}.json"))
