"""Reader for packs of named animations, .glb, .gltf and .bvh, with captions by the animations' names in one file.

Captions stand in a ``.csv`` with the columns ``animation`` and ``caption`` (one a row), in ``.jsonl`` rows
``{"animation": NAME, "captions": [...]}``, or in a ``.yaml`` with ``clips`` (name -> captions), ``left_out`` (name ->
why), ``kinds`` (class -> names; else every animation is a class) and ``loops`` (names of clips that may be played again
and again). A name is that of the file without its suffix, with the folders it is in or without, and of a file of
several animations ``FILE/ANIMATION`` or ``ANIMATION``; case, spaces, hyphens and underscores do not matter.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

from instruct_data.clip import SPLITS, Clip
from instruct_data.joining import join_motions
from instruct_data.sources.bvh import checked
from instruct_data.sources.report import Report
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

SUFFIXES = (".glb", ".gltf", ".bvh")
TEXTS = (".csv", ".jsonl", ".yaml")
OURS = Path(__file__).parents[1] / "text"
ACTIONS = ("MaleMocapLocomotion", "punching", "kicking", "jumping")  # sets of SmartBody that are no gestures
LOOPED = 2.0  # seconds that a loop is played for at least
MOST_TEXT = 64 << 20
_SAME = str.maketrans(" -", "__")


@dataclass(frozen=True)
class Captions:
    """What a file says of a pack, by names in one form.

    Attributes:
        clips: name -> captions. left_out: name -> why. kinds: name -> class. loops: names.
    """

    clips: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    loops: frozenset[str] = frozenset()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Captions:
        """Read a .csv, .jsonl or .yaml.

        Raises:
            UserError: another suffix, or not as the module says; names file and line.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in TEXTS:
            raise UserError(f"{path}: captions as {suffix or 'that'}; accepted {', '.join(TEXTS)}")
        if suffix == ".yaml":
            with parsing(path, "captions of a pack", "accepted: clips, left_out, kinds, loops"):
                return cls._of_yaml(read_yaml(path))
        clips: dict[str, list[str]] = {}
        for line, name, texts in _csv_rows(path) if suffix == ".csv" else _jsonl_rows(path):
            if not name or not all(texts):
                raise UserError(f"{path}: line {line}: needs an animation and captions that are not empty")
            clips.setdefault(plain(name), []).extend(texts)
        return cls(clips)

    @classmethod
    def _of_yaml(cls, data: Any) -> Captions:
        if not isinstance(data, dict) or not set(data) <= {"clips", "left_out", "kinds", "loops"} or not data:
            raise UserError("needs clips, left_out, kinds or loops")
        clips: dict[str, list[str]] = {}
        for name, texts in (data.get("clips") or {}).items():
            if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
                raise UserError(f"clips: {name}: {texts!r:.60}; accepted a list of sentences")
            clips[plain(str(name))] = [" ".join(t.split()) for t in texts]
        out = {plain(str(name)): str(why) for name, why in (data.get("left_out") or {}).items()}
        if both := set(clips) & set(out):
            raise UserError(f"{min(both)} has captions and is left out; accepted one of both")
        kinds = {plain(str(name)): str(kind) for kind, names in (data.get("kinds") or {}).items() for name in names}
        return cls(clips, out, kinds, frozenset(plain(str(name)) for name in data.get("loops") or []))


_SUFFIX = re.compile(r"\.(?:bvh|glb|gltf|vrma|npz|npy|amc)$")


def plain(name: str) -> str:
    """A name as it is compared: without the suffix of a motion file."""
    parts = [part.strip().casefold() for part in name.split("/")]
    parts[-1] = _SUFFIX.sub("", parts[-1])
    return "/".join(part.translate(_SAME) for part in parts)


def _csv_rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    with parsing(path, "a table of captions", "accepted the columns animation and caption"):
        rows = csv.DictReader(StringIO(read_text(path, MOST_TEXT)), strict=True)
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
class _Found:
    """One animation of a pack: its names, the fullest first, where it is and what gives its motion."""

    names: tuple[str, ...]
    path: Path
    read: Callable[[], Motion]


@dataclass(frozen=True)
class _Load:
    read: Callable[[], Motion]
    loop: bool
    caption: str

    def __call__(self) -> Motion:
        motion = self.read()
        motion = repeated(motion, LOOPED) if self.loop else motion
        return settled(motion.resampled(modalities.get("body").fps)).canonical().with_caption(self.caption)


def repeated(motion: Motion, seconds: float) -> Motion:
    """A clip whose end leads into its beginning, played as often as it takes to last so long, from where it ended."""
    if len(motion) < 3:
        return motion
    again, out = motion.slice(1, len(motion)), motion  # the last frame of a loop is its first
    while out.seconds < seconds:
        out = join_motions(out, again)
    return out


def read_pack(
    folder: str | os.PathLike[str], captions: str | os.PathLike[str] | None = None, source: str = "pack",
    licence: str = "not stated", split: str | None = "train", report: Report | None = None,
) -> Iterator[Clip]:  # fmt: skip
    """Every animation of a folder's .glb, .gltf and .bvh files, or of one such file: bodies at 20 fps on the floor,
    first frame at the origin facing +Z.

    Args:
        folder: searched with its sub-folders; or a file.
        captions: see the module; by default ``captions.csv``, ``.jsonl`` or ``.yaml`` in the folder, if one is there.
        source, licence, split: written into every clip; without a split one clip in twenty is validation, by its name.
        report: counts clips; those left out or that cannot be read are skipped only when it is given, and captions of
            no animation noted.

    Raises:
        UserError: no such folder, no such file in it, malformed captions, or a bad file when there is no report.
    """
    folder = Path(folder)
    if split not in (None, *SPLITS):
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files or files[0].suffix.lower() not in SUFFIXES:
        raise UserError(f"{folder}: no {', '.join(SUFFIXES)} in it")
    told = captions or next((p for s in TEXTS if (p := folder / f"captions{s}").is_file()), None)
    known = Captions() if told is None else Captions.load(told)
    used: set[str] = set()
    for found in _animations(files, folder, report):
        names = [plain(n) for n in found.names]
        used.update(names)
        if why := next((known.left_out[n] for n in names if n in known.left_out), ""):
            if report is not None:
                report.skip(found.names[0], f"left out: {why}")
            continue
        texts = next((known.clips[n] for n in names if n in known.clips), [])
        load = _Load(found.read, bool(known.loops & set(names)), texts[0] if texts else "")
        kind = next((known.kinds[n] for n in names if n in known.kinds), names[-1])
        action = f"{source}_{kind}".replace("/", "_")
        clip = Clip(found.names[0], load, texts, source, licence, split or _split(found.names[0]), action)
        yield from checked(clip, found.path, report)
    if report is not None and (missing := set(known.clips) - used):
        report.notes[f"captions of no animation in {folder}, as {min(missing)}"] += len(missing)


def _split(name: str) -> str:
    """``val`` for one name in twenty, always the same ones."""
    return "train" if crc32(name.encode()) % 20 else "val"


def _animations(files: list[Path], folder: Path, report: Report | None) -> Iterator[_Found]:
    for path in files:
        place = path.relative_to(folder).with_suffix("").as_posix() if path != folder else path.stem
        of_file = (place,) if place == path.stem else (place, path.stem)
        if path.suffix.lower() == ".bvh":
            yield _Found(of_file, path, lambda path=path: read_bvh(path))  # type: ignore[misc]
            continue
        try:
            rigs = read_rigs(path)
        except UserError as e:
            if report is None:
                raise
            report.skip(place, str(e).removeprefix(f"{path}: "))
            continue
        for number, rig in enumerate(rigs):
            name = rig.name or str(number)
            full = tuple(f"{file}/{name}" for file in of_file)
            names = (*full, *(of_file if len(rigs) == 1 else ()), name)
            yield _Found(names, path, lambda rig=rig: retarget(rig()))  # type: ignore[misc]


def read_cc0_actions(
    folder: str | os.PathLike[str], split: str | None = "train", report: Report | None = None
) -> Iterator[Clip]:
    """The CC0 action clips of KayKit, Quaternius and Mesh2Motion with captions of ours (`text/cc0_actions.yaml`).

    Raises:
        UserError: as `read_pack`.
    """
    return read_pack(folder, OURS / "cc0_actions.yaml", "cc0_actions", "CC0 1.0", split, report)


def read_smartbody_actions(
    folder: str | os.PathLike[str], split: str | None = "train", report: Report | None = None
) -> Iterator[Clip]:
    """SmartBody's clips of walking, running, jumping, kicking and punching as bodies, with captions of ours
    (`text/smartbody.yaml`); gestures are left to `sources.smartbody`.

    Raises:
        UserError: as `read_smartbody`.
    """
    known = Captions.load(OURS / "smartbody.yaml")
    for clip in read_smartbody(folder):
        if clip.extra["set"] not in ACTIONS:
            continue
        texts = known.clips.get(plain(clip.id), [])
        if not texts:
            if report is not None:
                report.skip(clip.id, f"left out: {known.left_out.get(plain(clip.id), 'no captions')}")
            continue
        load = _Load(lambda clip=clip: _body(clip.load()), False, texts[0])  # type: ignore[misc]
        part, action = split or _split(clip.id), f"smartbody_{known.kinds[plain(clip.id)]}"
        yield from checked(Clip(clip.id, load, texts, "smartbody", clip.licence, part, action), Path(folder), report)


def _body(motion: Motion) -> Motion:
    """A gesture's body without fingers."""
    return Motion(motion.rotations, motion.root, motion.fps)
