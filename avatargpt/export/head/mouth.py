"""Morph targets of jaw and mouth. Displacements at full weight, metres; sides are made on the left and mirrored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatargpt.export.head.head import Head
from avatargpt.export.head.shape import slide, smooth
from avatargpt.export.head.skin import MOUTH_COLUMN

HINGE = np.array([0.0, -0.018, 0.004])  # of the jaw
JAW_ANGLE = 0.30  # rad that the mouth opens at most
MIDDLE_BAND = 0.008  # m beside the middle in which the left and right halves of the mouth run into each other
_CLOSE_LOWER = 0.66  # share of the gap that the lower lip closes
Move = Callable[["Mouth"], np.ndarray]


class Mouth:
    """Where every vertex (V,) lies with respect to the mouth.

    Attributes:
        p: (V, 3) points. x: (V,) their sideways place.
        side: sideways place in half mouths: 0 middle, 1 corner.
        half: 1 on the left, 0 on the right, running into each other in the middle band.
        skin, lower: of the skin; of the skin below the slit.
        across: 0 at the slit, 1 at the lip's border, see `Skin.lip`.
        near: 1 on the lips, falling to 0 about 3 cm away.
        parted: how far the lips can part: 1 in the middle, 0 from the corners on.
        jaw: how much the jaw carries the vertex.
    """

    def __init__(self, head: Head) -> None:
        surface, count = head.skin, len(head.points)
        self.head, self.p = head, head.points.astype(np.float64)
        self.x = self.p[:, 0]
        self.skin = head.part("skin")
        self.lower, self.across = np.zeros(count, bool), np.full(count, 9.0)
        self.lower[self.skin], self.across[self.skin] = surface.below, surface.lip
        edge = (surface.lip == 0) & ~surface.below
        self.corner = surface.points[edge & (surface.column == MOUTH_COLUMN)][0]
        self.side = np.abs(self.x) / self.corner[0]
        self.half = smooth(-MIDDLE_BAND, MIDDLE_BAND, self.x)
        own = surface.points[edge & (surface.column <= MOUTH_COLUMN)]
        own = own[np.argsort(own[:, 0])]
        self.slit = np.interp(np.abs(self.x), own[:, 0], own[:, 1])
        self.away = np.hypot(np.maximum(np.abs(self.x) - self.corner[0], 0), self.p[:, 1] - self.slit)
        inside = self.across < 0
        self.away[inside] = 0
        self.front = np.where(inside, 1.0, smooth(0.030, 0.060, self.p[:, 2])) * self.skin
        self.depth = np.where(inside, np.interp(-self.across, [0, 1, 2, 3], [1, 1, 1, 0.5]), 1.0)
        self.near = self.reach(0.017)
        self.parted = np.clip(1 - self.side**2, 0, 1) ** 0.75
        self.jaw = self._jaw()

    def reach(self, size: float, free: float = 0.008) -> np.ndarray:
        """1 within `free` metres of the slit, falling to 0 over `size`."""
        out: np.ndarray = np.exp(-((np.maximum(self.away - free, 0) / size) ** 2)) * self.front * self.depth
        return out

    def spot(self, x: float, y: float, z: float, size: float) -> np.ndarray:
        """A bump of the skin around a point."""
        out: np.ndarray = np.exp(-(((self.p - [x, y, z]) / size) ** 2).sum(1)) * self.skin * (self.across >= 0)
        return out

    def toward_corner(self, size: float = 0.016) -> np.ndarray:
        """Left half: 0 in the middle, 1 at the corner, falling off beyond."""
        return smooth(0.0, 1.05, self.side) * self.reach(size, 0.006) * (self.x > 0)

    def at_lip(self, lower: bool, beyond: float) -> np.ndarray:
        """1 on one lip, falling to 0 over `beyond` metres past its border."""
        past = np.maximum(self.away - 0.009, 0) / beyond
        out: np.ndarray = np.exp(-(past**2)) * self.front * self.depth * (self.lower == lower)
        return out

    def along(self, weight: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
        """(V, 3) `weight` times a step in millimetres."""
        return weight[:, None] * (np.array([x, y, z]) / 1000)

    def _jaw(self) -> np.ndarray:
        y, z = np.where(self.across < 0, self.slit, self.p[:, 1]), np.where(self.across < 0, 0.083, self.p[:, 2])
        base = smooth(0.040, 0.092, -y) * smooth(0.0, 0.055, z) * (1 - smooth(0.120, 0.150, -y)) * self.skin
        beside = smooth(0.30, 1.0, self.side)
        chin = smooth(0.0, 0.05, z) * (1 - smooth(0.108, 0.122, -y)) * (1 - beside)
        out = np.where(self.lower, base + (1 - base) * chin, base * beside) * self.skin
        out = np.where(self.across <= -3, 0.8 * out, out)
        carried = self.head.part("teethLower") | self.head.part("tongue")
        return np.where(carried, 1.0, out)


def _jaw_open(m: Mouth) -> np.ndarray:
    c, s = np.cos(JAW_ANGLE), np.sin(JAW_ANGLE)
    q = m.p - HINGE
    turned = np.stack([q[:, 0], c * q[:, 1] - s * q[:, 2], s * q[:, 1] + c * q[:, 2]], 1)
    out = (turned - q) * m.jaw[:, None]
    out[:, 0] -= 0.10 * m.x * smooth(0.2, 1.0, m.side) * m.near
    return out


def _mouth_close(m: Mouth) -> np.ndarray:
    """Takes back the gap that the open jaw leaves between the lips, each lip its share."""
    opened, surface = _jaw_open(m), m.head.skin
    count = len(surface.points)
    gap = np.zeros((MOUTH_COLUMN + 1, 3))
    for c in range(MOUTH_COLUMN):
        at = np.flatnonzero((surface.lip == 0) & (surface.column == c))
        low, up = at[surface.below[at]][0], at[~surface.below[at]][0]
        gap[c] = opened[:count][low] - opened[:count][up]
    edge = surface.lip == 0
    place = np.array([surface.points[edge & (surface.column == c)][0, 0] for c in range(MOUTH_COLUMN + 1)])
    here = np.stack([np.interp(np.abs(m.x), place, g) for g in gap.T], 1)
    here[:, 0] *= np.sign(m.x)
    # The upper lip only comes down, so that it slides over the teeth; the rest is the lower lip's.
    lower, upper = np.array([-1, -_CLOSE_LOWER, -1]), np.array([0, 1 - _CLOSE_LOWER, 0])
    return here * (np.outer(m.at_lip(True, 0.016), lower) + np.outer(m.at_lip(False, 0.0075), upper))


def _tongue_out(m: Mouth) -> np.ndarray:
    tip = smooth(0.030, 0.080, m.p[:, 2]) * m.head.part("tongue")
    out = m.along(tip, 0, 0, 41) + m.along(tip * (1 - tip), 0, 52, 0) + m.along(tip**4, 0, 1.5, 0)
    out[:, 1] -= 0.25 * (m.p[:, 1] + 0.0815) * tip
    room = np.exp(-((m.side / 0.8) ** 4))
    out += m.along(m.at_lip(False, 0.010) * room, 0, 1.8, 1.0)
    return out + m.along(m.at_lip(True, 0.014) * room, 0, -5.5, 1.5)


def _round(m: Mouth, narrow: float, forward: float, part: float) -> np.ndarray:
    field = m.reach(0.019)
    out = np.stack([-narrow * m.x * field, 0 * m.x, forward * field * np.exp(-((m.side / 1.15) ** 4))], 1)
    out += m.along(m.at_lip(False, 0.011) * m.parted, 0, 0.9 * part, 0)
    return out + m.along(m.at_lip(True, 0.016) * m.parted, 0, -1.1 * part, 0)


def _roll(m: Mouth, lower: bool) -> np.ndarray:
    t = np.clip(m.across, 0, 1)
    width = np.clip(1 - m.side**4, 0, 1)
    field = m.at_lip(lower, 0.007) * width
    return m.along(field * t, 0, 5.2 if lower else -3.6, -1.0) + m.along(field, 0, 0, -4.2)


def _press(m: Mouth) -> np.ndarray:
    t = np.clip(m.across, 0, 1) * np.clip(1.1 - 0.7 * m.side**2, 0, 1) * m.half
    out = m.along(m.at_lip(False, 0.006) * t, 0, -2.4, -0.6) + m.along(m.at_lip(True, 0.008) * t, 0, 3.4, -0.6)
    out += m.along(m.reach(0.009) * m.half * np.clip(1.2 - m.side, 0, 1), 0, 0, -1.9)
    return out + m.along(m.toward_corner(0.010), -0.6, 0.8, -1.0)


def _smile(m: Mouth) -> np.ndarray:
    cheek = m.spot(0.040, -0.036, 0.078, 0.017) * (m.x > 0)
    fold = m.spot(0.033, -0.052, 0.080, 0.010)
    corner = m.toward_corner()
    out = m.along(corner, 8.0, 0, -5.0) + m.along(corner * np.minimum(m.side, 1) ** 0.8, 0, 9.0, 0)  # an arc, no wedge
    return out + m.along(cheek, 1.0, 5.0, 3.5) + m.along(fold, 1.5, 1.5, 0)


def _puff(m: Mouth) -> np.ndarray:
    sides = m.spot(0.043, -0.066, 0.050, 0.026) + m.spot(-0.043, -0.066, 0.050, 0.026)
    out = np.stack([np.sign(m.x) * 0.0115 * sides, 0 * m.x, 0.0070 * sides], 1)
    return out + m.along(m.reach(0.012, 0.004) * (1 - np.clip(m.parted, 0, 1) * 0.4) * m.skin, 0, 0, 2.2)


def _shifted(m: Mouth) -> np.ndarray:
    moved = m.along(m.reach(0.022), 9.5, 0, 0)
    return _slid(m, moved)


def _slid(m: Mouth, moved: np.ndarray) -> np.ndarray:
    """The same step along the surface; where nothing moves nothing is computed."""
    some = np.abs(moved).max(1) > 1e-6
    out = moved.copy()
    out[some] = slide(m.p[some], m.p[some] + moved[some]) - m.p[some]
    return out


MOUTH_MOVES: dict[str, Move] = {
    "jawOpen": _jaw_open,
    "jawForward": lambda m: m.along(m.jaw, 0, -0.5, 8),
    "jawLeft": lambda m: m.along(m.jaw, 9, 0, -0.5),
    "mouthClose": _mouth_close,
    "mouthFunnel": lambda m: _round(m, 0.24, 0.0075, 5.6),
    "mouthPucker": lambda m: _round(m, 0.42, 0.0095, 0.0),
    "mouthLeft": _shifted,
    "mouthSmileLeft": _smile,
    "mouthFrownLeft": lambda m: m.along(m.toward_corner(), 1.5, -9.0, -1.5) + m.along(
        m.spot(0.022, -0.092, 0.078, 0.012), 0.5, -2.0, 1.0) * (m.x > 0)[:, None],
    "mouthDimpleLeft": lambda m: m.along(m.toward_corner(0.010), 6.0, 1.6, -7.0),
    "mouthStretchLeft": lambda m: m.along(m.toward_corner(), 9.0, -3.2, -4.5),
    "mouthRollLower": lambda m: _roll(m, True),
    "mouthRollUpper": lambda m: _roll(m, False),
    "mouthShrugLower": lambda m: m.along(
        m.reach(0.012, 0.004) * np.exp(-((m.side / 0.95) ** 4)) * np.where(m.lower, 1.0, m.parted), 0, 4.0, 2.4)
        + m.along(m.spot(0, -0.094, 0.083, 0.017), 0, 4.0, 1.0),
    "mouthShrugUpper": lambda m: m.along(
        m.reach(0.009, 0.004) * np.exp(-((m.side / 0.85) ** 4)), 0, 3.2, 1.6),
    "mouthPressLeft": _press,
    "mouthLowerDownLeft": lambda m: m.along(m.at_lip(True, 0.013) * m.parted * m.half, 0.8, -9.0, 0.4),
    "mouthUpperUpLeft": lambda m: m.along(m.at_lip(False, 0.010) * m.parted * m.half, 0.4, 7.5, 0.2)
        + m.along(m.spot(0.019, -0.046, 0.09, 0.009) * m.half, 0, 2.2, 0.6),
    "cheekPuff": _puff,
    "tongueOut": _tongue_out,
}  # fmt: skip
