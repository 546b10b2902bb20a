"""How strongly each stressed syllable is said: energy and pitch against the rest of what the voice says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatargpt.gesture.words import TimedWord
from avatargpt.speech import audio as sounds
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from avatargpt.speech.phones import VOWELS
from avatargpt.speech.words import Word
from instruct_data.gesture.strokes import FPS

ENERGY, VOICING, PITCH = BANDS, BANDS + 1, BANDS + 2  # columns of a quarter frame
PITCHED, LENGTH, CONTENT = 0.7, 0.5, 0.35  # weights beside energy
PARTS = 100  # a second
FUNCTION = 3  # letters up to which a word is taken for one that is said in passing


@dataclass(frozen=True)
class Accent:
    """A stressed vowel.

    Attributes:
        word: number of its word. start: seconds at which the vowel begins. strength: standard deviations above the
            usual one. loud: the same of the energy alone.
    """

    word: int
    start: float
    strength: float
    loud: float

    @property
    def frame(self) -> int:
        """The frame of motion next to its beginning."""
        return round(self.start * FPS)


def accents(words: Sequence[Word], prosody: np.ndarray) -> list[Accent]:
    """Accents of all vowels with primary stress, in order.

    Args:
        prosody: (T, 336) rows at 30 fps of `avatargpt.gesture.features`.
    """
    stressed = [(k, p) for k, w in enumerate(words) for p in w.phones if p.stress == 1 and p.name in VOWELS]
    if not stressed or not len(prosody):
        return []
    quarters = prosody[:, : QUARTERS * PER_QUARTER].reshape(-1, PER_QUARTER)
    rate, rows = FPS * QUARTERS, []
    for k, phone in stressed:
        a = min(int(phone.start * rate), len(quarters) - 1)
        own = quarters[a : max(int(phone.end * rate), a + 1)]
        voiced = own[own[:, VOICING] > 0.5]
        high = float((voiced[:, PITCH] / voiced[:, VOICING]).max()) if len(voiced) else np.nan
        rows.append((float(own[:, ENERGY].max()), high, np.log(max(phone.end - phone.start, 0.03)),
                     float(len(words[k].text) > FUNCTION)))  # fmt: skip
    table = np.array(rows)
    known = np.isfinite(table[:, 1])
    table[~known, 1] = table[known, 1].mean() if known.any() else 0.0
    energy, pitch, length = (_standard(table[:, i]) for i in range(3))
    strength = _standard(energy + PITCHED * pitch + LENGTH * length + CONTENT * 2 * table[:, 3])
    return [Accent(k, p.start, float(s), float(e)) for (k, p), s, e in zip(stressed, strength, energy, strict=True)]


def _standard(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean()) / max(float(x.std()), 1e-3))


def loudness(
    audio: str | os.PathLike[str] | np.ndarray, rate: int, words: Sequence[TimedWord]
) -> tuple[float, ...]:
    """Standard deviations of each word's loudest hundredth of a second above the usual one, in decibels.

    Args:
        audio: a file, read block by block, or samples (n,) or (n, channels) at `rate`.
    """
    sound = sounds.open_sound(audio, rate)
    size = max(1, sound.about.rate // PARTS)
    rest, power = np.zeros(0, np.float32), []
    for block in sound.parts:
        mono = np.concatenate([rest, sounds.to_mono(block) if block.ndim > 1 else block])
        whole = len(mono) // size * size
        power.append((mono[:whole].reshape(-1, size).astype(np.float64) ** 2).mean(1))
        rest = mono[whole:]
    level = 10 * np.log10(np.concatenate([*power, [1e-9]]) + 1e-9)
    per = sound.about.rate / size
    found = []
    for word in words:
        first = min(int(word.start * per), len(level) - 1)
        found.append(float(level[first : max(first + 1, int(word.end * per))].max()))
    spread = max(float(np.std(found)), 1.0) if found else 1.0
    return tuple((x - float(np.mean(found))) / spread for x in found)
