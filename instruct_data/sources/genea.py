"""Readers for conversations of two: GENEA 2023 (Kucherenko et al. 2023) and Talking With Hands 16.2M (Lee et al. 2019).

GENEA 2023 cut Talking With Hands into pieces of about a minute, the same rig at 30 frames a second. In a clip's
``extra``, ``interlocutor`` says where sound, words and motion of the other person lie.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instruct_data.clip import Clip
from instruct_data.sources.report import Report
from instruct_data.sources.talk import BvhGesture, Corpus, found, opened, take
from vqvae.errors import UserError

GENEA = Corpus(
    "genea2023", "CC BY-NC 4.0 (Talking With Hands 16.2M)",
    "trn/ and val/, each with main-agent/ and interloctr/, of which each has bvh/, wav/ and tsv/ of "
    "SPLIT_2023_v0_NUMBER_ROLE",
)  # fmt: skip
HANDS = Corpus(
    "talking_with_hands", "CC BY-NC 4.0",
    "mocap_data/SESSION/TAKE/*PERSON*.bvh and audio_data/SESSION/TAKE/*PERSON*.wav, PERSON as deep2 or shallow7",
)  # fmt: skip
_SPLITS = {"trn": "train", "val": "val", "tst": "test"}
_ROLES = ("main-agent", "interloctr")
_PERSON = re.compile(r"(deep|shallow)\d+")


def read_genea(folder: str | os.PathLike[str], report: Report | None = None) -> Iterator[Clip]:
    """The main agents of GENEA 2023 with whom they talk to; `split` is that of the folder.

    Raises:
        UserError: no such tree, a take without one of its files, a BVH that cannot be read, where there is no report.
    """
    folder = opened(folder, GENEA)
    parts = [name for name in _SPLITS if (folder / name / _ROLES[0] / "bvh").is_dir()]
    if not parts:
        raise UserError(f"{folder}: no {' or '.join(_SPLITS)} with {_ROLES[0]}/bvh in it; accepted {GENEA.tree}")
    for part in parts:
        for path in found(folder / part / _ROLES[0] / "bvh", "*.bvh", GENEA):
            own, other = (_files(folder / part / role, path.stem.replace(_ROLES[0], role)) for role in _ROLES)
            listener = {key: str(value) for key, value in other.items()}
            motion = folder / part / _ROLES[1] / "bvh" / f"{path.stem.replace(*_ROLES)}.bvh"
            if motion.is_file():
                listener["motion"] = str(motion)
            about, load = {"interlocutor": listener}, BvhGesture(path)
            yield from take(path.stem, load, GENEA, _SPLITS[part], own, about, report, other.values())


def _files(folder: Path, name: str) -> dict[str, Path]:
    return {"audio": folder / "wav" / f"{name}.wav", "transcript": folder / "tsv" / f"{name}.tsv"}


def read_talking_with_hands(
    folder: str | os.PathLike[str], split: str = "train", report: Report | None = None
) -> Iterator[Clip]:
    """Both persons of every take, unzipped; takes without released sound are left out where there is a report.

    Raises:
        UserError: no such tree, a file that names no person, a take without sound, a BVH that cannot be read, where
            there is no report.
    """
    folder = opened(folder, HANDS, split)
    for path in found(folder / "mocap_data", "*/*/**/*.bvh", HANDS):
        person, place = _person(path), path.relative_to(folder / "mocap_data").parts[:2]
        sounds = {_person(p): p for p in sorted((folder / "audio_data").joinpath(*place).rglob("*.wav"))}
        name = "_".join((*place, person))
        own = sounds.get(person, (folder / "audio_data").joinpath(*place, f"{name}.wav"))
        others = [(who, sound) for who, sound in sounds.items() if who != person]
        about: dict[str, Any] = {"speaker": person}
        if len(others) == 1:
            about |= {"interlocutor": {"speaker": others[0][0], "audio": str(others[0][1])}}
        yield from take(name, BvhGesture(path), HANDS, split, {"audio": own}, about, report)


def _person(path: Path) -> str:
    hit = _PERSON.search(path.stem)
    if hit is None:
        raise UserError(f"{path}: no deepN or shallowN in its name; accepted {HANDS.tree}")
    return hit[0]
