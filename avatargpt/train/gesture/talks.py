"""Talks of the gesture corpus: monologues and conversations, and the files of their validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatargpt.speech import word_files
from avatargpt.speech.audio import RATE
from avatargpt.speech.words import Word, checked_words
from avatargpt.train.gesture.recipe import CorpusData
from avatargpt.train.gesture.voices import Said, Voice, Voices, spread
from avatargpt.train.speech_data.augment import recorded
from instruct_data.gesture.classes import sentences
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.motion import atomic_write

LEAST, MOST = 24.0, 60.0  # s of a talk
WHOLE = 12  # frames that a talk is a multiple of: whole tokens of 2, 3, 4 or 6 frames
FPS = 30
TRIES = 8  # sentences that a voice may not say as they are written


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


class Talks:
    """Makes talks; equal numbers drawn give equal talks.

    Args:
        texts: what is said beside sentences of our own. recordings: names and utterances of real voices.
    """

    def __init__(
        self, data: CorpusData, voices: Voices, texts: Sequence[str], recordings: Sequence[tuple[str, Said]] = ()
    ) -> None:
        self._data, self._voices, self._texts = data, voices, texts
        self._recordings: dict[str, list[Said]] = {}
        for name, said in recordings:
            self._recordings.setdefault(name.split("/")[0], []).append(said)

    def talk(self, number: int, seed: int) -> Talk:
        """Talk `number`: whether it is a conversation and who speaks is drawn."""
        rng = np.random.default_rng([seed, 61, number])
        seconds = float(rng.uniform(LEAST, MOST))
        if rng.random() < self._data.dyadic:
            return self._conversation(seconds, rng)
        readers = [self._sayings(rng)]
        return self._monologue(readers[0], seconds, rng)

    def _text(self, rng: np.random.Generator) -> str:
        if not self._texts or rng.random() < self._data.ours:
            return sentences().draw(rng)
        return self._texts[int(rng.integers(len(self._texts)))]

    def _sayings(self, rng: np.random.Generator, synthetic: bool = False) -> _Reader:
        if self._recordings and not synthetic and rng.random() < self._data.recorded / max(1 - self._data.dyadic, 0.01):
            names = list(self._recordings)
            sizes = np.array([len(self._recordings[n]) for n in names], float)
            name = names[int(rng.choice(len(names), p=sizes / sizes.sum()))]
            own = self._recordings[name]
            return _Reader(name, [own[i] for i in rng.permutation(len(own))])
        return _Reader(None, [], self._voices.voice(rng))

    def _next(self, reader: _Reader, rng: np.random.Generator) -> Said | None:
        if reader.voice is None:
            return reader.left.pop() if reader.left else None
        for _ in range(TRIES):
            try:
                return reader.voice.say(self._text(rng), rng)
            except UserError:  # numbers or names that are said otherwise than they are written
                continue
        raise UserError(f"{reader.voice.name}: says none of {TRIES} sentences as they are written")

    def _monologue(self, reader: _Reader, seconds: float, rng: np.random.Generator) -> Talk:
        said: list[tuple[float, Said]] = []
        now = float(rng.uniform(0.5, 1.6))
        while now < seconds - 1.5 and (one := self._next(reader, rng)) is not None:
            said.append((now, one))
            now += one.seconds + _gap(rng)
        last = said[-1][0] + said[-1][1].seconds
        return self._talk([(reader.name, said)], last + float(rng.uniform(0.8, 2.2)), rng)

    def _conversation(self, seconds: float, rng: np.random.Generator) -> Talk:
        readers = (self._sayings(rng, True), self._sayings(rng, True))
        said: tuple[list[tuple[float, Said]], list[tuple[float, Said]]] = ([], [])
        now, who = float(rng.uniform(0.4, 1.2)), int(rng.integers(2))
        while now < seconds - 1.5:
            for k in range(int(rng.integers(1, 4))):
                one = self._next(readers[who], rng)
                assert one is not None
                now += float(rng.uniform(0.3, 0.9)) if k else 0.0
                said[who].append((now, one))
                now += one.seconds
            now += float(np.clip(rng.normal(0.35, 0.3), -0.15, 1.5))  # turns may overlap a little
            who = 1 - who
        pairs = [(r.name, s) for r, s in zip(readers, said, strict=True)]
        return self._talk(pairs, now + float(rng.uniform(0.6, 1.8)), rng)

    def _talk(
        self, pairs: Sequence[tuple[str, list[tuple[float, Said]]]], seconds: float, rng: np.random.Generator
    ) -> Talk:
        frames = max(WHOLE, round(seconds * FPS) // WHOLE * WHOLE)
        tracks = []
        for name, said in pairs:
            audio, words = spread(said, frames / FPS)
            if rng.random() < self._data.situated:
                audio = recorded(audio, rng)
            tracks.append(Track(name, audio.astype(np.float32), tuple(_ordered(words))))
        return Talk(frames, tuple(tracks))


class _Reader:
    """A synthetic voice, or recordings of somebody that are left."""

    def __init__(self, name: str | None, left: list[Said], voice: Voice | None = None) -> None:
        self.left, self.voice = left, voice
        self.name = name or (f"{voice.name}" if voice else "")


def _gap(rng: np.random.Generator) -> float:
    kind = rng.random()
    low, high = (0.25, 0.7) if kind < 0.5 else (0.7, 1.5) if kind < 0.82 else (1.8, 4.0)
    return float(rng.uniform(low, high))


def _ordered(words: Sequence[Word]) -> list[Word]:
    """Without words of no length at the end of the sound, none beginning before the one before has ended."""
    out: list[Word] = []
    for word in words:
        if word.end > word.start and (not out or word.start >= out[-1].end - 1e-6):
            out.append(word)
    return out


OTHER = ".interlocutor"


def write_talk(talk: Talk, features: dict[str, np.ndarray], folder: Path) -> None:
    """Write both sides of a talk.

    Args:
        features: motion (T, 270) of each side, by the name of its take.
    """
    for k, (name, rows) in enumerate(features.items()):
        _write_side(talk.tracks[k], folder / name)
        if len(talk.tracks) == 2:
            _write_side(talk.tracks[1 - k], folder / f"{name}{OTHER}")
        GestureFeatures().decode(rows).save(folder / f"{name}.npz")


def _write_side(track: Track, path: Path) -> None:
    import soundfile

    def write(target: Path) -> None:
        soundfile.write(target, track.audio, RATE, subtype="PCM_16", format="FLAC")

    atomic_write(path.with_name(f"{path.name}.flac"), write)
    if track.words:
        seconds = len(track.audio) / RATE
        words = checked_words(path.name, list(track.words), track.voice, seconds)
        word_files.write(words, path.with_name(f"{path.name}.json"))
