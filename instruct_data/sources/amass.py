"""Readers for SMPL bodies: AMASS (also by the paths that other corpora name), BABEL and Motion-X."""

# AMASS: sub-sets are called one way on the site (BMLrub) and another in the archives (BioMotionLab_NTroje), and files
# end in `_poses.npz` (SMPL+H) or `_stageii.npz` (SMPL-X); blanks in names became underscores in the later release.
#
# BABEL (Punnakkal et al. 2021), action labels of recordings of AMASS and of spans within them: `train.json`,
# `val.json`, `test.json` (without labels) and `extra_*.json` with several annotators. A recording's `feat_p` is its
# path below AMASS. Source: babel.is.tue.mpg.de.
#
# Motion-X (Lin et al. 2023), SMPL-X in 322 channels at 30 frames a second, Y up: root_orient 0:3, pose_body 3:66,
# pose_hand 66:156, pose_jaw 156:159, face_expr 159:209, face_shape 209:309, trans 309:312, betas 312:322. The body is
# read; hands, face and shape are not. Source: github.com/IDEA-Research/Motion-X.

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.corpus import (
    MAX_TEXT_BYTES,
    Corpus,
    Report,
    find_files,
    load_clip,
    normalise_motion,
    read_captions,
    reason,
)  # fmt: skip
from vqvae import modalities
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import map_array, read_arrays, read_object
from vqvae.io.files import parsing, read_text
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22, TOES

ARCHIVE_NAMES = {
    "biomotionlabntroje": "bmlrub", "mpihdm05": "hdm05", "tcdhandmocap": "tcdhands", "mpimosh": "mosh",
    "transitionsmocap": "transitions", "mpilimits": "poseprior", "ssmsynced": "ssm", "dfaust67": "dfaust",
}  # fmt: skip
SUFFIXES = ("_poses", "_stageii")
DEFAULT_FOLDER = "amass_data"
RATE_KEYS = ("mocap_framerate", "mocap_frame_rate", "fps")


def read_amass(path: str | os.PathLike[str], up: str = "z") -> Motion:
    """One file as a Motion at its own frame rate, on the project's skeleton, standing on y = 0.

    The body shape is not carried over: translations are not scaled, and the lowest toes define the floor.

    Args:
        up: ``z`` (AMASS) or ``y`` (files that were turned already).
    """
    motion = read_smplx(path, up)
    toes = motion.joints[:, TOES, 1].min(1)
    shift = np.array([0.0, 0.02 - np.percentile(toes, 2), 0.0])
    return motion.moved(0.0, shift)


def load_span(path: Path, start: float = 0.0, stop: float | None = None, caption: str = "", up: str = "z") -> Motion:
    """Seconds `start` to `stop` (None = to its end) of a file as a body at the modality's rate."""
    motion = read_amass(path, up)
    first = round(start * motion.fps)
    last = len(motion) if stop is None else min(round(stop * motion.fps), len(motion))
    if last - first < 2:
        raise UserError(f"{path}: frames {first} to {last} of {len(motion)}; accepted at least 2")
    return motion.slice(first, last).resampled(modalities.get("body").fps).canonical().with_caption(caption)


def read_amass_folder(
    root: Path, corpus: Corpus, report: Report, licence: str = "", split: str = "train", up: str = "z"
) -> Iterator[Clip]:
    """Every motion below a folder; the first sub-folder is its source; captions from ``NAME.txt``.

    ``shape.npz`` and other files without poses are skipped with their reason.
    """
    for path in sorted(root.rglob("*.npz")):
        relative = path.relative_to(root)
        name = relative.with_suffix("").as_posix()
        captions = read_captions(path.with_suffix(".txt"), name, report)
        if captions is None:
            continue
        load = partial(load_span, path, caption=captions[0] if captions else "", up=up)
        source = relative.parts[0] if len(relative.parts) > 1 else "amass"
        yield from load_clip(Clip(name, load, captions, source, licence or corpus.licence, split), report)


def amass_key(parts: Iterable[str]) -> str:
    """One name for a file, however its sub-set, its ending and its blanks are spelt."""
    plain = [p.casefold().replace(" ", "_") for p in parts if p not in (".", "")]
    subset, below = _subset(plain[0]), plain[1:]
    if below and _subset(below[0]) == subset:  # an archive in a folder of the same name
        below = below[1:]
    stem = below[-1].rpartition(".")[0] or below[-1] if below else ""
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    return "/".join([subset, *below[:-1], stem])


def _subset(name: str) -> str:
    """A sub-set by its archive's name; BABEL writes ``MPIHDM05`` beside ``MPI_HDM05``."""
    plain = name.replace("_", "").replace("-", "")
    return ARCHIVE_NAMES.get(plain, plain)


@dataclass(frozen=True)
class AmassIndex:
    """The ``.npz`` files below a folder of AMASS, by `amass_key` of their paths."""

    root: Path
    paths: dict[str, Path]

    @classmethod
    def of(cls, root: Path, corpus: Corpus) -> AmassIndex:
        """Index a folder for a corpus that refers to it."""
        expected = f"{corpus.name} expects there: AMASS as unpacked, SUBSET/SUBJECT/NAME_poses.npz"
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; {expected}")
        paths = sorted(p for p in root.rglob("*.npz") if p.stem not in ("shape", "neutral_stagei"))
        if not paths:
            raise UserError(f"{root}: no .npz in it; {expected}")
        return cls(root, {amass_key(p.relative_to(root).parts): p for p in paths})

    def find(self, path: str) -> Path | None:
        """The file that a path below AMASS means; None where it is missing."""
        parts = [p for p in path.replace("\\", "/").split("/") if p not in (".", "")]
        return self.paths.get(amass_key(parts)) if len(parts) > 1 else None

    def reason(self, path: str) -> str:
        """Why a clip of a path that is not here is skipped."""
        return f"not below {self.root.name}: the sub-set {path.split('/')[0]} or a file of it"


def frame_rate_of(path: Path) -> float:
    """Frames a second of a file, without its poses."""
    rates = [v for v in read_arrays(path, RATE_KEYS).values() if v.size == 1]
    try:
        return float(rates[0].reshape(()))
    except (IndexError, ValueError, TypeError):
        raise UserError(f"{path}: no frame rate; accepted one number as {' or '.join(RATE_KEYS[:2])}") from None


MIN_DIFFERENCE, MAX_SHARE = 0.5, 0.05  # seconds, and share of the annotated length, that a file may differ by


def contradiction(path: Path, low: float, high: float) -> str:
    """Why a file is not the recording that an annotation of `low` to `high` seconds is of: by its frames and its rate
    it lasts much shorter or longer, as some ``_stageii`` files whose rate is another than that of ``_poses``. Empty
    where it fits.
    """
    rate = frame_rate_of(path)
    frames = read_arrays(path, ("trans",)).get("trans", np.zeros(0))
    seconds, spare = len(frames) / rate, MIN_DIFFERENCE
    if low * (1 - MAX_SHARE) - spare <= seconds <= high * (1 + MAX_SHARE) + spare:
        return ""
    stated = f"{low:.1f}" if high == low else f"at least {low:.1f}"
    return f"{path.name}: {seconds:.1f} s at {rate:g} frames a second; {stated} s by the annotation"


MAX_JSON_BYTES = 1 << 30
SPLITS_OF_FILES = {"train.json": "train", "val.json": "val", "extra_train.json": "train", "extra_val.json": "val",
                   "test.json": "test"}  # fmt: skip
MIN_SPAN_SECONDS = 0.4
TRANSITION = "transition"  # label of the way from one action to the next
Spans = dict[tuple[float, float | None], list[dict[str, Any]]]


def read_babel(
    root: Path, corpus: Corpus, report: Report, split: str | None = None, amass: Path | None = None
) -> Iterator[Clip]:
    """A clip for every labelled span, and one for the recording where that has a label of its own.

    Captions are the annotators' words (``raw_label``), `action` the first category, ``extra["categories"]`` all.

    Args:
        split: only this one; None = all.
        amass: the folder of AMASS; None = ``amass_data`` in the corpus' folder.
    """
    home = find_files(root, "train.json", "babel_v*_release/train.json")[0].parent
    default = root / DEFAULT_FOLDER if (root / DEFAULT_FOLDER).is_dir() else home / DEFAULT_FOLDER
    index = AmassIndex.of(amass or default, corpus)
    for file, part in SPLITS_OF_FILES.items():
        if (split is None or part == split) and (home / file).is_file():
            for sid, entry in read_object(home / file, MAX_JSON_BYTES).items():
                with parsing(home / file, "a file of BABEL", f"recording {sid}"):
                    path, spans = index.find(str(entry["feat_p"])), labels(entry, report)
                name = f"{Path(file).stem}_{sid}"
                if path is None:
                    report.skip(name, index.reason(str(entry["feat_p"])))
                elif not spans:
                    report.skip(name, "no label")
                elif why := _misfit(path, entry):
                    report.skip(name, why)
                else:
                    for clip in _clips(name, path, spans, report):
                        yield from load_clip(replace(clip, licence=corpus.licence, split=part), report)


def _misfit(path: Path, entry: dict[str, Any]) -> str:
    try:
        return contradiction(path, float(entry["dur"]), float(entry["dur"])) if entry.get("dur") else ""
    except UserError as e:
        return reason(e)


def labels(entry: dict[str, Any], report: Report) -> Spans:
    """Labels by their (start, end) in seconds, (0, None) for the recording; transitions are noted and dropped."""
    out: Spans = defaultdict(list)
    recording = [entry.get("seq_ann"), *(entry.get("seq_anns") or ())]
    frames = [entry.get("frame_ann"), *(entry.get("frame_anns") or ())]
    for notes, timed in ((recording, False), (frames, True)):
        for label in (x for note in notes if note for x in note.get("labels") or ()):
            words = " ".join(str(label.get("raw_label") or label.get("proc_label") or "").split())
            if not words or TRANSITION in (label.get("proc_label"), words):
                report.notes["label without words, or of the way between two actions"] += 1
                continue
            span = (float(label["start_t"]), float(label["end_t"])) if timed else (0.0, None)
            out[span].append({"words": words, "categories": [str(c) for c in label.get("act_cat") or ()]})
    return dict(out)


def _clips(name: str, path: Path, spans: Spans, report: Report) -> Iterator[Clip]:
    """The clips of one recording, without licence and split."""
    for (start, end), span_labels in spans.items():
        clip_id = name if end is None else f"{name}_{start:g}_{end:g}"
        if end is not None and end - start < MIN_SPAN_SECONDS:
            report.skip(clip_id, f"shorter than {MIN_SPAN_SECONDS:g} s")
            continue
        captions = list(dict.fromkeys(label["words"] for label in span_labels))
        categories = list(dict.fromkeys(c for label in span_labels for c in label["categories"]))
        action = categories[0].replace(" ", "_") if categories else ""
        load = partial(load_span, path, start, end, captions[0])
        yield Clip(clip_id, load, captions, "babel", "", action=action, extra={"categories": categories})


MOTION_X_MOTIONS = "motion_data/smplx_322"
MOTION_X_TEXTS = ("texts/semantic_labels", "semantic_labels")
MOTION_X_FPS, MOTION_X_WIDTH, MOTION_X_TRANSLATION = 30.0, 322, slice(309, 312)


def read_motion_x(root: Path, corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """Every motion, captions from the text of the same path; mirrored ones of HumanML3D (``M...``) are left out.

    A motion's `source` is ``motion_x_SUBSET``. Its split is that of the list which names it; without lists it is
    `split`, or training.
    """
    motions, texts = root / MOTION_X_MOTIONS, next(root / t for t in MOTION_X_TEXTS if (root / t).is_dir())
    lists = [(part, root / f"{part}.txt") for part in SPLITS if (root / f"{part}.txt").is_file()]
    splits = {line.strip(): part for part, path in lists for line in read_text(path, MAX_TEXT_BYTES).splitlines()}
    for path in find_files(motions, "**/*.npy"):
        relative = path.relative_to(motions).with_suffix("")
        name, subset = relative.as_posix(), relative.parts[0]
        if path.stem.startswith("M") and path.stem[1:].isdecimal():
            report.notes["mirrored clip, which training makes by itself"] += 1
            continue
        part = splits.get(name) if splits else split or "train"
        if part is None:
            report.skip(name, "in none of train.txt, val.txt, test.txt")
            continue
        if split is not None and part != split:
            continue
        captions = read_captions(texts / f"{name}.txt", name, report)
        if captions is not None:
            load = partial(_load_motion_x, path, captions[0] if captions else "")
            clip = Clip(name, load, captions, f"motion_x_{subset.lower()}", corpus.licence, part)
            yield from load_clip(clip, report)


def _load_motion_x(path: Path, caption: str) -> Motion:
    x = np.array(map_array(path, f"accepted (frames, {MOTION_X_WIDTH})"), np.float64)
    if x.ndim != 2 or x.shape[1] != MOTION_X_WIDTH or not np.isfinite(x).all():
        raise UserError(f"{path}: {x.shape}; accepted finite (frames, {MOTION_X_WIDTH})")
    count = len(SMPL22.names)
    rotations = rot.from_axis_angle(x[:, : 3 * count].reshape(-1, count, 3))
    return normalise_motion(Motion(rotations, x[:, MOTION_X_TRANSLATION], MOTION_X_FPS), caption)
