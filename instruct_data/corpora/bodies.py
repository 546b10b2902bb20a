"""What readers of recorded bodies share: files that load when they are needed, and what becomes of bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.sources.report import Report
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import grounded
from vqvae.io.bvh import read_bvh
from vqvae.motion import Motion


def ready(motion: Motion, caption: str = "") -> Motion:
    """A body on the floor y = 0, first frame at the origin facing +Z, at the rate of its modality."""
    return grounded(motion).resampled(modalities.get("body").fps).canonical().with_caption(caption)


@dataclass(frozen=True)
class BodyFile:
    """Loads a BVH, or frames `first` to `stop` (not included; None = all) of it, at the file's rate."""

    path: Path
    caption: str = ""
    first: int = 0
    stop: int | None = None

    def __call__(self) -> Motion:
        motion = read_bvh(self.path)
        stop = len(motion) if self.stop is None else min(self.stop, len(motion))
        if stop - self.first < 2:
            raise UserError(f"{self.path}: frames {self.first} to {stop} of {len(motion)}; accepted at least 2")
        return ready(motion.slice(self.first, stop), self.caption)


def taken(clip: Clip, report: Report) -> Iterator[Clip]:
    """The clip with its motion read; skipped with its reason where that cannot be."""
    try:
        motion = clip.load()
    except UserError as e:
        report.skip(clip.id, reason(e))
        return
    report.read += 1
    yield replace(clip, motion=motion)


def reason(error: UserError) -> str:
    """What is wrong, without the folders of the file."""
    head, colon, rest = str(error).partition(": ")
    return f"{Path(head).name}{colon}{rest}" if colon and "/" in head else str(error)
