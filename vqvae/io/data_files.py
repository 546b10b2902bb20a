"""Readers of data files: JSON, JSON lines, YAML, NumPy arrays, plain pickles, numbers in text, protocol buffers.

Sizes, depths and types are checked before anything is built from a file, and nothing in a file is ever called.
"""

from __future__ import annotations

import json
import math
import os
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.files import parsing, read_bytes, read_text, reason, regular_file

MAX_JSON_BYTES = 32 << 20  # parsed, JSON takes up to twenty times as much memory


def parse_json(text: str | bytes, where: str | os.PathLike[str], accepted: str = "") -> Any:
    """The value of a JSON text.

    Args:
        where: it is from, for the message. accepted: what is, in words.

    Raises:
        UserError: not JSON, not UTF-8, nested too deeply, a number of thousands of digits.
    """
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as e:
        raise UserError(f"{where}: not JSON ({reason(e)}){'; ' * bool(accepted)}{accepted}") from None


def read_json(path: str | os.PathLike[str], most: int = MAX_JSON_BYTES, accepted: str = "") -> Any:
    """The value of a JSON file of at most `most` bytes.

    Raises:
        UserError: no regular file, larger, or as `parse_json`.
    """
    return parse_json(read_bytes(path, most, accepted), path, accepted)


def read_object(path: str | os.PathLike[str], most: int = MAX_JSON_BYTES, accepted: str = "") -> dict[str, Any]:
    """As `read_json`, of a file that holds an object."""
    value = read_json(Path(path), most, accepted)
    if not isinstance(value, dict):
        found = type(value).__name__
        raise UserError(f"{path}: not a JSON object but a {found}{'; ' * bool(accepted)}{accepted}")
    return value


MAX_JSON_LINES_BYTES = 2 << 30


def json_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines with their line numbers (from 1); empty lines are left out.

    Raises:
        UserError: a file that cannot be read, a line that is not JSON; names file and line.
    """
    file = Path(path)
    lines = read_text(file, MAX_JSON_LINES_BYTES).split("\n")  # splitlines() also cuts at U+2028, which JSON may hold
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        yield i, parse_json(line, f"{file}: line {i}")


MAX_YAML_BYTES = 4 << 20
MAX_YAML_DEPTH = 64  # libyaml's reader goes one call deeper for each and has no bound of its own
MAX_YAML_NODES = 500_000  # with what aliases stand for: a few lines of them can unfold to more than any memory
MAX_YAML_WORD = 10_000  # characters of a possible number: parsing `1:1:1:...` takes time that grows with its square


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The data of a YAML file.

    Raises:
        UserError: no regular file, too large, or as `parse_yaml`.
    """
    return parse_yaml(read_text(path, MAX_YAML_BYTES), path)


def parse_yaml(text: str, where: str | os.PathLike[str]) -> Any:
    """The data of a YAML text, read by libyaml where PyYAML has it (ten times as fast).

    Args:
        where: it is from, for the message.

    Raises:
        UserError: not YAML, a value that is none (``!!int x``, ``2001-99-99``), a key that a mapping has twice (of
            which the last would win in silence), nested too deeply, aliases that stand for too much; the line is named.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_size(yaml, text, loader, where)
        return yaml.load(text, Loader=loader)
    except UserError:
        raise
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not YAML ({getattr(e, 'problem', None) or reason(e)})") from None
    except Exception as e:  # of a value: the constructors of dates, numbers and keys raise what they meet
        raise UserError(f"{where}: not YAML ({reason(e)})") from None


def _check_size(yaml: Any, text: str, loader: Any, where: str | os.PathLike[str]) -> None:
    """Walk the events of a text, which takes no depth, before anything is built from them."""
    depth, total = 0, 0
    sizes: dict[str, int] = {}  # of what an anchor names, with what its aliases stand for
    open_anchors: list[tuple[str | None, int]] = []
    keys = _Keys(yaml)
    for event in yaml.parse(text, Loader=loader):
        if (twice := keys.twice(event)) is not None:
            raise _refused(where, event, f"the key {twice[:40]!r} is there twice")
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
                raise _refused(where, event, f"a word of {len(event.value)} characters; accepted {MAX_YAML_WORD}")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _refused(where, event, f"*{event.anchor} stands for nothing, or for what it is part of")
            total += sizes[event.anchor]
        if depth > MAX_YAML_DEPTH:
            raise _refused(where, event, f"nested more than {MAX_YAML_DEPTH} deep")
        if total > MAX_YAML_NODES:
            raise _refused(where, event, f"more than {MAX_YAML_NODES} values")


class _Keys:
    """Follows the events of a text and tells which key a mapping has twice."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        # keys of every mapping that is open, None of a list or the text itself; whether a key is due
        self._open: list[tuple[set[str] | None, bool]] = [(None, False)]

    def twice(self, event: Any) -> str | None:
        """The key that this event repeats."""
        yaml, found = self._yaml, None
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            return None
        if not isinstance(event, yaml.NodeEvent):
            return None
        keys, due = self._open.pop()
        if keys is not None and due and isinstance(event, yaml.ScalarEvent):
            found = event.value if event.value in keys else None
            keys.add(event.value)
        self._open.append((keys, not due))
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((set() if isinstance(event, yaml.MappingStartEvent) else None, True))
        return found


def _refused(where: str | os.PathLike[str], event: Any, why: str) -> UserError:
    return UserError(f"{where}, line {event.start_mark.line + 1}: not accepted YAML ({why})")


FREE = 64 << 20  # bytes that any file may unfold to
RATIO = 20  # times its size that a larger one may: compressed motion takes a fifth to a half of its place
MOST_ROWS = 1 << 28
MOST_HEADER = 1 << 16
KINDS = "biufUS"  # of element: truth values, numbers, texts
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def array_names(path: str | os.PathLike[str]) -> set[str]:
    """Names of the arrays of an `.npz`; none where it is damaged, of which `read_arrays` says more.

    Raises:
        UserError: no regular file.
    """
    try:
        with zipfile.ZipFile(regular_file(path)) as z:
            return {n.removesuffix(".npy") for n in z.namelist()}
    except UserError:
        raise
    except Exception:  # as many kinds as there
        return set()


def read_arrays(
    path: str | os.PathLike[str], wanted: tuple[str, ...] | None = None, most_rows: int = MOST_ROWS
) -> dict[str, Any]:
    """Arrays of an `.npz`.

    Args:
        wanted: only those that are there of it; None = all.
        most_rows: of any array.

    Raises:
        UserError: no regular file, damaged, an array of more rows, or one far larger than the file.
    """
    path = regular_file(path)
    with parsing(path, "a readable .npz"):
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip archive, or cut short")
        with zipfile.ZipFile(path) as archive:
            members = {i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")}
            chosen = {k: i for k, i in members.items() if wanted is None or k in wanted}
            most = max(FREE, RATIO * path.stat().st_size)
            for name, info in chosen.items():
                with archive.open(info) as file:
                    _check(file, info.file_size, most, most_rows, f"{path}: array {name}")
            if (total := sum(i.file_size for i in chosen.values())) > most:
                said = f"{path}: its arrays take {_told(total)}"
                raise UserError(f"{said}; accepted up to {_told(most)} from a file of this size")
            out = {}
            for name, info in chosen.items():
                with archive.open(info) as file:
                    out[name] = np.lib.format.read_array(file, allow_pickle=False, max_header_size=MOST_HEADER)
            return out


def map_array(path: str | os.PathLike[str], accepted: str = "") -> np.ndarray:
    """The array of an `.npy`, mapped from the file: nothing is read before it is looked at.

    Raises:
        UserError: no regular file, damaged, not an array of numbers.
    """
    path = regular_file(path)
    with parsing(path, "a readable .npy", accepted):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise ValueError("not an array of numbers")
        return array


def _check(file: IO[bytes], size: int, most: int, most_rows: int, where: str) -> None:
    """Raises UserError or ValueError unless the header of an `.npy` of `size` bytes is of an array that may be read."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = _HEADERS[version](file, max_header_size=MOST_HEADER)
    if dtype.kind not in KINDS:
        raise ValueError(f"an array of {dtype}")
    if shape and shape[0] > most_rows:
        raise UserError(f"{where}: {shape[0]} rows; at most {most_rows}")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed != size - file.tell():
        raise ValueError(f"an array {shape} of {dtype} takes {needed} bytes, there are {size - file.tell()}")
    used = math.prod(shape) * max(dtype.itemsize, 4)  # small integers are calculated with as floats
    if used > most:
        raise UserError(f"{where}: takes {_told(used)}; accepted up to {_told(most)} from a file of this size")


def _told(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB" if size >= 1 << 20 else f"{size / 1024:.0f} KiB"


MAX_PICKLE_BYTES = 64 << 20
_MARK = object()
_VALUES = frozenset(
    ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1")
)  # fmt: skip
_IGNORED = frozenset(("PROTO", "FRAME"))
_PUT, _GET = frozenset(("PUT", "BINPUT", "LONG_BINPUT")), frozenset(("GET", "BINGET", "LONG_BINGET"))


def read_plain_pickle(path: str | os.PathLike[str], accepted: str = "") -> Any:
    """The lists, tables, texts and whole numbers of a pickle file of at most 64 MiB.

    Only the instructions that build these are known here (a few of `pickletools.opcodes`); one that would import or
    call something, or make anything else, is refused before it is looked at.

    Args:
        accepted: what is, in words, for the message.

    Raises:
        UserError: no regular file, larger, damaged, or with anything else in it.
    """
    data = read_bytes(path, MAX_PICKLE_BYTES, accepted)
    with parsing(path, "a pickle of words and whole numbers alone", accepted):
        return _Machine().run(data)


class _Machine:
    """The stack that a pickle's instructions work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.known: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK), "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}), "LIST": lambda: self.stack.append(self._marked()),
            "DICT": lambda: self.stack.append(_pairs(self._marked())), "MEMOIZE": lambda: self._keep(len(self.memo)),
            "APPEND": lambda: self._extend([self.stack.pop()]), "APPENDS": lambda: self._extend(self._marked()),
            "SETITEM": self._set_one, "SETITEMS": lambda: self._update(self._marked()),
        }  # fmt: skip

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                if len(self.stack) != 1 or self.stack[0] is _MARK:
                    raise ValueError(f"{len(self.stack)} values at its end")
                return self.stack[0]
            if opcode.name in _VALUES:
                self.stack.append(argument)
            elif opcode.name in _PUT:
                self._keep(int(argument or 0))
            elif opcode.name in _GET:
                self.stack.append(self.memo[int(argument or 0)])
            elif opcode.name not in _IGNORED:
                if opcode.name not in self.known:
                    raise ValueError(f"its instruction {opcode.name} makes something else")
                self.known[opcode.name]()
        raise ValueError("cut short")

    def _keep(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def _marked(self) -> list[Any]:
        at = next(i for i in reversed(range(len(self.stack))) if self.stack[i] is _MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("values added to something that is no list")
        self.stack[-1].extend(values)

    def _set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("values put into something that is no table")
        self.stack[-1].update(_pairs(values))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def plain_number(text: str) -> float:
    """The number that a word is: ASCII digits without the underscores that Python allows between them.

    Raises:
        ValueError: another word.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"not a number: {text[:40]!r}")
    return float(text)


def plain_numbers(text: str) -> np.ndarray:
    """(n,) float64 of all words of a text. Raises ValueError as `plain_number`, naming the word."""
    words = text.split()
    if not text.isascii() or "_" in text:
        bad = next(w for w in words if not w.isascii() or "_" in w)
        raise ValueError(f"not a number: {bad[:40]!r}")
    return np.array(words, np.float64)


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Fields of a protocol buffer: number, the whole field, what it holds (empty unless it is bytes).

    Raises:
        ValueError: not such a message.
    """

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if at >= len(message) or shift > 63:
                raise ValueError("cut off")
            value |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                return value, at

    at = 0
    while at < len(message):
        start = at
        key, at = number(at)
        inside = b""
        if key & 7 == 2:
            size, at = number(at)
            inside, at = message[at : at + size], at + size
        elif key & 7 == 0:
            _, at = number(at)
        else:
            at += {1: 8, 5: 4}.get(key & 7, len(message))
        if at > len(message):
            raise ValueError("cut off")
        yield key >> 3, message[start:at], inside
