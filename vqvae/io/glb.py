"""glTF 2.0: what all readers of such files need of its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES

if TYPE_CHECKING:
    from pygltflib import GLTF2
    from pygltflib import Node as LibraryNode

    from vqvae.io.gltf_document import Document, Node

FLOAT, UINT32, UINT8 = 5126, 5125, 5121
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_NORMALISED: dict[int, tuple[str, int]] = {
    5120: ("<i1", 127), UINT8: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535),
}  # fmt: skip
"""Component type of integers that stand for -1 or 0 to 1 -> numpy's type, the largest."""
_HARMLESS = (
    "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_draco_", "KHR_mesh_quantization", "KHR_lights_", "VRM",
    "EXT_mesh_gpu_instancing", "EXT_lights_", "KHR_xmp", "KHR_audio", "KHR_node_visibility",
)  # fmt: skip
"""How extensions begin that change neither key frames nor nodes."""


def check_readable(path: Path, required: Any, interpolations: Iterable[str | None] = ()) -> None:
    """Refuse valid files whose key frames are not read.

    Args:
        required: the file's ``extensionsRequired``.
        interpolations: of the samplers, where the reader takes no cubic splines.

    Raises:
        UserError: an extension that says how to read the data, or cubic splines.
    """
    foreign = [str(e) for e in required or [] if not str(e).startswith(_HARMLESS)]
    if foreign:
        raise UserError(f"{path}: needs {', '.join(foreign)}; accepted key frames that need no extension")
    if "CUBICSPLINE" in interpolations:
        raise UserError(f"{path}: cubic splines; accepted key frames that are sampled (linear)")


def placed(node: Node | LibraryNode) -> dict[str, np.ndarray]:
    """A node's translation (3,), rotation (4,), w first, and scale (3,), float32, from its own fields or its matrix."""
    if node.matrix:
        matrix = np.asarray(node.matrix, np.float32).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        scale[0] *= np.sign(np.linalg.det(matrix[:3, :3]))
        return {"translation": matrix[:3, 3], "rotation": rot.from_matrix(matrix[:3, :3] / scale), "scale": scale}
    turn = np.roll(np.asarray(node.rotation or (0, 0, 0, 1), np.float32), 1)
    shift, scale = (np.asarray(v, np.float32) for v in (node.translation or (0, 0, 0), node.scale or (1, 1, 1)))
    return {"translation": shift, "rotation": turn, "scale": scale}


def values_of(gltf: Document | GLTF2, index: int) -> np.ndarray:
    """(N, k) float32 values of an accessor: packed or interleaved, with what a sparse one replaces; see `unpacked`."""
    accessor = gltf.accessors[index]
    width = {name: k for k, name in TYPES.items()}[accessor.type]
    form = accessor.componentType, bool(accessor.normalized)
    if accessor.bufferView is None:
        if accessor.count > MAX_FRAMES:
            raise ValueError(f"{accessor.count} values that stand nowhere")
        values = np.zeros((accessor.count, width), np.float32)
    else:
        size = np.dtype(_numbers(*form)[0]).itemsize * width
        raw = _rows(gltf, accessor.bufferView, accessor.byteOffset, accessor.count, size)
        values = unpacked(raw, 0, accessor.count * width, *form).reshape(-1, width)
    if accessor.sparse is None:
        return values
    sparse = accessor.sparse
    at = indices_of(gltf, sparse.indices, sparse.count)
    size = np.dtype(_numbers(*form)[0]).itemsize * width
    raw = _rows(gltf, sparse.values.bufferView, sparse.values.byteOffset, sparse.count, size)
    values = values.copy()
    values[at] = unpacked(raw, 0, sparse.count * width, *form).reshape(-1, width)
    return values


def indices_of(gltf: Document | GLTF2, indices: Any, count: int) -> np.ndarray:
    """(count,) whole numbers: where a sparse accessor's values belong."""
    kind = np.dtype({UINT8: "<u1", 5123: "<u2", UINT32: "<u4"}[indices.componentType])
    return np.frombuffer(_rows(gltf, indices.bufferView, indices.byteOffset, count, kind.itemsize), kind, count)


def _rows(gltf: Document | GLTF2, view_index: int, offset: int | None, count: int, size: int) -> bytes:
    """`count` rows of `size` bytes of a buffer view, next to one another.

    Raises:
        ValueError: they are not all there.
    """
    view, blob = gltf.bufferViews[view_index], gltf.binary_blob()
    start, step = (view.byteOffset or 0) + (offset or 0), view.byteStride or size
    if step < size or start + step * (count - 1) + size > len(blob):
        raise ValueError("values that are not all there")
    if step == size:
        return bytes(blob[start : start + count * size])
    whole = np.frombuffer(blob, np.uint8, step * (count - 1) + size, start)
    return np.lib.stride_tricks.as_strided(whole, (count, size), (step, 1)).tobytes()


def _numbers(component: int, normalised: bool) -> tuple[str, int]:
    """numpy's type of an accessor's numbers and the largest of them that stands for 1; 0 for floats."""
    if component == FLOAT:
        return "<f4", 0
    if not normalised or component not in _NORMALISED:
        raise ValueError("only floats and normalised integers")
    return _NORMALISED[component]


def unpacked(blob: bytes, start: int, count: int, component: int, normalised: bool) -> np.ndarray:
    """(count,) float32 values from byte `start` on: floats, or normalised integers by glTF's rule.

    Raises:
        ValueError: numbers of another kind, or fewer of them.
    """
    kind, largest = _numbers(component, normalised)
    if not largest:
        return np.frombuffer(blob, kind, count, start)
    return np.maximum(np.frombuffer(blob, kind, count, start).astype(np.float32) / largest, -1)
