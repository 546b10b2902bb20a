"""What the folder of a published corpus holds, and one exact line for a folder that holds something else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from instruct_data.clip import SPLITS
from instruct_data.sources.report import Report
from vqvae.errors import UserError
from vqvae.io.files import read_text

MOST_TEXT = 32 << 20  # bytes of a list or a table
SHOWN = 6  # entries of a folder that a complaint names


@dataclass(frozen=True)
class Layout:
    """One corpus.

    Attributes:
        name: of the corpus, as the command takes it.
        licence: terms of its clips.
        needs: what must be there: patterns below the folder, `|` between those of which one suffices.
        tree: the folder in words, for people.
    """

    name: str
    licence: str
    needs: tuple[str, ...]
    tree: str

    def opened(self, folder: str | os.PathLike[str]) -> Path:
        """The folder that holds the corpus: `folder`, or the one folder in it that does (as archives unpack).

        Raises:
            UserError: no folder, or none that holds it: what is missing, what is expected, what was found.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; {self.name} expects {self.tree}")
        if not self.lacking(folder):
            return folder
        inside = [p for p in sorted(folder.iterdir()) if p.is_dir() and not self.lacking(p)]
        if len(inside) == 1:
            return inside[0]
        if inside:
            names = ", ".join(p.name for p in inside[:SHOWN])
            raise UserError(f"{folder}: holds {len(inside)} folders of {self.name}: {names}; accepted: one of them")
        raise UserError(
            f"{folder}: no {' and no '.join(self.lacking(folder))}; {self.name} expects {self.tree}; "
            f"found {held(folder)}"
        )

    def listed(self, folder: Path, split: str | None, report: Report) -> Iterator[tuple[str, str]]:
        """(split, name) of every clip in the lists train.txt, val.txt and test.txt of a folder.

        Mirrored ones (``M...``) are left out, which training makes by itself, and so are splits without a list unless
        one is asked for.

        Raises:
            UserError: no list of the split that is asked for.
        """
        for part in SPLITS if split is None else (split,):
            path = folder / f"{part}.txt"
            if split is None and not path.is_file():
                report.notes[f"no {part}.txt, so no clips of that split"] += 1
                continue
            for name in read_text(path, MOST_TEXT, f"{self.name} expects {self.tree}").split():
                if name.startswith("M"):
                    report.notes["mirrored clip, which training makes by itself"] += 1
                else:
                    yield part, name

    def lacking(self, folder: Path) -> list[str]:
        """The needs that a folder does not meet."""
        return [need for need in self.needs if not any(_any(folder, pattern) for pattern in need.split("|"))]


def _any(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None


def held(folder: Path) -> str:
    """What a folder holds, in words: a few names, folders with a slash, and how many there are."""
    entries = sorted(folder.iterdir())
    names = ", ".join(p.name + "/" * p.is_dir() for p in islice(entries, SHOWN))
    return f"{names}{', ...' * (len(entries) > SHOWN)} ({len(entries)})" if entries else "nothing"


def check_split(split: str | None) -> None:
    """Raises UserError for a split that there is not."""
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")


def files(folder: Path, *patterns: str) -> list[Path]:
    """The files of any of the patterns, sorted, each once."""
    return sorted({p for pattern in patterns for p in folder.glob(pattern) if p.is_file()})
