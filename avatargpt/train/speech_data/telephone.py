"""Voices on the telephone: single digits of several people, and the announcements of a switchboard with their texts.

- Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0): 3,000 digits of six people
  at 8 kHz, ``DIGIT_SPEAKER_NUMBER.wav``. Two of the six are for validation.
- Asterisk's announcements in English (Allison Smith, CC BY-SA 3.0; Debian: ``apt download asterisk-core-sounds-en
  asterisk-core-sounds-en-wav``, then ``dpkg -x`` of both into one folder): 560 at 8 kHz, and ``NAME: text`` in
  ``core-sounds-en.txt.gz``.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import RATE, load, resample
from avatargpt.train.speech_data.recordings import Sentence
from vqvae.io.files import parsing

DIGIT, TEXTS = "[0-9]_*_[0-9]*.wav", "core-sounds-en.txt.gz"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = ("george", "theo")  # speakers
VALIDATION = 20  # one announcement in so many
QUIET = 0.15  # s of silence before and after: the sounds are cut


def spoken_digits(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Sentence]:
    """The digits, speaker by speaker in mixed order, so that neighbours differ where they are joined."""
    waves = [(p.stem.split("_"), p) for p in folder.rglob(DIGIT)]
    for (digit, speaker, number), wave in sorted(waves, key=lambda x: (x[0][1], zlib.crc32(x[1].stem.encode()))):
        text = DIGITS[int(digit)]
        split = "val" if speaker in HELD_OUT else "train"
        yield Sentence(f"digits/{speaker}/{digit}_{number}", _pad(wave), pronounce(text), split, text)


def announcements(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Sentence]:
    """The announcements that are words: others are described in brackets."""
    table = next(folder.rglob(TEXTS))
    with parsing(table, "a table of announcements"):
        lines = gzip.decompress(table.read_bytes()).decode("utf-8").splitlines()
    waves = {p.stem: p for p in folder.rglob("*.wav")}
    for line in lines:
        name, _, text = line.partition(": ")
        wave = waves.get(name.rpartition("/")[2])
        if wave is None or line.startswith(";") or re.search(r"[\[\](<]", text) or not (phones := pronounce(text)):
            continue
        split = "train" if zlib.crc32(name.encode()) % VALIDATION else "val"
        yield Sentence(f"announcements/allison/{name}", _pad(wave), phones, split, text.strip())


def _pad(wave: Path) -> np.ndarray:
    return np.pad(resample(*load(wave)), round(QUIET * RATE))
