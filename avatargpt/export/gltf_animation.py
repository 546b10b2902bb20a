"""A further animation in a glTF that somebody else wrote: tracks of its nodes, and the file with them appended."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from avatargpt.export.gltf_write import BufferBuilder, drop_empty_fields, xyzw
from avatargpt.export.viseme_files import oculus_columns, visemes_of
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.io.gltf import FLOAT, Document, Node, node_transform
from vqvae.io.gltf_rigs import GltfSkeleton
from vqvae.rig import Rig

# of (node, "rotation", "translation" or "weights"): (T or 1, 4), w first, 3, or a column for each target
Tracks = dict[tuple[int, str], np.ndarray]


def node_tracks(skeleton: GltfSkeleton, rig: Rig, hips: int, level: np.ndarray | None) -> Tracks:
    """The tracks that move a file's nodes as a rig of its skeleton: of all joints, for another animation may have left
    them as in its last frame.

    Args:
        rig: of `skeleton.read_stored_rig()`, with the movement. hips: the joint with the body's way.
        level: (T, 3) of the file's world, the part of the way that the node above the hips takes; None for none.
    """
    gltf, out = skeleton.gltf, Tracks()
    parents = gltf.parents
    for j, node in enumerate(skeleton.nodes):
        if node < 0:
            continue
        p, above = skeleton.joint_parents[j], parents.get(node, -1)
        turn, linear, place = skeleton.read_stored_pose(above)
        joint_turn, _, joint_place = skeleton.read_stored_pose(skeleton.nodes[p] if p >= 0 else -1)
        at_rest = skeleton.rest[0][p] if p >= 0 else rot.identity(())
        # nodes between two joints, or above all, stay as they are
        back = rot.multiply(rot.conjugate(rot.multiply(rot.conjugate(joint_turn), turn)), rot.conjugate(at_rest))
        local = rot.multiply(rot.multiply(back, rig.rotations[:, j]), skeleton.rest[0][j])
        out[node, "rotation"] = rot.continuous(local) if len(local) > 1 else local
        out[node, "translation"] = node_transform(gltf.nodes[node])["translation"][None]
        if j == hips:
            own = rot.rotate(rot.conjugate(at_rest), rig.translations[:, j])
            to_joint = rot.to_matrix(joint_turn).T
            away = own - to_joint @ (place - joint_place)
            way = away @ np.linalg.inv(to_joint @ linear).T
            if level is not None:
                way = way - level @ np.linalg.inv(linear).T
                higher = skeleton.read_stored_pose(parents.get(above, -1))[1]
                out[above, "translation"] = (
                    node_transform(gltf.nodes[above])["translation"] + level @ np.linalg.inv(higher).T
                )
            out[node, "translation"] = way
    return out


def face_targets(gltf: Document) -> dict[int, dict[int, int]]:
    """Nodes with morph targets of a face -> our number of each -> its place: of the 52 shapes, and from 52 on, where no
    mesh has a jaw, of Oculus' visemes: a mouth that has both would open twice."""
    names = [[str(n) for n in mesh.extras.get("targetNames", ())] for mesh in gltf.meshes]
    found = [arkit.columns(row) for row in names]
    if not any(arkit.INDEX["jawOpen"] in columns for columns in found):
        for columns, row in zip(found, names, strict=True):
            columns |= {arkit.COUNT + k: place for k, place in oculus_columns(row).items()}
    return {n: found[node.mesh] for n, node in enumerate(gltf.nodes) if node.mesh is not None and found[node.mesh]}


def face_tracks(gltf: Document, face: FaceMotion) -> Tracks:
    """The weights of `face_targets`; other targets stay as they are."""
    out, targets, table = Tracks(), face_targets(gltf), face.weights
    if any(number >= arkit.COUNT for columns in targets.values() for number in columns):
        table = np.concatenate([table, visemes_of(table)], 1)
    for node, columns in targets.items():
        mesh = gltf.meshes[gltf.nodes[node].mesh or 0]
        values = np.zeros((len(face), len(mesh.extras["targetNames"])), np.float32)
        values[:, : len(mesh.weights)] = mesh.weights[: values.shape[1]]
        values[:, [*columns.values()]] = table[:, [*columns]]
        out[node, "weights"] = values
    return out


def add_animation(
    gltf: Mapping[str, Any], blob: bytes, tracks: Tracks, fps: float, name: str
) -> tuple[dict[str, Any], bytes]:
    """JSON and binary chunk of a .glb with one animation more; what was there stays, byte by byte.

    `name` is followed by a number where the file has an animation of that name.
    """
    data, samplers, channels = BufferBuilder(), list[Any](), list[Any]()
    count, accessors = max(map(len, tracks.values())), len(gltf.get("accessors", ()))
    times = {n: accessors + data.add(np.arange(n) / fps, FLOAT, bounds=True) for n in sorted({1, count})}
    for (node, path), values in tracks.items():
        values = values if np.ptp(values, 0).any() else values[:1]  # one key frame holds for good
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        numbers = values.reshape(-1) if path == "weights" else xyzw(values) if path == "rotation" else values
        output = accessors + data.add(numbers, FLOAT)
        samplers.append({"input": times[len(values)], "output": output, "interpolation": "LINEAR"})
    taken = {a.get("name") for a in gltf.get("animations", ())}
    free = next(n for n in (name, *(f"{name} {k}" for k in range(2, len(taken) + 3))) if n not in taken)
    animation = {"name": free, "samplers": samplers, "channels": channels}
    nodes = list(gltf["nodes"])
    for node in {node for node, path in tracks if path != "weights" and "matrix" in nodes[node]}:
        # a node that may be animated: with translation, rotation and scale in place of a matrix
        parts = node_transform(Node(matrix=nodes[node]["matrix"]))
        parts["rotation"] = xyzw(parts["rotation"])
        kept = {k: v for k, v in nodes[node].items() if k != "matrix"}
        nodes[node] = kept | {k: parts[k].tolist() for k in ("translation", "rotation", "scale")}
    out, blob = _extend_accessors(gltf, blob, data)
    return out | {"nodes": nodes, "animations": [*gltf.get("animations", ()), animation]}, blob


def add_skin(skeleton: GltfSkeleton, gltf: Mapping[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
    """JSON and binary chunk of a .glb with a skin that its skeleton lacks: programs know bones from groups by skins."""
    known, nodes = set(skeleton.nodes), skeleton.gltf.nodes
    joints = [n for n in range(len(nodes)) if known & set(skeleton.path(n)) and nodes[n].mesh is None]
    bind = np.tile(np.eye(4), (len(joints), 1, 1))
    for matrix, node in zip(bind, joints, strict=True):
        _, matrix[:3, :3], matrix[:3, 3] = skeleton.read_stored_pose(node)
    data = BufferBuilder()
    number = len(gltf["accessors"]) + data.add(np.linalg.inv(bind).transpose(0, 2, 1).reshape(-1, 16), FLOAT)
    out, blob = _extend_accessors(gltf, blob, data)
    return out | {"skins": [{"joints": joints, "inverseBindMatrices": number}]}, blob


def _extend_accessors(gltf: Mapping[str, Any], blob: bytes, data: BufferBuilder) -> tuple[dict[str, Any], bytes]:
    """JSON and binary chunk with further accessors, numbered after those that are there."""
    views, accessors = list(gltf.get("bufferViews", ())), list(gltf.get("accessors", ()))
    buffers, number, start, added = list(gltf.get("buffers", ())), 0, 0, bytes(data.blob)
    if buffers and "uri" in buffers[0]:
        uri = "data:application/octet-stream;base64," + base64.b64encode(added).decode()
        number, buffers = len(buffers), [*buffers, {"byteLength": len(added), "uri": uri}]
    else:
        blob += b"\0" * (-len(blob) % 4)
        start, blob = len(blob), blob + added
        buffers[:1] = [(buffers[0] if buffers else {}) | {"byteLength": len(blob)}]
    new_views = [drop_empty_fields(v) | {"buffer": number, "byteOffset": v.byteOffset + start} for v in data.views]
    new_accessors = [drop_empty_fields(a) | {"bufferView": len(views) + a.bufferView} for a in data.accessors]
    parts = {"buffers": buffers, "bufferViews": views + new_views, "accessors": accessors + new_accessors}
    return {**gltf, **parts}, blob
