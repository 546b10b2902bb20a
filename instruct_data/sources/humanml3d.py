"""Readers for HumanML3D (Guo et al. 2022): its repository, features and evaluation pairs; and for KIT-ML."""

# With AMASS, `index.csv` says which frames of which file a clip is. They count what `raw_pose_processing` of
# github.com/EricGuo5513/HumanML3D (MIT) keeps: every `int(fps / 20)`-th frame, without the first seconds of five
# sub-sets (`DROPPED_SECONDS`). Bodies are the data's own rotations on our skeleton, so twist about bones is kept,
# unlike in `new_joint_vecs`. Clips of HumanAct12 have no rotations and are left out there; mirrored clips (`M...`)
# are left out in any case, since training mirrors by itself.
#
# A text line is `caption#tokens#start#end`; start and end in seconds, both 0 for the whole clip. Captions of a part
# become a clip of their own, `ID_START_END`.
#
# KIT Motion-Language (Plappert et al. 2016) is read in Guo et al.'s release: 251 channels at 12.5 frames a second.
# The channels are those of `vqvae.io.hml263` for the 21 joints of the Master Motor Map, lengths in a unit of the
# data set's own; positions are what is read. Right hip, left hip, right and left shoulder are joints 11, 16, 5 and 8
# (`face_joint_indx` of github.com/EricGuo5513/text-to-motion, MIT).

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip, check_split
from instruct_data.sources.amass import DEFAULT_FOLDER, AmassIndex, contradiction, frame_rate_of, load_span
from instruct_data.sources.corpus import MAX_TEXT_BYTES, Corpus, Report, load_clip, normalise_motion, reason
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import parsing, read_text
from vqvae.io.hml263 import HML263Features, recover_joints, swing_rotations
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

FPS = 20.0
DIM = 263
MIN_FRAMES = 8
MIN_PAIR_FRAMES, MAX_PAIR_FRAMES = 40, 199  # of clips in the evaluation protocol
COLUMNS = ("source_path", "start_frame", "end_frame", "new_name")
FOLDERS = ("new_joint_vecs", "texts")
# seconds at 20 frames a second that the original drops at the beginning of a sub-set's files
DROPPED_SECONDS = {
    "Eyes_Japan_Dataset": 3.0, "MPI_HDM05": 3.0, "TotalCapture": 1.0, "MPI_Limits": 1.0, "Transitions_mocap": 0.5,
}  # fmt: skip
Spans = dict[tuple[float, float], list[str]]


def parse_texts(text: str, report: Report) -> Spans:
    """Captions by (start, end) in seconds; (0, 0) is the whole clip. Lines of another form are noted."""
    out: Spans = defaultdict(list)
    for line in text.splitlines():
        if not line.strip():
            continue
        parts = line.split("#")
        try:
            start, end = float(parts[2]), float(parts[3])
        except (IndexError, ValueError):
            report.notes["caption line is not caption#tokens#start#end"] += 1
            continue
        caption = " ".join(parts[0].split())
        if not caption:
            report.notes["empty caption"] += 1
            continue
        if math.isnan(start) or math.isnan(end):
            report.notes["caption without a time span (NaN), taken for the whole clip"] += 1
            start = end = 0.0
        if (start, end) != (0.0, 0.0) and not 0 <= start < end:
            report.notes["caption span ends before it starts"] += 1
            continue
        out[start, end].append(caption)
    return dict(out)


def spans_of(name: str, folder: Path, files: tuple[Path, ...], report: Report) -> Spans:
    """Captions of a clip by their spans; empty, with the reason reported, where a file is missing or has none."""
    words = folder / "texts" / f"{name}.txt"
    if missing := next((p for p in (*files, words) if not p.is_file()), None):
        report.skip(name, f"no {missing.parent.name}/{missing.name}")
        return {}
    try:
        spans = parse_texts(read_text(words, MAX_TEXT_BYTES), report)
    except UserError as e:
        report.skip(name, reason(e))
        return {}
    if not spans:
        report.skip(name, "no usable caption")
    return spans


def span_id(name: str, span: tuple[float, float]) -> str:
    """The clip's name, with its seconds where it is a part."""
    return name if span == (0.0, 0.0) else f"{name}_{span[0]:g}_{span[1]:g}"


def read_humanml3d(
    root: Path, corpus: Corpus, report: Report, split: str | None = None, amass: Path | None = None
) -> Iterator[Clip]:
    """Clips of the lists train.txt, val.txt and test.txt, and parts of clips that have captions of their own.

    From AMASS where ``index.csv`` and AMASS are there, else from ``new_joint_vecs``.

    Args:
        split: only this one; None = those whose lists are there.
        amass: the folder of AMASS; None = ``amass_data`` in the corpus' folder.
    """
    data = root / "HumanML3D" if (root / "HumanML3D" / "texts").is_dir() else root
    if not (data / "new_joint_vecs").is_dir() or amass or (root / DEFAULT_FOLDER).is_dir():
        index = AmassIndex.of(amass or root / DEFAULT_FOLDER, corpus)
        rows = read_index(root / "index.csv")
        for part, name in corpus.read_lists(data, split, report):
            if name not in rows:
                report.skip(name, "not in index.csv")
            else:
                for clip_id, captions, load in _amass_spans(name, rows[name], data, index, report):
                    yield from load_clip(Clip(clip_id, load, captions, "humanml3d", corpus.licence, part), report)
        return
    for part, name in corpus.read_lists(data, split, report):
        vectors = data / "new_joint_vecs" / f"{name}.npy"
        for span, captions in spans_of(name, data, (vectors,), report).items():
            features = partial(_load_features, vectors, span, captions[0])
            clip = Clip(span_id(name, span), features, captions, "humanml3d", corpus.licence, part)
            yield from load_clip(clip, report)


def read_index(path: Path) -> dict[str, tuple[str, int, int]]:
    """Clip -> path below AMASS, first frame and the one behind the last, at 20 frames a second."""
    out: dict[str, tuple[str, int, int]] = {}
    with parsing(path, "HumanML3D's index", f"accepted the columns {', '.join(COLUMNS)}"):
        rows = csv.DictReader(StringIO(read_text(path, MAX_TEXT_BYTES)), strict=True)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise UserError(f"the columns {', '.join(rows.fieldnames or ())[:80]}; accepted {', '.join(COLUMNS)}")
        for row in rows:
            source, first, last, name = (str(row[c] or "").strip() for c in COLUMNS)
            if not (first.isdecimal() and last.lstrip("-").isdecimal()):
                raise UserError(f"line {rows.line_num}: frames {first!r} to {last!r}; accepted whole numbers")
            out[Path(name).stem] = (source, int(first), int(last))
    return out


def _amass_spans(
    name: str, row: tuple[str, int, int], data: Path, index: AmassIndex, report: Report
) -> Iterator[tuple[str, list[str], Callable[[], Motion]]]:
    source, first, last = row
    relative = source.replace("\\", "/").split("pose_data/")[-1]
    if relative.startswith("humanact12"):
        report.skip(name, "of HumanAct12, which has no rotations")
        return
    path = index.find(relative)
    if path is None:
        report.skip(name, index.reason(relative))
        return
    dropped = round(next((s for subset, s in DROPPED_SECONDS.items() if subset in source), 0.0) * FPS)
    try:
        fps = frame_rate_of(path)
        step = max(1, int(fps / FPS)) / fps  # seconds from one kept frame to the next
        why = contradiction(path, (dropped + last) * step, np.inf)
    except UserError as e:
        why = reason(e)
    if why:
        report.skip(name, why)
        return
    for span, captions in spans_of(name, data, (), report).items():
        a, b = (first, last) if span == (0.0, 0.0) else (
            first + int(span[0] * FPS), min(first + int(span[1] * FPS), last))  # fmt: skip
        clip_id = span_id(name, span)
        if b - a < MIN_FRAMES:
            report.skip(clip_id, f"shorter than {MIN_FRAMES} frames or outside the clip")
            continue
        yield clip_id, captions, partial(load_span, path, (dropped + a) * step, (dropped + b) * step, captions[0])


def _load_features(path: Path, span: tuple[float, float], caption: str) -> Motion:
    """A span of a clip's features; (0, 0) is the whole clip."""
    features = np.array(map_array(path))
    if features.ndim != 2 or features.shape[1] != DIM:
        raise UserError(f"{path}: {features.shape}; accepted (T, {DIM})")
    if not np.isfinite(features).all():
        raise UserError(f"{path}: NaN or infinity in frame {int(np.argmin(np.isfinite(features).all(1)))}")
    start, stop = (int(seconds * FPS) for seconds in span)
    stop = len(features) if span == (0.0, 0.0) else min(stop, len(features))
    if stop - start < MIN_FRAMES:
        raise UserError(f"{path}: shorter than {MIN_FRAMES} frames or outside the clip")
    motion = HML263Features().decode(features, caption)
    return motion.slice(start, min(stop, len(motion))).canonical()


@dataclass(frozen=True)
class Caption:
    """A caption of the evaluation protocol."""

    text: str  # as written
    tokens: tuple[str, ...]  # ``word/TAG``, as the corpus has them
    # start, end: seconds; both 0 for the whole clip
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class CaptionedFile:
    """A clip with its captions; frames `start` to `stop` of the file at `path`."""

    id: str
    path: Path
    start: int
    stop: int
    captions: tuple[Caption, ...]

    def __len__(self) -> int:
        return self.stop - self.start

    def features(self, start: int = 0, frames: int | None = None) -> np.ndarray:
        """(frames, 263) float32 from frame `start` of the clip; None = all that are left. Read from the file."""
        begin = self.start + start
        stop = self.stop if frames is None else min(begin + frames, self.stop)
        return np.array(map_array(self.path)[begin:stop], np.float32)


def parse_caption(line: str) -> Caption:
    """A line ``caption#tokens#start#end``; NaN counts as 0."""
    parts = line.strip().split("#")
    if len(parts) < 4:
        raise ValueError("not caption#tokens#start#end")
    start, end = (0.0 if math.isnan(x) else x for x in map(float, parts[2:4]))
    tokens = tuple(parts[1].split())
    if not tokens or not all("/" in t for t in tokens):
        raise ValueError("its tokens are not word/TAG")
    if (start, end) != (0.0, 0.0) and not 0 <= start < end < math.inf:
        raise ValueError("its end is before its start")
    return Caption(parts[0], tokens, start, end)


def read_pairs(
    folder: str | os.PathLike[str], split: str = "test", report: Report | None = None
) -> list[CaptionedFile]:
    """The clips of a split that take part in the evaluation protocol, in the order of their names.

    A clip takes part when it has 40 to 199 frames (`Text2MotionDatasetV2` of Guo et al. 2022); a caption of a part
    makes a clip of its own when that part has. Where the published code drops a clip without a word (a missing file, a
    line of another form), the report says so. Every feature file of the split is checked for finite numbers.
    """
    root = Path(folder)
    check_split(split)
    for name in FOLDERS:
        if not (root / name).is_dir():
            raise UserError(f"{root / name}: no such folder; accepted: a HumanML3D folder with new_joint_vecs, texts "
                            f"and {split}.txt")  # fmt: skip
    report = Report() if report is None else report
    names = sorted(set(read_text(root / f"{split}.txt", MAX_TEXT_BYTES).split()))
    out = [pair for name in names for pair in _pairs(root, name, report)]
    report.read += len(out)
    if not out:
        raise UserError(f"{root / f'{split}.txt'}: none of its {len(names)} clips takes part "
                        f"({'; '.join(report.reasons()[:3]) or 'it is empty'})")  # fmt: skip
    return out


def _pairs(folder: Path, name: str, report: Report) -> Iterator[CaptionedFile]:
    path = folder / "new_joint_vecs" / f"{name}.npy"
    try:
        x = map_array(path)
        if x.ndim != 2 or x.shape[1] != DIM:
            raise ValueError(f"not (T, {DIM}) features")
        if not np.isfinite(x).all():
            raise ValueError("features that are not finite")
        text = read_text(folder / "texts" / f"{name}.txt", MAX_TEXT_BYTES)
    except (UserError, ValueError) as e:
        report.skip(name, str(e).removeprefix(f"{path}: "))
        return
    if not MIN_PAIR_FRAMES <= len(x) <= MAX_PAIR_FRAMES:
        report.skip(name, f"not {MIN_PAIR_FRAMES} to {MAX_PAIR_FRAMES} frames")
        return
    clip_captions: list[Caption] = []
    for number, line in enumerate(line for line in text.splitlines() if line.strip()):
        try:
            caption = parse_caption(line)
        except ValueError as e:
            report.notes[f"caption left out: {e}"] += 1
            continue
        if caption.end == 0:
            clip_captions.append(caption)
            continue
        start, stop = int(caption.start * FPS), min(int(caption.end * FPS), len(x))
        if MIN_PAIR_FRAMES <= stop - start <= MAX_PAIR_FRAMES:
            yield CaptionedFile(f"{name}_{number}", path, start, stop, (caption,))
        else:
            report.notes[f"caption of a part that is not {MIN_PAIR_FRAMES} to {MAX_PAIR_FRAMES} frames"] += 1
    if clip_captions:
        yield CaptionedFile(name, path, 0, len(x), tuple(clip_captions))


KIT_FPS = 12.5
KIT_JOINTS = 21
MIN_KIT_FRAMES = 5
_SIDES = {"l": (16, 17, 18, 20, 8, 9, 10), "r": (11, 12, 13, 15, 5, 6, 7)}
_LIMBS = ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
_SPINE = (0, 1, 2, 3)  # root, pelvis, torso, base of the neck
_HEAD = 4
_COLLAR = 0.35  # of the way from the base of the neck to the shoulder


def read_kit_ml(root: Path, corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """Clips of the lists train.txt, val.txt and test.txt, and parts of clips that have captions of their own."""
    for part, name in corpus.read_lists(root, split, report):
        vectors = root / "new_joint_vecs" / f"{name}.npy"
        for span, captions in spans_of(name, root, (vectors,), report).items():
            load = partial(_load_kit, vectors, span, captions[0])
            yield from load_clip(Clip(span_id(name, span), load, captions, "kit_ml", corpus.licence, part), report)


def _load_kit(path: Path, span: tuple[float, float], caption: str) -> Motion:
    features = np.array(map_array(path, "accepted (frames, 251)"))
    first, last = (int(seconds * KIT_FPS) for seconds in span)
    last = len(features) if span == (0.0, 0.0) else last
    with parsing(path, "features"):
        joints = recover_joints(features, KIT_JOINTS)[first:last]
    if len(joints) < MIN_KIT_FRAMES:
        raise UserError(f"{path}: {len(joints)} frames; accepted at least {MIN_KIT_FRAMES}")
    return normalise_motion(from_joints(joints), caption)


def from_joints(joints: np.ndarray) -> Motion:
    """Positions (T, 21, 3) of any unit -> a body at 12.5 frames a second, metres by the length of its legs."""
    x = np.asarray(joints, np.float64)
    points = np.zeros((len(x), len(SMPL22.names), 3))
    for name, share in _shares().items():
        points[:, SMPL22.index(name)] = _along(x[:, _SPINE], share)
    points[:, SMPL22.index("head")] = x[:, _HEAD]
    for side, places in _SIDES.items():
        for limb, place in zip(_LIMBS, places, strict=True):
            points[:, SMPL22.index(f"{side}_{limb}")] = x[:, place]
        neck, shoulder = x[:, _SPINE[-1]], points[:, SMPL22.index(f"{side}_shoulder")]
        points[:, SMPL22.index(f"{side}_collar")] = neck + _COLLAR * (shoulder - neck)
    length = float(np.median([np.linalg.norm(points[:, b] - points[:, a], axis=-1) for a, b in _leg_bones()]))
    if not np.isfinite(length) or length < 1e-9:
        raise UserError("legs without length; accepted positions of a body")
    ours = float(np.median([np.linalg.norm(SMPL22.offsets[b]) for _, b in _leg_bones()]))
    scale = ours / length
    return Motion(swing_rotations(points), points[:, 0] * scale, KIT_FPS)


def _leg_bones() -> list[tuple[int, int]]:
    pairs = (("hip", "knee"), ("knee", "ankle"))
    return [(SMPL22.index(f"{s}_{a}"), SMPL22.index(f"{s}_{b}")) for s in "lr" for a, b in pairs]


def _shares() -> dict[str, float]:
    """How far up from pelvis to neck the joints of our spine are at rest, 0 to 1."""
    names = ("spine1", "spine2", "spine3", "neck")
    lengths = np.cumsum([np.linalg.norm(SMPL22.offsets[SMPL22.index(n)]) for n in names])
    return {"pelvis": 0.0, **{n: float(v / lengths[-1]) for n, v in zip(names, lengths, strict=True)}}


def _along(line: np.ndarray, share: float) -> np.ndarray:
    """The point that far along polylines (T, K, 3): (T, 3)."""
    steps = np.linalg.norm(np.diff(line, axis=1), axis=-1)
    reached = np.concatenate([np.zeros((len(line), 1)), np.cumsum(steps, 1)], 1)
    distance = share * reached[:, -1]
    k = np.clip((reached[:, 1:] < distance[:, None]).sum(1), 0, line.shape[1] - 2)
    rows = np.arange(len(line))
    part = (distance - reached[rows, k]) / np.maximum(steps[rows, k], 1e-12)
    return np.asarray(line[rows, k] + part[:, None] * (line[rows, k + 1] - line[rows, k]))
