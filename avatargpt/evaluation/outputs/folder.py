"""Which file of a folder answers which item of a suite.

A file is called as its item, or as the item and the number of the sample: ``017.npy``; ``017_0.npy``, ``017_1.npy``.
Or a list says what each name was asked: a CSV with the columns name and prompt, or JSON, ``{name: prompt}``; names with
one prompt are its samples, in the order of names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io.data_files import read_json
from vqvae.io.files import read_text

SUFFIXES = (".npy", ".npz", ".bvh", ".glb", ".gltf", ".vrma", ".csv", ".json")
LISTS = ("prompts.csv", "prompts.json")
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Item:
    """One thing that is asked: what its file is called, and in which words."""

    id: str
    text: str


@dataclass(frozen=True)
class Given:
    """Files by item, in the order of samples, and what does not fit, ``{item, reason}``."""

    files: Mapping[str, Sequence[Path]]
    failed: Sequence[dict[str, str]]

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents."""
        total = hashlib.sha256()
        for path in sorted({p for paths in self.files.values() for p in paths}):
            total.update(path.name.encode(errors="surrogateescape") + b"\0")
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()


def plain(text: str) -> str:
    """A prompt without what lists change in it: case, spaces, the point at its end."""
    return " ".join(text.split()).rstrip(".").casefold()


def gather(folder: Path, items: Sequence[Item], names: Path | None = None) -> Given:
    """Match the files of a folder with the items of a suite.

    Args:
        names: the list of names; None = ``prompts.csv`` or ``prompts.json`` in the folder, or names as ids.

    Raises:
        UserError: no such folder, or a list that cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"--outputs {folder}: no such folder; accepted one of {', '.join(SUFFIXES)}")
    if names is None:
        names = next((folder / n for n in LISTS if (folder / n).is_file()), None)
    told = None if names is None else read_names(names)
    asked = _Asked.of(items, told, "" if names is None else names.name)
    found: dict[str, Path] = {}
    failed: list[dict[str, str]] = []
    others: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name in LISTS or (names and path.resolve() == names.resolve()):
            continue
        if path.is_dir() or path.suffix.lower() not in SUFFIXES:
            others.append(path)
        elif path.stem in found:
            failed.append({"item": path.name, "reason": f"{found[path.stem].name} has its name; accepted one of both"})
        else:
            found[path.stem] = path
    failed += _unread(others, asked, found)
    if names is not None:
        failed += [{"item": n, "reason": f"no file of this name, which {names.name} lists"}
                   for n in told or () if n not in found]  # fmt: skip
    files: dict[str, list[tuple[int, str, Path]]] = defaultdict(list)
    for name, path in found.items():
        match = asked.item(name)
        if match is None:
            failed.append({"item": name, "reason": asked.why_not(name)})
        else:
            files[match[0].id].append((match[1], name, path))
    failed += [{"item": i.id, "reason": f"no file; asked was: {i.text}"} for i in items if i.id not in files]
    return Given({k: [path for *_, path in sorted(some)] for k, some in sorted(files.items())}, failed)


def _unread(others: Sequence[Path], asked: _Asked, found: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """Folders, and files of formats that are not read, which seem to be meant: with a name that is asked and no other
    file of that name."""

    def meant(path: Path) -> bool:
        return path.is_file() and path.stem not in found and bool(asked.item(path.stem) or asked.item(path.name))

    for path in others:
        if path.is_dir():
            if count := sum(map(meant, path.rglob("*"))):
                said = f"{count} file{'s' * (count > 1)} with names that are asked; accepted files beside this folder"
                yield {"item": f"{path.name}/", "reason": said}
        elif meant(path):
            yield {"item": path.name, "reason": f"no format that is read; accepted {', '.join(SUFFIXES)}"}


@dataclass(frozen=True)
class _Asked:
    """Items by the names of their files.

    Attributes:
        items: by id, or by their words where a list is told. told: name -> prompt; None = names are ids. listed: name
            of the list.
    """

    items: Mapping[str, Item]
    told: Mapping[str, str] | None
    listed: str

    @classmethod
    def of(cls, items: Sequence[Item], told: Mapping[str, str] | None, listed: str) -> _Asked:
        return cls({i.id if told is None else plain(i.text): i for i in items}, told, listed)

    def item(self, name: str) -> tuple[Item, int] | None:
        """What a file of this name answers, and its number among the samples; None = nothing."""
        if self.told is not None:
            found = self.items.get(plain(self.told[name])) if name in self.told else None
            return None if found is None else (found, 0)
        stem, _, sample = name.rpartition("_")
        if name in self.items:
            return self.items[name], 0
        return (self.items[stem], int(sample)) if sample.isdecimal() and stem in self.items else None

    def why_not(self, name: str) -> str:
        """Why a name answers nothing."""
        if self.told is not None:
            said = self.told.get(name)
            return f"{self.listed} does not name it" if said is None else f"the suite does not ask: {said}"
        near = {_unpadded(i): i for i in self.items}
        stem, _, sample = name.rpartition("_")
        hint = near.get(_unpadded(name)) or (near.get(_unpadded(stem)) if sample.isdecimal() else None)
        said = "the suite has no such item"
        return f"{said}{f', did you mean {hint}?' if hint else ''}; accepted ids of `eval ask`"


def _unpadded(name: str) -> str:
    """A name with its numbers as whole numbers: 007 and 7 are alike."""
    return re.sub(r"\d+", lambda m: str(int(m[0])), name)


def read_names(path: Path) -> dict[str, str]:
    """Name -> prompt.

    Raises:
        UserError: no CSV with the columns name and prompt, no JSON object of texts, or a name twice.
    """
    accepted = "accepted a CSV with the columns name and prompt, or JSON {name: prompt}"
    if path.suffix.lower() == ".json":
        value = read_json(path, MOST_BYTES, accepted)
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise UserError(f"{path}: no object of texts; {accepted}")
        return {str(Path(k).stem if Path(k).suffix.lower() in SUFFIXES else k): v for k, v in value.items()}
    rows = csv_rows(path, accepted)
    out: dict[str, str] = {}
    for line, row in rows:
        name = row.get("name") or row.get("id") or ""
        if not name or not row.get("prompt"):
            raise UserError(f"{path}: line {line}: no name or no prompt; {accepted}")
        name = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
        if name in out:
            raise UserError(f"{path}: line {line}: {name} a second time; accepted every name once")
        out[name] = row["prompt"]
    return out


def csv_rows(path: Path, accepted: str) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV by the names of its first line, with their line numbers; cells without a name are left out.

    Raises:
        UserError: not readable, or damaged quoting.
    """
    reader = csv.DictReader(io.StringIO(read_text(path, MOST_BYTES, accepted)), strict=True)
    out = []
    try:
        for row in reader:
            kept = {k.strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(k, str)}
            out.append((reader.line_num, kept))
    except csv.Error as e:
        raise UserError(f"{path}: line {reader.line_num}: {e}; {accepted}") from None
    return out
