"""`Words`: what is said in a sound and when, as word files and aligners tell it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import VOWELS, Phone
from vqvae.errors import UserError

PAUSE = 0.25  # s of silence between two words that end a phrase
MOST_FPS = 1000


@dataclass(frozen=True)
class Word:
    """A spoken word.

    Attributes:
        text: as it is written.
        start, end: seconds from the beginning of the sound.
        phones: in order, without pauses; empty where they are not known.
        confidence: 0 to 1, how sure whoever gave the times was; None = it was not said.
    """

    text: str
    start: float
    end: float
    phones: tuple[Phone, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True)
class Stress:
    """A stressed vowel: the number of its word, and its times in seconds."""

    word: int
    start: float
    end: float


@dataclass(frozen=True)
class Phrase:
    """Words from number `first` up to, without, `stop`, between two pauses, and their times in seconds."""

    first: int
    stop: int
    start: float
    end: float


@dataclass(frozen=True)
class Words:
    """Spoken words in order, none beginning before the one before it has ended.

    Attributes:
        words: at least one.
        seconds: how long the sound is; None = not known.
        source: who gave the times, for people.
        notes: what a reader had to change or guess, one line each.

    Raises:
        UserError: no words, or times that are no numbers, before 0, reversed, out of order, overlapping or beyond the
            end of the sound.
    """

    words: tuple[Word, ...]
    seconds: float | None = None
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.words:
            raise UserError("no words; accepted: at least one word with its times")
        before: Word | None = None
        for number, word in enumerate(self.words, 1):
            where = f"word {number} ({word.text})"
            if not (math.isfinite(word.start) and math.isfinite(word.end)) or word.start < 0:
                raise UserError(f"{where}: from {word.start:g} to {word.end:g} s; accepted: seconds from 0 on")
            if word.end < word.start:
                raise UserError(f"{where}: ends at {word.end:g} s, before it begins at {word.start:g} s")
            if before is not None and word.start < before.end:
                raise UserError(f"{where}: begins at {word.start:g} s, before {before.text} ends at {before.end:g} s")
            if self.seconds is not None and word.end > self.seconds:
                raise UserError(f"{where}: ends at {word.end:g} s; the sound ends at {self.seconds:g} s")
            before = word

    def __len__(self) -> int:
        return len(self.words)

    @property
    def text(self) -> str:
        """All words, with spaces between."""
        return " ".join(word.text for word in self.words)

    def at(self, fps: float, frames: int) -> np.ndarray:
        """Number of the word that is being spoken at each frame: (frames,) int64, -1 = none.

        Frame n is at n / fps seconds, in whole 16 kHz samples counted from the beginning, so that hours do not drift;
        rates such as 29.97 are taken as 30000 / 1001. A word that begins and ends between two frames is at neither.

        Raises:
            UserError: a rate or number of frames that cannot be.
        """
        if not (math.isfinite(fps) and 0 < fps <= MOST_FPS) or frames < 0:
            raise UserError(f"{frames} frames at {fps:g} a second; accepted: 0 or more, above 0 to {MOST_FPS} a second")
        rate = Fraction(fps).limit_denominator(1001)
        samples = np.arange(frames, dtype=np.int64) * RATE * rate.denominator // rate.numerator
        starts = np.array([round(word.start * RATE) for word in self.words])
        ends = np.array([round(word.end * RATE) for word in self.words])
        number = np.searchsorted(starts, samples, "right") - 1
        return np.where((number >= 0) & (samples < ends[np.maximum(number, 0)]), number, -1)

    @property
    def stresses(self) -> tuple[Stress, ...]:
        """Vowels with primary stress, in order; empty where phones or their stresses are not known."""
        return tuple(
            Stress(number, phone.start, phone.end)
            for number, word in enumerate(self.words)
            for phone in word.phones
            if phone.stress == 1 and phone.name in VOWELS
        )

    def phrases(self, pause: float = PAUSE) -> tuple[Phrase, ...]:
        """Runs of words with less than `pause` seconds of silence between any two."""
        ends = [k for k in range(1, len(self)) if self.words[k].start - self.words[k - 1].end >= pause]
        edges = [0, *ends, len(self)]
        return tuple(
            Phrase(a, b, self.words[a].start, self.words[b - 1].end) for a, b in zip(edges, edges[1:], strict=False)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, as `avatargpt.speech.words.tables` reads it again."""
        rows = []
        for word in self.words:
            row: dict[str, Any] = {"word": word.text, "start": round(word.start, 4), "end": round(word.end, 4)}
            if word.confidence is not None:
                row["score"] = round(word.confidence, 3)
            if word.phones:
                row["phones"] = [
                    {"phone": p.name + ("" if p.stress is None else str(p.stress)),
                     "start": round(p.start, 4), "end": round(p.end, 4)}
                    for p in word.phones
                ]  # fmt: skip
            rows.append(row)
        return {"seconds": self.seconds, "source": self.source, "notes": list(self.notes), "words": rows}


SLACK = 0.1
"""Seconds by which times of a file may lie beyond the end of its sound: what counting in whole frames leaves."""
OVERLAP = 0.1
"""Seconds by which words of a file may overlap and are trimmed, which is told: recognisers leave so much."""


def collected(where: str, found: list[Word], source: str, seconds: float | None = None, notes: tuple[str, ...] = ()
              ) -> Words:  # fmt: skip
    """Words as a file has them, with what is slightly off put right and told.

    Args:
        where: of messages: the file.
        seconds: of the sound, where it is known.

    Raises:
        UserError: none at all, or times that are more than slightly off: see `Words`, `SLACK`, `OVERLAP`.
    """
    if not found:
        raise UserError(f"{where}: no words in it; accepted: at least one word with its times")
    trimmed: list[Word] = []
    told = list(notes)
    overlaps = beyond = 0
    for word in found:
        before = trimmed[-1] if trimmed else None
        if before is not None and before.start <= word.start < before.end <= word.start + OVERLAP:
            overlaps += before.end - word.start > 1e-3
            trimmed[-1] = _until(before, word.start)
        if seconds is not None and seconds < word.end <= seconds + SLACK and word.start < seconds:
            beyond += word.end - seconds > 1e-3
            word = _until(word, seconds)
        trimmed.append(word)
    if overlaps:
        told.append(f"{where}: {overlaps} words ended after the next had begun and were cut there")
    if beyond:
        told.append(f"{where}: {beyond} words ended after the sound and were cut there")
    empty = sum(word.end == word.start for word in trimmed)
    if empty:
        told.append(f"{where}: {empty} of {len(trimmed)} words have no length")
    try:
        return Words(tuple(trimmed), seconds, source, tuple(told))
    except UserError as e:
        raise UserError(f"{where}: {e}") from None


def _until(word: Word, end: float) -> Word:
    phones = tuple(
        Phone(p.name, min(p.start, end), min(p.end, end), p.stress) for p in word.phones
    )
    return Word(word.text, min(word.start, end), end, phones, word.confidence)
