"""Reader for CMU's motion capture (mocap.cs.cmu.edu): Acclaim's files, or the BVH files made of them (cgspeed.com)."""

# Descriptions are in `cmu-mocap-index-text.txt`, which comes with the BVH files: lines of a trial's name and words. The
# BVH files begin with a frame of the rest pose, which is left out.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.sources.corpus import MAX_TEXT_BYTES, Corpus, Report, find_files
from instruct_data.sources.loading import BvhFile, loaded, normalised, reason
from vqvae.errors import UserError
from vqvae.io.asf import AsfSkeleton, read_amc, read_asf
from vqvae.io.files import read_text
from vqvae.motion import Motion
from vqvae.retarget import retarget

INDEX = "cmu-mocap-index-text.txt"
FPS = 120.0


@dataclass(frozen=True)
class _Amc:
    path: Path
    skeleton: AsfSkeleton
    fps: float
    caption: str

    def __call__(self) -> Motion:
        return normalised(retarget(read_amc(self.path, self.skeleton, self.fps)), self.caption)


def read_cmu(root: Path, corpus: Corpus, report: Report, split: str = "train", fps: float = FPS) -> Iterator[Clip]:
    """Every trial; Acclaim's where both forms of one are there. `fps`: of the .amc files, which do not say it: 120, of
    a few subjects 60.
    """
    captions = read_index(root)
    skeletons: dict[Path, AsfSkeleton | UserError] = {}
    acclaim = find_files(root, "subjects/*/*.amc", "*/*.amc")
    names = {path.stem for path in acclaim}
    for path in acclaim:
        asf = path.with_name(f"{path.stem.split('_')[0]}.asf")
        if asf not in skeletons:
            try:
                skeletons[asf] = read_asf(asf)
            except UserError as e:
                skeletons[asf] = e
        skeleton = skeletons[asf]
        if isinstance(skeleton, UserError):
            report.skip(path.stem, f"its skeleton {reason(skeleton)}")
            continue
        texts = captions.get(path.stem, [])
        load = _Amc(path, skeleton, fps, texts[0] if texts else "")
        yield from loaded(Clip(path.stem, load, texts, "cmu_amc", corpus.licence, split), report)
    for path in find_files(root, "*/*_*.bvh", "data/*/*_*.bvh", "*/*/*_*.bvh"):
        if path.stem not in names:
            names.add(path.stem)
            texts = captions.get(path.stem, [])
            bvh = BvhFile(path, texts[0] if texts else "", first=1)
            yield from loaded(Clip(path.stem, bvh, texts, "cmu_bvh", corpus.licence, split), report)


def read_index(root: Path) -> dict[str, list[str]]:
    """Descriptions of each trial, by its name; empty where there is no index."""
    path = next((p for p in (root / INDEX, root.parent / INDEX) if p.is_file()), None)
    if path is None:
        return {}
    out: dict[str, list[str]] = {}
    for line in read_text(path, MAX_TEXT_BYTES, "accepted UTF-8").splitlines():
        name, _, words = line.strip().replace("\t", " ").partition(" ")
        subject, mark, trial = name.partition("_")
        if mark and subject.isdecimal() and trial.isdecimal() and words.strip():
            out.setdefault(name, []).append(" ".join(words.split()))
    return out
