"""How the joints of a .glb are turned where its mesh is as modelled: editors give every bone axes of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vqvae import rotations as rot

if TYPE_CHECKING:
    from pygltflib import GLTF2

    from vqvae.skeleton import Skeleton

UPRIGHT = 0.8  # least share of the way from pelvis to head that goes up
SAME = 0.98  # cosine between bones that lie alike


def bind_matrices(gltf: GLTF2, joints: Sequence[int], values: Callable[[int], np.ndarray]) -> np.ndarray | None:
    """(J, 4, 4) of joints (node numbers) in the mesh's space, float64, from a skin that has them all.

    Args:
        values: gives the (N, 16) of an accessor.
    """
    for skin in gltf.skins or []:
        if set(joints) <= set(skin.joints) and skin.inverseBindMatrices is not None:
            matrices = values(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
            return np.asarray(np.linalg.inv(matrices[[skin.joints.index(j) for j in joints]]))
    return None


def turns_at_rest(bind: np.ndarray, above: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
    """(J, 4) rotations, w first, of the joints' axes in the world where the skeleton has no rotation.

    None where they are those of our own files: there the offsets, turned by the joints, lead along the bones as
    modelled. Elsewhere the skeleton is laid along these bones, from the pelvis on without a twist, and what is left of
    the joints' rotations is that of their axes.

    Args:
        bind: (J, 4, 4) of the joints in the mesh's space.
        above: (4,) how all that lies above the pelvis turns it. The mesh's space may be the world's, or lie below that.
        skeleton: of these joints.
    """
    turns = rot.from_matrix(bind[:, :3, :3] / np.linalg.norm(bind[:, :3, :3], axis=1, keepdims=True))
    places = bind[:, :3, 3]
    trunk = _unit(places[skeleton.names.index("head")] - places[0])
    upright = [t for t in (rot.identity(()), np.asarray(above, np.float64)) if rot.rotate(t, trunk)[1] > UPRIGHT]
    if not upright:
        return None
    turns, places = np.asarray(rot.multiply(upright[0], turns)), np.asarray(rot.rotate(upright[0], places))
    bones = _unit(places - places[[max(p, 0) for p in skeleton.parents]])  # of a joint from its parent
    ours = _unit(np.asarray(skeleton.offsets, np.float64))
    below = [[k for k, p in enumerate(skeleton.parents) if p == j] for j in range(len(bones))]
    along = [float(rot.rotate(turns[p], ours[j]) @ bones[j]) for j, p in enumerate(skeleton.parents) if p >= 0]
    if min(along) > SAME:
        return None
    pose = np.zeros((len(bones), 4))
    for j, p in enumerate(skeleton.parents):
        pose[j] = rot.identity(()) if p < 0 else pose[p]
        if below[j]:
            pose[j] = rot.multiply(_laid(rot.rotate(pose[j], ours[below[j]]), bones[below[j]]), pose[j])
    return np.asarray(rot.multiply(rot.conjugate(pose), turns))


def _laid(directions: np.ndarray, on: np.ndarray) -> np.ndarray:
    """(4,) rotation that lays unit vectors (N, 3) on others best: the shortest one for a single vector, else by
    Kabsch's method (Acta Cryst. A32, 1976)."""
    if len(on) > 1:
        u, _, v = np.linalg.svd(on.T @ directions)
        return np.asarray(rot.from_matrix(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v))
    return rot.between(directions[0], on[0])


def _unit(v: np.ndarray) -> np.ndarray:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))


def away_from(rest: np.ndarray, local: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Local rotations (T, J, 4), w first, of joints that are turned by `rest` (J, 4) at rest, as those of joints that
    are not turned then."""
    world = np.empty_like(local)
    for j, p in enumerate(parents):
        world[:, j] = local[:, j] if p < 0 else rot.multiply(world[:, p], local[:, j])
    turned = rot.multiply(world, rot.conjugate(rest)[None])
    out = np.empty_like(local)
    for j, p in enumerate(parents):
        out[:, j] = turned[:, j] if p < 0 else rot.multiply(rot.conjugate(turned[:, p]), turned[:, j])
    return out
