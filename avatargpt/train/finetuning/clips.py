"""The user's clips: motion files with captions in one table, or in a text file beside each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.table import readable
from avatargpt.train.finetuning.options import OWN
from instruct_data.clip import Clip
from instruct_data.sources.loading import read_captions
from instruct_data.sources.packs import TABLE_SUFFIXES, Captions
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import grounded

CAPTIONS = "captions"  # name of the table, with one of the suffixes that `instruct_data.sources.packs` reads
LEAST = 4  # clips; fewer leave nothing to hold out
HELD_OUT = 0.15  # share of each group of clips
SHORTEST = 0.6  # seconds: three tokens


def motion_files(folder: Path) -> list[Path]:
    """Files that the converter may read, the table of captions left out.

    Raises:
        UserError: no such folder, or nothing of the kind in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted a folder of motion files with captions")
    suffixes = [s for s in readable() if s != ".csv"]  # of faces alone
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if not files:
        raise UserError(f"{folder}: no motion file in it; accepted {', '.join(suffixes)}")
    return files


def table_of(folder: Path) -> Path | None:
    """The table of captions of a folder, None where it has none."""
    return next((p for s in TABLE_SUFFIXES if (p := folder / f"{CAPTIONS}{s}").is_file()), None)


def digest_of(files: Sequence[Path]) -> str:
    """SHA-256 over names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{file.stat().st_size};".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_clips(folder: Path, licence: str, notify: Callable[[int, int], None] | None = None) -> list[Clip]:
    """All clips, at 20 fps on the floor, first frame at the origin facing +Z, `action` the group of each and some of
    every larger group held out (split ``val``).

    Args:
        folder: searched with its sub-folders; ``captions.csv`` (columns animation, caption), ``.jsonl`` or ``.yaml``
            in it by the files' names, else ``NAME.txt`` beside NAME, one caption a line.
        licence: written into every clip. notify: called with (clips read, clips).

    Raises:
        UserError: a bad file, one without a caption, no body, too short, or too few clips.
    """
    files, table = motion_files(folder), table_of(folder)
    known = Captions() if table is None else Captions.load(table)
    files = [p for p in files if p != table]
    if len(files) < LEAST:
        raise UserError(f"{folder}: {len(files)} clips; accepted at least {LEAST}, some of which are held out")
    clips = []
    for number, path in enumerate(files):
        place = path.relative_to(folder).with_suffix("").as_posix()
        texts = known.find(place, path.stem).captions or read_captions(path.with_suffix(".txt"), place, None) or []
        if not texts:
            where = f"{table}: {place}" if table else str(path.with_suffix(".txt"))
            raise UserError(f"{path}: no caption; accepted one in {where}, in words that name what is done")
        said = list(dict.fromkeys(" ".join(t.split()).rstrip(".").lower() for t in texts))
        clips.append(Clip(place, _motion(path, said[0]), said, OWN, licence))
        if notify is not None:
            notify(number + 1, len(files))
    names = Counter(c.id for c in clips)
    if twice := [n for n, count in names.items() if count > 1]:
        raise UserError(f"{folder}: {twice[0]} lies there as several files; accepted one format of each clip")
    return parted(grouped(clips))


def _motion(path: Path, caption: str) -> Any:
    from avatargpt import export

    motion: Any = export.load(path)
    if motion.modality != "body":
        raise UserError(f"{path}: motion of a {motion.modality}; accepted bodies")
    motion = grounded(motion).resampled(modalities.get("body").fps).canonical().with_caption(caption)
    if motion.seconds < SHORTEST:
        raise UserError(f"{path}: {motion.seconds:.2f} s; accepted at least {SHORTEST:g} s")
    return motion


def grouped(clips: Sequence[Clip]) -> list[Clip]:
    """Clips that have a caption in common are of one action, named after the first caption of the first of them."""
    leader: dict[str, str] = {}

    def found(text: str) -> str:
        while leader.setdefault(text, text) != text:
            text = leader[text]
        return text

    for clip in clips:
        for text in clip.captions[1:]:
            one, other = found(clip.captions[0]), found(text)
            leader[other] = one
    return [replace(c, action=found(c.captions[0])) for c in clips]


def parted(clips: Sequence[Clip]) -> list[Clip]:
    """Holds out every seventh clip or so of each group, of two or more at least one, and at least one of all."""
    members: dict[str, list[int]] = {}
    for i, clip in enumerate(clips):
        members.setdefault(clip.action, []).append(i)
    held: set[int] = set()
    for rows in members.values():
        order = np.random.default_rng([len(rows), rows[0]]).permutation(rows)
        if len(rows) > 1:
            held |= {int(i) for i in order[: max(1, round(HELD_OUT * len(rows)))]}
    if not held:  # each is the only one of its kind: what is held out is at least read in the same way
        held = {len(clips) - 1}
    return [replace(c, split="val" if i in held else "train") for i, c in enumerate(clips)]
