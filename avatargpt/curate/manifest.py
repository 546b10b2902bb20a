"""The films of a run: what lies in folders, what stands beside each film, and its SHA-256."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avatargpt.video.frames import FILMS
from instruct_data.planning import tidy
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, read_text, sha256

BESIDE = (".txt", ".json", ".info.json")  # NAME.txt: a caption a line; NAME.json, NAME.info.json: an object
MAX_TEXT = 1 << 20  # bytes of a file beside a film that are read
MAX_CAPTIONS, MAX_CHARACTERS = 20, 1000
HASHES = "hashes.json"


@dataclass(frozen=True)
class FilmFile:
    """A film of the run.

    Attributes:
        name: its path below the folder that was named, without suffix: the name of its clips.
        title, captions, licence, speaker: what stands beside it; empty where nothing does.
        problem: why it cannot be used, empty where it may be.
    """

    name: str
    path: str
    sha256: str = ""
    title: str = ""
    captions: tuple[str, ...] = ()
    licence: str = ""
    speaker: str = ""
    problem: str = ""


def films_of(places: Sequence[Path], folder: Path) -> list[FilmFile]:
    """The films that files and folders (with their sub-folders) hold, in the order of their names.

    Args:
        folder: holds the SHA-256 of files by size and time, so that a film is read for it once.

    Raises:
        UserError: no such place, no film in it, two films of one name.
    """
    files_by_name: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            files = sorted(p for p in place.rglob("*") if p.suffix.lower() in FILMS and not p.name.startswith("."))
            names = Counter(_name(p.relative_to(place)) for p in files)
            # the suffix belongs to the names of films that differ in nothing else
            rows = {n + p.suffix * (names[n] > 1): p for p in files for n in [_name(p.relative_to(place))]}
        elif place.exists():
            rows = {_name(Path(place.name)): place}
        else:
            raise UserError(f"{place}: no such file or folder; accepted films ({' '.join(FILMS)}) and folders of them")
        if clash := next((n for n in rows if n in files_by_name and files_by_name[n] != rows[n]), None):
            raise UserError(f"{rows[clash]}: {files_by_name[clash]} has that name, too; accepted: different names")
        files_by_name |= rows
    if not files_by_name:
        raise UserError(f"{', '.join(map(str, places))}: no film in it; accepted {' '.join(FILMS)}")
    hashes: dict[str, list[Any]] = {}
    with suppress(UserError):
        hashes = read_object(folder / HASHES)
    films = [_film(name, path, hashes) for name, path in sorted(files_by_name.items())]
    text = json.dumps(hashes, indent=1, sort_keys=True)
    atomic_write(folder / HASHES, lambda p: p.write_text(text, encoding="utf-8"))
    return _without_copies(films)


def _name(path: Path) -> str:
    """A path without its suffix as text, whatever bytes it is made of."""
    return path.with_suffix("").as_posix().encode(errors="replace").decode()


def _film(name: str, path: Path, hashes: dict[str, list[Any]]) -> FilmFile:
    film = FilmFile(name, str(path))
    if not path.is_file():
        return replace(film, problem="not a regular file")
    about = path.stat()
    key = [about.st_size, about.st_mtime_ns]
    place = os.path.realpath(path)
    if not about.st_size:
        return replace(film, problem="an empty file")
    if hashes.get(place, [None])[:-1] != key:
        try:
            hashes[place] = [*key, sha256(path)]
        except OSError as e:
            return replace(film, problem=f"cannot be read ({e.strerror or e})")
    try:
        return replace(film, sha256=hashes[place][-1], **_beside(path))
    except UserError as e:
        return replace(film, sha256=hashes[place][-1], problem=str(e).replace(f"{path.parent}{os.sep}", ""))


def _beside(path: Path) -> dict[str, Any]:
    """What the files beside a film say of it."""
    row: dict[str, Any] = {}
    captions: list[str] = []
    for suffix in BESIDE:
        file = path.with_name(path.stem + suffix)
        if not file.is_file():
            continue
        if suffix == ".txt":
            captions += read_text(file, MAX_TEXT).splitlines()
            continue
        about = read_object(file, MAX_TEXT)
        listed = about.get("captions", [])
        captions += [c for c in listed if isinstance(c, str)] if isinstance(listed, list) else []
        # what yt-dlp writes calls them so: title, license, uploader
        for key, names in {"title": ("title",), "licence": ("licence", "license"), "speaker": ("speaker",)}.items():
            text = next((v for n in names if isinstance(v := about.get(n), str) and v.strip()), "")
            row[key] = row.get(key) or tidy(text)[:MAX_CHARACTERS]
    lines = [tidy(c)[:MAX_CHARACTERS] for c in captions if tidy(c)]
    return row | {"captions": tuple(dict.fromkeys(lines))[:MAX_CAPTIONS]}


def _without_copies(films: Sequence[FilmFile]) -> list[FilmFile]:
    """Films whose bytes are those of an earlier one get that as their problem."""
    first: dict[str, str] = {}
    out = []
    for film in films:
        earlier = first.setdefault(film.sha256, film.name) if film.sha256 else film.name
        copy = earlier != film.name and not film.problem
        out.append(replace(film, problem=f"the same file as {earlier}") if copy else film)
    return out


def words_of_name(film: FilmFile) -> str:
    """A title, or the words of the file's name: ``walk_behind_wall`` -> ``walk behind wall``."""
    stem = film.name.rsplit("/", 1)[-1]
    words = "".join(c if c.isalpha() or c in "'" else " " for c in stem).split()
    return film.title or " ".join(w for w in words if len(w) > 1)
