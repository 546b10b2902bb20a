"""Talks of the validation split as files, as the suite `gesture` reads them: sound, motion, words, who else spoke."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatargpt.speech.audio import RATE
from avatargpt.speech.words import files
from avatargpt.speech.words.words import collected
from avatargpt.train.gesture_corpus.talks import Talk, Track
from vqvae.features.gesture import GestureFeatures
from vqvae.motion import atomic_write

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
        words = collected(path.name, list(track.words), track.voice, seconds)
        files.write(words, path.with_name(f"{path.name}.json"))
