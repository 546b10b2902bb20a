"""Readers of data files: JSON, JSON lines, YAML, NumPy arrays, numbers in text.

Sizes, depths and types are checked before anything is built from a file, and nothing in a file is ever called.
"""

from __future__ import annotations

import json
import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.files import parsing, read_bytes, read_text, reason, regular_file

MAX_JSON_BYTES = 32 << 20  # parsed, JSON takes up to twenty times as much memory
MAX_JSON_LINES_BYTES = 2 << 30
MAX_UNPACKED_TEXT = 256 << 20
MAX_YAML_BYTES = 4 << 20
MAX_YAML_DEPTH = 64  # libyaml's reader goes one call deeper for each and has no bound of its own
MAX_YAML_NODES = 500_000  # with the values of aliases: a few lines of them can unfold to more than any memory
MAX_YAML_WORD = 10_000  # characters of a possible number: parsing `1:1:1:...` takes time that grows with its square
UNPACKED_BYTES = 64 << 20  # that any .npz may unfold to
UNPACKED_RATIO = 20  # times its size that a larger one may: compressed motion takes a fifth to a half of its size
MAX_ROWS = 1 << 28
MAX_HEADER_BYTES = 1 << 16
_ELEMENTS = "biufUS"  # kinds of array elements: booleans, numbers, texts
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def parse_json(text: str | bytes, where: str | os.PathLike[str], accepted: str = "") -> Any:
    """The value of a JSON text; `where` names its source and `accepted` what is accepted, for the message."""
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as e:
        raise UserError(f"{where}: not JSON ({reason(e)}){'; ' * bool(accepted)}{accepted}") from None


def read_json(path: str | os.PathLike[str], limit: int = MAX_JSON_BYTES, accepted: str = "") -> Any:
    """The value of a JSON file of at most `limit` bytes."""
    return parse_json(read_bytes(path, limit, accepted), path, accepted)


def read_object(path: str | os.PathLike[str], limit: int = MAX_JSON_BYTES, accepted: str = "") -> dict[str, Any]:
    """As `read_json`, of a file that holds an object."""
    value = read_json(Path(path), limit, accepted)
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise UserError(f"{path}: not a JSON object but a {kind}{'; ' * bool(accepted)}{accepted}")
    return value


def json_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines with their line numbers (from 1), without empty lines.

    A file whose name ends in .gz or .xz is decompressed; nothing is written.
    """
    file = Path(path)
    text = read_packed(file) if file.suffix in (".gz", ".xz") else read_text(file, MAX_JSON_LINES_BYTES)
    lines = text.split("\n")  # splitlines() also cuts at U+2028, which JSON may hold
    for i, line in enumerate(lines, 1):
        if line.strip():
            yield i, parse_json(line, f"{file}: line {i}")


def read_packed(path: Path, limit: int = MAX_UNPACKED_TEXT) -> str:
    """The UTF-8 text of a .gz or .xz of one stream that unfolds to at most `limit` bytes."""
    packed = read_bytes(path, limit)
    with parsing(path, f"a complete {path.suffix}"):
        stream = lzma.LZMADecompressor() if path.suffix == ".xz" else zlib.decompressobj(zlib.MAX_WBITS | 16)
        data = stream.decompress(packed, limit)
        if not stream.eof:
            raise ValueError(f"larger than {limit >> 20} MiB" if len(data) == limit else "cut short")
        return data.decode("utf-8")


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The data of a YAML file."""
    return parse_yaml(read_text(path, MAX_YAML_BYTES), path)


def parse_yaml(text: str, where: str | os.PathLike[str]) -> Any:
    """The data of a YAML text, read by libyaml where PyYAML has it (ten times as fast); `where` names its source."""
    import yaml

    try:
        _check_yaml_size(text)
        return yaml.load(text, Loader=_yaml_loader())
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not YAML ({getattr(e, 'problem', None) or reason(e)})") from None
    except Exception as e:  # constructors of dates, numbers and keys raise anything
        raise UserError(f"{where}: not YAML ({reason(e)})") from None


@cache
def _yaml_loader() -> Any:
    """A safe loader that refuses a repeated key of a mapping."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys: set[str] = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    raise _yaml_error(f"the key {key.value[:40]!r} is there twice", key)
                if isinstance(key, yaml.ScalarNode):
                    keys.add(key.value)
            return super().construct_mapping(node, deep)

    return Loader


def _check_yaml_size(text: str) -> None:
    """Walk the events of a text, which takes no depth, before anything is built from them."""
    import yaml

    depth, total = 0, 0
    sizes: dict[str, int] = {}  # of anchors, with the values of the aliases inside
    open_anchors: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=_yaml_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            open_anchors.append((event.anchor, total))
            total += 1
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_anchors.pop()
            if anchor is not None:
                sizes[anchor] = total - before
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if event.implicit[0] and len(event.value) > MAX_YAML_WORD:
                raise _yaml_error(f"a word of {len(event.value)} characters; accepted {MAX_YAML_WORD}", event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _yaml_error(f"*{event.anchor} stands for nothing, or for what it is part of", event)
            # an alias counts as much as what it stands for
            total += sizes[event.anchor]
        if depth > MAX_YAML_DEPTH:
            raise _yaml_error(f"nested more than {MAX_YAML_DEPTH} deep", event)
        if total > MAX_YAML_NODES:
            raise _yaml_error(f"more than {MAX_YAML_NODES} values", event)


def _yaml_error(problem: str, at: Any) -> Exception:
    import yaml

    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


def array_names(path: str | os.PathLike[str]) -> set[str]:
    """Names of the arrays of an `.npz`; none of a damaged one, which `read_arrays` refuses."""
    path = regular_file(path)
    try:
        with zipfile.ZipFile(path) as z:
            return {n.removesuffix(".npy") for n in z.namelist()}
    except Exception:  # zipfile raises anything for damaged archives
        return set()


def read_arrays(
    path: str | os.PathLike[str], names: tuple[str, ...] | None = None, max_rows: int = MAX_ROWS
) -> dict[str, Any]:
    """Arrays of an `.npz`, those in `names` as far as they are there, or all; nothing is unpickled."""
    path = regular_file(path)
    with parsing(path, "a readable .npz"):
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip archive, or cut short")
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}
            chosen = {k: i for k, i in members.items() if names is None or k in names}
            limit = max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)
            # all headers first: a bomb is refused before anything is unpacked
            for name, info in chosen.items():
                with archive.open(info) as file:
                    _check_array(file, info.file_size, limit, max_rows, f"{path}: array {name}")
            if (total := sum(i.file_size for i in chosen.values())) > limit:
                raise UserError(f"{path}: its arrays take {_size(total)}; {_state_size(limit)}")
            out = {}
            for name, info in chosen.items():
                with archive.open(info) as file:
                    out[name] = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MAX_HEADER_BYTES)
            return out


def map_array(path: str | os.PathLike[str], accepted: str = "") -> np.ndarray:
    """The array of an `.npy`, memory-mapped."""
    path = regular_file(path)
    with parsing(path, "a readable .npy", accepted):
        with path.open("rb") as file:
            np.lib.format.read_magic(file)  # np.load takes what is no .npy for a pickle, and says how to load that
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise ValueError("not an array of numbers")
        return array


def _check_array(file: IO[bytes], size: int, limit: int, max_rows: int, where: str) -> None:
    """Raises UserError or ValueError unless the header of an `.npy` of `size` bytes is of an array that may be read."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = _HEADERS[version](file, max_header_size=MAX_HEADER_BYTES)
    if dtype.kind not in _ELEMENTS:
        raise ValueError(f"an array of {dtype}")
    if shape and shape[0] > max_rows:
        raise UserError(f"{where}: {shape[0]} rows; at most {max_rows}")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed != size - file.tell():
        raise ValueError(f"an array {shape} of {dtype} takes {needed} bytes, there are {size - file.tell()}")
    used = math.prod(shape) * max(dtype.itemsize, 4)  # small integers are calculated with as floats
    if used > limit:
        raise UserError(f"{where}: takes {_size(used)}; {_state_size(limit)}")


def _size(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB" if count >= 1 << 20 else f"{count / 1024:.0f} KiB"


def _state_size(limit: int) -> str:
    return f"accepted up to {_size(limit)} from a file of this size"


def plain_number(text: str) -> float:
    """A number in ASCII digits, without the underscores that Python allows between them; else `ValueError`."""
    if not text.isascii() or "_" in text:
        raise ValueError(f"not a number: {text[:40]!r}")
    return float(text)


def finite_number(text: str) -> float:
    """As `plain_number`; NaN and infinity are a `ValueError`, too."""
    value = plain_number(text)
    if not math.isfinite(value):
        raise ValueError(f"not finite: {text[:40]!r}")
    return value


def plain_numbers(text: str) -> np.ndarray:
    """(n,) float64 of all words of a text. Raises ValueError as `plain_number`, naming the word."""
    words = text.split()
    if not text.isascii() or "_" in text:
        bad = next(w for w in words if not w.isascii() or "_" in w)
        raise ValueError(f"not a number: {bad[:40]!r}")
    return np.array(words, np.float64)
