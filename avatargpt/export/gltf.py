"""Binary glTF 2.0: our skinned humanoid playing the clip, and what all readers of such files need."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion, atomic_write

if TYPE_CHECKING:
    from pygltflib import GLTF2, Node

FLOAT, UINT32, UINT8 = 5126, 5125, 5121
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
MOST_BYTES = 1 << 30
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_DTYPES: dict[int, Any] = {FLOAT: np.float32, UINT32: np.uint32, UINT8: np.uint8}
_NORMALISED: dict[int, tuple[str, int]] = {
    5120: ("<i1", 127), UINT8: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535),
}  # fmt: skip
"""Component type of integers that stand for -1 or 0 to 1 -> numpy's type, the largest."""
_HARMLESS = (
    "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_draco_", "KHR_mesh_quantization", "KHR_lights_", "VRM",
)  # fmt: skip
"""How extensions begin that change neither key frames nor nodes."""


class _Builder:
    """Collects arrays into one binary chunk with its views and accessors."""

    def __init__(self) -> None:
        self.views: list[Any] = []
        self.accessors: list[Any] = []
        self.blob = bytearray()

    def add(self, array: np.ndarray, component: int, target: int | None = None, bounds: bool = False) -> int:
        """Append (N,) or (N, k) values; returns the accessor's index."""
        from pygltflib import Accessor, BufferView

        data = np.ascontiguousarray(array, _DTYPES[component])
        flat = data.reshape(len(data), -1)
        self.views.append(BufferView(buffer=0, byteOffset=len(self.blob), byteLength=data.nbytes, target=target))
        self.blob += data.tobytes() + b"\0" * (-data.nbytes % 4)
        limits = {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()} if bounds else {}
        self.accessors.append(
            Accessor(
                bufferView=len(self.views) - 1, byteOffset=0, componentType=component, count=len(data),
                type=_TYPES[flat.shape[1]], **limits,
            )  # fmt: skip
        )
        return len(self.accessors) - 1


def write_glb(motion: Motion, path: Path) -> Path:
    """Write the clip as a .glb: one skinned mesh, one skin of 22 joints, or 52 with fingers, one animation. Metres, Y up."""
    import pygltflib as gl

    from avatargpt.export.mesh import body_mesh

    body, data = body_mesh(motion.fingers is not None), _Builder()
    skeleton, rotations = motion.whole
    names, parents = skeleton.names, skeleton.parents
    rotations = rot.continuous(rotations) if len(motion) > 1 else rotations
    # COLOR_0 as floats: bytes would band in linear light
    attributes = gl.Attributes(
        POSITION=data.add(body.vertices, FLOAT, ARRAY_BUFFER, bounds=True),
        NORMAL=data.add(body.normals / np.linalg.norm(body.normals, axis=1, keepdims=True), FLOAT, ARRAY_BUFFER),
        COLOR_0=data.add(np.clip(body.colours, 0, 1), FLOAT, ARRAY_BUFFER),
        JOINTS_0=data.add(body.joints, UINT8, ARRAY_BUFFER),
        WEIGHTS_0=data.add(body.weights, FLOAT, ARRAY_BUFFER),
    )
    indices = data.add(body.triangles.ravel(), UINT32, ELEMENT_BUFFER)
    inverse = np.linalg.inv(body.bind)
    inverse[:, 3] = (0, 0, 0, 1)
    skin = data.add(inverse.transpose(0, 2, 1).reshape(-1, 16), FLOAT)  # column-major
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)

    nodes = []
    for j, name in enumerate(names):
        children = [k for k, p in enumerate(parents) if p == j]
        place = motion.root[0] if j == 0 else skeleton.offsets[j]
        nodes.append(
            gl.Node(
                name=name, translation=[float(x) for x in place], rotation=_xyzw(rotations[0, j]).tolist(),
                children=children,
            )  # fmt: skip
        )
    nodes.append(gl.Node(name="body", mesh=0, skin=0))
    samplers = [gl.AnimationSampler(input=times, output=data.add(motion.root, FLOAT), interpolation="LINEAR")]
    channels = [gl.AnimationChannel(sampler=0, target=gl.AnimationChannelTarget(node=0, path="translation"))]
    for j in range(len(names)):
        output = data.add(_xyzw(rotations[:, j]), FLOAT)
        channels.append(
            gl.AnimationChannel(sampler=len(samplers), target=gl.AnimationChannelTarget(node=j, path="rotation"))
        )
        samplers.append(gl.AnimationSampler(input=times, output=output, interpolation="LINEAR"))
    look = gl.PbrMetallicRoughness(baseColorFactor=[1.0, 1.0, 1.0, 1.0], metallicFactor=0.0, roughnessFactor=0.75)
    gltf = gl.GLTF2(
        asset=gl.Asset(version="2.0", generator="AvatarGPT"),
        scene=0, scenes=[gl.Scene(nodes=[0, len(names)])], nodes=nodes,
        meshes=[gl.Mesh(name="body", primitives=[gl.Primitive(attributes=attributes, indices=indices, material=0)])],
        materials=[gl.Material(name="body", pbrMetallicRoughness=look, doubleSided=False, alphaCutoff=None)],
        skins=[gl.Skin(name="body", inverseBindMatrices=skin, joints=list(range(len(names))), skeleton=0)],
        animations=[gl.Animation(name=motion.caption or "motion", samplers=samplers, channels=channels)],
        accessors=data.accessors, bufferViews=data.views, buffers=[gl.Buffer(byteLength=len(data.blob))],
        extras={"fps": float(motion.fps), "caption": motion.caption},
    )  # fmt: skip
    gltf.set_binary_blob(bytes(data.blob))
    return atomic_write(path, lambda temporary: gltf.save_binary(str(temporary)))


def _xyzw(q: np.ndarray) -> np.ndarray:
    return np.roll(q, -1, axis=-1)


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


def turned_above(node: int, children: Sequence[Sequence[int]], own: Callable[[int], np.ndarray]) -> np.ndarray:
    """(4,) rotation in the world, w first, of a node's parents together, from each node's children and own rotation."""
    parents = {child: n for n, below in enumerate(children) for child in below}
    turn, at_node = rot.identity(()), parents.get(node)
    for _ in children:  # no more steps than nodes: damaged files may go in circles
        if at_node is None:
            break
        turn, at_node = rot.multiply(own(at_node), turn), parents.get(at_node)
    return turn


def from_rest(local: np.ndarray, above: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Rotations (T, 4) of a node, w first, as turns in the world away from its own at rest (4,) below `above` (4,)."""
    return rot.multiply(rot.multiply(above, rot.multiply(local, rot.conjugate(rest))), rot.conjugate(above))


def _placed(node: Node) -> dict[str, np.ndarray]:
    """A node's translation (3,), rotation (4,), w first, and scale (3,), float32, from its own fields or its matrix."""
    if node.matrix:
        matrix = np.asarray(node.matrix, np.float32).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        scale[0] *= np.sign(np.linalg.det(matrix[:3, :3]))
        return {"translation": matrix[:3, 3], "rotation": rot.from_matrix(matrix[:3, :3] / scale), "scale": scale}
    turn = np.roll(np.asarray(node.rotation or (0, 0, 0, 1), np.float32), 1)
    shift, scale = (np.asarray(v, np.float32) for v in (node.translation or (0, 0, 0), node.scale or (1, 1, 1)))
    return {"translation": shift, "rotation": turn, "scale": scale}


def _values(gltf: GLTF2, index: int) -> np.ndarray:
    """(N, k) float32 values of an accessor that is tightly packed, see :func:`unpacked`."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    width = {name: k for k, name in _TYPES.items()}[accessor.type]
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
