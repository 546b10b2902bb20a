"""A head of our own making, with 52 morph targets under ARKit's names. Built in code, once per process.

Sides are the person's own: left = +X. The face looks along +Z, Y up, metres; zero lies between the ears.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatargpt.export.head import parts as parts
from avatargpt.export.head.hair import hair
from avatargpt.export.head.shape import EYE, smooth
from avatargpt.export.head.skin import REGIONS, Skin, mirrored, skin
from avatargpt.export.mesh import linear
from vqvae import rotations as rot

NECK, PIVOT = np.array([0.0, -0.19, -0.03]), np.array([0.0, -0.055, -0.012])  # m, joints of neck and head
_GLOSS = {"eyeLeft": 1.0, "eyeRight": 1.0, "teethUpper": 1.0, "teethLower": 1.0, "tongue": 0.5, "hair": 0.2}


@dataclass(frozen=True)
class Head:
    """V vertices at rest.

    Attributes:
        points, normals: (V, 3) float32, metres.
        colours: (V, 3) float32, linear light 0..1.
        triangles: (F, 3) uint32, counter-clockwise from outside.
        gloss: (V,) float32, 0 matt to 1 wet.
        follow: (V,) float32, 1 where the head's rotation carries the vertex, 0 where it stays.
        mirror: (V,) index of the vertex at the mirror image.
        parts: (V,) number of the part in `names`.
        names: names of the parts.
        skin: the skin, whose vertices are the first ones.
    """

    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    triangles: np.ndarray
    gloss: np.ndarray
    follow: np.ndarray
    mirror: np.ndarray
    parts: np.ndarray
    names: tuple[str, ...]
    skin: Skin

    def part(self, name: str) -> np.ndarray:
        """(V,) which vertices belong to a part."""
        return np.asarray(self.parts == self.names.index(name))


@lru_cache(maxsize=1)
def head() -> Head:
    """The head at rest."""
    surface = skin()
    one_sided = [parts.eye(), parts.glint(), parts.brow(), parts.ear()]
    pieces = [parts.Part("skin", surface.points, surface.triangles, _skin_colours(surface))]
    for piece in one_sided:
        pieces += [piece, parts.mirror_image(piece)]
    pieces += [hair(), parts.teeth(True), parts.teeth(False), parts.tongue(), parts.collar()]
    starts = np.cumsum([0, *(len(p.points) for p in pieces)])
    points = np.concatenate([p.points for p in pieces])
    triangles = np.concatenate([p.triangles + s for p, s in zip(pieces, starts, strict=False)])
    number = np.repeat(np.arange(len(pieces)), [len(p.points) for p in pieces])
    names = tuple(p.name for p in pieces)
    gloss = np.array([_GLOSS.get(n, 0.0) for n in names])[number]
    gloss[: len(surface.points)][surface.region == REGIONS.index("lip")] = 0.35
    follow = smooth(-0.185, -0.105, points[:, 1] - 0.45 * np.maximum(points[:, 2], 0))
    follow[number == names.index("collar")] = 0
    follow[np.isin(number, [i for i, n in enumerate(names) if n not in ("skin", "collar")])] = 1
    chin = smooth(0.02, 0.05, points[:, 2]) * smooth(-0.135, -0.118, points[:, 1])
    follow = np.where(number == names.index("skin"), np.maximum(follow, chin), follow)
    return Head(
        points.astype(np.float32), vertex_normals(points, triangles).astype(np.float32),
        linear(np.concatenate([p.colours for p in pieces])).astype(np.float32), triangles.astype(np.uint32),
        gloss.astype(np.float32), follow.astype(np.float32), _mirror(surface, points, number, names), number, names,
        surface,
    )  # fmt: skip


def _mirror(surface: Skin, points: np.ndarray, number: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    out = np.arange(len(points))
    out[: len(surface.points)] = surface.mirror
    for i, name in enumerate(names[1:], 1):
        own = np.flatnonzero(number == i)
        if name.endswith("Left"):
            other = np.flatnonzero(number == names.index(name.replace("Left", "Right")))
            out[own], out[other] = other, own
        elif not name.endswith("Right"):
            out[own] = own[mirrored(points[own])]
    return out


def turned(points: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
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


def _skin_colours(surface: Skin) -> np.ndarray:
    """sRGB of the skin: lips, rims and lashes; rosier cheeks, nose and ears, shade in folds."""
    table = np.array([parts.SKIN, parts.LIP, parts.INSIDE, parts.RIM, parts.LASH])
    out = table[surface.region]
    p = np.concatenate([np.abs(surface.points[:, :1]), surface.points[:, 1:]], 1)

    def near(centre: tuple[float, float, float], size: float) -> np.ndarray:
        return np.exp(-(((p - np.array(centre)) / size) ** 2).sum(1))

    bare = surface.region == REGIONS.index("skin")
    rosy = 0.75 * near((0.040, -0.030, 0.075), 0.021) + 0.5 * near((0, -0.034, 0.105), 0.013)
    rosy = rosy + 0.3 * near((0, -0.108, 0.08), 0.02)
    shade = 0.80 * near((0.0072, -0.0458, 0.0965), 0.0040) + 0.16 * near((0.0185, 0.002, 0.078), 0.008)
    shade = shade + 0.10 * near((EYE[0], 0.0125, 0.082), 0.010) + 0.35 * smooth(-0.125, -0.16, p[:, 1])
    tinted = out * (1 - np.outer(rosy, (0.03, 0.15, 0.13))) * (1 - np.outer(shade, (0.9, 1.05, 1.05)))
    out = np.where(bare[:, None], tinted, out)
    depth = np.where(surface.lip < -1.5, 0.55, 1.0)[:, None]
    return np.clip(out * depth, 0, 1)
