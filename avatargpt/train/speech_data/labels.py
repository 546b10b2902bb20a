"""Phone times of recorded speech for training and measuring lips, and how far the sound bears them out.

English is aligned by pocketsphinx (extra ``align``), whose times are within 10 to 30 ms; other languages, for which it
has no model, are left out. A labial that the sound does not show makes a sentence doubtful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.speech.alignment import INSTALL, Passage, has_pocketsphinx, sphinx_decoder, sphinx_words
from avatargpt.speech.audio import RATE
from avatargpt.speech.phone_times import with_closures
from avatargpt.speech.phones import CLOSED, LABIODENTAL, VOWELS, Phone
from avatargpt.speech.pronouncing import transcript_words
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.train.speech_data.recordings import Sentence

LABIAL = CLOSED | LABIODENTAL
MAX_PHONE_RATE = 40  # phones a second; more are never spoken: sound and text do not belong together
# Lips or teeth weaken these frequencies, Hz; below them voice and nasals are strong behind closed lips.
BAND = (400.0, 3500.0)
STEPS = 200  # levels a second
WINDOW, TRANSFORM = 400, 512  # samples
NEAR = 0.06  # s from a labial to a vowel that it is compared with
# dB by which a labial is weaker than the vowel next to it. Of 159 labials of 75 lines of a game that pocketsphinx
# aligned 0.99 are, of the same 0.1 s earlier or later 0.75.
MIN_DIP = 6.0


def band_level(audio: np.ndarray) -> np.ndarray:
    """(n,) at 16 kHz -> (T,) level of `BAND` in dB, `STEPS` a second, each of the 25 ms around its time."""
    hop = RATE // STEPS
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, WINDOW // 2), WINDOW)[::hop]
    hz = np.fft.rfftfreq(TRANSFORM, 1 / RATE)
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), TRANSFORM)[:, (hz > BAND[0]) & (hz < BAND[1])]) ** 2
    return np.asarray(10 * np.log10(power.sum(1) + 1e-9))


def dips(audio: np.ndarray, phones: Sequence[Phone]) -> list[tuple[Phone, float]]:
    """The labials beside a vowel, each with the dB by which its weakest moment lies below that vowel's strongest."""
    level = band_level(audio)
    out = []
    for k, p in enumerate(phones):
        if p.name not in LABIAL:
            continue
        vowels = [v for v in phones[max(0, k - 2) : k + 3]
                  if v.name in VOWELS and v.start - p.end < NEAR and p.start - v.end < NEAR]  # fmt: skip
        here = _within(level, p)
        if vowels and len(here):
            loudest = max(_within(level, v).max(initial=-np.inf) for v in vowels)
            out.append((p, float(loudest - here.min())))
    return out


def _within(level: np.ndarray, p: Phone) -> np.ndarray:
    return level[max(round(p.start * STEPS), 0) : round(p.end * STEPS) + 1]


def _with_pauses(phones: Sequence[Phone]) -> list[Phone]:
    """What lies before and between phones as SIL."""
    out: list[Phone] = []
    now = 0.0
    for p in phones:
        if p.start > now + 1e-6:
            out.append(Phone("SIL", now, p.start))
        out.append(p)
        now = p.end
    return out


@dataclass
class Labeller:
    """Phone times of English sentences, by pocketsphinx."""

    left_out: dict[str, int] = field(default_factory=dict)  # reason -> sentences
    _decoder: Any = None

    def __post_init__(self) -> None:
        if not has_pocketsphinx():
            raise UserError(f"recorded speech is aligned by pocketsphinx; install it with {INSTALL}")
        self._decoder = sphinx_decoder()

    def __call__(self, sentence: Sentence) -> list[Phone] | None:
        """Phones with times; None where they are doubtful, which `left_out` counts."""
        phones, reason = self._judge_sentence(sentence)
        if reason:
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
        return phones

    def _judge_sentence(self, sentence: Sentence) -> tuple[list[Phone] | None, str]:
        """Phones, or None and why they are doubtful."""
        if len(sentence.phones) > len(sentence.audio) / RATE * MAX_PHONE_RATE:
            return None, "too many phones for its time"
        if not sentence.text:
            return None, "another language than English"
        if (phones := self.by_sphinx(sentence.audio, sentence.text)) is None:
            return None, "text and sound do not fit"
        if any(dip < MIN_DIP for _, dip in dips(sentence.audio, phones)):
            return None, "a labial that the sound does not show"
        return phones, ""

    def by_sphinx(self, audio: np.ndarray, text: str) -> list[Phone] | None:
        """Phones of an English text in a sound (n,) at 16 kHz; None where pocketsphinx finds no way through it."""
        try:
            words = transcript_words(text)
        except UserError:  # no words, or letters of another language
            return None
        timed = sphinx_words(self._decoder, audio, words, Passage(0, len(words), 0.0, len(audio) / RATE))
        return None if timed is None else with_closures(_with_pauses([p for word in timed for p in word.phones]))
