"""Which file of a folder answers which item of a suite.

A file is called as its item, or as the item and the number of the sample: ``017.npy``; ``017_0.npy``, ``017_1.npy``.
Or a list says what each name was asked: a CSV with the columns name and prompt, or JSON, ``{name: prompt}``; names with
one prompt are its samples, in the order of names.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io.guard import read_text
from vqvae.io.json_file import read_json

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
    found: dict[str, Path] = {}
    failed: list[dict[str, str]] = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name in LISTS or (names and path.resolve() == names.resolve()):
            continue
        if path.stem in found:
            failed.append({"item": path.name, "reason": f"{found[path.stem].name} has its name; accepted one of both"})
            continue
        found[path.stem] = path
    files: dict[str, list[Path]] = defaultdict(list)
    for name, item in _asked(sorted(found), items, names, failed):
        files[item.id].append(found[name])
    failed += [{"item": i.id, "reason": f"no file; asked was: {i.text}"} for i in items if i.id not in files]
    return Given(dict(files), failed)


def _asked(
    names: Sequence[str], items: Sequence[Item], listed: Path | None, failed: list[dict[str, str]]
) -> Iterable[tuple[str, Item]]:  # fmt: skip
    """Name and item of what is asked; what is not goes to `failed`."""
    if listed is None:
        by_id = {i.id: i for i in items}
        numbered: list[tuple[int, str, Item]] = []
        for name in names:
            stem, _, sample = name.rpartition("_")
            whole = name in by_id
            if not whole and not (sample.isdecimal() and stem in by_id):
                failed.append({"item": name, "reason": "the suite has no such item; accepted ids of `eval ask`"})
                continue
            numbered.append((0, name, by_id[name]) if whole else (int(sample), name, by_id[stem]))
        return [(name, item) for _, name, item in sorted(numbered, key=lambda n: (n[2].id, n[0], n[1]))]
    by_text = {plain(i.text): i for i in items}
    told = read_names(listed)
    failed += [
        {"item": n, "reason": f"no file of this name, which {listed.name} lists"} for n in told if n not in names
    ]
    out = []
    for name in names:
        item = by_text.get(plain(told[name])) if name in told else None
        if item is not None:
            out.append((name, item))
            continue
        said = f"the suite does not ask: {told[name]}" if name in told else f"{listed.name} does not name it"
        failed.append({"item": name, "reason": said})
    return out


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
