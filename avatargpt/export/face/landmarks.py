"""Landmarks of our head, and pictures of landmarks as networks see them.

The 68 points of iBUG 300-W (Sagonas et al. 2013) in their order, so that any detector of the usual kind can stand in
for ours: jaw 17 from the picture's left, brows 5 and 5, bridge 4 and nostrils 5, eyes 6 and 6 (corner, upper lid,
corner, lower lid), outer lips 12, inner lips 8; then a 69th and 70th for the irises.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.export.head.head import head
from vqvae.errors import UserError

if TYPE_CHECKING:
    from vqvae.face import FaceMotion

COUNT = 70
_CHAINS: tuple[tuple[int, tuple[int, ...], bool], ...] = (  # channel, points, whether the line closes
    (0, tuple(range(17)), False), (0, tuple(range(27, 31)), False), (0, tuple(range(31, 36)), False),
    (1, tuple(range(17, 22)), False), (1, tuple(range(22, 27)), False), (1, tuple(range(36, 42)), True),
    (1, tuple(range(42, 48)), True), (2, tuple(range(48, 60)), True), (2, tuple(range(60, 68)), True),
)  # fmt: skip
_IRISES = (68, 69)
_IRIS = 0.016  # radius of an iris, share of the picture


@lru_cache(maxsize=1)
def _vertices() -> tuple[np.ndarray, ...]:
    """For each landmark the vertices whose mean it is. Right is the person's, -X, on the picture's left."""
    h = head()
    s, p = h.skin, h.points.astype(np.float64)
    skin = np.arange(len(s.points))

    def nearest(target: tuple[float, float, float], among: np.ndarray) -> np.ndarray:
        return among[[((p[among] - target) ** 2).sum(1).argmin()]]

    def row(on: np.ndarray, count: int, ends: tuple[float, float]) -> list[np.ndarray]:
        """`count` vertices of a row of the grid, evenly from one x to another."""
        some = np.flatnonzero(on)
        return [some[[np.abs(p[some, 0] - x).argmin()]] for x in np.linspace(*ends, count)]

    out: list[np.ndarray] = []
    front = skin[(s.region == 0) & (p[skin, 2] > -0.02)]
    corner = 0.066
    for angle in np.linspace(-1, 1, 17):  # a U from ear to chin to ear
        x = corner * np.sin(angle * np.pi / 2)
        y = -0.012 - 0.113 * np.cos(angle * np.pi / 2) ** 0.8
        out.append(nearest((x, y, 0.075 - 0.065 * abs(np.sin(angle * np.pi / 2)) ** 2), front))
    for name in ("browRight", "browLeft"):
        own = np.flatnonzero(h.part(name))
        order = own[np.argsort(p[own, 0])]
        out += list(np.array_split(order, 5))
    middle = front[np.abs(p[front, 0]) < 0.002]
    out += [nearest((0.0, y, 0.11), middle) for y in (0.004, -0.010, -0.022, -0.034)]
    out += [nearest((x, -0.045, 0.095), front) for x in (-0.016, -0.008, 0.0, 0.008, 0.016)]
    for side in (-1, 1):
        low, high = (-0.049, -0.014) if side < 0 else (0.014, 0.049)
        above, beneath = (row(np.isclose(s.lid, level), 4, (low, high)) for level in (1.0, -1.0))
        out += [*above, beneath[2], beneath[1]]
    wide = float(np.abs(p[np.flatnonzero(np.isclose(s.lip, 0.0) & s.below)][:, 0]).max())
    for level, above_count, below_count in ((1.0, 7, 5), (0.0, 5, 3)):
        on = np.isclose(s.lip, level)
        upper = row(on & ~s.below, above_count, (-wide, wide))
        inside = wide * (1 - 2 / (below_count + 1))
        lower = row(on & s.below, below_count, (inside, -inside))
        out += [*upper, *lower]
    for name in ("eyeRight", "eyeLeft"):
        own = np.flatnonzero(h.part(name))
        out.append(own[p[own, 2] > p[own, 2].max() - 0.0005])
    return tuple(out)


def landmarks(points: np.ndarray) -> np.ndarray:
    """(70, 3) metres: the landmarks of our head's vertices (V, 3), wherever these have moved."""
    return np.stack([points[v].mean(0) for v in _vertices()])


def carried(points: np.ndarray, motion: FaceMotion) -> np.ndarray:
    """Landmarks of a photographed face, moved as our head's are by a clip.

    Our head at rest is laid on the photo's landmarks (scale, turn and shift by least squares, Umeyama 1991); how far
    every landmark of ours goes from there is added to the photo's.

    Args:
        points: (68, 2) or (70, 2), shares of a square picture, of somebody who faces the camera at rest.

    Returns:
        (T, 68 or 70, 2) for `avatargpt.face.portrait.Portrait.animate`.

    Raises:
        UserError: points of another shape, or that are not finite.
    """
    from avatargpt.export.face.render import FaceRenderer
    from avatargpt.export.head.head import turned
    from avatargpt.export.head.morphs import shaped
    from vqvae.face import turns

    points = np.asarray(points, np.float64)
    if points.shape not in ((68, 2), (70, 2)):
        raise UserError(f"landmarks of a photo: {points.shape}; accepted: (68, 2) or (70, 2)")
    if not np.isfinite(points).all():
        lost = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise UserError(f"landmarks of a photo: number {lost} is not finite; accepted: every landmark found")
    seen = FaceRenderer(64, 64).seen
    rest = seen(landmarks(head().points.astype(np.float64)))[: len(points)]
    own = [seen(landmarks(turned(shaped(w), q))) for w, q in zip(motion.weights, turns(motion.head), strict=True)]
    a, b = rest - rest.mean(0), points - points.mean(0)
    u, d, v = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    matrix = (u * flip) @ v * ((d * flip).sum() / (a**2).sum())
    return points + (np.stack(own)[:, : len(points)] - rest) @ matrix.T


def landmark_image(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: lines through landmarks; jaw and nose, brows and eyes, lips in a channel each.

    Args:
        points: (70, 2) or (68, 2) in shares of the picture, x to the right, y down. Points that are not finite, and
            lines to them, are left out.
    """
    from PIL import Image, ImageDraw

    fine, channels = 4, []
    scaled = np.asarray(points, np.float64) * size * fine
    whole = np.asarray(np.isfinite(scaled).all(axis=1))
    for channel in range(3):
        picture = Image.new("L", (size * fine, size * fine))
        draw = ImageDraw.Draw(picture)
        for own, chain, closed in _CHAINS:
            if own != channel:
                continue
            ring = (*chain, chain[0]) if closed else chain
            for a, b in zip(ring, ring[1:], strict=False):
                if whole[a] and whole[b]:
                    draw.line([tuple(scaled[a]), tuple(scaled[b])], 255, width=max(fine * size // 64, 1))
        if channel == 1:
            for i in _IRISES:
                if i < len(scaled) and whole[i]:
                    r = _IRIS * size * fine
                    draw.ellipse([*(scaled[i] - r), *(scaled[i] + r)], fill=255)
        channels.append(np.asarray(picture.resize((size, size), Image.Resampling.BOX)))
    return np.stack(channels, -1)
