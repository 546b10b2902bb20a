"""Reader for a folder of BVH files with captions in text files beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.report import Report
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import grounded
from vqvae.io.bvh import read_bvh
from vqvae.io.files import read_text
from vqvae.motion import Motion

MOST_TEXT = 1 << 20  # bytes


@dataclass(frozen=True)
class _Load:
    path: Path
    caption: str

    def __call__(self) -> Motion:
        fps = modalities.get("body").fps
        return grounded(read_bvh(self.path)).resampled(fps).canonical().with_caption(self.caption)


def read_captions(path: Path, clip: str, report: Report | None) -> list[str] | None:
    """Lines of a text file, one caption each; a missing file means none.

    Returns:
        None for a file that is no UTF-8 text, of which the report, where there is one, says that `clip` is skipped.

    Raises:
        UserError: such a file when there is no report.
    """
    try:
        lines = read_text(path, MOST_TEXT, "accepted UTF-8").splitlines() if path.exists() else []
    except UserError as e:
        if report is None:
            raise
        report.skip(clip, f"captions: {str(e).removeprefix(f'{path}: ')}")
        return None
    return [" ".join(line.split()) for line in lines if line.strip()]


def checked(clip: Clip, path: Path, report: Report | None) -> Iterator[Clip]:
    """The clip as it is (read when it is needed) without a report; with one, read now, or skipped with its reason."""
    if report is None:
        yield clip
        return
    try:
        motion = clip.load()
    except UserError as e:
        report.skip(clip.id, str(e).removeprefix(f"{path}: "))
        return
    report.read += 1
    yield replace(clip, motion=motion)


def read_bvh_folder(
    folder: str | os.PathLike[str], source: str = "bvh", licence: str = "not stated", split: str = "train",
    report: Report | None = None,
) -> Iterator[Clip]:  # fmt: skip
    """Every ``*.bvh`` below a folder, at 20 fps, first frame at the origin facing +Z; captions from ``NAME.txt``.

    Clips that stand on another floor than y = 0 are brought there (`vqvae.ground`).

    Args:
        folder: searched with its sub-folders.
        source, licence, split: written into every clip.
        report: counts clips read and skipped; files that cannot be read are skipped only when it is given.

    Raises:
        UserError: no such folder, no BVH in it, or a bad file when there is no report.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() == ".bvh")
    if not files:
        raise UserError(f"{folder}: no .bvh files in it")
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        captions = read_captions(path.with_suffix(".txt"), name, report)
        if captions is None:
            continue
        load = _Load(path, captions[0] if captions else "")
        yield from checked(Clip(name, load, captions, source, licence, split), path, report)
