"""Binary glTF 2.0: our skinned humanoid playing the clip, and how the nodes of such files are turned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.io.glb import FLOAT, TYPES, UINT8, UINT32
from vqvae.motion import Motion, atomic_write

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
