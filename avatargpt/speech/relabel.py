"""Real speech becomes training data: its text is aligned with a driver's phone head, its curves come from the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from avatargpt.speech.align import phone_scores, viterbi
from avatargpt.speech.audio import RATE, resample
from avatargpt.speech.augment import recorded
from avatargpt.speech.corpus import SpeechClip
from avatargpt.speech.driver import Driver
from avatargpt.speech.pairs import Spoken
from avatargpt.speech.phones import Phone
from avatargpt.speech.synthetic import random_style, taught_clip
from avatargpt.speech.teacher import STYLE

MISFIT = -2.3
"""Fit of `viterbi` below which a sentence is left out: wrong texts score below -2.4, right ones mostly above."""


def labelled_clips(spoken: Iterable[Spoken], driver: Driver, copies: int, seed: int) -> Iterator[SpeechClip]:
    """Clips with taught curves: as they are, and for training `copies` more, played faster or slower and as recorded
    in other places, so that one speaker stands for several.
    """
    for i, said in enumerate(spoken):
        phones, fit = viterbi(phone_scores(driver, said.audio), said.phones)
        if fit < MISFIT:
            continue
        usual = np.zeros(len(STYLE))
        yield taught_clip(said.audio, phones, said.audio, usual, said.split, said.name)
        if said.split != "train":
            continue
        for k in range(copies):
            rng = np.random.default_rng([seed, 5, i, k])
            rate = round(RATE * float(rng.uniform(0.84, 1.22)) / 10) * 10
            factor = rate / RATE
            sound = resample(said.audio, rate)
            moved = [Phone(p.name, p.start / factor, p.end / factor) for p in phones]
            heard = recorded(sound, rng) if rng.random() < 0.75 else sound
            yield taught_clip(heard, moved, sound, random_style(rng), "train", f"{said.name}/{k}")
