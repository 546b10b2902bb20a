"""Our body with our head on it: two skins on one skeleton, the head's with 52 morph targets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatargpt.export.figure import PALETTE
from avatargpt.export.head.head import head
from avatargpt.export.mesh import Mesh, bind_pose, body_mesh, linear
from vqvae.skeleton import SMPL52

PLACE = np.array([0.0, 0.060, -0.012])
"""Metres from the joint of the body's head to the zero of our head: eyes lie where the body's own would."""
NECK_FOLLOWS = (-0.052, 0.004)  # m above the neck's joint: skin below goes with the chest, above with the neck
COLLAR = -0.075  # m above the neck's joint: what hangs lower of the collar of our head, which is a bust, is left out
KEEP = 0.5  # share of these joints from which on the body's skin gives way
_EDGE = 0.02  # share of these joints from which on skin is taken to be bare
_OWN = ("neck", "head")  # joints whose part of the body's skin gives way


@dataclass(frozen=True)
class AvatarMesh:
    """V vertices in the bind pose, metres: the body's B first, then the head's, in the head's own order.

    Attributes:
        points, normals: (V, 3) float32.
        colours: (V, 3) float32, linear light 0..1.
        gloss: (V,) float32, 0 matt to 1 wet.
        joints: (V, 4) uint8; weights: (V, 4) float32, rows sum to 1, unused joints are 0.
        triangles: (F, 3) uint32, counter-clockwise from outside.
        bind: (52, 4, 4) float64 world matrix of every joint in the bind pose.
        body: B. faces: the first triangle of the head.
        parts: (V,) number of the part in `names`, the head's and, after these, the body. names: of the parts.
    """

    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray
    bind: np.ndarray
    body: int
    faces: int
    parts: np.ndarray
    names: tuple[str, ...]

    def part(self, name: str) -> np.ndarray:
        """(V,) which vertices belong to a part."""
        return np.asarray(self.parts == self.names.index(name))


@lru_cache(maxsize=1)
def avatar_mesh() -> AvatarMesh:
    """Body, hands and head; built once per process."""
    body, shape = _headless(body_mesh(True)), head()
    places, _ = bind_pose(SMPL52)
    neck, crown, chest = (SMPL52.index(n) for n in ("neck", "head", "spine3"))
    points = shape.points + places[crown] + PLACE
    low, high = places[neck, 1] + np.array(NECK_FOLLOWS)
    up = np.clip((points[:, 1] - low) / (high - low), 0, 1)
    up = up * up * (3 - 2 * up)
    collar = shape.part("collar")
    up[collar] = 0  # a shirt's
    kept = ~(collar & (points[:, 1] < places[neck, 1] + COLLAR))[shape.triangles].any(1)
    colours = np.where(collar[:, None], _shirt(), shape.colours)
    follow = shape.follow.astype(np.float64)
    share = np.stack([follow, (1 - follow) * up, (1 - follow) * (1 - up), 0 * up], 1)
    joints = np.where(share > 0, np.array([crown, neck, chest, 0]), 0)
    count = len(body.vertices)
    return AvatarMesh(
        np.concatenate([body.vertices, points]).astype(np.float32),
        np.concatenate([body.normals, shape.normals]).astype(np.float32),
        np.concatenate([body.colours, colours]).astype(np.float32),
        np.concatenate([np.zeros(count), shape.gloss]).astype(np.float32),
        np.concatenate([body.joints, joints]).astype(np.uint8),
        np.concatenate([body.weights, share]).astype(np.float32),
        np.concatenate([body.triangles, shape.triangles[kept] + count]).astype(np.uint32), body.bind, count,
        len(body.triangles), np.concatenate([np.full(count, len(shape.names)), shape.parts]), (*shape.names, "body"),
    )  # fmt: skip


def _headless(mesh: Mesh) -> Mesh:
    """The body without the skin of neck and head, and without vertices that nothing uses."""
    own = [SMPL52.index(n) for n in _OWN]
    share = (mesh.weights * np.isin(mesh.joints, own)).sum(1)
    triangles = mesh.triangles[(share[mesh.triangles] < KEEP).any(1)]
    used = np.unique(triangles)
    number = np.zeros(len(mesh.vertices), np.uint32)
    number[used] = np.arange(len(used))
    colours = np.where(share[:, None] > _EDGE, _shirt(), mesh.colours)  # what skin is left there lies under the collar
    return Mesh(
        mesh.vertices[used], mesh.normals[used], colours[used], mesh.joints[used], mesh.weights[used],
        number[triangles], mesh.bind,
    )  # fmt: skip


def _shirt() -> np.ndarray:
    return linear(np.array(PALETTE["shirt"]) / 255)


def posed(rotations: np.ndarray, root: np.ndarray, moved: np.ndarray | None = None) -> np.ndarray:
    """(V, 3) float32 vertices of one frame in the world: linear blend skinning.

    Args:
        rotations: (52, 4) local. root: (3,) metres.
        moved: (V - B, 3) what the morph targets add to the head's vertices.
    """
    mesh = avatar_mesh()
    places, turned = SMPL52.fk_full(rotations, root)
    world = np.tile(np.eye(4), (len(places), 1, 1))
    world[:, :3, :3], world[:, :3, 3] = turned, places
    skin = (world @ np.linalg.inv(mesh.bind))[:, :3]
    points = mesh.points.astype(np.float64)
    if moved is not None:
        points[mesh.body :] += moved
    out: np.ndarray = np.zeros_like(points)
    for k in range(4):
        used = np.flatnonzero(mesh.weights[:, k])
        m = skin[mesh.joints[used, k]]
        at = np.matmul(m[..., :3], points[used, :, None])[..., 0] + m[..., 3]
        out[used] += mesh.weights[used, k, None] * at
    return out.astype(np.float32)
