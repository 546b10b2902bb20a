"""The 52 morph targets of our head: lids, eyes, brows, cheeks and nose here, the mouth in `head_mouth`.

Every sided target is made for the person's left and mirrored, so both halves agree to the bit. Targets add up linearly,
as glTF viewers add them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from avatargpt.export.head.head import Head, head, vertex_normals
from avatargpt.export.head.mouth import MOUTH_MOVES, Mouth
from avatargpt.export.head.shape import EYE, slide
from avatargpt.export.head.skin import INNER_COLUMN, OUTER_COLUMN
from vqvae import arkit

_GAZE = np.radians(arkit.EYE_DEGREES)
_MEETING = 0.2  # where the lids meet, 0 lower rim, 1 upper rim
_SMALLEST = 1e-5  # m, displacements below are left out


class _Face:
    """Fields over the upper face."""

    def __init__(self, shape: Head) -> None:
        self.head, self.p = shape, shape.points.astype(np.float64)
        names = [shape.names.index(n) for n in ("skin", "browLeft", "browRight")]
        self.soft = np.isin(shape.parts, names)
        surface, count = shape.skin, len(self.p)
        self.lid, self.column = np.zeros(count), np.full(count, -1)
        self.lid[: len(surface.lid)] = surface.lid
        self.column[: len(surface.lid)] = surface.column
        self.left = self.p[:, 0] > 0

    def bump(self, centre: tuple[float, float, float], wide: float, high: float) -> np.ndarray:
        """A smooth bump of skin and brows around a point, `wide` and `high` metres."""
        q = (self.p - np.array(centre)) / np.array([wide, high, 0.035])
        out: np.ndarray = np.exp(-(q**2).sum(1)) * self.soft * (self.lid < 0.4)
        return out

    def slid(self, weight: np.ndarray, x: float, y: float, z: float = 0.0) -> np.ndarray:
        """`weight` (V,) times a step in millimetres, along the skull."""
        moved = weight[:, None] * (np.array([x, y, z]) / 1000)
        some = np.abs(moved).max(1) > 2 * _SMALLEST
        out = np.where(some[:, None], moved, 0)
        out[some] = slide(self.p[some], self.p[some] + moved[some]) - self.p[some]
        out[some, 2] += moved[some, 2]
        return out

    def lids(self, upper: float, lower: float) -> np.ndarray:
        """The left lids turned about the eye: the share of the opening by which each rim goes down (upper) and up
        (lower); negative opens."""
        out = np.zeros_like(self.p)
        for c in range(INNER_COLUMN + 1, OUTER_COLUMN):  # the corners stay
            mine = np.flatnonzero((self.column == c) & (self.lid != 0))
            q = self.p[mine] - EYE
            angle, far = np.arctan2(q[:, 1], q[:, 2]), np.hypot(q[:, 1], q[:, 2])
            rims = [angle[np.abs(self.lid[mine] - rim) < 1e-9] for rim in (1.0, -1.0)]
            opening = rims[0].max() - rims[1].min()
            t = self.lid[mine]
            turn = np.where(t > 0, -upper, lower) * np.abs(t) ** 0.9 * opening
            lift = 1 + 0.035 * np.abs(t) * np.sin(np.pi * min(max(upper, 0), 1) / 2)
            new = np.stack([q[:, 0], far * lift * np.sin(angle + turn), far * lift * np.cos(angle + turn)], 1)
            out[mine] = new - q
        return out

    def gaze(self, yaw: float, pitch: float) -> np.ndarray:
        """The left eyeball turned; radians, positive to +X and up."""
        mine = self.head.part("eyeLeft")
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        out = np.zeros_like(self.p)
        out[mine] = (self.p[mine] - EYE) @ (turn - np.eye(3)).T
        return out


def _brow_inner(f: _Face) -> np.ndarray:
    off = np.abs(f.p[:, 0]) - 0.014
    weight = np.where(off > 0, np.exp(-((off / 0.013) ** 2)), 1 - 0.25 * np.clip(-off / 0.014, 0, 1) ** 2)
    return f.slid(weight * f.bump((0, 0.030, 0.088), 1.0, 0.017), 0, 8.5)


def _sneer(f: _Face) -> np.ndarray:
    left = f.left
    out = f.slid(f.bump((0.011, -0.038, 0.098), 0.010, 0.011) * left, 0.5, 4.5)
    out += f.slid(f.bump((0.014, -0.012, 0.085), 0.008, 0.010) * left, -1.0, 2.6, 1.2)
    return out + f.slid(f.bump((0.014, -0.056, 0.09), 0.011, 0.008) * left * (f.p[:, 1] > -0.066), 0, 2.2)


def _squint_cheek(f: _Face) -> np.ndarray:
    return f.slid(f.bump((0.036, -0.024, 0.080), 0.016, 0.013) * f.left, 0, 5.2, 1.6)


_FACE_MOVES: dict[str, Callable[[_Face], np.ndarray]] = {
    "eyeBlinkLeft": lambda f: f.lids(1 - _MEETING, _MEETING),
    "eyeSquintLeft": lambda f: f.lids(0.16, 0.36) + 0.35 * _squint_cheek(f),
    "eyeWideLeft": lambda f: f.lids(-0.30, -0.05),
    "eyeLookDownLeft": lambda f: f.gaze(0, -_GAZE) + f.lids(0.38, -0.10),
    "eyeLookUpLeft": lambda f: f.gaze(0, _GAZE) + f.lids(-0.20, 0.05),
    "eyeLookInLeft": lambda f: f.gaze(-_GAZE, 0),
    "eyeLookOutLeft": lambda f: f.gaze(_GAZE, 0),
    "browDownLeft": lambda f: f.slid(f.bump((0.024, 0.027, 0.086), 0.019, 0.014) * f.left, -1.6, -7.6, 1.0)
        + f.slid(f.bump((0.012, 0.024, 0.088), 0.009, 0.011) * f.left, -1.2, -3.2, 1.2),
    "browInnerUp": _brow_inner,
    "browOuterUpLeft": lambda f: f.slid(f.bump((0.043, 0.029, 0.078), 0.018, 0.015) * f.left, 0, 9.0),
    "cheekSquintLeft": lambda f: _squint_cheek(f) + f.lids(0, 0.14),
    "noseSneerLeft": _sneer,
}  # fmt: skip


@lru_cache(maxsize=1)
def morphs() -> np.ndarray:
    """(52, V, 3) float32 displacements at full weight, metres, in the order of `arkit.NAMES`."""
    shape = head()
    face, mouth = _Face(shape), Mouth(shape)
    flip = np.array([-1.0, 1, 1])
    out = np.zeros((arkit.COUNT, len(shape.points), 3), np.float32)
    for i, name in enumerate(arkit.NAMES):
        if name in _FACE_MOVES:
            moved = _FACE_MOVES[name](face)
        elif name in MOUTH_MOVES:
            moved = MOUTH_MOVES[name](mouth)
        else:
            continue  # a right side, mirrored below
        if arkit.MIRROR[i] == i:
            moved = (moved + moved[shape.mirror] * flip) / 2
        moved[np.abs(moved).max(1) < _SMALLEST] = 0
        out[i] = moved
        out[arkit.MIRROR[i]] = out[i][shape.mirror] * flip.astype(np.float32)
    return out


@lru_cache(maxsize=1)
def morph_normals() -> np.ndarray:
    """(52, V, 3) float32 changes of the normals at full weight."""
    shape = head()
    rest = vertex_normals(shape.points.astype(np.float64), shape.triangles)
    flip, out = np.array([-1.0, 1, 1]), np.zeros_like(morphs())
    for i, moved in enumerate(morphs()):
        j = int(arkit.MIRROR[i])
        if j < i:
            out[i] = out[j][shape.mirror] * flip
            continue
        change = vertex_normals(shape.points + moved.astype(np.float64), shape.triangles) - rest
        change[np.abs(change).max(1) < 2e-3] = 0
        out[i] = change
    return out


def shaped(weights: np.ndarray) -> np.ndarray:
    """(V, 3) float64 vertices of one frame's weights (52,), the head unturned."""
    some = np.flatnonzero(np.abs(weights) > 1e-4)
    out: np.ndarray = head().points + np.einsum("k,kvc->vc", weights[some].astype(np.float64), morphs()[some])
    return out
