"""Readers of files and packets that share nothing with the product's."""

import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


def contents(path: Path) -> tuple[dict, bytes]:
    """JSON and data of a .glb or .vrma."""
    raw = path.read_bytes()
    magic, version, size = struct.unpack_from("<4sII", raw)
    assert (magic, version, size) == (b"glTF", 2, len(raw)) and size % 4 == 0
    length = struct.unpack_from("<I", raw, 12)[0]
    return json.loads(raw[20 : 20 + length]), raw[28 + length :]


def repacked(path: Path, gltf: dict, blob: bytes) -> Path:
    """Write JSON and data as a .glb or .vrma."""
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    blob += b"\0" * (-len(blob) % 4)
    parts = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts)
    return path


def floats(gltf: dict, blob: bytes, index: int) -> np.ndarray:
    """(N, k) float32 values of an accessor."""
    a = gltf["accessors"][index]
    start, width = gltf["bufferViews"][a["bufferView"]].get("byteOffset", 0), WIDTHS[a["type"]]
    return np.frombuffer(blob, "<f4", a["count"] * width, start).reshape(-1, width)


WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Packet(NamedTuple):
    """A Live Link packet: `values` (61,), `frame` of `rate` a second, who is moving."""

    subject: str
    frame: int
    rate: float
    values: np.ndarray


def live_link_packet(data: bytes) -> Packet:
    """Read a packet of Live Link Face, version 6."""
    assert struct.unpack_from("<I", data) == (6,) and data[4:5] == b"$"
    (length,) = struct.unpack_from(">i", data, 41)
    subject = data[45 : 45 + length].decode()
    frame, part, rate, denominator, count = struct.unpack_from(">ifiiB", data, 45 + length)
    values: tuple[Any, ...] = struct.unpack_from(f">{count}f", data, 62 + length)
    assert count == 61 and len(data) == 62 + length + 4 * count and part == 0
    return Packet(subject, frame, rate / denominator, np.array(values, np.float32))
