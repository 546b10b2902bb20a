"""Binary glTF 2.0: our skinned humanoid playing the clip, and how the nodes of such files are turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae import rotations as rot
from vqvae.io.gltf import FLOAT, TYPES, UINT8, UINT32
from vqvae.motion import Motion, atomic_write

if TYPE_CHECKING:
    from pygltflib import AnimationChannel, AnimationSampler, Material, Node, Primitive

ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
_DTYPES: dict[int, Any] = {FLOAT: np.float32, UINT32: np.uint32, UINT8: np.uint8}


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
                type=TYPES[flat.shape[1]], **limits,
            )  # fmt: skip
        )
        return len(self.accessors) - 1


def write_glb(motion: Motion, path: Path) -> Path:
    """Write the clip as a .glb: a skinned mesh, one skin of 22 joints, 52 with fingers, one animation; metres, Y up."""
    import pygltflib as gl

    from avatargpt.export.mesh import body_mesh

    body, data = body_mesh(motion.fingers is not None), _Builder()
    names = motion.whole[0].names
    primitive = skinned(data, body.vertices, body.normals, body.colours, body.joints, body.weights, body.triangles)
    skin = data.add(inverse_binds(body.bind), FLOAT)
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)
    samplers, channels = tracks(data, motion, times)
    gltf = gl.GLTF2(
        asset=gl.Asset(version="2.0", generator="AvatarGPT"),
        scene=0, scenes=[gl.Scene(nodes=[0, len(names)])],
        nodes=[*joint_nodes(motion), gl.Node(name="body", mesh=0, skin=0)],
        meshes=[gl.Mesh(name="body", primitives=[primitive])], materials=[material("body", 0.75)],
        skins=[gl.Skin(name="body", inverseBindMatrices=skin, joints=list(range(len(names))), skeleton=0)],
        animations=[gl.Animation(name=motion.caption or "motion", samplers=samplers, channels=channels)],
        accessors=data.accessors, bufferViews=data.views, buffers=[gl.Buffer(byteLength=len(data.blob))],
        extras={"fps": float(motion.fps), "caption": motion.caption},
    )  # fmt: skip
    gltf.set_binary_blob(bytes(data.blob))
    return atomic_write(path, lambda temporary: gltf.save_binary(str(temporary)))


def skinned(
    data: _Builder, points: np.ndarray, normals: np.ndarray, colours: np.ndarray, joints: np.ndarray,
    weights: np.ndarray, triangles: np.ndarray,
) -> Primitive:  # fmt: skip
    """A skin of the first material: vertices (V, 3), their joints and weights (V, 4), triangles (F, 3)."""
    import pygltflib as gl

    # COLOR_0 as floats: bytes would band in linear light
    attributes = gl.Attributes(
        POSITION=data.add(points, FLOAT, ARRAY_BUFFER, bounds=True),
        NORMAL=data.add(normals / np.linalg.norm(normals, axis=1, keepdims=True), FLOAT, ARRAY_BUFFER),
        COLOR_0=data.add(np.clip(colours, 0, 1), FLOAT, ARRAY_BUFFER),
        JOINTS_0=data.add(joints, UINT8, ARRAY_BUFFER),
        WEIGHTS_0=data.add(weights, FLOAT, ARRAY_BUFFER),
    )
    indices = data.add(triangles.ravel(), UINT32, ELEMENT_BUFFER)
    return gl.Primitive(attributes=attributes, indices=indices, material=0)


def material(name: str, roughness: float) -> Material:
    """One that shows the vertices' own colours."""
    import pygltflib as gl

    look = gl.PbrMetallicRoughness(baseColorFactor=[1.0, 1.0, 1.0, 1.0], metallicFactor=0.0, roughnessFactor=roughness)
    return gl.Material(name=name, pbrMetallicRoughness=look, doubleSided=False, alphaCutoff=None)


def inverse_binds(bind: np.ndarray) -> np.ndarray:
    """(J, 16) inverses of the joints' matrices (J, 4, 4) in the bind pose, column by column."""
    inverse = np.linalg.inv(bind)
    inverse[:, 3] = (0, 0, 0, 1)
    return inverse.transpose(0, 2, 1).reshape(-1, 16)


def joint_nodes(motion: Motion) -> list[Node]:
    """A node for each joint, in the pose of the first frame."""
    import pygltflib as gl

    skeleton, rotations = motion.whole
    turned = _xyzw(rot.continuous(rotations)[0] if len(motion) > 1 else rotations[0])
    nodes = []
    for j, name in enumerate(skeleton.names):
        children = [k for k, p in enumerate(skeleton.parents) if p == j]
        place = motion.root[0] if j == 0 else skeleton.offsets[j]
        at = [float(x) for x in place]
        nodes.append(gl.Node(name=name, translation=at, rotation=turned[j].tolist(), children=children))
    return nodes


def tracks(data: _Builder, motion: Motion, times: int) -> tuple[list[AnimationSampler], list[AnimationChannel]]:
    """Samplers and channels of the root's path and of every joint's rotation, nodes as `joint_nodes` numbers them.

    Args:
        times: the accessor with the frames' seconds.
    """
    import pygltflib as gl

    rotations = motion.whole[1]
    rotations = rot.continuous(rotations) if len(motion) > 1 else rotations
    samplers = [gl.AnimationSampler(input=times, output=data.add(motion.root, FLOAT), interpolation="LINEAR")]
    channels = [gl.AnimationChannel(sampler=0, target=gl.AnimationChannelTarget(node=0, path="translation"))]
    for j in range(rotations.shape[1]):
        output = data.add(_xyzw(rotations[:, j]), FLOAT)
        channels.append(
            gl.AnimationChannel(sampler=len(samplers), target=gl.AnimationChannelTarget(node=j, path="rotation"))
        )
        samplers.append(gl.AnimationSampler(input=times, output=output, interpolation="LINEAR"))
    return samplers, channels


def _xyzw(q: np.ndarray) -> np.ndarray:
    return np.roll(q, -1, axis=-1)


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
