"""Readers for BEAT (Liu et al. 2022) and BEAT2 (Liu et al. 2024): talking people with their fingers.

BEAT has BVH files at 120 frames a second, BEAT2 SMPL-X at 30. Names are ``SPEAKER_NAME_KIND_FIRST_LAST``; KIND is 0 and
2 for speech, 1 and 3 for conversation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.report import Report
from instruct_data.sources.talk import BvhGesture, Corpus, found, opened, ready, take
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.files import parsing, read_text
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion

BEAT = Corpus(
    "beat", "BEAT terms (non-commercial research)",
    "beat_english_v0.2.1/SPEAKER/NAME.bvh with NAME.wav and NAME.TextGrid",
)  # fmt: skip
BEAT2 = Corpus(
    "beat2", "BEAT2 terms (non-commercial research)",
    "beat_english_v2.0.0/ with smplxflame_30/NAME.npz, wave16k/NAME.wav, textgrid/NAME.TextGrid, train_test_split.csv",
)  # fmt: skip
TAKE = Corpus(BEAT2.source, BEAT2.licence, "body22.npz with NAME.npz and NAME.flac, one take of BEAT2")
_KINDS = {"0": "speech", "1": "conversation", "2": "speech", "3": "conversation"}
_MOST = 1 << 24


def _about(name: str) -> dict[str, str]:
    parts = name.split("_")
    return {"speaker": "_".join(parts[:2]), "kind": _KINDS.get(parts[2], "") if len(parts) > 2 else ""}


def read_beat(
    folder: str | os.PathLike[str], split: str = "train", report: Report | None = None
) -> Iterator[Clip]:
    """BEAT's takes, see `BEAT.tree`; the corpus names no split that its files show.

    Raises:
        UserError: no such tree, a take without sound or words, a BVH that cannot be read, where there is no report.
    """
    folder = opened(folder, BEAT, split)
    for path in found(folder, "**/*.bvh", BEAT):
        beside = {"audio": path.with_suffix(".wav"), "transcript": path.with_suffix(".TextGrid")}
        yield from take(path.stem, BvhGesture(path), BEAT, split, beside, _about(path.stem), report)


def read_beat2(folder: str | os.PathLike[str], report: Report | None = None) -> Iterator[Clip]:
    """BEAT2's takes, see `BEAT2.tree`. `split` is that of the corpus; its "additional" takes count as training.

    Raises:
        UserError: no such tree, a table that is none, a take without sound or words, a motion that cannot be read.
    """
    folder = opened(folder, BEAT2)
    table = folder / "train_test_split.csv"
    splits = {}
    for n, line in enumerate(read_text(table, _MOST, f"accepted {BEAT2.tree}").splitlines()[1:], 2):
        cells = [c.strip() for c in line.split(",")]
        if len(cells) < 2 or cells[1] not in (*SPLITS, "additional"):
            raise UserError(f"{table}: line {n}: {line[:60]!r}; accepted id,type with {', '.join(SPLITS)}, additional")
        splits[cells[0]] = "train" if cells[1] == "additional" else cells[1]
    for path in found(folder, "smplxflame_30/*.npz", BEAT2):
        name = path.stem
        if name not in splits:
            raise UserError(f"{table}: no {name}; accepted a line for each file of smplxflame_30")
        beside = {"audio": folder / "wave16k" / f"{name}.wav", "transcript": folder / "textgrid" / f"{name}.TextGrid"}
        yield from take(name, SmplxGesture(path), BEAT2, splits[name], beside, _about(name), report)


@dataclass(frozen=True)
class SmplxGesture:
    """Loads an SMPL-X file that is Y up, as BEAT2's are, as a gesture with its fingers."""

    path: Path

    def __call__(self) -> Motion:
        return ready(read_smplx(self.path, "y", hands=True))


def read_validation_take(folder: str | os.PathLike[str], report: Report | None = None) -> Iterator[Clip]:
    """One take of BEAT2 whose motion is kept as `read_quantised_take` reads it; its terms let it validate, not train.

    Raises:
        UserError: no such tree, other contents, no sound.
    """
    folder = opened(folder, TAKE)
    for path in found(folder, "*_*.npz", TAKE):
        load, beside = _Quantised(folder / "body22.npz"), {"audio": path.with_suffix(".flac")}
        yield from take(path.stem, load, TAKE, "val", beside, _about(path.stem), report, [load.path])


@dataclass(frozen=True)
class _Quantised:
    path: Path

    def __call__(self) -> Motion:
        return ready(read_quantised_take(self.path))


def read_quantised_take(path: str | os.PathLike[str]) -> Motion:
    """A take as ``body22.npz``: root (T, 3) metres, rot (T, 22, 4) and fingers (T, 30, 4) int16 = 32767 q, fps.

    Raises:
        UserError: other contents.
    """
    path = Path(path)
    data = read_arrays(path, ("root", "rot", "fingers", "fps"))
    with parsing(path, "a take with root, rot, fingers and fps"):
        rotations, fingers = (data[k].astype(np.float32) / 32767 for k in ("rot", "fingers"))
        return Motion(rotations, data["root"], float(data["fps"]), "gesture", fingers=fingers)
