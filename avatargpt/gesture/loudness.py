"""How loud each word of a sound is said against the others."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from avatargpt.gesture.words import TimedWord
from avatargpt.signals import audio as sounds

PARTS = 100  # a second


def loudness(
    audio: str | os.PathLike[str] | np.ndarray, rate: int, words: Sequence[TimedWord]
) -> tuple[float, ...]:
    """Standard deviations of each word's loudest hundredth of a second above the usual one, in decibels.

    Args:
        audio: a file, read block by block, or samples (n,) or (n, channels) at `rate`.
    """
    sound = sounds.opened(audio, rate)
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
