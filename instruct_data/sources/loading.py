"""Clips from files: read when they are loaded, brought to the floor and to the rate of their modality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.sources.corpus import MAX_TEXT_BYTES, Report
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import grounded
from vqvae.io.bvh import read_bvh
from vqvae.io.files import read_text
from vqvae.motion import Motion


def normalised(motion: Motion, caption: str = "") -> Motion:
    """The motion on the floor y = 0, first frame at the origin facing +Z, at the rate of its modality."""
    return grounded(motion).resampled(modalities.get(motion.modality).fps).canonical().with_caption(caption)


@dataclass(frozen=True)
class BvhFile:
    """Loads frames `first` to `stop` (not included; None = all) of a BVH, counted at the file's rate."""

    path: Path
    caption: str = ""
    first: int = 0
    stop: int | None = None
    hands: bool = False  # make it a gesture with the file's fingers instead of a body

    def __call__(self) -> Motion:
        motion = read_bvh(self.path, self.hands)
        stop = len(motion) if self.stop is None else min(self.stop, len(motion))
        if stop - self.first < 2:
            raise UserError(f"{self.path}: frames {self.first} to {stop} of {len(motion)}; accepted at least 2")
        return normalised(motion.slice(self.first, stop), self.caption)


def loaded(clip: Clip, report: Report) -> Iterator[Clip]:
    """The clip with its motion in memory; one that cannot be read is skipped with its reason."""
    try:
        motion = clip.load()
    except UserError as e:
        report.skip(clip.id, reason(e))
        return
    report.read += 1
    yield replace(clip, motion=motion)


def with_files(clip: Clip, files: Mapping[str, Path], report: Report, also: Iterable[Path] = ()) -> Iterator[Clip]:
    """The loaded clip with the paths of its files in ``extra``, before what is there; skipped where one is missing.

    Args:
        files: key in ``extra`` -> path: ``audio``, ``transcript`` (word times in the corpus' form).
        also: files that must exist but have no key of their own.
    """
    missing = next((path for path in (*files.values(), *also) if not path.is_file()), None)
    if missing is not None:
        report.skip(clip.id, f"no {missing.suffix.lstrip('.')} beside it")
        return
    yield from loaded(replace(clip, extra={**{k: str(p) for k, p in files.items()}, **clip.extra}), report)


def read_captions(path: Path, clip: str, report: Report | None) -> list[str] | None:
    """Lines of a text file, one caption each; a missing file means none.

    Returns:
        None for a file that is not UTF-8 text, for which `clip` is skipped.
    """
    try:
        lines = read_text(path, MAX_TEXT_BYTES, "accepted UTF-8").splitlines() if path.exists() else []
    except UserError as e:
        if report is None:
            raise
        report.skip(clip, f"captions: {reason(e)}")
        return None
    return [" ".join(line.split()) for line in lines if line.strip()]


def reason(error: UserError) -> str:
    """The message without the folders of the file that it begins with."""
    head, colon, tail = str(error).partition(": ")
    return f"{Path(head).name}{colon}{tail}" if colon and "/" in head else str(error)
