"""Reader for AMASS, SMPL-H and SMPL-X ``.npz`` files, and AMASS' files by the paths that other corpora call them by."""

# Sub-sets are called one way on the site (BMLrub) and another in the archives (BioMotionLab_NTroje), and files end in
# `_poses.npz` (SMPL+H) or `_stageii.npz` (SMPL-X); blanks in names became underscores in the later release.

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Corpus, Report
from instruct_data.sources.loading import loaded, read_captions
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

ARCHIVE_NAMES = {
    "biomotionlab_ntroje": "bmlrub", "mpi_hdm05": "hdm05", "tcd_handmocap": "tcdhands", "mpi_mosh": "mosh",
    "eyes_japan_dataset": "eyesjapandataset", "transitions_mocap": "transitions", "mpi_limits": "poseprior",
    "ssm_synced": "ssm", "dfaust_67": "dfaust",
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
    toes = motion.joints[:, [SMPL22.index("l_foot"), SMPL22.index("r_foot")], 1].min(1)
    shift = np.array([0.0, 0.02 - np.percentile(toes, 2), 0.0])
    return motion.moved(0.0, shift)


@dataclass(frozen=True)
class AmassSpan:
    """Loads seconds `start` to `stop` (None = to its end) of a file as a body at the modality's rate."""

    path: Path
    start: float = 0.0
    stop: float | None = None
    caption: str = ""
    up: str = "z"

    def __call__(self) -> Motion:
        motion = read_amass(self.path, self.up)
        first = round(self.start * motion.fps)
        last = len(motion) if self.stop is None else min(round(self.stop * motion.fps), len(motion))
        if last - first < 2:
            raise UserError(f"{self.path}: frames {first} to {last} of {len(motion)}; accepted at least 2")
        span = motion.slice(first, last).resampled(modalities.get("body").fps)
        return span.canonical().with_caption(self.caption)


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
        load = AmassSpan(path, caption=captions[0] if captions else "", up=up)
        source = relative.parts[0] if len(relative.parts) > 1 else "amass"
        yield from loaded(Clip(name, load, captions, source, licence or corpus.licence, split), report)


def amass_key(parts: Iterable[str]) -> str:
    """One name for a file, however its sub-set, its ending and its blanks are spelt."""
    plain = [p.casefold().replace(" ", "_") for p in parts if p not in (".", "")]
    subset = ARCHIVE_NAMES.get(plain[0], plain[0])
    below = plain[1:]
    if below and ARCHIVE_NAMES.get(below[0], below[0]) == subset:  # an archive in a folder of the same name
        below = below[1:]
    stem = below[-1].rpartition(".")[0] or below[-1] if below else ""
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    return "/".join([subset, *below[:-1], stem])


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
