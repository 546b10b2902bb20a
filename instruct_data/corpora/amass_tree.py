"""AMASS' files by the paths that other corpora call them by.

Sub-sets are called one way on the site (BMLrub) and another in the archives (BioMotionLab_NTroje), and files end in
``_poses.npz`` (SMPL+H) or ``_stageii.npz`` (SMPL-X); blanks in names became underscores in the later release.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from instruct_data.sources.amass import read_amass
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.motion import Motion

SITE_NAMES = {
    "biomotionlab_ntroje": "bmlrub", "mpi_hdm05": "hdm05", "tcd_handmocap": "tcdhands", "mpi_mosh": "mosh",
    "eyes_japan_dataset": "eyesjapandataset", "transitions_mocap": "transitions", "mpi_limits": "poseprior",
    "ssm_synced": "ssm", "dfaust_67": "dfaust",
}  # fmt: skip
ENDINGS = ("_poses", "_stageii")
FOLDER = "amass_data"
RATES = ("mocap_framerate", "mocap_frame_rate", "fps")


def key_of(parts: Iterable[str]) -> str:
    """One name for a file, however its sub-set, its ending and its blanks are spelt."""
    plain = [p.casefold().replace(" ", "_") for p in parts if p not in (".", "")]
    subset = SITE_NAMES.get(plain[0], plain[0])
    rest = plain[1:]
    if rest and SITE_NAMES.get(rest[0], rest[0]) == subset:  # an archive in a folder called like it
        rest = rest[1:]
    stem = rest[-1].rpartition(".")[0] or rest[-1] if rest else ""
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    return "/".join([subset, *rest[:-1], stem])


@dataclass(frozen=True)
class AmassTree:
    """The ``.npz`` files below a folder of AMASS, by `key_of` their paths."""

    root: Path
    paths: dict[str, Path]

    @classmethod
    def of(cls, root: Path, why: str) -> AmassTree:
        """Look through a folder.

        Raises:
            UserError: no such folder, or no .npz in it.
        """
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; {why}: AMASS as unpacked, SUBSET/SUBJECT/NAME_poses.npz")
        found = sorted(p for p in root.rglob("*.npz") if p.stem not in ("shape", "neutral_stagei"))
        if not found:
            raise UserError(f"{root}: no .npz in it; {why}: AMASS as unpacked, SUBSET/SUBJECT/NAME_poses.npz")
        return cls(root, {key_of(p.relative_to(root).parts): p for p in found})

    def find(self, path: str) -> Path | None:
        """The file that a path below AMASS means; None where it is not there."""
        parts = [p for p in path.replace("\\", "/").split("/") if p not in (".", "")]
        return self.paths.get(key_of(parts)) if len(parts) > 1 else None


def rate_of(path: Path) -> float:
    """Frames a second of a file, without its poses.

    Raises:
        UserError: a file that cannot be read, or that says no rate.
    """
    found = [v for v in read_arrays(path, RATES).values() if v.size == 1]
    try:
        return float(found[0].reshape(()))
    except (IndexError, ValueError, TypeError):
        raise UserError(f"{path}: no frame rate; accepted one number as {' or '.join(RATES[:2])}") from None


@dataclass(frozen=True)
class AmassPart:
    """Loads seconds `start` to `stop` (None = to its end) of a file."""

    path: Path
    start: float = 0.0
    stop: float | None = None
    caption: str = ""

    def __call__(self) -> Motion:
        from vqvae import modalities

        motion = read_amass(self.path)
        first = round(self.start * motion.fps)
        last = len(motion) if self.stop is None else min(round(self.stop * motion.fps), len(motion))
        if last - first < 2:
            raise UserError(f"{self.path}: frames {first} to {last} of {len(motion)}; accepted at least 2")
        cut = motion.slice(first, last).resampled(modalities.get("body").fps)
        return cut.canonical().with_caption(self.caption)
