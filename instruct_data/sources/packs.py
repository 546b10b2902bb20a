"""Readers for packs of named animations (.glb, .gltf, .bvh), folders of BVH, and SmartBody's named gestures."""

# Captions by name are in a `.csv` with the columns `animation` and `caption` (one a row), in `.jsonl` rows
# `{"animation": NAME, "captions": [...]}`, or in a `.yaml` with `clips` (name -> captions), `left_out` (name ->
# why), `kinds` (class -> names; otherwise every animation is a class) and `loops` (names of clips that may be
# repeated). A name is that of the file without its suffix, with or without its folders, and in a file of several
# animations `FILE/ANIMATION` or `ANIMATION`; case, spaces, hyphens and underscores do not matter.
#
# SmartBody's folder has `motions.npz`, `clips.jsonl` and `joints.json`.
# `motions.npz`: `root` float32 (N, 3) metres, `rot` int16 (N, 22, 4) and `fingers` int16 (N, 30, 4) = 32767 *
# quaternion, `offsets`: clip i is rows offsets[i] to offsets[i + 1]; 30 frames a second, Y up. A line of
# `clips.jsonl` says id, set, name, performer_skeleton, posture, gesture, hand (both, left, right or null), index,
# max_step_deg and `sync`: seconds of the phases ready, strokeStart, emphasis (the peak of the stroke), stroke (its
# end), relax.
#
# Wrists and fingers of such a folder are turned in the axes of each performer's own rest pose, whose arms hang at
# other angles than ours. They are brought to our straight hand here, from how the left hands of the skeletons rest
# (SmartBody, data/behaviorsets/*/skeletons; LGPL-2.1); the right ones are their mirror images.

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from instruct_data.clip import Clip
from instruct_data.joining import join_motions
from instruct_data.sources.corpus import (
    MAX_TEXT_BYTES,
    Corpus,
    Report,
    find_files,
    load_bvh,
    load_clip,
    normalise_motion,
    read_captions,
    reason,
)
from vqvae import modalities
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.ground import settle_motion
from vqvae.io.bvh import read_bvh
from vqvae.io.data_files import json_rows, read_arrays, read_object, read_yaml
from vqvae.io.files import parsing, read_text
from vqvae.io.folders import folder_means
from vqvae.io.gltf_rigs import read_rigs
from vqvae.motion import Motion
from vqvae.retarget import HALF, below_wrist, bone_turns, hand_turn, retarget
from vqvae.rig import Rig
from vqvae.skeleton import FINGER_NAMES, SMPL22

SMARTBODY_FPS = 30.0
MAX_STEP = 60.0  # degrees from frame to frame: more is a jump in the recording
PHASES = ("ready", "strokeStart", "emphasis", "stroke", "relax")


@dataclass(frozen=True)
class _RestHand:
    """A left hand in a skeleton's rest pose, directions in hundredths, Y up, left = +X."""

    forward: tuple[int, int, int]  # from the wrist to the middle knuckle
    across: tuple[int, int, int]  # from the little finger's knuckle to the index finger's
    bones: tuple[tuple[int, int, int], ...]  # of the fingers, from joints 1, 2 and 3 on


_BRAD = _RestHand(
    (75, -66, 8), (13, -4, 99),
    ((13, -48, 87), (30, -79, 54), (31, -85, 43), (74, -68, 0), (68, -74, 2), (61, -79, -3), (78, -63, 2),
     (64, -77, -3), (61, -79, 0), (73, -68, -4), (72, -69, -1), (60, -80, -1), (71, -70, -9), (70, -71, -1),
     (55, -83, -8)),
)  # fmt: skip
_REST_HANDS = {
    "ChrBrad": _BRAD, "ChrBrad2": _BRAD,
    "ChrGarza": _RestHand((99, 4, 12), (11, 1, 99), ((70, -37, 62),) * 3 + ((100, 0, 0),) * 12),
    "ChrConnor": _RestHand(
        (45, -69, 57), (-66, 5, 75),
        ((-1, -75, 66), (6, -86, 50), (7, -96, 27), (33, -80, 50), (23, -91, 34), (10, -98, 18), (42, -77, 48),
         (25, -93, 27), (8, -99, 14), (47, -75, 47), (31, -91, 28), (19, -96, 18), (49, -77, 40), (33, -91, 25),
         (28, -94, 21)),
    ),
}  # fmt: skip


def read_smartbody(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Clips whose `action` is the gesture's class and whose ``extra`` holds hand, sync, posture, set and performer.

    Clips that jump are left out; performers whose hands at rest are not known come without fingers.
    """
    table = root / "joints.json"
    data = read_object(table, accepted=f"accepted {corpus.tree}")
    with parsing(table, "a list of joints"):
        joints = tuple(data["body"]), tuple(data["fingers"])
        same = joints == (SMPL22.names, FINGER_NAMES) and data["fps"] == SMARTBODY_FPS
    if not same:
        raise UserError(f"{table}: other joints; accepted the 22 SMPL joints, {FINGER_NAMES[0]} ... "
                        f"{FINGER_NAMES[-1]}, {SMARTBODY_FPS:g} frames a second")  # fmt: skip
    arrays = _arrays(root / "motions.npz")
    path = root / "clips.jsonl"
    for n, row in json_rows(path):
        with parsing(f"{path}: line {n}", "a clip of a gesture"):
            name, index, step = str(row["id"]), int(row["index"]), float(row["max_step_deg"])
            sync = {k: float(v) for k, v in dict(row["sync"]).items() if k in PHASES}
            hand, performer = row.get("hand"), str(row["performer_skeleton"])
            if hand not in (None, "both", "left", "right"):
                raise UserError(f"hand {hand!r}; accepted both, left, right or null")
            if not 0 <= index < len(arrays["offsets"]) - 1:
                raise UserError(f"no clip {index} in motions.npz; it holds {len(arrays['offsets']) - 1}")
            action = str(row.get("gesture") or "")
            extra = {"hand": hand, "sync": sync, "speaker": performer, "posture": row.get("posture"), "set": row["set"]}
        if step > MAX_STEP:
            report.skip(name, f"jumps by more than {MAX_STEP:g} degrees from frame to frame")
            continue
        load = partial(_load_smartbody, arrays, index, performer, root / "motions.npz")
        yield from load_clip(Clip(name, load, [], "smartbody", corpus.licence, split, action, extra=extra), report)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    keys = ("root", "rot", "fingers", "offsets")
    data = read_arrays(path, keys)
    with parsing(path, f"clips as {', '.join(keys)}"):
        arrays = {k: data[k] for k in keys}
        count = len(arrays["root"])
        shapes = {"root": (count, 3), "rot": (count, len(SMPL22.names), 4), "fingers": (count, len(FINGER_NAMES), 4)}
        wrong = next((k for k, shape in shapes.items() if arrays[k].shape != shape), None)
        if wrong:
            raise UserError(f"{wrong} {arrays[wrong].shape}; accepted {shapes[wrong]}")
        rows = arrays["offsets"]
        if rows.ndim != 1 or len(rows) < 2 or rows[0] != 0 or rows[-1] != count or (np.diff(rows) < 1).any():
            raise UserError(f"offsets do not divide {count} rows; accepted rising numbers from 0 to {count}")
    return arrays


def _load_smartbody(arrays: dict[str, np.ndarray], index: int, performer: str, path: Path) -> Motion:
    rows = slice(*(int(v) for v in arrays["offsets"][index : index + 2]))
    with parsing(path, f"clip {index}"):
        body = arrays["rot"][rows].astype(np.float32) / 32767
        motion = Motion(body, arrays["root"][rows].copy(), SMARTBODY_FPS, "gesture")
        if (rest_hand := _REST_HANDS.get(performer)) is not None:
            fingers = arrays["fingers"][rows].astype(np.float64) / 32767
            motion = _with_fingers(motion, rot.normalize(fingers), rest_hand)
    return normalise_motion(motion)


def _with_fingers(motion: Motion, fingers: np.ndarray, rest_hand: _RestHand) -> Motion:
    """The gesture with fingers (T, 30, 4) and wrists turned from the axes of the performer's rest pose to ours."""
    body, out = motion.rotations.astype(np.float64), []
    for side, sign, first in (("l", 1.0, 0), ("r", -1.0, HALF)):
        mirror = np.array([sign, 1.0, 1.0])
        forward, across = np.array(rest_hand.forward) * mirror, np.array(rest_hand.across) * mirror
        hand = hand_turn(side, forward, across)
        turns = rot.from_matrix(bone_turns(side, hand, np.array(rest_hand.bones) * mirror))
        chain = fingers[:, first : first + HALF].copy()
        # each joint's rotation relative to the wrist, from the chain of its finger
        for k in range(HALF):
            if k % 3:
                chain[:, k] = rot.multiply(chain[:, k - 1], chain[:, k])
        palm = rot.from_matrix(hand)
        out.append(below_wrist(np.repeat(palm[None], len(chain), 0), rot.multiply(chain, turns)))
        wrist = SMPL22.index(f"{side}_wrist")
        body[:, wrist] = rot.multiply(body[:, wrist], palm)
    return Motion(body, motion.root, motion.fps, "gesture", fingers=np.concatenate(out, 1))


# Suffixes of motion files and of tables of captions.
SUFFIXES = (".glb", ".gltf", ".bvh")
TABLE_SUFFIXES = (".csv", ".jsonl", ".yaml")
CAPTION_FOLDER = Path(__file__).parents[1] / "text"  # captions of this project for published packs
SMARTBODY_ACTION_SETS = ("MaleMocapLocomotion", "punching", "kicking", "jumping")
MIN_LOOP_SECONDS = 2.0
_SEPARATORS = str.maketrans(" -", "__")
_SUFFIX = re.compile(r"\.(?:bvh|glb|gltf|vrma|npz|npy|amc)$")


@dataclass(frozen=True)
class AnimationEntry:
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

    def find(self, *names: str) -> AnimationEntry:
        """The entry under the first of an animation's names that the table has."""
        plain = [plain_name(name) for name in names]
        self._looked_up.update(plain)
        return AnimationEntry(
            next((self.clips[n] for n in plain if n in self.clips), []),
            next((self.left_out[n] for n in plain if n in self.left_out), ""),
            next((self.kinds[n] for n in plain if n in self.kinds), ""), bool(self.loops & set(plain)),
        )  # fmt: skip

    def list_unused(self) -> set[str]:
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


def _load(read: Callable[[], Motion], caption: str, loop: bool = False) -> Motion:
    motion = read()
    motion = repeat_loop(motion, MIN_LOOP_SECONDS) if loop else motion
    return settle_motion(motion.resampled(modalities.get("body").fps)).canonical().with_caption(caption)


def repeat_loop(motion: Motion, seconds: float) -> Motion:
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
        load = partial(_load, read, entry.captions[0] if entry.captions else "", entry.loop)
        action = f"{source}_{entry.kind or plain_name(names[-1])}".replace("/", "_")
        clip = Clip(
            names[0], load, entry.captions, source, licence or corpus.licence, split or split_of(names[0]), action
        )
        yield from load_clip(clip, report)
    if unused := table.list_unused():
        report.notes[f"captions of no animation in {root}, as {min(unused)}"] += len(unused)


def split_of(name: str) -> str:
    """``val`` for one name in twenty, always the same ones."""
    return "train" if crc32(name.encode()) % 20 else "val"


def _animations(
    files: list[Path], root: Path, report: Report
) -> Iterator[tuple[tuple[str, ...], Callable[[], Motion]]]:
    """Names of every animation, the fullest first, with what reads it."""
    for path in files:
        means = partial(folder_means, path)
        place = path.relative_to(root).with_suffix("").as_posix() if path != root else path.stem
        file_names = (place,) if place == path.stem else (place, path.stem)
        if path.suffix.lower() == ".bvh":
            yield file_names, partial(read_bvh, path, means=means)
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
            yield names, lambda rig=rig, means=means: retarget(rig(), means=means)  # type: ignore[misc]


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
                return normalise_motion(retarget(rig(), hands=True))

            clip = Clip(f"{path.stem}/{rig.name}", load, [], "mesh2motion", corpus.licence, split, action)
            yield from load_clip(clip, report)


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
        load = partial(_load, lambda body=body: body, entry.captions[0])  # type: ignore[misc]
        part, action = split or split_of(clip.id), f"smartbody_{entry.kind}"
        yield from load_clip(Clip(clip.id, load, entry.captions, "smartbody", corpus.licence, part, action), report)


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
        load = partial(load_bvh, path, texts[0] if texts else "")
        for clip in load_clip(Clip(name, load, texts, source, licence or corpus.licence, split, entry.kind), report):
            if not texts:
                report.notes["clip without a caption"] += 1
            yield clip
    if unused := table.list_unused():
        report.notes[f"captions of no clip in {root}, as {min(unused)}"] += len(unused)
