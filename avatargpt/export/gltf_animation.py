"""A further animation in a glTF that somebody else wrote: tracks of its nodes, and the file with them appended."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from avatargpt.export.character_face import face_of
from avatargpt.export.gltf_write import BufferBuilder, drop_empty_fields, xyzw
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


def face_tracks(gltf: Document, face: FaceMotion) -> Tracks:
    """The weights of a character's face; targets that nothing of ours moves stay as they are."""
    out, ours = Tracks(), face_of(gltf)
    for node, values in ours.weights(face).items():
        still: np.ndarray = np.logical_not(np.any(ours.tables[node], 0))
        rest = np.zeros(len(still), np.float32)
        stored = gltf.meshes[gltf.nodes[node].mesh or 0].weights[: len(still)]
        rest[: len(stored)] = stored
        values[:, still] = rest[still]
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
    out, blob = extend_accessors(gltf, blob, data)
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
    out, blob = extend_accessors(gltf, blob, data)
    return out | {"skins": [{"joints": joints, "inverseBindMatrices": number}]}, blob


def extend_accessors(gltf: Mapping[str, Any], blob: bytes, data: BufferBuilder) -> tuple[dict[str, Any], bytes]:
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
    new_accessors = [drop_empty_fields(a) for a in data.accessors]
    for row in new_accessors:
        for place in (row, *(row["sparse"][part] for part in ("indices", "values") if "sparse" in row)):
            if "bufferView" in place:
                place["bufferView"] += len(views)
    parts = {"buffers": buffers, "bufferViews": views + new_views, "accessors": accessors + new_accessors}
    return {**gltf, **parts}, blob
