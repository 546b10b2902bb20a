"""Binary glTF 2.0 of a body, a face or an avatar: skinned meshes on one skeleton, one animation; metres, Y up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion, turns
from vqvae.io.gltf import FLOAT, TYPES, UINT8, UINT32
from vqvae.motion import Motion, atomic_write
from vqvae.skeleton import SMPL52

if TYPE_CHECKING:
    from pygltflib import Attributes, Material, Mesh, Node, Primitive

ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963
NECK_NODE, HEAD_NODE, MESH_NODE = 0, 1, 2  # of a face's file
_DTYPES: dict[int, Any] = {FLOAT: np.float32, UINT32: np.uint32, UINT8: np.uint8}


class BufferBuilder:
    """Collects arrays into one binary chunk with its views and accessors."""

    def __init__(self) -> None:
        self.views: list[Any] = []
        self.accessors: list[Any] = []
        self.blob = bytearray()

    def add(self, array: np.ndarray, component: int, target: int | None = None, bounds: bool = False) -> int:
        """Append (N,) or (N, k) values; returns the accessor's index."""
        from pygltflib import Accessor

        data = np.ascontiguousarray(array, _DTYPES[component])
        flat = data.reshape(len(data), -1)
        view = self.view(data, target)
        limits = {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()} if bounds else {}
        self.accessors.append(
            Accessor(
                bufferView=view,
                byteOffset=0,
                componentType=component,
                count=len(data),
                type=TYPES[flat.shape[1]],
                **limits,
            )  # fmt: skip
        )
        return len(self.accessors) - 1

    def view(self, array: np.ndarray, target: int | None = None) -> int:
        """Append raw values, aligned to 4 bytes; returns the view's index."""
        from pygltflib import BufferView

        raw = np.ascontiguousarray(array).tobytes()
        self.views.append(BufferView(buffer=0, byteOffset=len(self.blob), byteLength=len(raw), target=target))
        self.blob += raw + b"\0" * (-len(raw) % 4)
        return len(self.views) - 1

    def targets(self, moves: np.ndarray, normals: np.ndarray) -> list[dict[str, int]]:
        """Append displacements (K, V, 3) and changes of normals as sparse accessors, which store only the vertices that
        a target moves; K targets' accessors by attribute."""
        from pygltflib import Accessor, AccessorSparseIndices, AccessorSparseValues, Sparse

        out = []
        for moved, bent in zip(moves, normals, strict=True):
            vertices = np.flatnonzero(moved.any(1) | bent.any(1))
            index = self.view(vertices.astype(np.uint32)) if len(vertices) else -1
            pair = {}
            for name, values in (("POSITION", moved), ("NORMAL", bent)):
                form = {"componentType": FLOAT, "count": len(values), "type": "VEC3", "byteOffset": None}
                if len(vertices):  # without any all are zeros
                    form["sparse"] = Sparse(
                        count=len(vertices),
                        indices=AccessorSparseIndices(bufferView=index, byteOffset=0, componentType=UINT32),
                        values=AccessorSparseValues(bufferView=self.view(values[vertices].astype("<f4")), byteOffset=0),
                    )  # fmt: skip
                if name == "POSITION":
                    form |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
                self.accessors.append(Accessor(**form))
                pair[name] = len(self.accessors) - 1
            out.append(pair)
        return out


class _Animation:
    """Samplers and channels whose tracks all have the same key frames."""

    def __init__(self, data: BufferBuilder, frames: int, fps: float) -> None:
        self.samplers: list[Any] = []
        self.channels: list[Any] = []
        self._data = data
        self._times = data.add(np.arange(frames) / fps, FLOAT, bounds=True)

    def track(self, node: int, path: str, values: np.ndarray) -> None:
        """Animate a node's translation, rotation (x, y, z, w) or weights."""
        import pygltflib as gl

        target = gl.AnimationChannelTarget(node=node, path=path)
        self.channels.append(gl.AnimationChannel(sampler=len(self.samplers), target=target))
        output = self._data.add(values, FLOAT)
        self.samplers.append(gl.AnimationSampler(input=self._times, output=output, interpolation="LINEAR"))

    def body(self, motion: Motion) -> None:
        """The root's path and every joint's rotation; nodes are numbered as joints."""
        rotations = motion.with_fingers[1]
        rotations = rot.continuous(rotations) if len(motion) > 1 else rotations
        self.track(0, "translation", motion.root)
        for j in range(rotations.shape[1]):
            self.track(j, "rotation", xyzw(rotations[:, j]))


def write_glb(motion: Motion | FaceMotion | AvatarMotion, path: Path) -> Path:
    """Write a .glb of a body, a face or an avatar."""
    if isinstance(motion, AvatarMotion):
        return write_avatar_glb(motion, path)
    return _write_face(motion, path) if isinstance(motion, FaceMotion) else _write_body(motion, path)


def _write_body(motion: Motion, path: Path) -> Path:
    """One mesh, one skin of 22 joints, 52 with fingers."""
    import pygltflib as gl

    from avatargpt.export.mesh import body_mesh

    mesh, data = body_mesh(motion.fingers is not None), BufferBuilder()
    joints = list(range(len(motion.with_fingers[0].names)))
    primitive = _build_skin(data, mesh.points, mesh.normals, mesh.colours, mesh.joints, mesh.weights, mesh.triangles)
    bind = data.add(_inverse_binds(mesh.bind), FLOAT)
    animation = _Animation(data, len(motion), motion.fps)
    animation.body(motion)
    nodes = [*_joint_nodes(motion), gl.Node(name="body", mesh=0, skin=0)]
    skin = gl.Skin(name="body", inverseBindMatrices=bind, joints=joints, skeleton=0)
    meshes, materials = [gl.Mesh(name="body", primitives=[primitive])], [_material("body", 0.75)]
    return _save(path, data, motion, "motion", animation, nodes, [0, len(joints)], meshes, materials, skin)


def _write_face(motion: FaceMotion, path: Path) -> Path:
    """The head as one mesh with 52 sparse morph targets, on a joint ``head``."""
    import pygltflib as gl

    from avatargpt.export.head import NECK, PIVOT, head

    shape, data = head(), BufferBuilder()
    joints = np.tile(np.array([0, 1, 0, 0], np.uint8), (len(shape.points), 1))
    # the format wants 0 as the joint of a weight of 0
    joints[:, 1] *= shape.follow > 0
    share = np.stack([1 - shape.follow, shape.follow, 0 * shape.follow, 0 * shape.follow], 1)
    primitive = _build_skin(data, shape.points, shape.normals, shape.colours, joints, share, shape.triangles)
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[:, :3, 3] = -np.stack([NECK, PIVOT])
    bind = data.add(_columns(inverse), FLOAT)
    primitive.targets = _morph_targets(data)
    turn = turns(motion.head)
    turn = xyzw(rot.continuous(turn) if len(turn) > 1 else turn)
    animation = _Animation(data, len(motion), motion.fps)
    animation.track(MESH_NODE, "weights", motion.weights.ravel())
    animation.track(HEAD_NODE, "rotation", turn)
    nodes = [
        gl.Node(name="neck", translation=NECK.tolist(), children=[HEAD_NODE]),
        gl.Node(name="head", translation=(PIVOT - NECK).tolist(), rotation=turn[0].tolist()),
        gl.Node(name="face", mesh=0, skin=0),
    ]
    skin = gl.Skin(name="face", inverseBindMatrices=bind, joints=[NECK_NODE, HEAD_NODE], skeleton=NECK_NODE)
    meshes, materials = [_face_mesh(motion, primitive)], [_material("face", 0.6)]
    return _save(path, data, motion, "face", animation, nodes, [NECK_NODE, MESH_NODE], meshes, materials, skin)


def write_avatar_glb(motion: AvatarMotion, path: Path, clothed: bool = False) -> Path:
    """Write an avatar: two meshes (body; face with 52 sparse morph targets) of one skin of 52 joints.

    The head turns with its joints alone. `clothed`: not in the colours that tell sides apart.
    """
    import pygltflib as gl

    from avatargpt.export.mesh import avatar_mesh

    mesh, data, count = avatar_mesh(clothed), BufferBuilder(), len(SMPL52.names)
    body, face = slice(0, mesh.body), slice(mesh.body, None)
    primitives = [
        _build_skin(data, mesh.points[v], mesh.normals[v], mesh.colours[v], mesh.joints[v], mesh.weights[v], triangles)
        for v, triangles in ((body, mesh.triangles[: mesh.faces]), (face, mesh.triangles[mesh.faces :] - mesh.body))
    ]
    primitives[1].targets, primitives[1].material = _morph_targets(data), 1
    bind = data.add(_inverse_binds(mesh.bind), FLOAT)
    animation = _Animation(data, len(motion), motion.fps)
    animation.body(motion.body)
    animation.track(count + 1, "weights", motion.face.weights.ravel())
    nodes = [
        *_joint_nodes(motion.body), gl.Node(name="body", mesh=0, skin=0), gl.Node(name="face", mesh=1, skin=0),
    ]  # fmt: skip
    skin = gl.Skin(name="avatar", inverseBindMatrices=bind, joints=list(range(count)), skeleton=0)
    meshes = [gl.Mesh(name="body", primitives=primitives[:1]), _face_mesh(motion.face, primitives[1])]
    materials = [_material("body", 0.75), _material("face", 0.6)]
    return _save(path, data, motion, "avatar", animation, nodes, [0, count, count + 1], meshes, materials, skin)


def _save(
    path: Path, data: BufferBuilder, motion: Motion | FaceMotion | AvatarMotion, name: str, animation: _Animation,
    nodes: Sequence[Node], roots: Sequence[int], meshes: Sequence[Mesh], materials: Sequence[Material], skin: Any,
) -> Path:  # fmt: skip
    """Write the document; `name` is that of the animation where the motion has no caption."""
    import pygltflib as gl

    gltf = gl.GLTF2(
        asset=gl.Asset(version="2.0", generator="AvatarGPT"), scene=0, scenes=[gl.Scene(nodes=list(roots))],
        nodes=list(nodes), meshes=list(meshes), materials=list(materials), skins=[skin],
        animations=[
            gl.Animation(name=motion.caption or name, samplers=animation.samplers, channels=animation.channels)
        ],
        accessors=data.accessors, bufferViews=data.views, buffers=[gl.Buffer(byteLength=len(data.blob))],
        extras={"fps": float(motion.fps), "caption": motion.caption},
    )  # fmt: skip
    gltf.set_binary_blob(bytes(data.blob))
    return atomic_write(path, lambda temporary: gltf.save_binary(str(temporary)))


def _build_skin(
    data: BufferBuilder, points: np.ndarray, normals: np.ndarray, colours: np.ndarray, joints: np.ndarray,
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


def _face_mesh(motion: FaceMotion, primitive: Primitive) -> Mesh:
    import pygltflib as gl

    return gl.Mesh(
        name="face", primitives=[primitive], weights=motion.weights[0].astype(float).tolist(),
        extras={"targetNames": list(arkit.NAMES)},
    )  # fmt: skip


def _morph_targets(data: BufferBuilder) -> list[Attributes]:
    import pygltflib as gl

    from avatargpt.export.head import head

    return [gl.Attributes(**pair) for pair in data.targets(head().morphs, head().morph_normals)]


def _material(name: str, roughness: float) -> Material:
    """One that shows the vertices' own colours."""
    import pygltflib as gl

    look = gl.PbrMetallicRoughness(baseColorFactor=[1.0, 1.0, 1.0, 1.0], metallicFactor=0.0, roughnessFactor=roughness)
    return gl.Material(name=name, pbrMetallicRoughness=look, doubleSided=False, alphaCutoff=None)


def _inverse_binds(bind: np.ndarray) -> np.ndarray:
    """(J, 16) inverses of the joints' matrices (J, 4, 4) in the bind pose."""
    inverse = np.linalg.inv(bind)
    inverse[:, 3] = (0, 0, 0, 1)
    return _columns(inverse)


def _columns(matrices: np.ndarray) -> np.ndarray:
    """Matrices (J, 4, 4) as rows (J, 16), column by column."""
    return matrices.transpose(0, 2, 1).reshape(-1, 16)


def _joint_nodes(motion: Motion) -> list[Node]:
    """A node for each joint, in the pose of the first frame."""
    import pygltflib as gl

    skeleton, rotations = motion.with_fingers
    pose = xyzw(rot.continuous(rotations)[0] if len(motion) > 1 else rotations[0])
    nodes = []
    for j, name in enumerate(skeleton.names):
        children = [k for k, p in enumerate(skeleton.parents) if p == j]
        place = motion.root[0] if j == 0 else skeleton.offsets[j]
        translation = [float(x) for x in place]
        nodes.append(gl.Node(name=name, translation=translation, rotation=pose[j].tolist(), children=children))
    return nodes


def xyzw(q: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) w, x, y, z in glTF's order."""
    return np.roll(q, -1, axis=-1)


def drop_empty_fields(row: Any) -> dict[str, Any]:
    """An accessor or a view as JSON, without its empty fields, which would be invalid."""
    return {k: v for k, v in json.loads(row.to_json()).items() if v not in (None, {}, [])}
