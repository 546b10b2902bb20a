"""glTF 2.0 files as checked data: container, JSON, buffers, and the numbers of accessors.

Whatever a file's buffers are (the chunk of a .glb, files beside a .gltf, ``data:`` URIs), they become one run of bytes
into which buffer views point.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import unquote

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_bytes, real_path
from vqvae.motion import MAX_FRAMES

if TYPE_CHECKING:
    from pygltflib import GLTF2
    from pygltflib import Node as LibraryNode

MAX_GLTF_BYTES = 1 << 30  # of a file, and of all its buffers together
ACCEPTED = "accepted glTF 2.0, as .glb or as .gltf with its buffers"
_MAGIC, _JSON, _BIN = b"glTF", b"JSON", b"BIN\0"
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.I)
FLOAT, UINT32, UINT8 = 5126, 5125, 5121
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
# component type of normalised integers -> numpy's type, the integer that stands for 1
_NORMALISED: dict[int, tuple[str, int]] = {
    5120: ("<i1", 127), UINT8: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535),
}  # fmt: skip
# prefixes of extensions that change neither key frames nor nodes
_HARMLESS = (
    "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_draco_", "KHR_mesh_quantization", "KHR_lights_", "VRM",
    "EXT_mesh_gpu_instancing", "EXT_lights_", "KHR_xmp", "KHR_audio", "KHR_node_visibility",
)  # fmt: skip

Index = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Three: TypeAlias = tuple[Number, Number, Number]
Four: TypeAlias = tuple[Number, Number, Number, Number]
# glTF allows extras of any kind; only objects are read
Name = Annotated[str, BeforeValidator(lambda v: "" if v is None else v)]
Extras = Annotated[dict[str, Any], BeforeValidator(lambda v: v if isinstance(v, dict) else {})]


# pydantic checks the JSON in compiled code: libraries that build an object for every field take seconds for a pack of
# forty animations, which have thousands of accessors.
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
    extensions: dict[str, Any] = {}


class SparseValues(_Part):
    bufferView: Index
    byteOffset: Index = 0


class SparseIndices(SparseValues):
    componentType: Index


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
    min: list[Number] = []
    max: list[Number] = []


class Node(_Part):
    name: Name = ""
    children: list[Index] = []
    translation: Three | None = None
    rotation: Four | None = None
    scale: Three | None = None
    matrix: Annotated[list[Number], Field(min_length=16, max_length=16)] | None = None
    mesh: Index | None = None
    skin: Index | None = None
    camera: Index | None = None


class Skin(_Part):
    joints: list[Index]
    inverseBindMatrices: Index | None = None


class Primitive(_Part):
    attributes: dict[str, Index] = {}
    indices: Index | None = None
    mode: Index = 4
    targets: list[dict[str, Index]] = []
    extensions: dict[str, Any] = {}
    extras: Extras = {}


class Mesh(_Part):
    name: Name = ""
    primitives: list[Primitive] = []
    weights: list[Number] = []
    extras: Extras = {}

    @property
    def target_names(self) -> list[str]:
        """Of its morph targets, in order; UniVRM states them with each primitive."""
        stated = [e.get("targetNames") for e in (self.extras, *(p.extras for p in self.primitives))]
        return [str(n) for n in next((names for names in stated if isinstance(names, list)), ())]


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
    """The channels that move a node; extensions move other things."""
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
    """The contents of a file; `blob` has the bytes of all buffers in order, into which `bufferViews` point."""

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

    def path_to(self, node: int, parents: dict[int, int]) -> list[int]:
        """The nodes from the topmost one down to `node`. Raises ValueError for nodes in a circle."""
        path, visited = [node], {node}
        while path[-1] in parents:
            above = parents[path[-1]]
            if above in visited:
                raise ValueError("nodes in a circle")
            visited.add(above)
            path.append(above)
        return path[::-1]


def is_binary(raw: bytes) -> bool:
    """Whether bytes begin as a .glb."""
    return raw[:4] == _MAGIC


def read_gltf(path: str | os.PathLike[str], accepted: str = ACCEPTED, what: str = "a whole glTF") -> Document:
    """Read a .glb or .gltf with its buffers; `accepted` and `what` are for messages."""
    path = Path(path)
    raw = read_bytes(path, MAX_GLTF_BYTES, accepted)
    if not is_binary(raw) and raw[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
        raise UserError(f"{path}: not a glTF; {accepted}")
    with parsing(path, what, accepted):
        text, chunk = unpack_glb(raw) if is_binary(raw) else (raw.removeprefix(b"\xef\xbb\xbf"), b"")
        try:
            document = Document.model_validate_json(text)
        except ValidationError as e:
            first = e.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None
        if not document.asset.version.startswith("2"):
            raise UserError(f"glTF {document.asset.version}; {accepted}")
        needed = [*document.extensionsRequired, *(name for view in document.bufferViews for name in view.extensions)]
        if compressed := [name for name in needed if name.endswith("meshopt_compression")]:
            raise UserError(f"needs {compressed[0]}; accepted plain buffers")
        _join_buffers(document, path, chunk)
    return document


def unpack_glb(raw: bytes) -> tuple[bytes, bytes]:
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


def pack_glb(gltf: dict[str, Any], blob: bytes) -> bytes:
    """A .glb of JSON and binary chunk: the header and both chunks, each padded to 4 bytes."""
    text = json.dumps(gltf, ensure_ascii=False, separators=(",", ":")).encode()
    text, blob = text + b" " * (-len(text) % 4), blob + b"\0" * (-len(blob) % 4)
    chunks = struct.pack("<I4s", len(text), _JSON) + text
    if blob:
        chunks += struct.pack("<I4s", len(blob), _BIN) + blob
    return struct.pack("<4sII", _MAGIC, 2, 12 + len(chunks)) + chunks


def self_contained(path: Path, raw: bytes, document: Document) -> tuple[dict[str, Any], bytes]:
    """JSON and binary chunk of a .glb with all of a .gltf: its buffers as one, its pictures in it.

    `raw`: its bytes. `document`: of `read_gltf`. Raises UserError for pictures that are missing.
    """
    gltf: dict[str, Any] = json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    views = [old | {"buffer": 0, "byteOffset": new.byteOffset}
             for old, new in zip(gltf.get("bufferViews", ()), document.bufferViews, strict=True)]  # fmt: skip
    images, blob = list(gltf.get("images", ())), document.blob
    for k, image in enumerate(images):
        if (uri := image.get("uri")) is None or uri[:5].lower() == "data:":
            continue
        data = bytes_at(uri, path, "picture")
        kind = image.get("mimeType") or ("image/png" if data[:4] == b"\x89PNG" else "image/jpeg")
        blob += b"\0" * (-len(blob) % 4)
        images[k] = {n: v for n, v in image.items() if n != "uri"} | {"bufferView": len(views), "mimeType": kind}
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)})
        blob += data
    parts = {"bufferViews": views, "images": images, "buffers": [{"byteLength": len(blob)}]}
    return gltf | {name: part for name, part in parts.items() if part and (blob or name == "images")}, blob


def _join_buffers(document: Document, path: Path, chunk: bytes) -> None:
    total = sum(b.byteLength for b in document.buffers)
    if total > MAX_GLTF_BYTES:
        raise UserError(f"buffers of {total >> 20} MiB; accepted {MAX_GLTF_BYTES >> 20} MiB")
    starts, parts, end = [], [], 0
    for number, buffer in enumerate(document.buffers):
        starts.append(end)
        # one without URI stands for compressed data
        beside = b"" if buffer.uri is None else bytes_at(buffer.uri, path)
        parts.append(chunk if buffer.uri is None and number == 0 else beside)
        end += len(parts[-1])
        if buffer.uri is not None and len(parts[-1]) < buffer.byteLength:
            raise UserError(f"buffer {number} has {len(parts[-1])} bytes; {buffer.byteLength} are announced")
    # views point into one run of bytes from here on
    for view in document.bufferViews:
        view.byteOffset += starts[view.buffer]
    document.blob = parts[0] if len(parts) == 1 else b"".join(parts)


def bytes_at(uri: str, path: Path, what: str = "buffer") -> bytes:
    """What a URI in a .gltf leads to: bytes in it, or a file in the .gltf's folder. `what` is for messages."""
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
    folder = real_path(path.parent)
    # only files below the .gltf's own folder: names may contain .. or links
    place = real_path(folder / name) if "\0" not in name else folder
    outside = _SCHEME.match(name) or "\\" in name or name.startswith("/") or not place.is_relative_to(folder)
    if outside or place == folder:
        raise UserError(f"{what} {name[:80]!r}; accepted files in the folder of the .gltf, and data: URIs")
    return read_bytes(place, MAX_GLTF_BYTES, f"{path.name} needs it")


def check_readable(path: Path, required: Any, interpolations: Iterable[str | None] = ()) -> None:
    """Refuse valid files whose key frames cannot be read here.

    `required` is the file's ``extensionsRequired``; `interpolations` of the samplers, for readers without splines.
    """
    foreign = [str(e) for e in required or [] if not str(e).startswith(_HARMLESS)]
    if foreign:
        raise UserError(f"{path}: needs {', '.join(foreign)}; accepted key frames that need no extension")
    if "CUBICSPLINE" in interpolations:
        raise UserError(f"{path}: cubic splines; accepted key frames that are sampled (linear)")


def node_transform(node: Node | LibraryNode) -> dict[str, np.ndarray]:
    """A node's translation (3,), rotation (4,), w first, and scale (3,), float32, from its fields or its matrix."""
    if node.matrix:
        matrix = np.asarray(node.matrix, np.float32).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        scale[0] *= np.sign(np.linalg.det(matrix[:3, :3]))
        return {"translation": matrix[:3, 3], "rotation": rot.from_matrix(matrix[:3, :3] / scale), "scale": scale}
    turn = np.roll(np.asarray(node.rotation or (0, 0, 0, 1), np.float32), 1)
    shift, scale = (np.asarray(v, np.float32) for v in (node.translation or (0, 0, 0), node.scale or (1, 1, 1)))
    return {"translation": shift, "rotation": turn, "scale": scale}


def accessor_values(gltf: Document | GLTF2, index: int) -> np.ndarray:
    """(N, k) float32 values of an accessor, packed, interleaved or sparse; see `unpack_numbers`."""
    accessor = gltf.accessors[index]
    width = {name: k for k, name in TYPES.items()}[accessor.type]
    form = accessor.componentType, bool(accessor.normalized)

    def read(place: Any, count: int) -> np.ndarray:
        size = np.dtype(_numbers(*form)[0]).itemsize * width
        raw = _rows(gltf, place.bufferView, place.byteOffset, count, size)
        return unpack_numbers(raw, 0, count * width, *form).reshape(-1, width)

    # zeros, of which a sparse accessor replaces some
    if accessor.bufferView is None:
        if accessor.count > MAX_FRAMES:
            raise ValueError(f"{accessor.count} values that stand nowhere")
        values = np.zeros((accessor.count, width), np.float32)
    else:
        values = read(accessor, accessor.count)
    if (sparse := accessor.sparse) is not None:
        indices, values = sparse.indices, values.copy()
        kind = np.dtype({UINT8: "<u1", 5123: "<u2", UINT32: "<u4"}[indices.componentType])
        rows = _rows(gltf, indices.bufferView, indices.byteOffset, sparse.count, kind.itemsize)
        values[np.frombuffer(rows, kind, sparse.count)] = read(sparse.values, sparse.count)
    return values


def accessor_integers(gltf: Document, index: int) -> np.ndarray:
    """(N k,) int64 values of an accessor of whole numbers: corners of triangles, joints of vertices."""
    accessor = gltf.accessors[index]
    kind = np.dtype({UINT8: "<u1", 5123: "<u2", UINT32: "<u4"}[accessor.componentType])
    width = {name: k for k, name in TYPES.items()}[accessor.type]
    if accessor.bufferView is None or accessor.sparse is not None:
        raise ValueError("whole numbers that stand nowhere")
    rows = _rows(gltf, accessor.bufferView, accessor.byteOffset, accessor.count, kind.itemsize * width)
    return np.frombuffer(rows, kind).astype(np.int64)


def _rows(gltf: Document | GLTF2, view_index: int, offset: int | None, count: int, size: int) -> bytes:
    """`count` packed rows of `size` bytes of a buffer view. Raises ValueError if they are not all there."""
    view, blob = gltf.bufferViews[view_index], gltf.binary_blob()
    start, step = (view.byteOffset or 0) + (offset or 0), view.byteStride or size
    if step < size or start + step * (count - 1) + size > len(blob):
        raise ValueError("values that are not all there")
    if step == size:
        return bytes(blob[start : start + count * size])
    interleaved = np.frombuffer(blob, np.uint8, step * (count - 1) + size, start)
    return np.lib.stride_tricks.as_strided(interleaved, (count, size), (step, 1)).tobytes()


def _numbers(component: int, normalised: bool) -> tuple[str, int]:
    """numpy's type of an accessor's numbers and the integer that stands for 1; 0 for floats."""
    if component == FLOAT:
        return "<f4", 0
    if not normalised or component not in _NORMALISED:
        raise ValueError("only floats and normalised integers")
    return _NORMALISED[component]


def unpack_numbers(blob: bytes, start: int, count: int, component: int, normalised: bool) -> np.ndarray:
    """(count,) float32 values from byte `start` on: floats, or normalised integers; `ValueError` for others."""
    kind, largest = _numbers(component, normalised)
    if not largest:
        return np.frombuffer(blob, kind, count, start)
    return np.maximum(np.frombuffer(blob, kind, count, start).astype(np.float32) / largest, -1)
