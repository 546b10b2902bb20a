"""The project's own head: a mesh with 52 morph targets under ARKit's names, stored in ``head.safetensors``.

The asset was built by `avatargpt/export/head/` of commit 1e8a12f (see git history): a distance field of ellipsoids, a
grid of skin slit at eyes and mouth, and displacement fields for the targets. It is under the project's MIT licence.

Sides are the person's own: left = +X. The face looks along +Z, Y up, metres; zero lies between the ears.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vqvae import arkit
from vqvae import rotations as rot

ASSET = Path(__file__).with_name("head.safetensors")
NECK, PIVOT = np.array([0.0, -0.19, -0.03]), np.array([0.0, -0.055, -0.012])  # m, joints of neck and head
PART_NAMES = (
    "skin", "eyeLeft", "eyeRight", "glintLeft", "glintRight", "browLeft", "browRight", "earLeft", "earRight", "hair",
    "teethUpper", "teethLower", "tongue", "collar",
)  # fmt: skip


@dataclass(frozen=True)
class HeadMesh:
    """V vertices at rest."""

    # points, normals: (V, 3) float32, metres
    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray  # (V, 3) float32, linear light 0..1
    triangles: np.ndarray  # (F, 3) uint32, counter-clockwise from outside
    gloss: np.ndarray  # (V,) float32, 0 matt to 1 wet
    follow: np.ndarray  # (V,) float32, 1 where the head's rotation carries the vertex, 0 where it stays
    parts: np.ndarray  # (V,) index into `names`
    lips: np.ndarray  # (V,) bool, the red of the lips
    landmarks: tuple[np.ndarray, ...]  # for each of 70 facial landmarks the vertices whose mean it is
    # morphs, morph_normals: (52, V, 3) float32 displacements (metres) and changes of the normals at full weight,
    # in the order of `arkit.NAMES`. They add up linearly, as glTF viewers add them.
    morphs: np.ndarray
    morph_normals: np.ndarray
    names: tuple[str, ...] = PART_NAMES  # names of the parts

    def part(self, name: str) -> np.ndarray:
        """(V,) which vertices belong to a part."""
        return np.asarray(self.parts == self.names.index(name))


@lru_cache(maxsize=1)
def head() -> HeadMesh:
    """The head at rest, read once per process."""
    from safetensors.numpy import load_file

    data = load_file(ASSET)
    moved = np.split(data["moved"].astype(np.int64), np.cumsum(data["moved_counts"], dtype=np.int64)[:-1])
    morphs, normals = np.zeros((2, arkit.COUNT, *data["points"].shape), np.float32)
    morphs[np.arange(arkit.COUNT) >= arkit.MIRROR, :, 0] = -0.0  # sign of zero as built: files state it in limits
    start = 0
    for target, vertices in enumerate(moved):
        rows = slice(start, start + len(vertices))
        morphs[target, vertices], normals[target, vertices] = data["moved_points"][rows], data["moved_normals"][rows]
        start = rows.stop
    landmarks = np.split(data["landmarks"].astype(np.int64), np.cumsum(data["landmark_counts"], dtype=np.int64)[:-1])
    return HeadMesh(
        data["points"], data["normals"], data["colours"], data["triangles"].astype(np.uint32), data["gloss"],
        data["follow"], data["parts"].astype(np.int64), data["lips"], tuple(landmarks), morphs, normals,
    )  # fmt: skip


def shaped(weights: np.ndarray) -> np.ndarray:
    """(V, 3) float64 vertices of one frame's weights (52,), the head unturned."""
    active = np.flatnonzero(np.abs(weights) > 1e-4)
    out: np.ndarray = head().points + np.einsum("k,kvc->vc", weights[active].astype(np.float64), head().morphs[active])
    return out


def turn_vertices(points: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) with the head turned about its joint (4,); the neck's skin lies between."""
    share = head().follow[:, None].astype(np.float64)
    q = points - PIVOT
    out: np.ndarray = points + share * (q @ rot.to_matrix(quaternion).T - q)
    return out


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, the mean of the triangles around each vertex weighted by area."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    out = np.stack([sum(np.bincount(triangles[:, k], face[:, d], len(points)) for k in range(3)) for d in range(3)], -1)
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.where(length > 1e-15, out / np.maximum(length, 1e-15), [0.0, 0.0, 1.0])
