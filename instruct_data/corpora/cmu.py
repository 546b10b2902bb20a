"""CMU's motion capture (mocap.cs.cmu.edu): Acclaim's files as published, or the BVH files made of them (cgspeed.com).

What a trial shows stands in ``cmu-mocap-index-text.txt``, which comes with the BVH files: lines of a trial's name and
words. The BVH files begin with a frame of the rest pose, which is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.corpora.bodies import BodyFile, ready, taken
from instruct_data.corpora.layout import Layout, check_split, files
from instruct_data.sources.report import Report
from vqvae.errors import UserError
from vqvae.io.asf import AsfSkeleton, read_amc, read_asf
from vqvae.io.files import read_text
from vqvae.motion import Motion
from vqvae.retarget import retarget

LICENCE = "CMU mocap terms (free use with credit)"
_AMC = ("subjects/*/*.amc", "*/*.amc")
_BVH = ("*/*_*.bvh", "data/*/*_*.bvh", "*/*/*_*.bvh")
LAYOUT = Layout(
    "cmu", LICENCE, ("|".join((*_AMC, *_BVH)),),
    "subjects/NN/NN.asf with subjects/NN/NN_MM.amc, or NN/NN_MM.bvh; and, for captions, cmu-mocap-index-text.txt",
)  # fmt: skip
INDEX = "cmu-mocap-index-text.txt"
FPS = 120.0
MOST_TEXT = 16 << 20


@dataclass(frozen=True)
class _Amc:
    path: Path
    skeleton: AsfSkeleton
    fps: float
    caption: str

    def __call__(self) -> Motion:
        return ready(retarget(read_amc(self.path, self.skeleton, self.fps)), self.caption)


def read_cmu(
    folder: str | os.PathLike[str], report: Report, split: str | None = None, fps: float = FPS
) -> Iterator[Clip]:
    """Every trial; Acclaim's where both forms of one are there.

    Args:
        fps: of the .amc files, which do not say it: 120, of a few subjects 60.

    Raises:
        UserError: another folder, a split that there is not, or an index that is no text.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    told = index(root)
    skeletons: dict[Path, AsfSkeleton | UserError] = {}
    acclaim = files(root, *_AMC)
    seen = {path.stem for path in acclaim}
    for path in acclaim:
        own = path.with_name(f"{path.stem.split('_')[0]}.asf")
        if own not in skeletons:
            try:
                skeletons[own] = read_asf(own)
            except UserError as e:
                skeletons[own] = e
        found = skeletons[own]
        if isinstance(found, UserError):
            report.skip(path.stem, f"its skeleton {str(found).removeprefix(f'{own.parent}{os.sep}')}")
            continue
        texts = told.get(path.stem, [])
        load = _Amc(path, found, fps, texts[0] if texts else "")
        yield from taken(Clip(path.stem, load, texts, "cmu_amc", LICENCE, split or "train"), report)
    for path in files(root, *_BVH):
        if path.stem not in seen:
            seen.add(path.stem)
            texts = told.get(path.stem, [])
            load_bvh = BodyFile(path, texts[0] if texts else "", first=1)
            yield from taken(Clip(path.stem, load_bvh, texts, "cmu_bvh", LICENCE, split or "train"), report)


def index(root: Path) -> dict[str, list[str]]:
    """What is said of each trial, by its name; nothing where there is no index."""
    path = next((p for p in (root / INDEX, root.parent / INDEX) if p.is_file()), None)
    if path is None:
        return {}
    out: dict[str, list[str]] = {}
    for line in read_text(path, MOST_TEXT, "accepted UTF-8").splitlines():
        name, _, words = line.strip().replace("\t", " ").partition(" ")
        subject, mark, trial = name.partition("_")
        if mark and subject.isdecimal() and trial.isdecimal() and words.strip():
            out.setdefault(name, []).append(" ".join(words.split()))
    return out
