"""When the words of a recording are spoken, from the sound and what is said in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from avatargpt.face.words import sphinx
from avatargpt.face.words.network import Heard, Laid, Progress, hear, lay_words
from avatargpt.face.words.phone_times import STEPS
from avatargpt.speech import audio as sound
from avatargpt.speech.phones import SILENCE, Phone
from avatargpt.speech.pronouncing.spoken import Spoken, spoken
from avatargpt.speech.words.words import Word, Words
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver

Aligner = Literal["auto", "pocketsphinx", "network"]
ALIGNERS: tuple[Aligner, ...] = ("auto", "pocketsphinx", "network")
REFUSED, POOR = 0.35, 0.55
"""Fit (`avatargpt.face.words.network.Laid`) below which a transcript is refused, and below which it is told to fit
poorly. Of 40 recordings with their own transcripts the lowest is 0.46, of 160 pairings with another's the highest 0.31
(eval/results/word_times.json).
"""
STRANGE, RUN = -0.1, 10  # median fit of so many words in a row below which they may not be what is said there
MOST_NAMED = 5
FOREIGN = 0.3  # share of words in no dictionary from which a transcript may be in another language
UNSAID, HUSHED = 2.0, 0.3  # s between words, and mean probability of silence below which somebody is speaking there


def align(
    audio: str | os.PathLike[str] | np.ndarray, transcript: str = "", rate: int = sound.RATE, aligner: Aligner = "auto",
    driver: Driver | None = None, progress: Progress | None = None, near: Words | None = None, slack: float = 1.0,
    least: float = REFUSED,
) -> Words:  # fmt: skip
    """Times of the words of a transcript, with their phones and stresses.

    The driver's phone head lays the text along the sound and tells whether they belong together; pocketsphinx (extra
    ``align``) then finds the times between its pauses, to 10 ms. Passages that it refuses keep those of the phone head.

    Args:
        audio: a sound file, or samples (n,) or (n, channels) at `rate`.
        transcript: what is said, in English; what stands in [] or <> is not said. Empty: the text of `near`.
        aligner: ``auto`` is pocketsphinx where it is installed, else the phone head (``network``).
        driver: None = the packaged one.
        near: the same words with times that are about right, within `slack` seconds: of subtitles, of a recogniser.
        least: fit below which the transcript is refused.

    Returns:
        A `Words` whose source says who gave the times, and whose notes say what is doubtful. A word that the phone head
        cannot find has no length.

    Raises:
        UserError: no sound, no words, words that are not English, pocketsphinx asked for and not installed, or a
            transcript that does not fit the sound.
    """
    if aligner not in ALIGNERS:
        raise UserError(f"aligner {aligner!r}; accepted: {', '.join(ALIGNERS)}")
    if aligner == "pocketsphinx" and not sphinx.installed():
        raise UserError(f"pocketsphinx is not installed; install it with {sphinx.INSTALL}, or take the aligner network")
    said = spoken(transcript if near is None else " ".join("".join(word.text.split()) or "-" for word in near.words))
    samples, where = samples_of(audio, rate)
    if driver is None:
        from avatargpt.face.audio_model.driver import Driver

        driver = Driver.load(_packaged())
    about = None
    if near is not None:
        about = np.array([(near.words[one.token].start, near.words[one.token].end) for one in said])
    heard = hear(driver, samples)
    try:
        laid = lay_words(heard, said, about, slack)
    except UserError as e:
        raise UserError(f"{where}: transcript does not fit the sound: {e}") from None
    if laid.fit < least:
        raise UserError(
            f"{where}: transcript does not fit the sound: fit {max(laid.fit, 0.0):.2f}; accepted: {least:g} or more, "
            "the words of this recording, in English"
        )
    return _timed(where, samples, said, laid, heard, aligner, progress)


def _packaged() -> Path:
    from avatargpt import resources

    return resources.weights() / "driver"


def samples_of(audio: str | os.PathLike[str] | np.ndarray, rate: int) -> tuple[np.ndarray, str]:
    """Mono samples (n,) at 16 kHz, and how messages name them. Raises UserError as `avatargpt.speech.audio.load`."""
    if not isinstance(audio, np.ndarray):
        samples, rate = sound.load(audio)
        return sound.resample(samples, rate), os.fspath(audio)
    sound.check_rate(rate, 1, "sound")
    samples = sound.to_mono(audio)
    if not samples.size or not np.isfinite(samples).all():
        raise UserError("sound that is empty or has samples that are not numbers; accepted: finite samples, at least 1")
    return sound.resample(samples, rate), "the sound"


def _timed(
    where: str, samples: np.ndarray, said: Sequence[Spoken], laid: Laid, heard: Heard, aligner: Aligner,
    progress: Progress | None,
) -> Words:  # fmt: skip
    seconds = len(samples) / sound.RATE
    words, source, refused = laid.words, "network", list[sphinx.Passage]()
    if aligner != "network" and sphinx.installed():
        words, refused = sphinx.refine(samples, said, laid, progress)
        count = sum(p.stop - p.first for p in refused)
        source = "pocketsphinx" if count < len(words) else source
        if 0 < count < len(words):
            source += f", network for {count} of {len(words)} words"
    kept = [_within(replace(word, confidence=one.confidence), seconds)
            for word, one in zip(words, laid.words, strict=True)]  # fmt: skip
    return Words(tuple(kept), seconds, source, tuple(_notes(where, said, laid, heard, refused)))


def _within(word: Word, seconds: float) -> Word:
    def cut(t: float) -> float:
        return min(max(t, 0.0), seconds)

    phones = tuple(Phone(p.name, cut(p.start), cut(p.end), p.stress) for p in word.phones)
    return replace(word, start=cut(word.start), end=cut(word.end), phones=phones)


def _notes(
    where: str, said: Sequence[Spoken], laid: Laid, heard: Heard, refused: Sequence[sphinx.Passage]
) -> list[str]:
    notes = []
    if laid.fit < POOR:
        notes.append(f"{where}: transcript fits the sound poorly: fit {laid.fit:.2f}, clear speech has 0.6 to 1")
    for a, b in _strange(laid.fits):
        words = " ".join(word.text for word in laid.words[a:b])
        some = words if len(words) < 60 else f"{words[:57]}..."
        notes.append(f"{where}: from {laid.words[a].start:.1f} to {laid.words[b - 1].end:.1f} s other words may be "
                     f"spoken than these: {some}")  # fmt: skip
    lost = [word.text for word in laid.words if not word.phones]
    if lost:
        notes.append(f"{where}: not heard at all, and without length: {_some(lost)}")
    for start, end in _unsaid(laid, heard):
        notes.append(f"{where}: somebody speaks from {start:.1f} to {end:.1f} s, where the transcript has no words")
    if refused:
        spans = [f"{p.start:.1f} to {p.end:.1f} s" for p in refused]
        notes.append(f"{where}: pocketsphinx finds no way through {_some(spans)}; the network gave the times there")
    guessed = list(dict.fromkeys(one.text for one in said if not one.known))
    if guessed:
        foreign = "; is it English?" if sum(not one.known for one in said) > FOREIGN * len(said) else ""
        notes.append(f"{where}: in no dictionary, and read by their letters: {_some(guessed)}{foreign}")
    return notes


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(texts[:MOST_NAMED]) + more


def _strange(fits: Sequence[float]) -> list[tuple[int, int]]:
    """Runs of at least `RUN` words whose median fit is below `STRANGE`, joined where they overlap."""
    found: list[tuple[int, int]] = []
    for a in range(len(fits) - RUN + 1):
        if float(np.median(fits[a : a + RUN])) < STRANGE:
            if found and a <= found[-1][1]:
                found[-1] = (found[-1][0], a + RUN)
            else:
                found.append((a, a + RUN))
    return found


def _unsaid(laid: Laid, heard: Heard) -> list[tuple[float, float]]:
    """Seconds without words in which somebody speaks."""
    ends = [0.0, *(word.end for word in laid.words)]
    starts = [*(word.start for word in laid.words), len(heard.scores) / STEPS]
    found = []
    for a, b in zip(ends, starts, strict=True):
        part = heard.scores[round(a * STEPS) : round(b * STEPS), SILENCE]
        if b - a >= UNSAID and len(part) and float(np.exp(part).mean()) < HUSHED:
            found.append((a, b))
    return found
