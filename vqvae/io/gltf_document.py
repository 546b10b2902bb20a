"""A glTF 2.0 file as checked data: container, JSON and buffers, of what readers of motion need.

Checked by pydantic's compiled core: libraries that build an object for every field take seconds for a pack of forty
animations, which have thousands of accessors. Whatever a file's buffers are (the chunk of a .glb, files beside a
.gltf, ``data:`` URIs), they become one run of bytes into which buffer views point.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vqvae.errors import UserError
from vqvae.io.guard import read_bytes, understanding

MOST_BYTES = 1 << 30  # of a file, and of all its buffers together
ACCEPTED = "accepted glTF 2.0, as .glb or as .gltf with its buffers"
_MAGIC, _JSON, _BIN = b"glTF", b"JSON", b"BIN\0"
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.I)

Index = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Three: TypeAlias = tuple[Number, Number, Number]
Four: TypeAlias = tuple[Number, Number, Number, Number]
# glTF allows extras of any kind; only objects say something to us
Name = Annotated[str, BeforeValidator(lambda v: "" if v is None else v)]
Extras = Annotated[dict[str, Any], BeforeValidator(lambda v: v if isinstance(v, dict) else {})]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class Buffer(_Part):
    byteLength: Index
    uri: str | None = None


class BufferView(_Part):
    buffer: Index = 0
    byteOffset: Index = 0
    byteLength: Index
    byteStride: Annotated[int, Field(ge=4, le=252)] | None = None


class SparseIndices(_Part):
    bufferView: Index
    byteOffset: Index = 0
    componentType: Index


class SparseValues(_Part):
    bufferView: Index
    byteOffset: Index = 0


class Sparse(_Part):
    count: Index
    indices: SparseIndices
    values: SparseValues


class Accessor(_Part):
    bufferView: Index | None = None
    byteOffset: Index = 0
    componentType: Index
    count: Annotated[int, Field(ge=1)]
    type: str
    normalized: bool = False
    sparse: Sparse | None = None


class Node(_Part):
    name: Name = ""
    children: list[Index] = []
    translation: Three | None = None
    rotation: Four | None = None
    scale: Three | None = None
    matrix: Annotated[list[Number], Field(min_length=16, max_length=16)] | None = None
    mesh: Index | None = None
    camera: Index | None = None
    skin: Index | None = None


class Skin(_Part):
    name: Name = ""
    joints: list[Index]
    inverseBindMatrices: Index | None = None


class Mesh(_Part):
    name: Name = ""
    extras: Extras = {}


class Sampler(_Part):
    input: Index
    output: Index
    interpolation: str | None = None


class Target(_Part):
    node: Index
    path: str


class Channel(_Part):
    sampler: Index
    target: Target


def _of_nodes(channels: Any) -> Any:
    """The channels that move a node; extensions have others."""
    if not isinstance(channels, list):
        return channels
    return [c for c in channels if not (isinstance(c, dict) and isinstance(t := c.get("target"), dict)
                                        and t.get("node") is None)]  # fmt: skip


class Animation(_Part):
    name: Name = ""
    samplers: list[Sampler]
    channels: Annotated[list[Channel], BeforeValidator(_of_nodes)]


class Asset(_Part):
    version: str


class Document(_Part):
    """What a file holds.

    Attributes:
        blob: the bytes of all buffers, one after the other; `bufferViews` point into it.
    """

    asset: Asset
    nodes: list[Node] = []
    skins: list[Skin] = []
    meshes: list[Mesh] = []
    animations: list[Animation] = []
    accessors: list[Accessor] = []
    bufferViews: list[BufferView] = []
    buffers: list[Buffer] = []
    extensions: dict[str, Any] = {}
    extensionsRequired: list[str] = []
    extras: Extras = {}
    blob: Annotated[bytes, Field(exclude=True)] = b""

    def binary_blob(self) -> bytes:
        """The bytes of all buffers."""
        return self.blob

    @property
    def parents(self) -> dict[int, int]:
        """Node -> the node above it."""
        return {child: n for n, node in enumerate(self.nodes) for child in node.children}

    def way(self, node: int, parents: dict[int, int]) -> list[int]:
        """The nodes from the topmost above `node` down to itself. Raises ValueError where they go round."""
        way, met = [node], {node}
        while way[-1] in parents:
            above = parents[way[-1]]
            if above in met:
                raise ValueError("nodes in a circle")
            met.add(above)
            way.append(above)
        return way[::-1]


def is_gltf(raw: bytes) -> bool:
    """Whether bytes begin as a .glb or as the JSON of a .gltf does."""
    return raw[:4] == _MAGIC or raw[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def opened(path: str | os.PathLike[str], accepted: str = ACCEPTED, what: str = "a whole glTF") -> Document:
    """Read a .glb or .gltf with its buffers.

    Args:
        accepted, what: for messages, what is and what it should be.

    Raises:
        UserError: neither, damaged, larger than `MOST_BYTES`, or a buffer that is missing or lies elsewhere than in
            the file's own folder.
    """
    path = Path(path)
    raw = read_bytes(path, MOST_BYTES, accepted)
    if not is_gltf(raw):
        raise UserError(f"{path}: not a glTF; {accepted}")
    with understanding(path, what, accepted):
        text, chunk = _unpacked(raw) if raw[:4] == _MAGIC else (raw.removeprefix(b"\xef\xbb\xbf"), b"")
        try:
            document = Document.model_validate_json(text)
        except ValidationError as e:
            first = e.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
        if not document.asset.version.startswith("2"):
            raise UserError(f"glTF {document.asset.version}; {accepted}")
        _join_buffers(document, path, chunk)
    return document


def _unpacked(raw: bytes) -> tuple[bytes, bytes]:
    """JSON and binary chunk of a .glb."""
    _, version, size = struct.unpack_from("<4sII", raw)
    if version != 2 or size > len(raw):
        raise ValueError("no binary glTF 2" if version != 2 else "cut short")
    length, kind = struct.unpack_from("<I4s", raw, 12)
    end = 20 + length
    if kind != _JSON or end > size:
        raise ValueError("no JSON")
    chunk = b""
    if end + 8 <= size:
        length, kind = struct.unpack_from("<I4s", raw, end)
        if kind == _BIN:
            if end + 8 + length > size:
                raise ValueError("cut short")
            chunk = raw[end + 8 : end + 8 + length]
    return raw[20:end], chunk


def _join_buffers(document: Document, path: Path, chunk: bytes) -> None:
    total = sum(b.byteLength for b in document.buffers)
    if total > MOST_BYTES:
        raise UserError(f"buffers of {total >> 20} MiB; accepted {MOST_BYTES >> 20} MiB")
    starts, parts, end = [], [], 0
    for number, buffer in enumerate(document.buffers):
        starts.append(end)
        parts.append(chunk if buffer.uri is None and number == 0 else _bytes_at(buffer, path))
        end += len(parts[-1])
        if buffer.uri is not None and len(parts[-1]) < buffer.byteLength:
            raise UserError(f"buffer {number} has {len(parts[-1])} bytes; {buffer.byteLength} are announced")
    for view in document.bufferViews:
        view.byteOffset += starts[view.buffer]
    document.blob = parts[0] if len(parts) == 1 else b"".join(parts)


def _bytes_at(buffer: Buffer, path: Path) -> bytes:
    """A buffer's bytes; none where it has no place, as the stand-in of compressed data."""
    uri = buffer.uri
    if uri is None:
        return b""
    if uri[:5].lower() == "data:":
        head, comma, text = uri.partition(",")
        if not comma:
            raise UserError("a data: URI without a comma")
        if not head.lower().endswith(";base64"):
            return unquote(text).encode("latin-1")
        try:
            return base64.b64decode(unquote(text), validate=True)
        except binascii.Error as e:
            raise UserError(f"a data: URI that is no base64 ({e})") from None
    name = unquote(uri)
    folder = path.parent.resolve()
    place = (folder / name).resolve() if "\0" not in name else folder
    outside = _SCHEME.match(name) or "\\" in name or name.startswith("/") or not place.is_relative_to(folder)
    if outside or place == folder:
        raise UserError(f"buffer {name[:80]!r}; accepted files in the folder of the .gltf, and data: URIs")
    return read_bytes(place, MOST_BYTES, f"{path.name} needs it")
