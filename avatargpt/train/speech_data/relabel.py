"""Real speech becomes training data: its text is aligned with a driver's phone head, its curves come from the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import STYLE
from avatargpt.face.words.phone_times import aligned
from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.augment import recorded, replayed
from avatargpt.train.speech_data.coding import any_coded
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.pairs import Spoken
from avatargpt.train.speech_data.synthetic import random_style, rule_clip

MISFIT = -1.9
"""Fit of `aligned` below which a sentence is left out: of sentences laid along the text of another
of like length nine tenths score less, of right ones in eleven languages a third, in English hardly any."""
LONG = 4.5
"""Seconds of a clip up to which short sentences of one speaker are put one after the other."""


@dataclass(frozen=True)
class Timed:
    """Real speech with the times of its phones; samples at 16 kHz."""

    name: str
    audio: np.ndarray
    phones: list[Phone]
    split: str

    @property
    def speaker(self) -> str:
        return self.name.rsplit("/", 1)[0]


def timed(spoken: Iterable[Spoken], driver: Driver) -> Iterator[Timed]:
    """Sentences whose text fits their sound, laid along the driver's phone head."""
    for said in spoken:
        if len(said.phones) > len(said.audio) / RATE * 40:
            continue  # nobody speaks 40 sounds a second: text and sound do not belong together
        phones, fit = aligned(driver, said.audio, said.phones)
        if fit >= MISFIT:
            yield Timed(said.name, said.audio, phones, said.split)


def joined(sentences: Iterable[Timed], rng: np.random.Generator) -> Iterator[Timed]:
    """Short sentences of one speaker, as they come, put one after the other with pauses until they last `LONG`."""
    held: Timed | None = None
    for said in sentences:
        if held is not None and (held.speaker != said.speaker or held.split != said.split):
            yield held
            held = None
        if held is not None:
            pause = np.zeros(round(float(rng.uniform(0.1, 0.5)) * RATE), np.float32)
            at = (len(held.audio) + len(pause)) / RATE
            moved = [Phone(p.name, p.start + at, p.end + at) for p in said.phones]
            said = Timed(held.name, np.concatenate([held.audio, pause, said.audio]), held.phones + moved, said.split)
        held = said
        if len(held.audio) >= LONG * RATE:
            yield held
            held = None
    if held is not None:
        yield held


def labelled_clips(
    spoken: Iterable[Spoken], driver: Driver, copies: int, seed: int, through: float = 0.0
) -> Iterator[SpeechClip]:
    """Clips with taught curves: as they are, and for training `copies` more, played faster or slower and as recorded
    in other places, so that one speaker stands for several; a share `through` of these went through an encoder.
    """
    for i, said in enumerate(joined(timed(spoken, driver), np.random.default_rng([seed, 9]))):
        usual = np.zeros(len(STYLE))
        yield rule_clip(said.audio, said.phones, said.audio, usual, said.split, said.name)
        if said.split != "train":
            continue
        for k in range(copies):
            rng = np.random.default_rng([seed, 5, i, k])
            sound, factor = replayed(said.audio, rng)
            moved = [Phone(p.name, p.start / factor, p.end / factor) for p in said.phones]
            heard = recorded(sound, rng) if rng.random() < 0.75 else sound
            if through and rng.random() < through:
                heard = any_coded(heard, rng)
            yield rule_clip(heard, moved, sound, random_style(rng), "train", f"{said.name}/{k}")
