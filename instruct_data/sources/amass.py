"""Reader for AMASS, SMPL-H and SMPL-X ``.npz`` files: axis-angle poses, Z up, any frame rate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.bvh import checked, read_captions
from instruct_data.sources.report import Report
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def read_amass(path: str | os.PathLike[str], up: str = "z") -> Motion:
    """One file as a Motion at its own frame rate, on the project's skeleton, standing on y = 0.

    The body shape is not carried over: translations are scaled by nothing, and the clip is set on the floor by its
    lowest toes.

    Args:
        up: ``z`` (AMASS) or ``y`` (files that were turned already).

    Raises:
        UserError: names the file and what is wrong with it.
    """
    motion = read_smplx(path, up)
    toes = motion.joints[:, [SMPL22.index("l_foot"), SMPL22.index("r_foot")], 1].min(1)
    shift = np.array([0.0, 0.02 - np.percentile(toes, 2), 0.0])
    return motion.moved(0.0, shift)


@dataclass(frozen=True)
class _Load:
    path: Path
    caption: str
    up: str

    def __call__(self) -> Motion:
        fps = modalities.get("body").fps
        return read_amass(self.path, self.up).resampled(fps).canonical().with_caption(self.caption)


def read_amass_folder(
    folder: str | os.PathLike[str], licence: str = "AMASS licence (non-commercial research)", split: str = "train",
    up: str = "z", report: Report | None = None,
) -> Iterator[Clip]:  # fmt: skip
    """Every motion below a folder at 20 fps; the first sub-folder is its source; captions from ``NAME.txt``.

    ``shape.npz`` and other files without poses are skipped with their reason when there is a report.

    Raises:
        UserError: no such folder, nothing in it, or a bad file when there is no report.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    files = sorted(folder.rglob("*.npz"))
    if not files:
        raise UserError(f"{folder}: no .npz files in it")
    for path in files:
        relative = path.relative_to(folder)
        name = relative.with_suffix("").as_posix()
        captions = read_captions(path.with_suffix(".txt"), name, report)
        if captions is None:
            continue
        load = _Load(path, captions[0] if captions else "", up)
        source = relative.parts[0] if len(relative.parts) > 1 else "amass"
        yield from checked(Clip(name, load, captions, source, licence, split), path, report)
