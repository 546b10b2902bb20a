"""Binary glTF 2.0: what all readers of such files need, and every animation of a skeleton as a rig."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.guard import read_bytes, understanding
from vqvae.io.keyframes import STEP, at, frames, turned_at, unit
from vqvae.rig import Rig, rig_of

if TYPE_CHECKING:
    from pygltflib import GLTF2, Animation, Node

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


def read_rigs(path: Path) -> Iterator[tuple[str, Rig]]:
    """Every animation of the first skin's skeleton, by name: rotations away from how the mesh is bound, Y up, metres.

    Raises:
        UserError: not a .glb, no skin, no animation, nodes with another scale than 1, data that are not read.
    """
    raw = read_bytes(path, MOST_BYTES)
    if raw[:4] != b"glTF":
        raise UserError(f"{path}: not a binary glTF; accepted a .glb with a skin and animations")
    with understanding(path, "a whole binary glTF"):
        gltf = parsed(raw)
        if not gltf.skins or not gltf.animations:
            raise UserError(f"{path}: no {'animation' if gltf.skins else 'skin'}; accepted a .glb with both")
        read = [s.interpolation for a in gltf.animations for s in a.samplers]
        check_readable(path, gltf.extensionsRequired, read)
        skeleton = _Skeleton(gltf, path)
    for animation in gltf.animations:
        with understanding(path, f"an animation {animation.name!r} of its skeleton"):
            rig = skeleton.moved(animation)
        yield str(animation.name or ""), rig


class _Skeleton:
    """The joints of a file's first skin, parents before children, and where they are bound."""

    def __init__(self, gltf: GLTF2, path: Path) -> None:
        self.gltf = gltf
        parents = {child: n for n, node in enumerate(gltf.nodes) for child in node.children or []}
        ways: dict[int, list[int]] = {}
        for joint in gltf.skins[0].joints:
            way = [joint]
            while way[0] in parents:
                if len(way) > len(gltf.nodes):
                    raise ValueError("nodes in a circle")
                way.insert(0, parents[way[0]])
            ways[joint] = way
        self.joints = sorted(ways, key=lambda j: len(ways[j]))
        self.ways = [ways[j] for j in self.joints]
        index = {j: k for k, j in enumerate(self.joints)}
        self.parents = [next((index[n] for n in reversed(way[:-1]) if n in index), -1) for way in self.ways]
        if sum(p < 0 for p in self.parents) != 1:
            raise UserError(f"{path}: {sum(p < 0 for p in self.parents)} roots; accepted one skeleton")
        inverse = values_of(gltf, gltf.skins[0].inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        bound = np.linalg.inv(inverse.astype(np.float64))[[gltf.skins[0].joints.index(j) for j in self.joints]]
        axes = bound[:, :3, :3]
        self.turns = rot.from_matrix(axes / np.linalg.norm(axes, axis=1, keepdims=True))
        self.places = bound[:, :3, 3]
        scales = [placed(gltf.nodes[n])["scale"] for way in self.ways for n in way]
        if np.abs(np.array(scales) - 1).max() > 1e-3:
            raise UserError(f"{path}: nodes with another scale than 1; accepted a skeleton in metres")

    def moved(self, animation: Animation) -> Rig:
        """One animation of all joints."""
        gltf = self.gltf
        nodes = {n for way in self.ways for n in way}
        tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels
                  if c.target.node in nodes and c.target.path in ("rotation", "translation")}  # fmt: skip
        if not tracks:
            raise UserError("none of the joints moves; accepted key frames of their rotations")
        lines = {w: values_of(gltf, s.input)[:, 0].astype(np.float64) for w, s in tracks.items()}
        times, fps = frames(list(lines.values()))

        def track(node: int, what: str) -> np.ndarray:
            if (node, what) not in tracks:
                return np.repeat(placed(gltf.nodes[node])[what][None].astype(np.float64), len(times), 0)
            sampler = tracks[node, what]
            keys, held = values_of(gltf, sampler.output), sampler.interpolation == STEP
            if what == "translation":
                return at(times, lines[node, what], keys.astype(np.float64), held)
            turns = unit(np.roll(keys, 1, axis=-1)).astype(np.float64)
            return turned_at(times, lines[node, what], turns, held)

        world: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for way in self.ways:
            for above, node in zip([-1, *way], way, strict=False):
                if node in world:
                    continue
                turn, place = track(node, "rotation"), track(node, "translation")
                if above >= 0:
                    up, at_up = world[above]
                    turn, place = rot.multiply(up, turn), at_up + rot.rotate(up, place)
                world[node] = turn, place
        turns, places = (np.stack([world[j][k] for j in self.joints], 1) for k in (0, 1))
        names = tuple(str(gltf.nodes[j].name) for j in self.joints)
        return rig_of(names, tuple(self.parents), (self.turns, self.places), turns, places, fps)
