"""The skin of our humanoid: one smooth closed mesh around the capsules of :mod:`avatargpt.export.figure`.

The capsules are joined by a smooth union of their distance fields; naive surface nets (Gibson 1998, "Constrained
elastic surface nets") turn its zero level into triangles. It is built in an A-pose, where limbs do not touch, and
where bending the shoulders up or down stretches the skin equally. Hands with fingers are skins of their own, on a
finer grid and with the fingers spread; they reach into the ends of the sleeves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatargpt.export.figure import Figure, figure
from vqvae import rotations as rot
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, Skeleton

CELL = 0.013  # m, edge of a grid cell
BLEND = 0.007  # m, roundness of the smooth union
HAND_CELL, HAND_BLEND = 0.0045, 0.0018  # m, of hands with fingers
_SPREAD = {"thumb": 6.0, "index": 9.0, "middle": 2.0, "ring": -6.0, "pinky": -13.0}  # degrees, towards the thumb
ARMS_DOWN, LEGS_APART = np.radians(40.0), np.radians(13.0)
# m, how far the weights of two neighbouring joints run into each other
_SOFTNESS = {"elbow": 0.012, "knee": 0.016, "wrist": 0.010, "ankle": 0.012, "foot": 0.010}
_SOFTNESS_ELSEWHERE = 0.026
_SOFTNESS |= {n.split("_")[1]: 0.005 for n in FINGER_NAMES}


@dataclass(frozen=True)
class Mesh:
    """V vertices in the bind pose, metres.

    Attributes:
        vertices, normals: (V, 3) float32.
        colours: (V, 3) float32, linear light 0..1.
        joints: (V, 4) uint8 joint indices; weights: (V, 4) float32, rows sum to 1, unused joints are 0.
        triangles: (F, 3) uint32, counter-clockwise from outside.
        bind: (J, 4, 4) float64 world matrix of every joint in the bind pose.
    """

    vertices: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray
    bind: np.ndarray


def bind_pose(skeleton: Skeleton = SMPL22) -> tuple[np.ndarray, np.ndarray]:
    """Joint positions (J, 3) and global matrices (J, 3, 3) of the pose that the mesh is built in."""
    local = rot.identity((len(skeleton.names),))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, angle in (("shoulder", -ARMS_DOWN), ("hip", LEGS_APART)):
            local[skeleton.index(f"{side}_{joint}")] = rot.from_axis_angle(np.array([0.0, 0.0, sign * angle]))
        for finger, angle in _SPREAD.items() if skeleton is SMPL52 else ():
            turn = rot.from_axis_angle(np.array([0.0, -sign * np.radians(angle), 0.0]))
            local[skeleton.index(f"{side}_{finger}1")] = turn
    return skeleton.fk_full(local, np.zeros(3))


@lru_cache(maxsize=2)
def body_mesh(fingers: bool = False) -> Mesh:
    """The skinned body; built once per process. With fingers its joints are those of `SMPL52`."""
    shape, skeleton = figure(fingers), SMPL52 if fingers else SMPL22
    positions, matrices = bind_pose(skeleton)
    ends = shape.posed(positions, matrices).astype(np.float32)
    radii = shape.radii.astype(np.float32)
    hands = [_hand(shape, side) for side in "lr"] if fingers else []
    trunk = ~shape.eyes & ~np.any([*hands, np.zeros(len(ends), bool)], 0)
    skins = [_skin(ends[trunk], radii[trunk], CELL, BLEND)]
    skins += [_skin(ends[hand], radii[hand], HAND_CELL, HAND_BLEND) for hand in hands]
    above = np.cumsum([0, *(len(s[0]) for s in skins[:-1])])
    vertices, normals = (np.concatenate([s[k] for s in skins]) for k in (0, 1))
    triangles = np.concatenate([s[2] + n for s, n in zip(skins, above, strict=True)])
    distance = _distances(vertices, ends, radii)
    distance[:, shape.eyes] = np.inf
    joints, weights = _weights(distance, shape, skeleton)
    colours = _colours(distance, shape)
    for i in np.flatnonzero(shape.eyes):
        ball, faces = _ball(8, 12)
        triangles = np.concatenate([triangles, faces + len(vertices)])
        vertices = np.concatenate([vertices, ends[i, 0] + ball * radii[i, 0]])
        normals = np.concatenate([normals, ball])
        colours = np.concatenate([colours, np.tile(linear(shape.colours[i]), (len(ball), 1))])
        joints = np.concatenate([joints, np.tile([shape.joint[i], 0, 0, 0], (len(ball), 1))])
        weights = np.concatenate([weights, np.tile([1.0, 0, 0, 0], (len(ball), 1))])
    bind = np.tile(np.eye(4), (len(positions), 1, 1))
    bind[:, :3, :3], bind[:, :3, 3] = matrices, positions
    return Mesh(
        vertices.astype(np.float32), normals.astype(np.float32), colours.astype(np.float32),
        joints.astype(np.uint8), weights.astype(np.float32), triangles.astype(np.uint32), bind,
    )  # fmt: skip


def _hand(shape: Figure, side: str) -> np.ndarray:
    """(P,) True for the capsules of a hand with fingers."""
    names = {f"{side}_wrist", *(n for n in FINGER_NAMES if n[0] == side)}
    return np.array([SMPL52.names[j] in names for j in shape.joint])


def _skin(ends: np.ndarray, radii: np.ndarray, cell: float, blend: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), normals (V, 3) and triangles (F, 3) around some capsules."""
    vertices, triangles = _surface(ends, radii, cell, blend)
    for _ in range(2):  # Newton steps onto the zero level: the grid leaves no facets
        value, gradient = field(vertices, ends, radii, blend)
        vertices = vertices - np.clip(value, -cell / 2, cell / 2)[:, None] * gradient
    return vertices, field(vertices, ends, radii, blend)[1], triangles


def _distances(points: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Signed distance of points (N, 3) to every capsule (N, P)."""
    return np.stack([_capsule(points, e, r)[0] for e, r in zip(ends, radii, strict=True)], 1)


def _capsule(points: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance (...,) of points (..., 3) to one tapered capsule, and the vector (..., 3) from its axis."""
    axis, from_start = ends[1] - ends[0], points - ends[0]
    t = np.clip(from_start @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    gap = from_start - t[..., None] * axis
    return np.sqrt(np.einsum("...k,...k", gap, gap)) - (radii[0] + t * (radii[1] - radii[0])), gap


def field(
    points: np.ndarray, ends: np.ndarray, radii: np.ndarray, blend: float = BLEND
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth union -k log sum exp(-d / k) at points (N, 3), and its unit gradient (N, 3)."""
    total, gradient = np.full(len(points), 1e-30, np.float32), np.zeros_like(points)
    for e, r in zip(ends, radii, strict=True):
        d, gap = _capsule(points, e, r)
        weight = np.exp(-np.maximum(d, -0.1) / blend)
        total += weight
        gradient += (weight / np.maximum(d + r.max(), 1e-4))[:, None] * gap
    return -blend * np.log(total), gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-9)


def _surface(ends: np.ndarray, radii: np.ndarray, cell: float, blend: float) -> tuple[np.ndarray, np.ndarray]:
    """Naive surface nets of the smooth union: vertices (V, 3) and triangles (F, 3)."""
    margin = 0.045
    low = (ends.min(1) - radii.max(1, keepdims=True)).min(0) - margin
    high = (ends.max(1) + radii.max(1, keepdims=True)).max(0) + margin
    size = np.ceil((high - low) / cell).astype(int) + 1
    axes = [(low[k] + cell * np.arange(size[k])).astype(np.float32) for k in range(3)]
    total = np.full(tuple(size), 1e-9, np.float32)
    for e, r in zip(ends, radii, strict=True):
        a = np.maximum(((e.min(0) - r.max() - margin - low) / cell).astype(int), 0)
        b = np.minimum(((e.max(0) + r.max() + margin - low) / cell).astype(int) + 2, size)
        grid = np.stack(np.meshgrid(*(axes[k][a[k] : b[k]] for k in range(3)), indexing="ij"), -1)
        total[a[0] : b[0], a[1] : b[1], a[2] : b[2]] += np.exp(-_capsule(grid, e, r)[0] / blend)
    value = -blend * np.log(total)
    inside = value < 0
    corners = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    cells = tuple(s - 1 for s in size)

    def at(array: np.ndarray, c: tuple[int, int, int]) -> np.ndarray:
        return array[c[0] : c[0] + cells[0], c[1] : c[1] + cells[1], c[2] : c[2] + cells[2]]

    count = sum(at(inside, c).astype(np.int8) for c in corners)
    active = np.argwhere((count > 0) & (count < 8))
    crossing, hits = np.zeros((len(active), 3)), np.zeros(len(active))
    for c in corners:
        for k in range(3):
            if c[k]:
                continue
            far = np.array(c) + np.eye(3, dtype=int)[k]
            v0, v1 = value[tuple((active + c).T)], value[tuple((active + far).T)]
            cut = (v0 < 0) != (v1 < 0)
            t = np.where(cut, v0 / np.where(cut, v0 - v1, 1), 0)
            crossing += cut[:, None] * (np.array(c) + t[:, None] * np.eye(3)[k])
            hits += cut
    vertices = low + cell * (active + crossing / hits[:, None])
    index = np.full(cells, -1, np.int64)
    index[tuple(active.T)] = np.arange(len(active))
    return vertices.astype(np.float32), _quads(inside, index)


def _quads(inside: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Two triangles for each grid edge that crosses the surface, joining the four cells around it."""
    triangles = []
    for k in range(3):
        u, v = np.eye(3, dtype=int)[(k + 1) % 3], np.eye(3, dtype=int)[(k + 2) % 3]
        along = [slice(None)] * 3
        along[k] = slice(0, -1)
        ahead = [slice(None)] * 3
        ahead[k] = slice(1, None)
        a, b = inside[tuple(along)], inside[tuple(ahead)]
        for outwards, flip in ((a & ~b, False), (~a & b, True)):
            at = np.argwhere(outwards)
            quad = np.stack([index[tuple((at - d).T)] for d in (u + v, v, 0 * u, u)], -1)
            if flip:
                quad = quad[:, ::-1]
            triangles += [quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]
    return np.concatenate(triangles)


def _weights(distance: np.ndarray, shape: Figure, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Skin weights from the distance to the capsules of each joint and its neighbours in the tree."""
    count = len(skeleton.names)
    near = np.full((len(distance), count), np.inf)
    for j in range(count):
        near[:, j] = distance[:, shape.joint == j].min(1)
    linked = np.eye(count, dtype=bool)
    for j, p in enumerate(skeleton.parents):
        if p >= 0:
            linked[j, p] = linked[p, j] = True
    closest = near.argmin(1)
    soft = np.full((count, count), _SOFTNESS_ELSEWHERE)
    for j, p in enumerate(skeleton.parents):
        soft[j, p] = soft[p, j] = _SOFTNESS.get(skeleton.names[j].split("_")[-1], _SOFTNESS_ELSEWHERE)
    excess = near - near.min(1, keepdims=True)
    weight = np.where(linked[closest], np.exp(-((excess / soft[closest]) ** 1.5)), 0)
    top = np.argsort(-weight, axis=1)[:, :4]
    kept = np.take_along_axis(weight, top, 1)
    kept = np.where(kept < 0.02, 0, kept)
    kept /= kept.sum(1, keepdims=True)
    return np.where(kept > 0, top, 0), kept


def _colours(distance: np.ndarray, shape: Figure) -> np.ndarray:
    """Colour of the nearest capsules, blended where they are equally near; linear light."""
    near = np.exp((distance.min(1, keepdims=True) - distance) / 0.0008)
    near[:, shape.eyes] = 0
    return near / near.sum(1, keepdims=True) @ linear(shape.colours)


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light 0..1 of sRGB 0..1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _ball(rings: int, segments: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere: vertices (N, 3), triangles (F, 3)."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1, None]
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    middle = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar) + 0 * turn, np.sin(polar) * np.cos(turn)], -1)
    vertices = np.concatenate([middle.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]])
    top, bottom, faces = len(vertices) - 2, len(vertices) - 1, []
    for s in range(segments):
        t = (s + 1) % segments
        faces += [(top, s, t), (bottom, (rings - 2) * segments + t, (rings - 2) * segments + s)]
        for r in range(rings - 2):
            a, b = r * segments, (r + 1) * segments
            faces += [(a + s, b + s, b + t), (a + s, b + t, a + t)]
    return vertices, np.array(faces)
