"""Binary glTF 2.0: our skinned humanoid playing the clip, and reading such a file back."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.export.gltf_rest import away_from, bind_matrices, turns_at_rest
from avatargpt.export.keyframes import at, frames, said, turned_at
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES, Motion, atomic_write
from vqvae.skeleton import SMPL22

if TYPE_CHECKING:
    from pygltflib import GLTF2, Animation, Node

FLOAT, UINT32, UINT8 = 5126, 5125, 5121
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
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
ACCEPTED = "accepted a .glb with the 22 SMPL joints and one animation of their rotations"


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
    """Write the clip as a .glb: one skinned mesh, one skin of 22 joints, one animation. Metres, Y up."""
    import pygltflib as gl

    from avatargpt.export.mesh import body_mesh

    body, data = body_mesh(), _Builder()
    names, parents = motion.skeleton.names, motion.skeleton.parents
    rotations = rot.continuous(motion.rotations) if len(motion) > 1 else motion.rotations
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
        place = motion.root[0] if j == 0 else motion.skeleton.offsets[j]
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


def read_glb(path: Path) -> Motion:
    """Read the animation of a .glb that has our joints (by node name) back; see :func:`write_glb`.

    Raises:
        UserError: not a .glb, joints missing, none animated, several animations of them, a scale above the pelvis,
            cubic splines, extensions for the data, times that do not rise.
    """
    raw = path.read_bytes()
    if raw[:4] != b"glTF":
        raise UserError(f"{path}: not a binary glTF; {ACCEPTED}")
    try:
        motion = _animation(parsed(raw), path)
    except UserError:
        raise
    except Exception as e:  # the library raises anything from KeyError to struct.error on damaged files
        raise UserError(f"{path}: damaged binary glTF ({type(e).__name__}); {ACCEPTED}") from None
    return motion


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


def _animation(gltf: GLTF2, path: Path) -> Motion:
    nodes = {n.name: i for i, n in enumerate(gltf.nodes)}
    missing = [n for n in SMPL22.names if n not in nodes]
    if missing:
        raise UserError(f"{path}: no joint {', '.join(missing[:4])}; {ACCEPTED}")
    animation = _chosen(gltf, {nodes[n] for n in SMPL22.names}, path)
    tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    wanted = [(nodes[n], "rotation") for n in SMPL22.names] + [(nodes["pelvis"], "translation")]
    if not any(w in tracks for w in wanted):
        raise UserError(f"{path}: no joint is animated; {ACCEPTED}")
    above = _above(gltf, nodes["pelvis"], path)
    moved = [w for w in [*wanted, *((n, way) for n in above for way in ("rotation", "translation"))] if w in tracks]
    check_readable(path, gltf.extensionsRequired, [tracks[w].interpolation for w in moved])
    lines = {w: _values(gltf, tracks[w].input)[:, 0].astype(np.float64) for w in moved}
    rate, caption = said(gltf.extras)
    try:
        times, fps = frames(list(lines.values()), rate)
    except ValueError as e:
        raise UserError(f"{path}: key frames: {e}; accepted 1 to {MAX_FRAMES} with rising times") from None
    # Editors leave out what does not move: such a joint stays as its node is.

    def track(w: tuple[int, str]) -> np.ndarray:
        turns = w[1] == "rotation"
        if w not in tracks:
            held = _placed(gltf.nodes[w[0]])["rotation" if turns else "translation"]
            return np.repeat(held[None], len(times), 0)
        values = _values(gltf, tracks[w].output)
        return turned_at(times, lines[w], np.roll(values, 1, axis=-1)) if turns else at(times, lines[w], values)

    rotations, root = np.stack([track(w) for w in wanted[:-1]], 1), track(wanted[-1])
    still = rot.identity(())
    for n in above:
        still = rot.multiply(_placed(gltf.nodes[n])["rotation"], still)
        turn = track((n, "rotation"))
        rotations[:, 0] = rot.multiply(turn, rotations[:, 0])
        root = rot.rotate(turn, root) + track((n, "translation"))
    bind = bind_matrices(gltf, [nodes[n] for n in SMPL22.names], lambda k: _values(gltf, k))
    rest = None if bind is None else turns_at_rest(bind, still, SMPL22)
    if rest is not None:
        rotations = away_from(rest, rotations, SMPL22.parents)
    return Motion(rotations, root, fps, "body", caption)


def _chosen(gltf: GLTF2, joints: set[int], path: Path) -> Animation:
    """The one animation that turns our joints; the first where none does."""
    if not gltf.animations:
        raise UserError(f"{path}: no animation; {ACCEPTED}")
    ours = [
        a for a in gltf.animations if any(c.target.node in joints and c.target.path == "rotation" for c in a.channels)
    ]
    if len(ours) > 1:
        named = ", ".join(a.name or "without a name" for a in ours[:4]) + ", ..." * (len(ours) > 4)
        raise UserError(f"{path}: {len(ours)} animations turn the joints ({named}); {ACCEPTED}")
    return ours[0] if ours else gltf.animations[0]


def _above(gltf: GLTF2, node: int, path: Path) -> list[int]:
    """The nodes above one, upwards; they place and turn it, and none may scale it."""
    parents = {child: n for n, parent in enumerate(gltf.nodes) for child in parent.children or []}
    out: list[int] = []
    while node in parents and len(out) < len(gltf.nodes):
        node = parents[node]
        scale = _placed(gltf.nodes[node])["scale"]
        if np.abs(scale - 1).max() > 1e-3:
            said = " ".join(f"{x:.4g}" for x in scale)
            raise UserError(f"{path}: {gltf.nodes[node].name or node} above the pelvis has scale {said}; accepted 1")
        out.append(node)
    return out


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
