"""How the joints of a .glb are turned where its mesh is as modelled: editors give every bone axes of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vqvae import rotations as rot

if TYPE_CHECKING:
    from pygltflib import Skin

    from vqvae.skeleton import Skeleton

UPRIGHT = 0.8  # least share of the way from pelvis to head that goes up
SAME = 0.98  # cosine between bones that lie alike


def bind_matrices(
    skins: Sequence[Skin], joints: Sequence[int], values: Callable[[int], np.ndarray]
) -> np.ndarray | None:
    """(J, 4, 4) of joints (node numbers) in the mesh's space, float64, from the first of the skins that has them all.

    Args:
        values: gives the (N, 16) of an accessor.
    """
    for skin in skins:
        if set(joints) <= set(skin.joints) and skin.inverseBindMatrices is not None:
            matrices = values(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
            return np.asarray(np.linalg.inv(matrices[[skin.joints.index(j) for j in joints]]))
    return None


def turns_of(matrices: np.ndarray) -> np.ndarray:
    """(..., 4) rotations, w first, of matrices (..., 4, 4) with a scale."""
    axes = matrices[..., :3, :3]
    return rot.from_matrix(axes / np.linalg.norm(axes, axis=-2, keepdims=True))


def turns_at_rest(bind: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
    """(J, 4) rotations, w first, of the joints' axes in the world where the skeleton has no rotation.

    None where they are those of our own files: there the offsets, turned by the joints, lead along the bones as
    modelled. Elsewhere the skeleton is laid along these bones, from the pelvis on without a twist, and what is left of
    the joints' rotations is that of their axes. However the mesh's space is turned, the pelvis turns with it.

    Args:
        bind: (J, 4, 4) of the joints in the mesh's space.
        skeleton: of these joints.
    """
    turns = turns_of(bind)
    places = bind[:, :3, 3]
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


def stood_up(bind: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(4,) rotation that takes a file's vertical axis to ours: glTF's is Y, yet editors can write theirs, Z.

    Args:
        bind: (J, 4, 4) of the joints in the mesh's space, where this is the world's.
        skeleton: of these joints.
    """
    trunk = _unit(bind[skeleton.names.index("head"), :3, 3] - bind[0, :3, 3])
    return rot.between(np.array([0.0, 0, 1]), np.array([0.0, 1, 0])) if trunk[2] > UPRIGHT else rot.identity(())


def local_of(world: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Rotations (T, J, 4) of joints in the world, w first, as those below their parents."""
    out = world.copy()
    for j, p in enumerate(parents):
        if p >= 0:
            out[:, j] = rot.multiply(rot.conjugate(world[:, p]), world[:, j])
    return out
