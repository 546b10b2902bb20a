"""Binary glTF 2.0 of a face: our head with its 52 morph targets playing the clip, and reading such a file back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.gltf import ARRAY_BUFFER, ELEMENT_BUFFER, _Builder, from_rest, turned_above
from avatargpt.export.gltf_rest import bind_matrices, turns_of
from instruct_data.face.clips import check_weights
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.io.files import parsing
from vqvae.io.gltf import FLOAT, UINT8, UINT32, Document, check_readable, placed, read_gltf, values_of
from vqvae.io.gltf_rigs import STEP, at, frames, said, unit
from vqvae.motion import atomic_write
from vqvae.rig import joints_known

NECK_NODE, HEAD_NODE, MESH_NODE = 0, 1, 2
BODY = 10  # joints of a body by which a file is one that only has a face, too, unless that moves
ACCEPTED = "accepted a .glb with a mesh of ARKit morph targets and one animation of their weights"


def write_face_glb(motion: FaceMotion, path: Path) -> Path:
    """Write our head playing the clip: one mesh, 52 morph targets (sparse), a joint ``head``, one animation."""
    import pygltflib as gl

    from avatargpt.export.head.head import NECK, PIVOT, head

    shape, data = head(), _Builder()
    normals = shape.normals / np.linalg.norm(shape.normals, axis=1, keepdims=True)
    joints = np.tile(np.array([0, 1, 0, 0], np.uint8), (len(shape.points), 1))
    joints[:, 1] *= shape.follow > 0  # a joint without weight is named 0
    share = np.stack([1 - shape.follow, shape.follow, 0 * shape.follow, 0 * shape.follow], 1)
    attributes = gl.Attributes(
        POSITION=data.add(shape.points, FLOAT, ARRAY_BUFFER, bounds=True),
        NORMAL=data.add(normals, FLOAT, ARRAY_BUFFER),
        COLOR_0=data.add(np.clip(shape.colours, 0, 1), FLOAT, ARRAY_BUFFER),
        JOINTS_0=data.add(joints, UINT8, ARRAY_BUFFER), WEIGHTS_0=data.add(share, FLOAT, ARRAY_BUFFER),
    )  # fmt: skip
    indices = data.add(shape.triangles.ravel(), UINT32, ELEMENT_BUFFER)
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[:, :3, 3] = -np.stack([NECK, PIVOT])
    bind = data.add(inverse.transpose(0, 2, 1).reshape(-1, 16), FLOAT)  # column-major
    targets = morph_targets(data)
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)
    weights = data.add(motion.weights.ravel(), FLOAT)
    turn = turns(motion.head)
    turn = np.roll(rot.continuous(turn) if len(turn) > 1 else turn, -1, axis=-1)
    rotation = data.add(turn, FLOAT)
    look = gl.PbrMetallicRoughness(baseColorFactor=[1.0, 1.0, 1.0, 1.0], metallicFactor=0.0, roughnessFactor=0.6)
    primitive = gl.Primitive(attributes=attributes, indices=indices, material=0, targets=targets)
    animation = gl.Animation(
        name=motion.caption or "face",
        samplers=[gl.AnimationSampler(input=times, output=o, interpolation="LINEAR") for o in (weights, rotation)],
        channels=[
            gl.AnimationChannel(sampler=0, target=gl.AnimationChannelTarget(node=MESH_NODE, path="weights")),
            gl.AnimationChannel(sampler=1, target=gl.AnimationChannelTarget(node=HEAD_NODE, path="rotation")),
        ],
    )  # fmt: skip
    gltf = gl.GLTF2(
        asset=gl.Asset(version="2.0", generator="AvatarGPT"),
        scene=0, scenes=[gl.Scene(nodes=[NECK_NODE, MESH_NODE])],
        nodes=[
            gl.Node(name="neck", translation=NECK.tolist(), children=[HEAD_NODE]),
            gl.Node(name="head", translation=(PIVOT - NECK).tolist(), rotation=turn[0].tolist()),
            gl.Node(name="face", mesh=0, skin=0),
        ],
        meshes=[gl.Mesh(
            name="face", primitives=[primitive], weights=motion.weights[0].astype(float).tolist(),
            extras={"targetNames": list(arkit.NAMES)},
        )],
        materials=[gl.Material(name="face", pbrMetallicRoughness=look, doubleSided=False, alphaCutoff=None)],
        skins=[gl.Skin(name="face", inverseBindMatrices=bind, joints=[NECK_NODE, HEAD_NODE], skeleton=NECK_NODE)],
        animations=[animation],
        accessors=data.accessors, bufferViews=data.views, buffers=[gl.Buffer(byteLength=len(data.blob))],
        extras={"fps": float(motion.fps), "caption": motion.caption},
    )  # fmt: skip
    gltf.set_binary_blob(bytes(data.blob))
    return atomic_write(path, lambda temporary: gltf.save_binary(str(temporary)))


def morph_targets(data: _Builder) -> list[Any]:
    """The morph targets as sparse accessors: only the vertices that a target moves are stored."""
    import pygltflib as gl

    from avatargpt.export.head.morphs import morph_normals, morphs

    out = []
    for moved, bent in zip(morphs(), morph_normals(), strict=True):
        some = np.flatnonzero(moved.any(1) | bent.any(1))
        index = _view(data, some.astype(np.uint32))
        pair = {}
        for name, values in (("POSITION", moved), ("NORMAL", bent)):
            sparse = gl.Sparse(
                count=len(some), indices=gl.AccessorSparseIndices(bufferView=index, byteOffset=0, componentType=UINT32),
                values=gl.AccessorSparseValues(bufferView=_view(data, values[some]), byteOffset=0),
            )  # fmt: skip
            limits = {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if name == "POSITION" else {}
            form = {"componentType": FLOAT, "count": len(values), "type": "VEC3", "byteOffset": None}
            data.accessors.append(gl.Accessor(**form, sparse=sparse, **limits))
            pair[name] = len(data.accessors) - 1
        out.append(gl.Attributes(**pair))
    return out


def _view(data: _Builder, values: np.ndarray) -> int:
    from pygltflib import BufferView

    raw = np.ascontiguousarray(values).tobytes()
    data.views.append(BufferView(buffer=0, byteOffset=len(data.blob), byteLength=len(raw)))
    data.blob += raw
    return len(data.views) - 1


def read_face_glb(path: Path) -> FaceMotion | None:
    """Read the weights' animation of a .glb whose morph targets have ARKit names; None where no mesh has such targets,
    or where they stay still on a whole body.

    Targets may come in any order and spelling; those that are missing stay 0, and so does the head without a rotated
    node ``head``. What that node turns at rest is no turn of the head.

    Raises:
        UserError: damaged, no animation of the weights, some far from 0 to 1, cubic splines, extensions for the data.
    """
    gltf = read_gltf(path, ACCEPTED)
    with parsing(path, "a whole glTF", ACCEPTED):
        found = _named_mesh(gltf)
        if found is None or (not _weighed(gltf) and joints_known(n.name for n in gltf.nodes) >= BODY):
            return None
        return _clip(gltf, *found, path)


def _weighed(gltf: Document) -> bool:
    """Whether any morph target's weight is animated."""
    return any(c.target.path == "weights" for a in gltf.animations for c in a.channels)


def _named_mesh(gltf: Document) -> tuple[int, dict[int, int], int] | None:
    """The mesh with ARKit targets: its number, our index -> its target, how many targets it has. Of several the first
    one whose weights are animated."""
    channels = [c.target for a in gltf.animations or [] for c in a.channels]
    moved = {gltf.nodes[t.node].mesh for t in channels if t.path == "weights"}
    for i, mesh in sorted(enumerate(gltf.meshes or []), key=lambda numbered: numbered[0] not in moved):
        names = list((mesh.extras or {}).get("targetNames", []))
        known = arkit.columns([str(n) for n in names])
        if len(known) >= arkit.COUNT // 2:
            return i, known, len(names)
    return None


def _clip(gltf: Document, mesh: int, known: dict[int, int], targets: int, path: Path) -> FaceMotion:
    nodes = gltf.nodes
    clips = [[(c.target, a.samplers[c.sampler]) for c in a.channels] for a in gltf.animations or []]

    def weighs(tracks: list[tuple[Any, Any]]) -> Any:
        return next((s for t, s in tracks if t.path == "weights" and nodes[t.node].mesh == mesh), None)

    clips.sort(key=lambda tracks: weighs(tracks) is None)  # the head may turn in another animation, too
    moved = weighs(clips[0]) if clips else None
    if moved is None:
        raise UserError(f"{path}: no animation of the morph targets' weights; {ACCEPTED}")
    tracks = [track for clip in clips for track in clip]
    heads = ((s, t.node) for t, s in tracks if t.path == "rotation" and (nodes[t.node].name or "").lower() == "head")
    turned, bone = next(heads, (None, -1))
    read = [s for s in (moved, turned) if s is not None]
    check_readable(path, gltf.extensionsRequired, [s.interpolation for s in read])
    lines = [values_of(gltf, s.input)[:, 0].astype(np.float64) for s in read]
    rate, caption = said(gltf.extras)
    keys = values_of(gltf, moved.output).reshape(len(lines[0]), targets)
    _check(keys, known, path)
    held = [s.interpolation == STEP for s in read]
    times, fps = frames(lines, rate, any(held))
    table = at(times, lines[0], keys, held[0])
    weights = np.zeros((len(times), arkit.COUNT), np.float32)
    for ours, theirs in known.items():
        weights[:, ours] = table[:, theirs]
    head = np.zeros((len(times), 3))
    if turned is not None:
        local = unit(np.roll(values_of(gltf, turned.output), 1, axis=-1))
        head = at(times, lines[1], angles_of(from_rest(local, *_rest(gltf, bone))), held[1])
    return FaceMotion(weights, head, fps, caption)


def _check(keys: np.ndarray, known: dict[int, int], path: Path) -> None:
    """Refuse weights far from 0 to 1, as in the other formats; keys (n, targets)."""
    names = list(known)
    try:
        check_weights(keys[:, [known[i] for i in names]], [arkit.NAMES[i] for i in names])
    except UserError as e:
        raise UserError(f"{path}: key frame {str(e).removeprefix('row ')}") from None


def _rest(gltf: Document, bone: int) -> tuple[np.ndarray, np.ndarray]:
    """(4,) what the joints above a bone turn it, and (4,) its own rotation, w first, where its mesh is as modelled.

    A skin says both, of the rig stood up: however it is placed in its scene, its head is upright. The nodes alone will
    not do: they may stand as in the first frame, as in our own files. Without a skin they must.
    """
    for skin in gltf.skins or []:
        parent = next((j for j in skin.joints if bone in (gltf.nodes[j].children or [])), None)
        bind = None if parent is None else bind_matrices([skin], [parent, bone], lambda k: values_of(gltf, k))
        if bind is not None:
            own = np.linalg.inv(bind[0]) @ bind[1]
            inside = [(n.children or []) if i in skin.joints else [] for i, n in enumerate(gltf.nodes)]
            axes = turned_above(bone, inside, lambda n: placed(gltf.nodes[n])["rotation"])
            return rot.multiply(_stood(rot.rotate(axes, own[:3, 3])), axes), turns_of(own)
    children = [n.children or [] for n in gltf.nodes]
    above = turned_above(bone, children, lambda n: placed(gltf.nodes[n])["rotation"])
    return above, placed(gltf.nodes[bone])["rotation"]


def _stood(way: np.ndarray) -> np.ndarray:
    """(4,) rotation that takes the axis nearest to the way (3,) from neck to head to Y, by which a neck may lean."""
    k = int(np.abs(way).argmax())
    return rot.between(np.eye(3)[k] * np.sign(way[k]), np.array([0.0, 1, 0])) if way[k] else rot.identity(())
