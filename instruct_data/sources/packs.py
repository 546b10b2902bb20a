"""Readers for packs of named animations (.glb, .gltf, .bvh) and folders of BVH, with captions by name in one file."""

# Captions are in a `.csv` with the columns `animation` and `caption` (one a row), in `.jsonl` rows
# `{"animation": NAME, "captions": [...]}`, or in a `.yaml` with `clips` (name -> captions), `left_out` (name ->
# why), `kinds` (class -> names; otherwise every animation is a class) and `loops` (names of clips that may be
# repeated). A name is that of the file without its suffix, with or without its folders, and in a file of several
# animations `FILE/ANIMATION` or `ANIMATION`; case, spaces, hyphens and underscores do not matter.

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

from instruct_data.clip import Clip
from instruct_data.joining import join_motions
from instruct_data.sources.corpus import (
    MAX_TEXT_BYTES,
    BvhFile,
    Corpus,
    Report,
    find_files,
    loaded,
    normalised,
    read_captions,
    reason,
)
from instruct_data.sources.smartbody import read_smartbody
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import settled
from vqvae.io.bvh import read_bvh
from vqvae.io.data_files import json_rows, read_yaml
from vqvae.io.files import parsing, read_text
from vqvae.io.gltf_rigs import read_rigs
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig

# Suffixes of motion files and of tables of captions.
SUFFIXES = (".glb", ".gltf", ".bvh")
TABLE_SUFFIXES = (".csv", ".jsonl", ".yaml")
CAPTION_FOLDER = Path(__file__).parents[1] / "text"  # captions of this project for published packs
SMARTBODY_ACTION_SETS = ("MaleMocapLocomotion", "punching", "kicking", "jumping")
MIN_LOOP_SECONDS = 2.0
_SEPARATORS = str.maketrans(" -", "__")
_SUFFIX = re.compile(r"\.(?:bvh|glb|gltf|vrma|npz|npy|amc)$")


@dataclass(frozen=True)
class Entry:
    """The entry of one animation in a table; empty where there is none."""

    captions: list[str] = field(default_factory=list)
    left_out: str = ""
    kind: str = ""
    loop: bool = False


@dataclass
class Captions:
    """A table of captions, by plain names."""

    clips: dict[str, list[str]] = field(default_factory=dict)  # name -> captions
    left_out: dict[str, str] = field(default_factory=dict)  # name -> why
    kinds: dict[str, str] = field(default_factory=dict)  # name -> class
    loops: frozenset[str] = frozenset()  # names
    _looked_up: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Captions:
        """Read a .csv, .jsonl or .yaml."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in TABLE_SUFFIXES:
            raise UserError(f"{path}: captions as {suffix or 'that'}; accepted {', '.join(TABLE_SUFFIXES)}")
        if suffix == ".yaml":
            with parsing(path, "captions of a pack", "accepted: clips, left_out, kinds, loops"):
                return cls._from_yaml(read_yaml(path))
        clips: dict[str, list[str]] = {}
        for line, name, texts in _csv_rows(path) if suffix == ".csv" else _jsonl_rows(path):
            if not name or not all(texts):
                raise UserError(f"{path}: line {line}: needs an animation and captions that are not empty")
            clips.setdefault(plain_name(name), []).extend(texts)
        return cls(clips)

    @classmethod
    def _from_yaml(cls, data: Any) -> Captions:
        if not isinstance(data, dict) or not set(data) <= {"clips", "left_out", "kinds", "loops"} or not data:
            raise UserError("needs clips, left_out, kinds or loops")
        clips: dict[str, list[str]] = {}
        for name, texts in (data.get("clips") or {}).items():
            if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
                raise UserError(f"clips: {name}: {texts!r:.60}; accepted a list of sentences")
            clips[plain_name(str(name))] = [" ".join(t.split()) for t in texts]
        left_out = {plain_name(str(name)): str(why) for name, why in (data.get("left_out") or {}).items()}
        if both := set(clips) & set(left_out):
            raise UserError(f"{min(both)} has captions and is left out; accepted one of both")
        kinds = {plain_name(str(n)): str(kind) for kind, names in (data.get("kinds") or {}).items() for n in names}
        return cls(clips, left_out, kinds, frozenset(plain_name(str(name)) for name in data.get("loops") or []))

    def find(self, *names: str) -> Entry:
        """The entry under the first of an animation's names that the table has."""
        plain = [plain_name(name) for name in names]
        self._looked_up.update(plain)
        return Entry(
            next((self.clips[n] for n in plain if n in self.clips), []),
            next((self.left_out[n] for n in plain if n in self.left_out), ""),
            next((self.kinds[n] for n in plain if n in self.kinds), ""), bool(self.loops & set(plain)),
        )  # fmt: skip

    def unused(self) -> set[str]:
        """Names with captions that were never looked up."""
        return set(self.clips) - self._looked_up


def plain_name(name: str) -> str:
    """A name as it is compared: in one spelling, without the suffix of a motion file."""
    parts = [part.strip().casefold() for part in name.split("/")]
    parts[-1] = _SUFFIX.sub("", parts[-1])
    return "/".join(part.translate(_SEPARATORS) for part in parts)


def _csv_rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    with parsing(path, "a table of captions", "accepted the columns animation and caption"):
        rows = csv.DictReader(StringIO(read_text(path, MAX_TEXT_BYTES)), strict=True)
        if not {"animation", "caption"} <= set(rows.fieldnames or ()):
            raise UserError(f"the columns {', '.join(rows.fieldnames or ())}; accepted animation, caption")
        for row in rows:
            yield rows.line_num, str(row["animation"] or "").strip(), [" ".join(str(row["caption"] or "").split())]


def _jsonl_rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    for line, row in json_rows(path):
        with parsing(f"{path}: line {line}", "a row with animation and captions"):
            texts = row["captions"]
            if not isinstance(texts, list) or not texts:
                raise UserError("captions that are no list of sentences")
            yield line, str(row["animation"]).strip(), [" ".join(str(t).split()) for t in texts]


@dataclass(frozen=True)
class _Load:
    read: Callable[[], Motion]
    caption: str
    loop: bool = False

    def __call__(self) -> Motion:
        motion = self.read()
        motion = repeated(motion, MIN_LOOP_SECONDS) if self.loop else motion
        return settled(motion.resampled(modalities.get("body").fps)).canonical().with_caption(self.caption)


def repeated(motion: Motion, seconds: float) -> Motion:
    """A loop, repeated from where it ended until it lasts so long."""
    if len(motion) < 3:
        return motion
    again, out = motion.slice(1, len(motion)), motion  # the last frame of a loop is its first
    while out.seconds < seconds:
        out = join_motions(out, again)
    return out


def read_pack(
    root: Path, corpus: Corpus, report: Report, captions: str | os.PathLike[str] | None = None, source: str = "pack",
    licence: str = "", split: str | None = "train",
) -> Iterator[Clip]:  # fmt: skip
    """Every animation of a folder's .glb, .gltf and .bvh files, or of one such file, as a body.

    Args:
        captions: see the module; by default ``captions.csv``, ``.jsonl`` or ``.yaml`` in the folder, if one is there.
        source, licence, split: written into every clip; without a split one clip in twenty is validation, by its name.
    """
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    path = captions or next((p for s in TABLE_SUFFIXES if (p := root / f"captions{s}").is_file()), None)
    table = Captions() if path is None else Captions.load(path)
    for names, read in _animations(files, root, report):
        entry = table.find(*names)
        if entry.left_out:
            report.skip(names[0], f"left out: {entry.left_out}")
            continue
        load = _Load(read, entry.captions[0] if entry.captions else "", entry.loop)
        action = f"{source}_{entry.kind or plain_name(names[-1])}".replace("/", "_")
        clip = Clip(
            names[0], load, entry.captions, source, licence or corpus.licence, split or _split_of(names[0]), action
        )
        yield from loaded(clip, report)
    if unused := table.unused():
        report.notes[f"captions of no animation in {root}, as {min(unused)}"] += len(unused)


def _split_of(name: str) -> str:
    """``val`` for one name in twenty, always the same ones."""
    return "train" if crc32(name.encode()) % 20 else "val"


def _animations(
    files: list[Path], root: Path, report: Report
) -> Iterator[tuple[tuple[str, ...], Callable[[], Motion]]]:
    """Names of every animation, the fullest first, with what reads it."""
    for path in files:
        place = path.relative_to(root).with_suffix("").as_posix() if path != root else path.stem
        file_names = (place,) if place == path.stem else (place, path.stem)
        if path.suffix.lower() == ".bvh":
            yield file_names, partial(read_bvh, path)
            continue
        try:
            rigs = read_rigs(path)
        except UserError as e:
            report.skip(place, reason(e))
            continue
        for number, rig in enumerate(rigs):
            name = rig.name or str(number)
            full_names = tuple(f"{file}/{name}" for file in file_names)
            names = (*full_names, *(file_names if len(rigs) == 1 else ()), name)
            yield names, lambda rig=rig: retarget(rig())  # type: ignore[misc]


def read_mesh2motion(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Every animation of every ``*.glb`` of a folder as a gesture; `action` is its name in lower case."""
    for path in find_files(root, "*.glb"):
        try:
            rigs = read_rigs(path)
        except UserError as e:
            report.skip(path.stem, reason(e))
            continue
        for rig in rigs:
            action = "_".join(rig.name.lower().split())

            def load(rig: Callable[[], Rig] = rig) -> Motion:
                return normalised(retarget(rig(), hands=True))

            clip = Clip(f"{path.stem}/{rig.name}", load, [], "mesh2motion", corpus.licence, split, action)
            yield from loaded(clip, report)


def read_cc0_actions(root: Path, corpus: Corpus, report: Report, split: str | None = "train") -> Iterator[Clip]:
    """The CC0 action clips of KayKit, Quaternius and Mesh2Motion with this project's captions."""
    table = CAPTION_FOLDER / "cc0_actions.yaml"
    return read_pack(root, corpus, report, table, "cc0_actions", split=split)


def read_smartbody_actions(root: Path, corpus: Corpus, report: Report, split: str | None = "train") -> Iterator[Clip]:
    """SmartBody's clips of walking, running, jumping, kicking and punching as bodies, with this project's captions."""
    table = Captions.load(CAPTION_FOLDER / "smartbody.yaml")
    for clip in read_smartbody(root, corpus, Report()):
        if clip.extra["set"] not in SMARTBODY_ACTION_SETS:
            continue
        entry = table.find(clip.id)
        if not entry.captions:
            report.skip(clip.id, f"left out: {entry.left_out or 'no captions'}")
            continue
        gesture = clip.load()
        body = Motion(gesture.rotations, gesture.root, gesture.fps)  # without fingers
        load = _Load(lambda body=body: body, entry.captions[0])  # type: ignore[misc]
        yield from loaded(
            Clip(
                clip.id, load, entry.captions, "smartbody", corpus.licence, split or _split_of(clip.id),
                f"smartbody_{entry.kind}",
            ), report,
        )  # fmt: skip


def read_bvh_folder(
    root: Path, corpus: Corpus, report: Report, captions: Path | None = None, source: str = "own",
    licence: str = "", split: str = "train",
) -> Iterator[Clip]:  # fmt: skip
    """Every BVH below a folder; a table's captions go before those in ``NAME.txt``. `captions`: .csv, .jsonl or .yaml
    by the clips' names (`Captions`). `source`, `licence`, `split`: written into every clip.
    """
    table = Captions() if captions is None else Captions.load(captions)
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() == ".bvh"):
        name = path.relative_to(root).with_suffix("").as_posix()
        entry = table.find(name, path.stem)
        if entry.left_out:
            report.skip(name, f"left out: {entry.left_out}")
            continue
        texts = entry.captions or read_captions(path.with_suffix(".txt"), name, report)
        if texts is None:
            continue
        for clip in loaded(
            Clip(name, BvhFile(path, texts[0] if texts else ""), texts, source, licence or corpus.licence, split),
            report,
        ):
            if not texts:
                report.notes["clip without a caption"] += 1
            yield replace(clip, action=entry.kind)
    if unused := table.unused():
        report.notes[f"captions of no clip in {root}, as {min(unused)}"] += len(unused)
