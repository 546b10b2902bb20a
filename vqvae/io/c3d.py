"""``.c3d``: marker positions of optical motion capture (www.c3d.org, "The C3D File Format User Guide").

Blocks of 512 bytes: a header, the parameters of groups, the frames. Numbers are those of Intel, MIPS or DEC machines,
points are floats or scaled 16-bit integers. Read here in NumPy: ezc3d 1.7.2 crashes on 2 % of damaged files and takes
gigabytes on 1 %.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vqvae.errors import UserError
from vqvae.io.files import parsing, read_bytes
from vqvae.motion import MAX_FRAMES, check_fps

BLOCK = 512
MAX_BYTES = 512 << 20
MAX_POINTS, MAX_VALUES = 4096, 1 << 26  # markers; values of all frames
KEY = 0x50  # the second byte of every file
ACCEPTED = "accepted a .c3d of labelled markers"
_INTEL, _DEC, _MIPS = 84, 85, 86
_CHAR, _BYTE, _INT, _FLOAT = -1, 1, 2, 4
_WIDTHS = {_CHAR: 1, _BYTE: 1, _INT: 2, _FLOAT: 4}


class Markers(NamedTuple):
    """Marker positions, as stored.

    Attributes:
        labels: N names. points: (T, N, 3), the file's unit, NaN where a marker was not seen.
        fps: frames a second.
        up: the name of the vertical axis, ``z`` or ``-y``, as the file says it; empty where it does not.
    """

    labels: tuple[str, ...]
    points: np.ndarray
    fps: float
    up: str


def read_c3d(path: str | os.PathLike[str]) -> Markers:
    """The labelled markers of a file.

    Raises:
        UserError: names the file and what is wrong: no .c3d, cut short, no points or labels, no frames, the rate.
    """
    path = Path(path)
    data = read_bytes(path, MAX_BYTES, ACCEPTED)
    with parsing(path, "a whole .c3d", ACCEPTED):
        return parse_c3d(data)


def parse_c3d(data: bytes) -> Markers:
    """The markers of a file's bytes."""
    if len(data) < 2 * BLOCK or data[1] != KEY:
        raise UserError(f"no .c3d (its second byte is not {KEY:#x}); {ACCEPTED}")
    start = (data[0] - 1) * BLOCK
    processor = data[start + 3]
    if processor not in (_INTEL, _DEC, _MIPS):
        raise ValueError(f"numbers of processor {processor}; known {_INTEL}, {_DEC} and {_MIPS}")
    numbers = _Numbers(processor)
    groups = _parameters(data, start, numbers)
    words = numbers.integers(data[: 24 * 2]).astype(np.int64) & 0xFFFF
    count, analog, first, last, begin = (int(words[k]) for k in (1, 2, 3, 4, 8))
    scale, rate = (float(numbers.floats(data[i : i + 4])[0]) for i in (12, 20))
    point = groups.get("POINT", {})
    scale, rate = float(_first(point, "SCALE", scale)), float(_first(point, "RATE", rate))
    begin = int(_first(point, "DATA_START", begin)) & 0xFFFF
    check_fps(rate, "POINT:RATE")
    if not 1 <= count <= MAX_POINTS:
        raise UserError(f"{count} markers; accepted 1 to {MAX_POINTS}")
    labels = _labels(point, count)
    stored = np.frombuffer(data, np.uint8, offset=min(max(0, begin - 1) * BLOCK, len(data)))
    width = 4 if scale < 0 else 2
    size = (4 * count + analog) * width  # of a frame
    frames = _frames(groups, last - first + 1, len(stored) // size)
    if not 1 <= frames <= MAX_FRAMES or frames * size > MAX_VALUES * 4:
        raise UserError(f"{frames} frames of {count} markers; accepted 1 to {MAX_FRAMES} frames that are there")
    rows = stored[: frames * size].reshape(frames, size)[:, : 4 * count * width].tobytes()
    values = (numbers.floats(rows) if width == 4 else numbers.integers(rows)).reshape(frames, count, 4)
    points = values[..., :3].astype(np.float64) * (1.0 if width == 4 else abs(scale))
    # a negative fourth value: nothing was seen, or a program removed it
    points[(values[..., 3] < 0) | ~np.isfinite(points).all(-1)] = np.nan
    return Markers(labels, points, rate, _up(point))


class _Numbers:
    """Arrays of a machine's numbers."""

    def __init__(self, processor: int) -> None:
        self.order = ">" if processor == _MIPS else "<"
        self.dec = processor == _DEC

    def integers(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, f"{self.order}i2")

    def floats(self, data: bytes) -> np.ndarray:
        """DEC's have their 16-bit halves in the other order, and an exponent greater by 2."""
        if not self.dec:
            return np.frombuffer(data, f"{self.order}f4").astype(np.float64)
        return np.frombuffer(data, "<u2").reshape(-1, 2)[:, ::-1].copy().view("<f4").reshape(-1).astype(np.float64) / 4


def _parameters(data: bytes, start: int, numbers: _Numbers) -> dict[str, dict[str, Any]]:
    """Group -> parameter -> its values: a list of texts, or an array."""
    named: dict[int, str] = {}
    found: list[tuple[int, str, Any]] = []
    at = start + 4
    while at + 2 <= len(data):
        length, group = (int(x) for x in np.frombuffer(data, np.int8, 2, at))
        name = data[at + 2 : at + 2 + abs(length)].decode("latin-1").upper()
        following = at + 2 + abs(length)
        step = int(numbers.integers(data[following : following + 2])[0]) & 0xFFFF if length else 0
        if group < 0:
            named[-group] = name
        elif length and group:
            found.append((group, name, _values(data, following + 2, numbers)))
        if step == 0:
            break
        at = following + step
    groups: dict[str, dict[str, Any]] = {}
    for group, name, values in found:
        groups.setdefault(named.get(group, ""), {})[name] = values
    return groups


def _values(data: bytes, at: int, numbers: _Numbers) -> Any:
    kind, dimensions = (int(x) for x in np.frombuffer(data, np.int8, 2, at))
    shape = list(data[at + 2 : at + 2 + dimensions])
    count = int(np.prod(shape, dtype=np.int64)) if shape else 1
    if kind not in _WIDTHS or not 0 <= dimensions <= 7 or len(shape) != dimensions or count > len(data):
        raise ValueError(f"a parameter of type {kind} with {dimensions} dimensions")
    begin = at + 2 + dimensions
    raw = data[begin : begin + count * _WIDTHS[kind]]
    if len(raw) != count * _WIDTHS[kind]:
        raise ValueError("parameters that are cut short")
    if kind == _CHAR:
        width = shape[0] if shape else 1
        return [raw[i : i + width].decode("latin-1").strip(" \0") for i in range(0, len(raw), max(width, 1))]
    if kind == _BYTE:
        return np.frombuffer(raw, np.int8)
    return numbers.integers(raw) if kind == _INT else numbers.floats(raw)


def _first(group: dict[str, Any], name: str, default: float) -> float:
    values = group.get(name, ())
    return values[0] if len(values) and not isinstance(values[0], str) else default


def _labels(point: dict[str, Any], count: int) -> tuple[str, ...]:
    """Those of LABELS, LABELS2, ...: a parameter has room for 255."""
    labels: list[str] = []
    for k in range(1, count // 255 + 3):
        values = point.get(f"LABELS{k if k > 1 else ''}", [])
        labels += [v for v in values if isinstance(v, str)]
    if not labels:
        raise UserError(f"no POINT:LABELS; {ACCEPTED}")
    return tuple((labels + [""] * count)[:count])


def _frames(groups: dict[str, dict[str, Any]], header: int, there: int) -> int:
    """How many frames: the header has 16 bits for it, longer recordings say it in parameters."""
    trial = groups.get("TRIAL", {})
    ends = [trial.get(f"ACTUAL_{n}_FIELD", ()) for n in ("START", "END")]
    if all(len(e) == 2 and not isinstance(e[0], str) for e in ends):
        first, last = ((int(e[0]) & 0xFFFF) + ((int(e[1]) & 0xFFFF) << 16) for e in ends)
        header = last - first + 1
    elif (stated := int(_first(groups.get("POINT", {}), "FRAMES", header))) & 0xFFFF == header & 0xFFFF:
        header = max(header, stated)
    if header > there:
        raise UserError(f"cut short: {there} of {header} frames; {ACCEPTED}")
    return header


def _up(point: dict[str, Any]) -> str:
    """The vertical axis, as POINT:Y_SCREEN says it: ``+Z``."""
    values = point.get("Y_SCREEN", [])
    text = values[0].strip().lower() if len(values) and isinstance(values[0], str) else ""
    return text.removeprefix("+") if text.lstrip("+-") in ("x", "y", "z") else ""
