"""The head of a character's glTF as triangles: where its vertices stand, and how they move with their mesh.

Everything is turned so that the character looks along +Z, Y up, in the file's own unit: VRM 0 looks along -Z.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from avatargpt.export.head import vertex_normals
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.gltf import Document, accessor_integers, accessor_values, node_transform
from vqvae.io.gltf_rigs import humanoid_bones
from vqvae.rig import match

TRIANGLES, MAX_VERTICES = 4, 400_000
_BACK = np.array([-1.0, 1, -1])  # the half turn about Y


@dataclass(frozen=True)
class HeadPart:
    """A primitive of a mesh that a head carries, V vertices and F triangles.

    Attributes:
        node, mesh, primitive: numbers in the file.
        points, normals: (V, 3) at rest. to_mesh: (V, 3, 3) what turns a displacement of them into one of the
            mesh.
        triangles: (F, 3). share: (V,) how far the head carries each vertex, 0 to 1.
    """

    node: int
    mesh: int
    primitive: int
    points: np.ndarray
    normals: np.ndarray
    to_mesh: np.ndarray
    triangles: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class FileHead:
    """The parts of a head, and the places (3,) of the eyes' bones where it has both, left and right."""

    parts: tuple[HeadPart, ...]
    eyes: tuple[np.ndarray, np.ndarray] | None


def read_head(gltf: Document) -> FileHead:
    """The head of a file: what its head bone carries, or all where it has no skeleton.

    Raises:
        UserError: no meshes there, or compressed ones.
    """
    bones = _bones(gltf)
    worlds = _world_matrices(gltf)
    head = bones.get("head")
    carried = set(range(len(gltf.nodes))) if head is None else _below(gltf, head)
    turn = _BACK if "VRM" in gltf.extensions else np.ones(3)
    parts = []
    for number, node in enumerate(gltf.nodes):
        if node.mesh is None:
            continue
        for place, primitive in enumerate(gltf.meshes[node.mesh].primitives):
            if primitive.extensions.keys() & {"KHR_draco_mesh_compression"}:
                raise UserError("compressed meshes (Draco); accepted plain buffers")
            if primitive.mode != TRIANGLES or "POSITION" not in primitive.attributes:
                continue
            points = accessor_values(gltf, primitive.attributes["POSITION"]).astype(np.float64)
            if len(points) > MAX_VERTICES:
                raise UserError(f"{len(points)} vertices in a mesh; accepted {MAX_VERTICES}")
            matrices, share = _skinning(gltf, number, place, worlds, carried, len(points))
            placed = np.einsum("vij,vj->vi", matrices[:, :3, :3], points) + matrices[:, :3, 3]
            corners = (
                np.arange(len(points)) if primitive.indices is None else accessor_integers(gltf, primitive.indices)
            )
            triangles = corners[: len(corners) // 3 * 3].reshape(-1, 3)
            if (share > 0.5).any() and triangles.size and triangles.max() < len(points):
                to_mesh = np.linalg.pinv(matrices[:, :3, :3]) * turn
                placed = placed * turn
                normals = vertex_normals(placed, triangles)
                if "NORMAL" in primitive.attributes:
                    stored = accessor_values(gltf, primitive.attributes["NORMAL"]).astype(np.float64)
                    normals = _unit(np.einsum("vji,vj->vi", to_mesh, stored))
                parts.append(HeadPart(number, node.mesh, place, placed, normals, to_mesh, triangles, share))
    if not parts:
        raise UserError("no mesh that a head carries; accepted a character with a head")
    eyes = [worlds[bones[n]][:3, 3] * turn if n in bones else None for n in ("leftEye", "rightEye")]
    return FileHead(tuple(parts), None if eyes[0] is None or eyes[1] is None else (eyes[0], eyes[1]))


def head_turns(gltf: Document, turned: np.ndarray) -> tuple[int, np.ndarray]:
    """The node of the head, -1 for none, and its rotations (T, 4), w first, for a head turned (T, 4) from rest."""
    bone = _bones(gltf).get("head", -1)
    if bone < 0:
        return bone, turned
    above = rot.identity(())
    for node in gltf.path_to(bone, gltf.parents)[:-1]:
        above = rot.multiply(above, node_transform(gltf.nodes[node])["rotation"].astype(np.float64))
    if "VRM" in gltf.extensions:  # it looks along -Z
        turned = turned * [1, -1, 1, -1]
    stored = node_transform(gltf.nodes[bone])["rotation"].astype(np.float64)
    return bone, rot.multiply(rot.multiply(rot.conjugate(above), rot.multiply(turned, above)), stored)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _bones(gltf: Document) -> dict[str, int]:
    """Nodes of head and eyes, by VRM's names: a VRM's own, or found by the nodes' names."""
    for key in ("VRMC_vrm", "VRM"):
        if isinstance(about := gltf.extensions.get(key), dict):
            return humanoid_bones(about)
    names = tuple(node.name for node in gltf.nodes)
    skinned = {j for skin in gltf.skins for j in skin.joints}
    out: dict[str, int] = {}
    with suppress(UserError, KeyError):  # no humanoid: a bust, say
        out["head"] = match(names)["head"]
    for side in ("left", "right"):
        wanted = {f"{side}eye", f"eye{side}", f"eye{side[0]}", f"{side[0]}eye"}
        for n, name in enumerate(names):
            letters = "".join(c for c in name.lower() if c.isalnum())
            if n in skinned and any(letters == w or letters.endswith(f"rig{w}") for w in wanted):
                out.setdefault(f"{side}Eye", n)
    return out


def _below(gltf: Document, node: int) -> set[int]:
    """A node and all below it."""
    out, left = set[int](), [node]
    while left:
        if (n := left.pop()) not in out:
            out.add(n)
            left += gltf.nodes[n].children
    return out


def _world_matrices(gltf: Document) -> np.ndarray:
    """(N, 4, 4) of every node at rest."""
    local = np.tile(np.eye(4), (len(gltf.nodes), 1, 1))
    for matrix, node in zip(local, gltf.nodes, strict=True):
        parts = node_transform(node)
        matrix[:3, :3] = rot.to_matrix(parts["rotation"].astype(np.float64)) * parts["scale"]
        matrix[:3, 3] = parts["translation"]
    parents, out = gltf.parents, local.copy()
    for n in range(len(out)):
        for above in gltf.path_to(n, parents)[-2::-1]:
            out[n] = local[above] @ out[n]
    return out


def _skinning(
    gltf: Document, node: int, primitive: int, worlds: np.ndarray, carried: set[int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(V, 4, 4) of each vertex from the mesh to the world, and (V,) the head's share in it."""
    number = gltf.nodes[node].skin
    attributes = gltf.meshes[gltf.nodes[node].mesh or 0].primitives[primitive].attributes
    if number is None or "JOINTS_0" not in attributes or "WEIGHTS_0" not in attributes:
        return np.tile(worlds[node], (count, 1, 1)), np.full(count, float(node in carried))
    skin = gltf.skins[number]
    binds = np.tile(np.eye(4), (len(skin.joints), 1, 1))
    if skin.inverseBindMatrices is not None:
        binds = accessor_values(gltf, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    matrices = worlds[skin.joints] @ binds[: len(skin.joints)]
    on_head = np.array([j in carried for j in skin.joints], np.float64)
    mixed, share, total = np.zeros((count, 4, 4)), np.zeros(count), np.zeros(count)
    for name in [n for n in attributes if n.startswith("JOINTS_")]:
        joints = accessor_integers(gltf, attributes[name]).reshape(count, 4)
        weights = accessor_values(gltf, attributes[name.replace("JOINTS", "WEIGHTS")]).astype(np.float64)
        for k in range(4):
            mixed += weights[:, k, None, None] * matrices[joints[:, k]]
            share += weights[:, k] * on_head[joints[:, k]]
        total += weights.sum(1)
    total = np.maximum(total, 1e-9)
    return mixed / total[:, None, None], share / total
