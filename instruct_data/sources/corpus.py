"""Description of a published corpus, its clips from files, and the report of what a reader used and left out."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

from instruct_data.clip import SPLITS, Clip
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import ground_motion
from vqvae.io.bvh import read_bvh
from vqvae.io.files import read_text
from vqvae.io.folders import folder_means
from vqvae.motion import Motion

MAX_TEXT_BYTES = 64 << 20  # of a list, a table or a caption file
LISTED_ENTRIES = 6  # of a folder, in an error message
MIN_SECONDS, LONG_SECONDS = 0.2, 30.0  # of a recording, and from which its captions hardly say when what is done


@dataclass
class Report:
    """Counts of a reading, filled while it runs."""

    read: int = 0  # clips yielded
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (clip, reason) of every clip left out
    notes: Counter[str] = field(default_factory=Counter)  # how often something was repaired or dropped within clips

    def skip(self, clip: str, reason: str) -> None:
        self.skipped.append((clip, reason))

    def include(self, later: Report) -> None:
        """Add the report of a reading that follows."""
        self.read += later.read
        self.skipped += later.skipped
        self.notes.update(later.notes)

    def reasons(self) -> list[str]:
        """Every reason with its count and its first clips, the commonest first."""
        clips: dict[str, list[str]] = defaultdict(list)
        for clip, reason in self.skipped:
            clips[reason].append(clip)
        ordered = sorted(clips.items(), key=lambda item: -len(item[1]))
        return [f"{reason} ({len(ids)}x: {', '.join(ids[:3])}{', ...' * (len(ids) > 3)})" for reason, ids in ordered]

    def __str__(self) -> str:
        lines = [f"{self.read} clips read, {len(self.skipped)} skipped"]
        lines += [f"  skipped: {reason}" for reason in self.reasons()]
        lines += [f"  note: {note} ({n}x)" for note, n in self.notes.most_common()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Corpus:
    """One corpus that `avatargpt data build` reads."""

    name: str
    # ``module:function`` in this package, called with root, corpus, report and the options; imported on use
    reader: str
    licence: str  # terms written into every clip
    tree: str  # the folder as its site gives it, for people
    gives: str  # what the clips of the store are
    needs: tuple[str, ...]  # glob patterns that must match below the folder; `|` separates alternatives
    options: tuple[str, ...] = ("split",)  # further parameters of the reader
    suffixes: tuple[str, ...] = ()  # of single files that are accepted in place of a folder

    def locate(self, folder: str | os.PathLike[str]) -> Path:
        """The folder that holds the corpus: `folder`, or the one folder in it that does (as archives unpack)."""
        folder = Path(folder).absolute()  # clips name files of it, and a store is read from anywhere
        if folder.suffix.lower() in self.suffixes and folder.is_file():
            return folder
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; {self.name} expects {self.tree}")
        if not self.list_missing(folder):
            return folder
        candidates = [p for p in sorted(folder.iterdir()) if p.is_dir() and not self.list_missing(p)]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = ", ".join(p.name for p in candidates[:LISTED_ENTRIES])
            raise UserError(f"{folder}: holds {len(candidates)} folders of {self.name}: {names}; accepted: one of them")
        raise UserError(
            f"{folder}: no {' and no '.join(self.list_missing(folder))}; {self.name} expects {self.tree}; "
            f"found {contents(folder)}"
        )

    def list_missing(self, folder: Path) -> list[str]:
        """The needs that a folder does not meet."""
        return [need for need in self.needs if not any(any(folder.glob(p)) for p in need.split("|"))]

    def read_lists(self, folder: Path, split: str | None, report: Report) -> Iterator[tuple[str, str]]:
        """(split, name) of every clip in the lists train.txt, val.txt and test.txt of a folder.

        Mirrored clips (``M...``) are left out: training mirrors by itself. A split without a list is noted, unless it
        is the one that `split` names.
        """
        for part in SPLITS if split is None else (split,):
            path = folder / f"{part}.txt"
            if split is None and not path.is_file():
                report.notes[f"no {part}.txt, so no clips of that split"] += 1
                continue
            for name in read_text(path, MAX_TEXT_BYTES, f"{self.name} expects {self.tree}").split():
                if name.startswith("M"):
                    report.notes["mirrored clip, which training makes by itself"] += 1
                else:
                    yield part, name


def contents(folder: Path) -> str:
    """A folder's first entries, sub-folders with a slash, and their number."""
    entries = sorted(folder.iterdir())
    names = ", ".join(p.name + "/" * p.is_dir() for p in islice(entries, LISTED_ENTRIES))
    return f"{names}{', ...' * (len(entries) > LISTED_ENTRIES)} ({len(entries)})" if entries else "nothing"


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """The files that match any of the patterns, sorted, each once."""
    return sorted({p for pattern in patterns for p in folder.glob(pattern) if p.is_file()})


def normalise_motion(motion: Motion, caption: str = "") -> Motion:
    """The motion on the floor y = 0, first frame at the origin facing +Z, at the rate of its modality."""
    return ground_motion(motion).resampled(modalities.get(motion.modality).fps).canonical().with_caption(caption)


def load_bvh(path: Path, caption: str = "", first: int = 0, stop: int | None = None, hands: bool = False) -> Motion:
    """Frames `first` to `stop` (not included; None = all) of a BVH, counted at the file's rate; a gesture with the
    file's fingers where `hands`, else a body.
    """
    motion = read_bvh(path, hands, means=partial(folder_means, path))
    stop = len(motion) if stop is None else stop
    if not first < stop <= len(motion):
        raise UserError(f"{path}: frames {first} to {stop} of {len(motion)}; accepted those there")
    return normalise_motion(motion.slice(first, stop), caption)


def load_clip(clip: Clip, report: Report) -> Iterator[Clip]:
    """The clip with its motion in memory; one that cannot be read is skipped with its reason."""
    try:
        motion = clip.load()
        if motion.seconds < MIN_SECONDS:
            raise UserError(f"{motion.seconds:.2g} s; accepted at least {MIN_SECONDS:g}")
    except UserError as e:
        report.skip(clip.id, reason(e))
        return
    if clip.captions and motion.seconds > LONG_SECONDS:
        report.notes[f"clip of more than {LONG_SECONDS:g} s under one caption; cut it where another action begins"] += 1
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
    yield from load_clip(replace(clip, extra={**{k: str(p) for k, p in files.items()}, **clip.extra}), report)


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
