"""`Words`: the words of a recording with their times, phones and phrases."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import numpy as np

from avatargpt.options import is_text
from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import VOWELS, Phone
from vqvae.errors import UserError

PAUSE = 0.25  # s of silence between two words that end a phrase
MAX_FPS = 1000
SLACK = 0.1  # s by which times of a file may lie beyond the end of its sound: counting in frames leaves as much
MAX_QUOTE = 40  # characters of a word in a message
MAX_OVERLAP = 0.1  # s by which words of a file may overlap and are cut: recognisers leave as much


@dataclass(frozen=True)
class Word:
    """A spoken word."""

    text: str  # as it is written
    # start, end: seconds from the beginning of the sound
    start: float
    end: float
    phones: tuple[Phone, ...] = ()  # in order, without pauses; empty where they are not known
    confidence: float | None = None  # 0 to 1; None = not known

    def clamp(self, start: float, end: float) -> Self:
        """The word with its phones as far as they lie between two seconds."""
        def clamp(t: float) -> float:
            return min(max(t, start), end)

        phones = tuple(Phone(p.name, clamp(p.start), clamp(p.end), p.stress) for p in self.phones)
        return replace(self, start=clamp(self.start), end=clamp(self.end), phones=phones)


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

    Raises:
        UserError: no words; times that are not finite, negative, reversed, overlapping or beyond the end of the sound;
            a confidence that is no number; halves of characters.
    """

    words: tuple[Word, ...]  # at least one
    seconds: float | None = None  # how long the sound is; None = not known
    source: str = ""  # where the times come from, in words
    notes: tuple[str, ...] = ()  # what a reader had to change or guess, one line each

    def __post_init__(self) -> None:
        if not self.words:
            raise UserError("no words; accepted: at least one word with its times")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise UserError(f"{self.seconds:g} s of sound; accepted: 0 or more")
        previous: Word | None = None
        for number, word in enumerate(self.words, 1):
            where = f"word {number} ({word.text[:MAX_QUOTE]})"
            if not is_text(word.text):
                raise UserError(f"word {number}: half a character (a surrogate); accepted: what UTF-8 can hold")
            if word.confidence is not None and not math.isfinite(word.confidence):
                raise UserError(f"{where}: confidence {word.confidence:g}; accepted: 0 to 1, or none")
            if not (math.isfinite(word.start) and math.isfinite(word.end)) or word.start < 0:
                raise UserError(f"{where}: from {word.start:g} to {word.end:g} s; accepted: seconds from 0 on")
            if word.end < word.start:
                raise UserError(f"{where}: ends at {word.end:g} s, before it begins at {word.start:g} s")
            if previous is not None and word.start < previous.end:
                end = f"{previous.text[:MAX_QUOTE]} ends at {previous.end:g} s"
                raise UserError(f"{where}: begins at {word.start:g} s, before {end}")
            if self.seconds is not None and word.end > self.seconds:
                raise UserError(f"{where}: ends at {word.end:g} s; the sound ends at {self.seconds:g} s")
            previous = word

    def __len__(self) -> int:
        return len(self.words)

    @property
    def text(self) -> str:
        """All words, with spaces between."""
        return " ".join(word.text for word in self.words)

    def at(self, fps: float, frames: int) -> np.ndarray:
        """Number of the word that is spoken at each frame: (frames,) int64, -1 = none."""
        if not (math.isfinite(fps) and 0 < fps <= MAX_FPS) or frames < 0:
            raise UserError(f"{frames} frames at {fps:g} a second; accepted: 0 or more, above 0 to {MAX_FPS} a second")
        # Frame n is at n / fps seconds, in whole 16 kHz samples, so that hours do not drift; 29.97 is 30000 / 1001.
        rate = Fraction(fps).limit_denominator(1001)
        samples = np.arange(frames, dtype=np.int64) * RATE * rate.denominator // rate.numerator
        starts = np.array([round(word.start * RATE) for word in self.words])
        ends = np.array([round(word.end * RATE) for word in self.words])
        # The last word that has begun; it counts while it lasts.
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
        """Plain JSON, as `avatargpt.speech.word_files` reads it."""
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


def check_words(
    where: str, words: list[Word], source: str, seconds: float | None = None, notes: tuple[str, ...] = ()
) -> Words:
    """Words of a file; those that overlap or pass the end of the sound by 0.1 s at most are cut, which is noted."""
    if not words:
        raise UserError(f"{where}: no words in it; accepted: at least one word with its times")
    cut: list[Word] = []
    lines = list(notes)
    overlaps = beyond = 0
    for word in words:
        previous = cut[-1] if cut else None
        if previous is not None and previous.start <= word.start < previous.end <= word.start + MAX_OVERLAP:
            overlaps += previous.end - word.start > 1e-3
            cut[-1] = previous.clamp(-math.inf, word.start)
        if seconds is not None and seconds < word.end <= seconds + SLACK and word.start < seconds:
            beyond += word.end - seconds > 1e-3
            word = word.clamp(-math.inf, seconds)
        cut.append(word)
    if overlaps:
        lines.append(f"{where}: {overlaps} words ended after the next had begun and were cut there")
    if beyond:
        lines.append(f"{where}: {beyond} words ended after the sound and were cut there")
    empty = sum(word.end == word.start for word in cut)
    if empty:
        lines.append(f"{where}: {empty} of {len(cut)} words have no length")
    try:
        return Words(tuple(cut), seconds, source, tuple(lines))
    except UserError as e:
        raise UserError(f"{where}: {e}") from None
