"""Our own humanoid: tapered capsules fixed to the joints, its skinned mesh around them, and the avatar with a head.

The hands of a body are mittens with three fingers that do not bend; those of a gesture have a palm and the joints of
five fingers.

The capsules are joined by a smooth union of their distance fields; naive surface nets (Gibson 1998, "Constrained
elastic surface nets") turn its zero level into triangles. An avatar is two skins on one skeleton: the body, and the
head with 52 morph targets.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from avatargpt.export.head import head
from vqvae import rotations as rot
from vqvae.posture import unit
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, Skeleton, finger_ends, mirror_name
from vqvae.smoothing import smoothstep

# sRGB, 0-255. The left side of the body is orange, the right side blue, wherever sides have to be told apart.
PALETTE: dict[str, tuple[int, int, int]] = {
    "skin": (233, 184, 150), "hair": (74, 52, 42), "eye": (38, 34, 40), "shirt": (126, 136, 152),
    "shorts": (74, 82, 98), "l_arm": (240, 138, 46), "r_arm": (58, 126, 220), "l_leg": (214, 106, 34),
    "r_leg": (40, 98, 190), "l_shoe": (150, 66, 16), "r_shoe": (22, 58, 128),
}  # fmt: skip

# One person in long sleeves and trousers, for looking at.
CLOTHED = PALETTE | {
    "shirt": (96, 122, 146), "shorts": (56, 62, 76), "l_arm": (96, 122, 146), "r_arm": (96, 122, 146),
    "l_leg": (56, 62, 76), "r_leg": (56, 62, 76), "l_shoe": (222, 218, 210), "r_shoe": (222, 218, 210),
}  # fmt: skip

_Point = tuple[float, float, float]
# joint, start and end in the frame of that joint (metres, T-pose axes), radii at start and end, colour.
# Only the middle and the left side (x > 0); the right side is mirrored. "arm", "leg", "shoe" take the side's colour.
_PARTS: list[tuple[str, _Point, _Point, float, float, str]] = [
    ("pelvis", (0.062, -0.045, -0.018), (0.052, 0.080, -0.012), 0.094, 0.081, "shorts"),
    ("spine1", (0.052, -0.050, 0.003), (0.050, 0.020, 0.006), 0.081, 0.080, "shirt"),
    ("spine1", (0.050, 0.020, 0.006), (0.060, 0.130, 0.014), 0.080, 0.086, "shirt"),
    ("spine2", (0.060, -0.012, -0.003), (0.072, 0.087, -0.002), 0.086, 0.093, "shirt"),
    ("spine3", (0.072, 0.030, -0.003), (0.094, 0.124, -0.013), 0.093, 0.070, "shirt"),
    ("spine3", (-0.094, 0.124, -0.013), (0.094, 0.124, -0.013), 0.068, 0.068, "shirt"),
    ("pelvis", (0.0, -0.070, -0.020), (0.0, 0.080, -0.012), 0.088, 0.083, "shorts"),
    ("spine1", (0.0, -0.050, 0.003), (0.0, 0.130, 0.014), 0.083, 0.092, "shirt"),
    ("spine2", (0.0, -0.012, -0.003), (0.0, 0.087, -0.002), 0.092, 0.098, "shirt"),
    ("spine3", (0.0, 0.030, -0.003), (0.0, 0.110, -0.010), 0.098, 0.078, "shirt"),
    ("neck", (0.0, -0.045, -0.008), (0.0, 0.085, 0.022), 0.054, 0.048, "skin"),
    ("head", (0.0, 0.012, -0.006), (0.0, 0.078, -0.030), 0.066, 0.092, "skin"),
    ("head", (0.0, 0.028, 0.060), (0.0, 0.042, 0.064), 0.013, 0.009, "skin"),
    ("head", (-0.012, 0.104, -0.048), (0.012, 0.104, -0.048), 0.089, 0.089, "hair"),
    ("head", (0.0, 0.030, -0.066), (0.0, 0.060, -0.066), 0.060, 0.070, "hair"),
    ("head", (0.0, 0.136, 0.006), (0.0, 0.144, -0.020), 0.055, 0.055, "hair"),
    ("head", (0.028, 0.060, 0.051), (0.028, 0.060, 0.051), 0.0125, 0.0125, "eye"),
    ("l_collar", (0.010, 0.004, 0.006), (0.118, 0.026, -0.006), 0.058, 0.058, "shirt"),
    ("l_shoulder", (0.000, -0.002, 0.0), (0.070, 0.0, 0.0), 0.060, 0.053, "arm"),
    ("l_shoulder", (0.060, 0.0, 0.0), (0.260, 0.0, 0.0), 0.053, 0.040, "arm"),
    ("l_elbow", (0.0, 0.0, 0.0), (0.080, 0.0, 0.002), 0.040, 0.042, "arm"),
    ("l_elbow", (0.080, 0.0, 0.002), (0.250, 0.0, 0.0), 0.042, 0.028, "arm"),
    ("l_wrist", (-0.012, 0.0, 0.0), (0.030, -0.002, 0.0), 0.026, 0.026, "skin"),
    ("l_wrist", (0.030, -0.002, 0.014), (0.090, -0.006, 0.020), 0.021, 0.018, "skin"),
    ("l_wrist", (0.030, -0.002, -0.014), (0.085, -0.006, -0.018), 0.021, 0.017, "skin"),
    ("l_wrist", (0.090, -0.006, 0.018), (0.158, -0.016, 0.014), 0.017, 0.012, "skin"),
    ("l_wrist", (0.088, -0.006, 0.000), (0.166, -0.017, 0.000), 0.017, 0.012, "skin"),
    ("l_wrist", (0.085, -0.006, -0.017), (0.148, -0.016, -0.014), 0.016, 0.011, "skin"),
    ("l_wrist", (0.020, -0.006, 0.020), (0.072, -0.016, 0.052), 0.016, 0.011, "skin"),
    ("l_hip", (0.004, -0.004, -0.004), (0.0, -0.140, 0.006), 0.086, 0.081, "shorts"),
    ("l_hip", (0.0, -0.160, 0.006), (0.0, -0.392, 0.0), 0.076, 0.053, "leg"),
    ("l_knee", (0.0, 0.0, 0.002), (0.0, -0.120, -0.014), 0.052, 0.055, "leg"),
    ("l_knee", (0.0, -0.120, -0.014), (0.0, -0.405, -0.004), 0.055, 0.036, "leg"),
    ("l_ankle", (0.0, -0.010, -0.006), (0.002, -0.030, 0.060), 0.040, 0.038, "shoe"),
    ("l_ankle", (0.0, -0.032, -0.042), (0.004, -0.036, 0.120), 0.036, 0.032, "shoe"),
    ("l_foot", (-0.012, 0.028, -0.010), (-0.010, 0.024, 0.050), 0.030, 0.025, "shoe"),
    ("l_foot", (0.020, 0.028, -0.015), (0.016, 0.024, 0.036), 0.029, 0.024, "shoe"),
]
# What clothes change: shoulders that slope from the neck, legs without the hem of shorts.
_WORN: list[tuple[str, _Point, _Point, float, float, str]] = [
    ("spine3", (0.060, 0.148, -0.020), (0.130, 0.142, -0.022), 0.036, 0.038, "shirt"),
    ("l_collar", (0.010, 0.004, 0.006), (0.100, 0.018, -0.006), 0.060, 0.050, "shirt"),
    ("l_shoulder", (0.002, -0.006, 0.0), (0.080, 0.0, 0.0), 0.049, 0.048, "arm"),
    ("l_shoulder", (0.080, 0.0, 0.0), (0.260, 0.0, 0.0), 0.048, 0.040, "arm"),
    ("l_hip", (0.0, -0.140, 0.006), (0.0, -0.392, 0.0), 0.081, 0.053, "leg"),
]
# A palm whose fingers bend: from the wrist to each knuckle, the heel of the hand, the ball of the thumb.
_PALM: list[tuple[str, _Point, _Point, float, float, str]] = [
    ("l_wrist", (-0.012, 0.0, 0.0), (0.020, -0.002, 0.0), 0.026, 0.023, "skin"),
    ("l_wrist", (0.020, -0.002, 0.012), (0.088, -0.001, 0.025), 0.017, 0.0115, "skin"),
    ("l_wrist", (0.018, -0.002, 0.004), (0.090, 0.001, 0.006), 0.018, 0.0120, "skin"),
    ("l_wrist", (0.018, -0.002, -0.006), (0.085, -0.001, -0.013), 0.018, 0.0115, "skin"),
    ("l_wrist", (0.020, -0.003, -0.013), (0.077, -0.005, -0.030), 0.016, 0.0100, "skin"),
]
# Metres at a finger's three joints and its tip.
_FINGER_RADII = {
    "thumb": (0.0125, 0.0105, 0.0095, 0.0075), "index": (0.0100, 0.0085, 0.0075, 0.0062),
    "middle": (0.0102, 0.0088, 0.0077, 0.0063), "ring": (0.0097, 0.0083, 0.0073, 0.0060),
    "pinky": (0.0085, 0.0072, 0.0063, 0.0053),
}  # fmt: skip


def _with_fingers(clothed: bool) -> list[tuple[str, _Point, _Point, float, float, str]]:
    parts = [p for p in _PARTS if p[0] != "l_wrist"] + _PALM
    if clothed:
        changed = {(name, colour) for name, *_, colour in _WORN if name != "spine3"}
        parts = [p for p in parts if (p[0], p[-1]) not in changed] + _WORN
    for name in FINGER_NAMES[: len(FINGER_NAMES) // 2]:
        end, k = finger_ends(SMPL52.index(name)), int(name[-1])
        x, y, z = (float(v) for v in end)
        radii = _FINGER_RADII[name[2:-1]]
        parts.append((name, (0.0, 0.0, 0.0), (x, y, z), radii[k - 1], radii[k], "skin"))
    return parts


@dataclass(frozen=True)
class Figure:
    """P tapered capsules."""

    joint: np.ndarray  # (P,) index of the joint that carries it; with fingers, of `SMPL52`
    ends: np.ndarray  # (P, 2, 3) end points in that joint's frame, metres
    radii: np.ndarray  # (P, 2) metres
    colours: np.ndarray  # (P, 3) sRGB in 0..1
    chains: np.ndarray  # (P,) number: what continues another one in a limb does not bulge where both meet
    eyes: np.ndarray  # (P,) True for the eyes

    def pose(self, positions: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        """End points in the world: positions (..., J, 3), global matrices (..., J, 3, 3) -> (..., P, 2, 3)."""
        turned = np.einsum("...pij,pkj->...pki", matrices[..., self.joint, :, :], self.ends)
        return positions[..., self.joint, None, :] + turned


@lru_cache(maxsize=4)
def figure(fingers: bool = False, clothed: bool = False) -> Figure:
    """The capsules of the whole body, with hands of five fingers or mittens; `clothed`: coloured as `CLOTHED`."""
    palette = CLOTHED if clothed else PALETTE
    joint, ends, radii, colours, eyes = [], [], [], [], []
    chains: list[Any] = []
    for name, a, b, ra, rb, colour in _with_fingers(clothed) if fingers else _PARTS:
        for side in (1, -1):
            paired = name.startswith("l_") or min(a[0], b[0]) > 0
            if side < 0 and not paired:
                continue
            key = ("l_" if side > 0 else "r_") + colour if colour in ("arm", "leg", "shoe") else colour
            joint.append(SMPL52.index(name if side > 0 else mirror_name(name)))
            ends.append(np.array([a, b]) * [side, 1, 1])
            radii.append((ra, rb))
            colours.append(palette[key])
            eyes.append(colour == "eye")
            limb = _LIMBS.get(name) if clothed else None
            chains.append((limb, side * (min(a[0], b[0]) > 0 or limb != "trunk")) if limb else len(chains))
    numbers = {chain: i for i, chain in enumerate(dict.fromkeys(chains))}
    return Figure(
        np.array(joint), np.array(ends), np.array(radii), np.array(colours) / 255.0,
        np.array([numbers[c] for c in chains]), np.array(eyes),
    )  # fmt: skip


# of clothes: the limb that goes on from one joint to the next
_LIMBS = {"pelvis": "trunk", "spine1": "trunk", "spine2": "trunk", "l_shoulder": "arm", "l_elbow": "arm",
          "l_hip": "leg", "l_knee": "leg"}  # fmt: skip
SMOOTHED = 12  # times that normals of clothes are averaged with their neighbours'
CELL = 0.013  # m, edge of a grid cell
BLEND = 0.007  # m, roundness of the smooth union
HAND_CELL, HAND_BLEND = 0.0045, 0.0018  # m, of hands with fingers
_SPREAD = {"thumb": 6.0, "index": 9.0, "middle": 2.0, "ring": -6.0, "pinky": -13.0}  # degrees, towards the thumb
ARMS_DOWN, LEGS_APART = np.radians(40.0), np.radians(13.0)
# m, how far the weights of two neighbouring joints run into each other
_SOFTNESS = {"elbow": 0.012, "knee": 0.016, "wrist": 0.010, "ankle": 0.012, "foot": 0.010}
_SOFTNESS_ELSEWHERE = 0.026
_SOFTNESS |= {n.split("_")[1]: 0.005 for n in FINGER_NAMES}
# Metres from the joint of the body's head to the zero of our head: eyes lie where the body's own would.
HEAD_PLACE = np.array([0.0, 0.060, -0.012])
_NECK_BLEND = (-0.052, 0.004)  # m above the neck's joint: skin below goes with the chest, above with the neck
_COLLAR = -0.075  # m above the neck's joint: what hangs lower of the collar of our head, which is a bust, is left out
_MAX_HEAD_SHARE = 0.5  # share of neck and head in a vertex's weights from which on the body's skin gives way
_BARE = 0.02  # their share from which on skin is taken to be bare


@dataclass(frozen=True)
class BodyMesh:
    """V vertices in the bind pose, metres."""

    # points, normals: (V, 3) float32
    points: np.ndarray
    normals: np.ndarray
    colours: np.ndarray  # (V, 3) float32, linear light 0..1
    joints: np.ndarray  # (V, 4) uint8 joint indices
    weights: np.ndarray  # (V, 4) float32, rows sum to 1, unused joints are 0
    triangles: np.ndarray  # (F, 3) uint32, counter-clockwise from outside
    bind: np.ndarray  # (J, 4, 4) float64 world matrix of every joint in the bind pose


def bind_pose(skeleton: Skeleton = SMPL22) -> tuple[np.ndarray, np.ndarray]:
    """Joint positions (J, 3) and global matrices (J, 3, 3) of the pose that the mesh is built in."""
    # an A-pose: limbs do not touch, and bending the shoulders up or down stretches the skin equally
    local = rot.identity((len(skeleton.names),))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, angle in (("shoulder", -ARMS_DOWN), ("hip", LEGS_APART)):
            local[skeleton.index(f"{side}_{joint}")] = rot.from_axis_angle(np.array([0.0, 0.0, sign * angle]))
        for finger, angle in _SPREAD.items() if skeleton is SMPL52 else ():
            turn = rot.from_axis_angle(np.array([0.0, -sign * np.radians(angle), 0.0]))
            local[skeleton.index(f"{side}_{finger}1")] = turn
    return skeleton.fk_full(local, np.zeros(3))


@lru_cache(maxsize=4)
def body_mesh(fingers: bool = False, clothed: bool = False) -> BodyMesh:
    """The skinned body; built once per process. With fingers its joints are those of `SMPL52`."""
    shape, skeleton = figure(fingers, clothed), SMPL52 if fingers else SMPL22
    positions, matrices = bind_pose(skeleton)
    ends = shape.pose(positions, matrices).astype(np.float32)
    radii = shape.radii.astype(np.float32)
    names, both = [SMPL52.names[j] for j in shape.joint], ("l_wrist", "r_wrist", *FINGER_NAMES)
    hands = [np.array([n in both and n[0] == side for n in names]) for side in "lr"] if fingers else []
    trunk = ~shape.eyes & ~np.any([*hands, np.zeros(len(ends), bool)], 0)
    # hands with fingers are skins of their own, on a finer grid; they reach into the ends of the sleeves
    skins = [_skin(ends[trunk], radii[trunk], shape.chains[trunk], CELL, BLEND)]
    if clothed:
        points, normals, corners = skins[0]
        sides = corners[:, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2]].reshape(-1, 2)
        for _ in range(SMOOTHED):  # each the mean of its own and its neighbours'
            total = normals.copy()
            np.add.at(total, sides[:, 0], normals[sides[:, 1]])
            normals = unit(total)
        skins[0] = points, normals, corners
    skins += [_skin(ends[hand], radii[hand], shape.chains[hand], HAND_CELL, HAND_BLEND) for hand in hands]
    above = np.cumsum([0, *(len(s[0]) for s in skins[:-1])])
    vertices, normals = (np.concatenate([s[k] for s in skins]) for k in (0, 1))
    triangles = np.concatenate([s[2] + n for s, n in zip(skins, above, strict=True)])
    distance = np.stack([_capsule(vertices, e, r)[0] for e, r in zip(ends, radii, strict=True)], 1)
    distance[:, shape.eyes] = np.inf
    joints, weights = _weights(distance, shape, skeleton)
    # colour of the nearest capsules, blended where they are equally near
    share = np.exp((distance.min(1, keepdims=True) - distance) / 0.0008)
    share[:, shape.eyes] = 0
    colours = share / share.sum(1, keepdims=True) @ linear(shape.colours)
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
    return BodyMesh(
        vertices.astype(np.float32), normals.astype(np.float32), colours.astype(np.float32),
        joints.astype(np.uint8), weights.astype(np.float32), triangles.astype(np.uint32), bind,
    )  # fmt: skip


def _skin(
    ends: np.ndarray, radii: np.ndarray, chains: np.ndarray, cell: float, blend: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), normals (V, 3) and triangles (F, 3) around some capsules."""
    vertices, triangles = _surface(ends, radii, chains, cell, blend)
    # Newton steps onto the zero level: the grid leaves no facets
    for _ in range(2):
        value, gradient = _field(vertices, ends, radii, chains, blend)
        vertices = vertices - np.clip(value, -cell / 2, cell / 2)[:, None] * gradient
    return vertices, _field(vertices, ends, radii, chains, blend)[1], triangles


def _capsule(points: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance (...,) of points (..., 3) to one tapered capsule, and the vector (..., 3) from its axis."""
    axis, from_start = ends[1] - ends[0], points - ends[0]
    t = np.clip(from_start @ axis / max(float(axis @ axis), 1e-12), 0, 1)
    gap = from_start - t[..., None] * axis
    return np.sqrt(np.einsum("...k,...k", gap, gap)) - (radii[0] + t * (radii[1] - radii[0])), gap


def _field(
    points: np.ndarray, ends: np.ndarray, radii: np.ndarray, chains: np.ndarray, blend: float
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth union -k log sum exp(-d / k) of chains at points (N, 3), and its unit gradient (N, 3)."""
    total, gradient = np.full(len(points), 1e-30, np.float32), np.zeros_like(points)
    for chain in dict.fromkeys(chains.tolist()):
        segments = zip(ends[chains == chain], radii[chains == chain], strict=True)
        rows = [(*_capsule(points, e, r), r.max()) for e, r in segments]
        nearest = np.stack([d for d, *_ in rows]).argmin(0)
        for i, (d, gap, radius) in enumerate(rows):
            weight = np.where(nearest == i, np.exp(-np.maximum(d, -0.1) / blend), 0).astype(np.float32)
            total += weight
            gradient += (weight / np.maximum(d + radius, 1e-4))[:, None] * gap
    return -blend * np.log(total), unit(gradient)


def _surface(
    ends: np.ndarray, radii: np.ndarray, chains: np.ndarray, cell: float, blend: float
) -> tuple[np.ndarray, np.ndarray]:
    """Naive surface nets of the smooth union: vertices (V, 3) and triangles (F, 3)."""
    margin = 0.045
    low = (ends.min(1) - radii.max(1, keepdims=True)).min(0) - margin
    high = (ends.max(1) + radii.max(1, keepdims=True)).max(0) + margin
    size = np.ceil((high - low) / cell).astype(int) + 1
    axes = [(low[k] + cell * np.arange(size[k])).astype(np.float32) for k in range(3)]
    total = np.full(tuple(size), 1e-9, np.float32)
    for chain in dict.fromkeys(chains.tolist()):
        near = np.full(tuple(size), np.inf, np.float32)
        for e, r in zip(ends[chains == chain], radii[chains == chain], strict=True):
            a = np.maximum(((e.min(0) - r.max() - margin - low) / cell).astype(int), 0)
            b = np.minimum(((e.max(0) + r.max() + margin - low) / cell).astype(int) + 2, size)
            grid = np.stack(np.meshgrid(*(axes[k][a[k] : b[k]] for k in range(3)), indexing="ij"), -1)
            block = near[a[0] : b[0], a[1] : b[1], a[2] : b[2]]
            np.minimum(block, _capsule(grid, e, r)[0], out=block)
        total += np.exp(-near / blend)
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
    gap = np.full((len(distance), count), np.inf)
    for j in range(count):
        gap[:, j] = distance[:, shape.joint == j].min(1)
    linked = np.eye(count, dtype=bool)
    for j, p in enumerate(skeleton.parents):
        if p >= 0:
            linked[j, p] = linked[p, j] = True
    closest = gap.argmin(1)
    soft = np.full((count, count), _SOFTNESS_ELSEWHERE)
    for j, p in enumerate(skeleton.parents):
        soft[j, p] = soft[p, j] = _SOFTNESS.get(skeleton.names[j].split("_")[-1], _SOFTNESS_ELSEWHERE)
    excess = gap - gap.min(1, keepdims=True)
    weight = np.where(linked[closest], np.exp(-((excess / soft[closest]) ** 1.5)), 0)
    top = np.argsort(-weight, axis=1)[:, :4]
    share = np.take_along_axis(weight, top, 1)
    share = np.where(share < 0.02, 0, share)
    share /= share.sum(1, keepdims=True)
    return np.where(share > 0, top, 0), share


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


@dataclass(frozen=True)
class AvatarMesh(BodyMesh):
    """A mesh of 52 joints: the body's B vertices first, then the head's, in the head's own order."""

    gloss: np.ndarray  # (V,) float32, 0 matt to 1 wet
    body: int  # B
    faces: int  # the first triangle of the head
    parts: np.ndarray  # (V,) number of the part in `names`, the head's and, after these, the body
    names: tuple[str, ...]  # of the parts

    def part(self, name: str) -> np.ndarray:
        """(V,) which vertices belong to a part."""
        return np.asarray(self.parts == self.names.index(name))


@lru_cache(maxsize=2)
def avatar_mesh(clothed: bool = False) -> AvatarMesh:
    """Body, hands and head, in the colours of `CLOTHED` or `PALETTE`; built once per process."""
    shirt = linear(np.array((CLOTHED if clothed else PALETTE)["shirt"]) / 255)
    body, shape = _headless(body_mesh(True, clothed), shirt), head()
    places, _ = bind_pose(SMPL52)
    neck, crown, chest = (SMPL52.index(n) for n in ("neck", "head", "spine3"))
    points = shape.points + places[crown] + HEAD_PLACE
    low, high = places[neck, 1] + np.array(_NECK_BLEND)
    up = smoothstep((points[:, 1] - low) / (high - low))
    collar = shape.part("collar")
    # the collar is a shirt's, which goes with the chest
    up[collar] = 0
    faces = ~(collar & (points[:, 1] < places[neck, 1] + _COLLAR))[shape.triangles].any(1)
    colours = np.where(collar[:, None], shirt, shape.colours)
    follow = shape.follow.astype(np.float64)
    share = np.stack([follow, (1 - follow) * up, (1 - follow) * (1 - up), 0 * up], 1)
    joints = np.where(share > 0, np.array([crown, neck, chest, 0]), 0)
    count = len(body.points)
    triangles, parts = shape.triangles[faces] + count, np.full(count, len(shape.names))
    pairs = (
        (body.points, points), (body.normals, shape.normals), (body.colours, colours), (body.joints, joints),
        (body.weights, share), (body.triangles, triangles), (np.zeros(count, np.float32), shape.gloss),
    )  # fmt: skip
    places, normals, colours, joints, share, triangles, gloss = (
        np.concatenate(pair).astype(pair[0].dtype) for pair in pairs
    )
    return AvatarMesh(
        places, normals, colours, joints, share, triangles, body.bind, gloss, count, len(body.triangles),
        np.concatenate([parts, shape.parts]), (*shape.names, "body"),
    )  # fmt: skip


def _headless(mesh: BodyMesh, shirt: np.ndarray) -> BodyMesh:
    """The body without the skin of neck and head, and without vertices that nothing uses."""
    replaced = [SMPL52.index(n) for n in ("neck", "head")]
    share = (mesh.weights * np.isin(mesh.joints, replaced)).sum(1)
    triangles = mesh.triangles[(share[mesh.triangles] < _MAX_HEAD_SHARE).any(1)]
    used = np.unique(triangles)
    number = np.zeros(len(mesh.points), np.uint32)
    number[used] = np.arange(len(used))
    # the skin that is left there lies under the collar
    colours = np.where(share[:, None] > _BARE, shirt, mesh.colours)
    return BodyMesh(
        mesh.points[used], mesh.normals[used], colours[used], mesh.joints[used], mesh.weights[used],
        number[triangles], mesh.bind,
    )  # fmt: skip


def avatar_vertices(rotations: np.ndarray, root: np.ndarray, moved: np.ndarray | None = None) -> np.ndarray:
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
