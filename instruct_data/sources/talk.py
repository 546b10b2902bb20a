"""What the readers of talking people share: takes with their sound, words and listener, and one line for what lacks.

A clip's ``extra`` says where what belongs to it lies, as paths: ``audio``, ``transcript`` (word times as the corpus has
them), ``interlocutor`` (the same of the other person), beside ``speaker`` and what the corpus says of the style.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.report import Report
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import grounded
from vqvae.io.bvh import read_bvh
from vqvae.motion import Motion


@dataclass(frozen=True)
class Corpus:
    """What is the same for all clips of a corpus.

    Attributes:
        source: its short name. licence: its terms. tree: the files as it is published, for messages.
    """

    source: str
    licence: str
    tree: str


def opened(folder: str | os.PathLike[str], corpus: Corpus, split: str | None = None) -> Path:
    """The folder of a corpus.

    Raises:
        UserError: no such folder, or a split that there is not.
    """
    folder = Path(folder)
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {corpus.source} is accepted as {corpus.tree}")
    return folder


def found(folder: Path, pattern: str, corpus: Corpus) -> list[Path]:
    """The files of a pattern, sorted.

    Raises:
        UserError: none.
    """
    files = sorted(p for p in folder.glob(pattern) if p.is_file())
    if not files:
        raise UserError(f"{folder}: no {pattern}; {corpus.source} is accepted as {corpus.tree}")
    return files


@dataclass(frozen=True)
class BvhGesture:
    """Loads a take of any rig as a gesture with its fingers, on the floor, at the modality's rate."""

    path: Path

    def __call__(self) -> Motion:
        return ready(read_bvh(self.path, hands=True))


def ready(motion: Motion, caption: str = "") -> Motion:
    """A gesture on the floor y = 0, first frame at the origin facing +Z, at the rate of its modality."""
    return grounded(motion).resampled(modalities.get("gesture").fps).canonical().with_caption(caption)


def take(
    name: str, load: Callable[[], Motion], corpus: Corpus, split: str, needed: Mapping[str, Path],
    about: Mapping[str, Any], report: Report | None, others: Iterable[Path] = (), action: str = "",
) -> Iterator[Clip]:  # fmt: skip
    """One clip, if all that belongs to it is there; what is not skips it with its reason where there is a report.

    Args:
        needed: name in ``extra`` -> file. about: what else ``extra`` says. others: files that must be there too.

    Raises:
        UserError: a missing file, or a motion that cannot be read, without a report.
    """
    lacking = next((path for path in (*needed.values(), *others) if not path.is_file()), None)
    if lacking is not None:
        if report is None:
            raise UserError(f"{lacking}: no such file, which belongs to {name}; accepted {corpus.tree}")
        report.skip(name, f"no {lacking.suffix.lstrip('.')} beside it")
        return
    extra = {**{key: str(path) for key, path in needed.items()}, **about}
    clip = Clip(name, load, [], corpus.source, corpus.licence, split, action, extra=extra)
    if report is None:
        yield clip
        return
    try:
        motion = clip.load()
    except UserError as e:
        report.skip(name, str(e).rsplit("/", 1)[-1])
        return
    report.read += 1
    yield replace(clip, motion=motion)
