"""Binary glTF 2.0: what all readers of such files need, and every animation of a skeleton as a rig."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError

if TYPE_CHECKING:
    from pygltflib import GLTF2, Node

FLOAT, UINT32, UINT8 = 5126, 5125, 5121
MOST_BYTES = 1 << 30
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_NORMALISED: dict[int, tuple[str, int]] = {
    5120: ("<i1", 127), UINT8: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535),
}  # fmt: skip
"""Component type of integers that stand for -1 or 0 to 1 -> numpy's type, the largest."""
_HARMLESS = (
    "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_draco_", "KHR_mesh_quantization", "KHR_lights_", "VRM",
)  # fmt: skip
"""How extensions begin that change neither key frames nor nodes."""


def parsed(raw: bytes) -> GLTF2:
    """A binary glTF. ``extras`` that are no object are left out: glTF allows them, the library does not.

    Raises:
        Exception: of any kind, from KeyError to struct.error, where it is damaged.
    """
    from pygltflib import GLTF2

    size, length = struct.unpack_from("<8xII", raw)
    about = json.loads(
        raw[20 : 20 + length],
        object_hook=lambda o: {k: v for k, v in o.items() if k != "extras" or isinstance(v, dict)},
    )  # fmt: skip
    text = json.dumps(about).encode()
    text += b" " * (-len(text) % 4)
    head = raw[:8] + struct.pack("<II", size + len(text) - length, len(text)) + raw[16:20]
    gltf = GLTF2().load_from_bytes(head + text + raw[20 + length :])
    if gltf is None:
        raise ValueError("empty")
    return gltf


def check_readable(path: Path, required: Any, interpolations: Iterable[str | None]) -> None:
    """Refuse valid files whose key frames are not read.

    Args:
        required: the file's ``extensionsRequired``.
        interpolations: of the samplers that will be read.

    Raises:
        UserError: an extension that says how to read the data, or cubic splines.
    """
    foreign = [str(e) for e in required or [] if not str(e).startswith(_HARMLESS)]
    if foreign:
        raise UserError(f"{path}: needs {', '.join(foreign)}; accepted key frames that need no extension")
    if "CUBICSPLINE" in interpolations:
        raise UserError(f"{path}: cubic splines; accepted key frames that are sampled (linear)")


def placed(node: Node) -> dict[str, np.ndarray]:
    """A node's translation (3,), rotation (4,), w first, and scale (3,), float32, from its own fields or its matrix."""
    if node.matrix:
        matrix = np.asarray(node.matrix, np.float32).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        scale[0] *= np.sign(np.linalg.det(matrix[:3, :3]))
        return {"translation": matrix[:3, 3], "rotation": rot.from_matrix(matrix[:3, :3] / scale), "scale": scale}
    turn = np.roll(np.asarray(node.rotation or (0, 0, 0, 1), np.float32), 1)
    shift, scale = (np.asarray(v, np.float32) for v in (node.translation or (0, 0, 0), node.scale or (1, 1, 1)))
    return {"translation": shift, "rotation": turn, "scale": scale}


def values_of(gltf: GLTF2, index: int) -> np.ndarray:
    """(N, k) float32 values of an accessor that is tightly packed, see :func:`unpacked`."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    width = {name: k for k, name in TYPES.items()}[accessor.type]
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    if view.byteStride:
        raise ValueError("only packed values")
    form = accessor.componentType, bool(accessor.normalized)
    return unpacked(gltf.binary_blob(), start, accessor.count * width, *form).reshape(-1, width)


def unpacked(blob: bytes, start: int, count: int, component: int, normalised: bool) -> np.ndarray:
    """(count,) float32 values from byte `start` on: floats, or normalised integers by glTF's rule.

    Raises:
        ValueError: numbers of another kind, or fewer of them.
    """
    if component == FLOAT:
        return np.frombuffer(blob, "<f4", count, start)
    if not normalised or component not in _NORMALISED:
        raise ValueError("only floats and normalised integers")
    kind, largest = _NORMALISED[component]
    return np.maximum(np.frombuffer(blob, kind, count, start).astype(np.float32) / largest, -1)
