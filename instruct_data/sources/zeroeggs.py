"""Readers for ZeroEGGS (Ghorbani et al. 2022) and for folders of LLAvatarOS: monologues, a file for each of sound and
motion under one name.

ZeroEGGS' names are ``NUMBER_STYLE_TAKE_(mirror_)x_1_0``; its BVH files have 60 frames a second. LLAvatarOS' motions are
arrays of nine joints (`vqvae.io.pos7`) that do not say their rate: it follows from the length of the sound.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.sources.report import Report
from instruct_data.sources.talk import BvhGesture, Corpus, found, opened, ready, take
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.io.data_files import map_array
from vqvae.io.files import parsing
from vqvae.motion import Motion

ZEROEGGS = Corpus(
    "zeroeggs", "ZeroEGGS terms (CC BY-NC-ND 4.0)",
    "clean/ with NAME.bvh, NAME.wav and, where there are words, NAME.csv",
)  # fmt: skip
LLAVATAROS = Corpus("llavataros", "not stated", "NAME.npy, (frames, 9, 7), each with NAME.wav beside it")
RATES = (30.0, 60.0)
OFF = 0.03  # the share by which frames and sound may differ in length


def read_zeroeggs(
    folder: str | os.PathLike[str], split: str = "train", report: Report | None = None
) -> Iterator[Clip]:
    """ZeroEGGS' takes; ``extra`` has the style, and a transcript where the folder has one.

    Raises:
        UserError: no such tree, a take without sound, a BVH that cannot be read, where there is no report.
    """
    folder = opened(folder, ZEROEGGS, split)
    for path in found(folder, "**/*.bvh", ZEROEGGS):
        parts = path.stem.split("_")
        about = {"speaker": "zeroeggs", "style": parts[1] if len(parts) > 1 else "", "mirrored": "mirror" in parts}
        words = next((w for s in (".csv", ".TextGrid") if (w := path.with_suffix(s)).is_file()), None)
        beside = {"audio": path.with_suffix(".wav"), **({"transcript": words} if words else {})}
        yield from take(path.stem, BvhGesture(path), ZEROEGGS, split, beside, about, report)


def read_llavataros(
    folder: str | os.PathLike[str], split: str = "train", report: Report | None = None
) -> Iterator[Clip]:
    """Arrays of nine joints with their sound, and word times from ``NAME.TextGrid`` where they are.

    Raises:
        UserError: no such tree, an array without sound, of another shape, or of another length than its sound at 30 and
            at 60 frames a second, where there is no report.
    """
    folder = opened(folder, LLAVATAROS, split)
    for path in found(folder, "**/*.npy", LLAVATAROS):
        words = path.with_suffix(".TextGrid")
        sound = path.with_suffix(".wav")
        beside = {"audio": sound, **({"transcript": words} if words.is_file() else {})}
        yield from take(path.stem, _Nine(path, sound), LLAVATAROS, split, beside, {}, report)


@dataclass(frozen=True)
class _Nine:
    path: Path
    sound: Path

    def __call__(self) -> Motion:
        array = map_array(self.path)
        if array.shape[1:] != pos7.SHAPE or not len(array):
            raise UserError(f"{self.path}: shape {array.shape}; accepted (frames, 9, 7)")
        fps = rate_of(len(array), _seconds(self.sound), self.path)
        array = np.array(array, np.float64)
        if not np.isfinite(array).all():
            raise UserError(f"{self.path}: NaN or infinity; accepted finite numbers")
        with parsing(self.path, "an upper body of nine joints"):
            return ready(pos7.from_array(array, fps))


def rate_of(frames: int, seconds: float, path: Path) -> float:
    """Frames a second of a motion as long as its sound: one of `RATES`.

    Raises:
        UserError: neither makes it as long.
    """
    fps = min(RATES, key=lambda r: abs(np.log(max(frames, 1) / r / max(seconds, 1e-9))))
    if abs(frames / fps - seconds) > max(OFF * seconds, 0.5):
        raise UserError(f"{path}: {frames} frames beside {seconds:.1f} s of sound; accepted 30 or 60 frames a second")
    return fps


def _seconds(path: Path) -> float:
    import soundfile

    with parsing(path, "a sound"):
        return float(soundfile.info(str(path)).duration)
