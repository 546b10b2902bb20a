"""Our head where the body's would be: on the 22 joints at rest, its collar laid on the body's shirt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatargpt.export.figure import PALETTE, figure
from avatargpt.export.head.head import head, vertex_normals
from avatargpt.export.head.shape import smooth
from avatargpt.export.mesh import bind_pose, body_mesh, field, linear
from vqvae.skeleton import SMPL22

PLACE = np.array([0.0, 0.060, -0.012])
"""Metres from the joint of the body's head to the zero of our head: eyes lie where the body's own would. The size is
kept, so that morph targets add up as they are."""
_NECK_FOLLOWS = (-0.052, 0.004)  # m above the neck's joint: skin below goes with the chest, above with the neck
_YOKE, _END = -0.178, -0.232  # m, in the head's space: the collar below lies on the shirt; what hangs lower is left out
_CLOTH = {"spine2", "spine3", "l_collar", "r_collar", "l_shoulder", "r_shoulder"}  # joints that carry the shirt there
_SHOULDERS = (0.74, 1.35, 1.30)  # factors on the collar's lower edge: the body's shoulders are not the bust's
_THICK, _HEM = 0.0035, -0.0030  # m above the shirt: the cloth, and its edge, which dips into it


@dataclass(frozen=True)
class PlacedHead:
    """V vertices in the order of `head()`, so that `morphs()` holds for them; metres.

    Attributes:
        points, normals: (V, 3) float32, in the space of the body's bind pose (`bind_pose`, root at the origin).
        colours: (V, 3) float32, linear light 0..1; the collar has the shirt's.
        joints: (V, 4) uint8 indices of `SMPL22` (the same in `SMPL52`); weights: (V, 4) float32, rows sum to 1.
        triangles: (F, 3) uint32, counter-clockwise from outside; without the bust's shoulders, which the body has.
    """

    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray


@lru_cache(maxsize=1)
def placed_head() -> PlacedHead:
    """Our head placed and scaled for the head's joint of the body at rest, with a neck that ends in the collar.

    Of `body_mesh` the triangles of neck and head (weight of these two joints from 0.15 on) must be left out; the collar
    covers where they are cut. Head and jaw follow the joint ``head`` alone, the neck blends ``head``, ``neck`` and
    ``spine3``, the collar takes the weights of the shirt that it lies on. Built once per process.
    """
    shape, body, (places, _) = head(), body_mesh(), bind_pose()
    chest, neck, crown = (SMPL22.index(n) for n in ("spine3", "neck", "head"))
    points = shape.points.astype(np.float64) + places[crown] + PLACE
    follow = shape.follow.astype(np.float64)
    low, high = places[neck, 1] + np.array(_NECK_FOLLOWS)
    up = smooth(low, high, points[:, 1])
    up[shape.part("collar")] = 0
    weights = np.stack([follow, (1 - follow) * up, (1 - follow) * (1 - up), 0 * up], 1)
    joints = np.where(weights > 0, np.array([crown, neck, chest, 0]), 0)
    yoke = np.flatnonzero(shape.part("collar") & (shape.points[:, 1] < _YOKE))
    height = np.interp(-shape.points[yoke, 1], [-_YOKE, -_END], [_THICK, _HEM])
    down = smooth(-_YOKE, -_END, -shape.points[yoke, 1])[:, None]
    points[yoke] = places[neck] + (points[yoke] - places[neck]) * (1 + down * (np.array(_SHOULDERS) - 1))
    points[yoke] = _on_shirt(points[yoke], height)
    shirt = np.flatnonzero((body.weights * np.isin(body.joints, (neck, crown))).sum(1) < 0.02)
    joints[yoke], weights[yoke] = _weights_of(points[yoke], shirt)
    colours = np.where(shape.part("collar")[:, None], linear(np.array(PALETTE["shirt"]) / 255.0), shape.colours)
    kept = ~(shape.part("collar") & (shape.points[:, 1] < _END))[shape.triangles].any(1)
    return PlacedHead(
        points.astype(np.float32), vertex_normals(points, shape.triangles).astype(np.float32),
        colours.astype(np.float32), joints.astype(np.uint8), weights.astype(np.float32), shape.triangles[kept],
    )  # fmt: skip


def _on_shirt(points: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points (N, 3) brought to a height (N,) above the body's shirt in the bind pose, along its normal."""
    shape = figure()
    ends = shape.posed(*bind_pose()).astype(np.float32)
    cloth = np.array([SMPL22.names[j] in _CLOTH for j in shape.joint])
    for _ in range(8):
        value, normal = field(points, ends[cloth], shape.radii[cloth].astype(np.float32))
        points = points - np.clip(value - height, -0.02, 0.02)[:, None] * normal
    return points


def _weights_of(points: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 4) and weights (N, 4) of the nearest of some of the body's vertices."""
    from scipy.spatial import cKDTree

    body = body_mesh()
    near = among[cKDTree(body.vertices[among]).query(points)[1]]
    return body.joints[near], body.weights[near]
