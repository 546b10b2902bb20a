"""What belongs to our head besides skin and hair: eyes, brows, ears, teeth, tongue and a collar. Metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.export.head.shape import EYE, EYE_RADIUS, distance, gradient

# sRGB 0..1
SKIN, LIP, INSIDE = (0.91, 0.735, 0.64), (0.79, 0.51, 0.475), (0.34, 0.12, 0.13)
RIM, LASH, HAIR, BROW = (0.82, 0.58, 0.53), (0.20, 0.13, 0.12), (0.235, 0.165, 0.135), (0.27, 0.185, 0.15)
TOOTH, TONGUE, CLOTH = (0.945, 0.93, 0.90), (0.76, 0.40, 0.42), (0.33, 0.43, 0.53)
_WHITE, _IRIS, _LIMBUS, _PUPIL = (0.955, 0.95, 0.94), (0.36, 0.50, 0.50), (0.17, 0.25, 0.27), (0.045, 0.04, 0.045)
IRIS_ANGLE = 0.43  # rad from the eye's axis to the rim of the iris
LOWER_TEETH, UPPER_TEETH = -0.0742, -0.0640  # m, upper ends of the two rows


@dataclass
class Part:
    """One piece: points (V, 3), triangles (F, 3) counter-clockwise from outside, sRGB colours (V, 3), its name."""

    name: str
    points: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray


def mirror_image(part: Part) -> Part:
    """The same piece on the person's right."""
    return Part(part.name.replace("Left", "Right"), part.points * [-1, 1, 1], part.triangles[:, ::-1], part.colours)


def sheet(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """(F, 3) triangles of a grid whose rows go down and columns to the left, seen from outside."""
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, 1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    a, b, c, d = (x.ravel() for x in (left[:-1], right[:-1], left[1:], right[1:]))
    return np.concatenate([np.stack([a, c, d], 1), np.stack([a, d, b], 1)])


def _tint(colour: tuple[float, float, float], count: int) -> np.ndarray:
    return np.tile(np.array(colour), (count, 1))


def _around(angles: np.ndarray, segments: int) -> np.ndarray:
    """Unit directions (rings, segments, 3) at these angles from +Z."""
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    return np.stack(
        [np.sin(angles)[:, None] * np.cos(turn), np.sin(angles)[:, None] * np.sin(turn),
         np.cos(angles)[:, None] + 0 * turn], -1,
    )  # fmt: skip


def eye() -> Part:
    """The left eyeball, looking along +Z: rings of pupil, iris and white."""
    rings: list[tuple[float, tuple[float, float, float]]] = [
        (0.004, _PUPIL), (0.165, _PUPIL), (0.185, (0.20, 0.29, 0.29)), (0.28, _IRIS), (0.365, (0.31, 0.44, 0.45)),
        (IRIS_ANGLE - 0.022, _LIMBUS), (IRIS_ANGLE + 0.012, _LIMBUS), (IRIS_ANGLE + 0.045, _WHITE), (0.66, _WHITE),
        (0.95, (0.93, 0.905, 0.89)), (1.35, (0.86, 0.78, 0.76)),
    ]  # fmt: skip
    segments = 22
    ball = _around(np.array([r for r, _ in rings]), segments)
    colours = np.repeat(np.array([c for _, c in rings]), segments, 0)
    points = EYE + EYE_RADIUS * ball.reshape(-1, 3)
    return Part("eyeLeft", points, sheet(len(rings), segments, closed=True), colours)


def glint() -> Part:
    """The light that the left eye reflects; it stays when the eye turns."""
    axis = np.array([-0.20, 0.23, 0.0])
    axis[2] = np.sqrt(1 - axis @ axis)
    side = np.cross([0.0, 1.0, 0.0], axis)
    side /= np.linalg.norm(side)
    turn = np.linspace(0, 2 * np.pi, 10, endpoint=False)[:, None]
    rim = axis + 0.085 * (np.cos(turn) * side + np.sin(turn) * np.cross(axis, side))
    points = np.concatenate([axis[None], rim])
    points *= 1.012 / np.linalg.norm(points, axis=1, keepdims=True)
    k = np.arange(10)
    faces = np.stack([np.zeros(10, int), 1 + k, 1 + (k + 1) % 10], 1)
    return Part("glintLeft", EYE + EYE_RADIUS * points, faces, np.ones((11, 3)))


def on_skin(points: np.ndarray) -> np.ndarray:
    """Points (N, 3) brought onto the skin along Z."""
    p = np.array(points, float)
    for _ in range(25):
        p[:, 2] -= 0.8 * distance(p)
    return p


def brow() -> Part:
    """The left eyebrow."""
    t = np.linspace(0, 1, 13)
    x = 0.0150 + 0.0360 * t
    y = 0.0238 + 0.0062 * np.sin(np.pi * np.clip(0.86 * t, 0, 1)) ** 1.1 - 0.0014 * t
    thick = 0.0037 * (1 - 0.72 * t**1.4) * np.minimum(1, 0.62 + 4 * t)
    across = np.array([1.0, 0.55, 0.0, -0.55, -1.0])
    lift = np.array([-0.0004, 0.0010, 0.0015, 0.0010, -0.0004])
    flat = np.stack(np.broadcast_arrays(x[None], y[None] + across[:, None] * thick, 0.09), -1).reshape(-1, 3)
    skin = on_skin(flat)
    height = np.repeat(lift, len(t)) * np.tile(np.minimum(1, 0.4 + thick / 0.0037), 5)
    points = skin + height[:, None] * gradient(skin)
    hairs = np.tile(1.0 + 0.16 * np.cos(2.4 * np.arange(len(t))), 5)
    return Part("browLeft", points, sheet(5, len(t)), _tint(BROW, len(points)) * hairs[:, None])


_EAR_SHADES = (0.97, 0.97, 1.0, 1.0, 1.0, 0.93, 0.88, 0.96, 0.98, 0.86, 0.72, 0.62, 0.60)  # ring by ring


def ear() -> Part:
    """The left ear: rings from behind over the rim (helix), groove and inner fold into the bowl; lobe and tragus."""
    count = 30
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)  # 0 in front, a quarter turn up
    up, back = np.sin(turn), -np.cos(turn)
    high = np.where(up > 0, 0.0305, 0.0315)
    wide = 0.0180 + 0.0036 * up + 0.0016 * np.clip(-up - 0.4, 0, 1)
    lobe = np.clip(-up - 0.35, 0, 1) / 0.65  # 1 at the bottom, where the ear is flat and soft
    curl = np.clip(0.35 + 0.65 * back + 0.5 * up, 0, 1)  # how much the rim turns over: above and behind
    rings = (  # share of the outline, height above the ear's plane: at the rim, and what the lobe takes away
        (0.60, -0.0130, 0.0), (0.93, -0.0062, 0.0), (1.00, -0.0018, 0.0), (0.99, 0.0014, 0.0), (0.92, 0.0026, 0.0010),
        (0.83, 0.0006, -0.0014), (0.75, -0.0020, -0.0034), (0.66, -0.0002, -0.0014), (0.56, 0.0006, -0.0004),
        (0.46, -0.0034, -0.0026), (0.32, -0.0062, -0.0045), (0.12, -0.0066, -0.0060),
        (0.01, -0.0066, -0.0060),
    )  # fmt: skip
    points, colours = [], []
    for k, (scale, lift, less) in enumerate(rings):
        height = np.asarray(lift - less * lobe)
        if k >= 4:
            height = height * np.where(scale > 0.5, 0.35 + 0.65 * curl, 1.0)
        tragus = 0.0060 * np.exp(-(((turn + np.pi) % (2 * np.pi) - np.pi + 0.15) / 0.40) ** 2)
        height = height + tragus * (0.35 < scale < 0.80)
        front = np.where(back < -0.3, 1 - 0.12 * (scale > 0.85), 1.0)
        points.append(np.stack([height, high * scale * up, -wide * scale * front * back], -1))
        shade = _EAR_SHADES[k]
        tint = 1 - (1 - shade) * (1 - 0.8 * lobe)
        colours.append(np.outer(tint, np.array(SKIN)) * np.array([1.0, 0.955, 0.945]))
    flat = np.concatenate(points)

    def about(axis: int, angle: float) -> np.ndarray:
        a, b = [k for k in range(3) if k != axis]
        out = np.eye(3)
        out[a, a] = out[b, b] = np.cos(angle)
        out[a, b], out[b, a] = -np.sin(angle), np.sin(angle)
        return out

    # the top leans back, the back edge stands off the skull, the lobe lies closer to the jaw than the top
    turned = flat @ (about(2, 0.10) @ about(1, 0.40) @ about(0, -0.16)).T
    return Part("earLeft", turned + [0.0762, -0.0135, -0.0205], sheet(len(rings), count, closed=True),
                np.concatenate(colours))  # fmt: skip


def teeth(upper: bool) -> Part:
    """One row of teeth, an arch of ten with darker gaps."""
    count = 31
    a = np.linspace(-1.35, 1.35, count)
    reach = 0.0228 if upper else 0.0208
    gap = 0.5 + 0.5 * np.cos(np.arange(count) * 2 * np.pi / 3)  # every third column
    depth = reach - 0.0006 * gap
    x, z = 0.84 * depth * np.sin(a), (0.0592 if upper else 0.0595) + depth * np.cos(a)
    start, long = (UPPER_TEETH, 0.0088) if upper else (LOWER_TEETH, 0.0078)
    rows = np.array([0.0, 0.9, 1.0, 1.0])
    inward = np.array([0.0, 0.0, 0.0008, 0.005])
    y = start - long * (rows if upper else rows[::-1])
    inward = inward if upper else inward[::-1]
    points = np.stack(np.broadcast_arrays(x[None], y[:, None], z[None] - inward[:, None]), -1).reshape(-1, 3)
    shade = (1 - 0.16 * gap - 0.45 * (np.abs(a) / 1.35) ** 2)[None] * np.ones((4, 1))
    shade[0 if upper else -1] *= 0.9
    colours = np.clip(np.array(TOOTH) * shade[..., None], 0, 1).reshape(-1, 3)
    return Part("teethUpper" if upper else "teethLower", points, sheet(4, count), colours)


def tongue() -> Part:
    """A tongue that lies behind the lower teeth."""
    rings, segments = 9, 14
    polar = np.linspace(0.02, np.pi - 0.02, rings)
    ball = _around(polar, segments).reshape(-1, 3)
    points = np.array([0, -0.0815, 0.0555]) + ball * [0.0150, 0.0052, 0.0220]
    points[:, 1] -= 0.0016 * np.exp(-((points[:, 0] / 0.003) ** 2)) * (ball[:, 1] > 1e-6)
    return Part("tongue", points, sheet(rings, segments, closed=True), _tint(TONGUE, len(points)))


def collar() -> Part:
    """The top of a jumper, from the neck to the shoulders."""
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    rings = (
        (-0.166, 0.0440, 0.0450, -0.032), (-0.156, 0.0500, 0.0515, -0.032), (-0.160, 0.0545, 0.0565, -0.032),
        (-0.170, 0.0605, 0.0620, -0.031), (-0.185, 0.0800, 0.0680, -0.031), (-0.200, 0.1180, 0.0760, -0.031),
        (-0.215, 0.1540, 0.0830, -0.032), (-0.240, 0.1760, 0.0880, -0.033), (-0.290, 0.1860, 0.0930, -0.034),
    )  # fmt: skip
    points, colours = [], []
    for k, (y, wide, deep, z) in enumerate(rings):
        points.append(np.stack([wide * np.sin(turn), np.full(len(turn), y), z + deep * np.cos(turn)], -1))
        colours.append(_tint(CLOTH, len(turn)) * (0.80 if k in (0, 3) else 1.0))
    return Part("collar", np.concatenate(points), sheet(len(rings), len(turn), closed=True), np.concatenate(colours))
