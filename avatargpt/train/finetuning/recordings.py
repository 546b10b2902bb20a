"""Recordings of one speaker: a sound and what was captured with it, under one name, the end of each held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.speech.audio import FPS, load
from vqvae.errors import UserError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
HELD_OUT = 0.15  # of each recording, at its end
LEAST = 10.0  # seconds of all recordings together
SHORTEST = 1.5  # seconds of one


@dataclass(frozen=True, eq=False)
class Recording:
    """One sound with its motion.

    Attributes:
        name: of the files. files: sound, motion and what was found beside them.
        audio: (n,) float32 at `rate`. motion: at 30 fps, as long as the sound to the shorter of both.
    """

    name: str
    files: tuple[Path, ...]
    audio: np.ndarray
    rate: int
    motion: Any

    @property
    def held_from(self) -> int:
        """The first frame that is held out."""
        return round(len(self.motion) * (1 - HELD_OUT))


def read_recordings(
    folder: Path, modalities: tuple[str, ...], suffixes: tuple[str, ...], beside: tuple[str, ...] = (),
    notify: Callable[[int, int], None] | None = None,
) -> list[Recording]:  # fmt: skip
    """Every sound of a folder and below it, with the motion that has its name.

    Args:
        modalities: of the motions. suffixes: theirs. beside: of further files that belong to it.

    Raises:
        UserError: no sound, one without its motion, something else than such a motion, or too little in all.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted a folder of sounds with their motions")
    sounds = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not sounds:
        raise UserError(f"{folder}: no sound in it; accepted {', '.join(SUFFIXES)}")
    out = []
    for number, sound in enumerate(sounds):
        path = next((p for s in suffixes if (p := sound.with_suffix(s)).is_file()), None)
        if path is None:
            raise UserError(f"{sound}: no motion beside it; accepted {sound.stem} with {', '.join(suffixes)}")
        more = tuple(p for s in beside if (p := sound.with_suffix(s)).is_file())
        out.append(_recording(sound, path, modalities, more))
        if notify is not None:
            notify(number + 1, len(sounds))
    seconds = sum(len(r.motion) for r in out) / FPS
    if seconds < LEAST:
        raise UserError(f"{folder}: {seconds:.1f} s of recordings; accepted at least {LEAST:g}")
    return out


def _recording(sound: Path, path: Path, modalities: tuple[str, ...], beside: tuple[Path, ...]) -> Recording:
    from avatargpt import export

    audio, rate = load(sound)
    motion: Any = export.load(path)
    if motion.modality not in modalities:
        raise UserError(f"{path}: motion of a {motion.modality}; accepted a {modalities[0]}")
    motion = motion.resampled(float(FPS))
    frames = min(len(motion), len(audio) * FPS // rate)
    if frames < SHORTEST * FPS:
        raise UserError(f"{path}: {frames / FPS:.1f} s with sound; accepted at least {SHORTEST:g}")
    return Recording(path.stem, (sound, path, *beside), audio, rate, motion.slice(0, frames))
