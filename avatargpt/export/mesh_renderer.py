"""The renderer of heads and avatars: triangles with a depth buffer, in plain numpy.

Light is computed at the vertices and interpolated (Gouraud).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.export.head import head, vertex_normals

if TYPE_CHECKING:
    from avatargpt.export.mesh import AvatarMesh

_DISTANCE = 0.78  # m from the camera to the head
_AIM = np.array([0.0, -0.030, 0.02])
_TOP, _BOTTOM = np.array([0.945, 0.955, 0.97]), np.array([0.80, 0.835, 0.875])
_SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 24, 32, 48, 80, 160, 400, 1200, 5000)
_KEY, _FILL = np.array([-0.48, 0.55, 0.68]), np.array([0.75, 0.05, 0.60])
_GLINT = np.array([-0.25, 0.40, 0.88])


@dataclass(frozen=True)
class Look:
    """Another complexion and another light."""

    # tints: part of the head (``skin``, ``hair`` for hair and brows, ``eye``, ``cloth``) -> factors (3,) on its
    # linear colours
    tints: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    light: tuple[float, float, float] | None = None  # (3,) where the main light comes from; None = the upper left
    bright: float = 1.0  # factor on all light
    back: tuple[float, float, float] | None = None  # (3,) sRGB 0..1 of a plain background; None = the usual one


_TINTED = {"skin": ("skin", "ear"), "hair": ("hair", "brow"), "eye": ("eye",), "cloth": ("collar",)}


class MeshRenderer:
    """Draws a mesh, usually the head, from the front.

    Args:
        width, height: pixels.
        span: metres that the picture's height covers.
        yaw: radians by which the camera stands to the person's left.
        sharp: samples a pixel along each side.
        look: colours and light.
        shape: a mesh to draw instead of the head. aim: (3,) point that the camera looks at. distance: metres from it.
    """

    def __init__(
        self, width: int, height: int, span: float = 0.36, yaw: float = 0.0, sharp: int = 2, look: Look | None = None,
        shape: AvatarMesh | None = None, aim: np.ndarray = _AIM, distance: float = _DISTANCE,
    ) -> None:  # fmt: skip
        self.width, self.height, self._sharp = width, height, sharp
        self._w, self._h = width * sharp, height * sharp
        self.aim, self._distance = aim, distance
        self._focal = self._h * distance / span
        c, s = np.cos(yaw), np.sin(yaw)
        self._axes = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        self._mesh = shape or head()
        fade = np.linspace(0, 1, self._h)[:, None]
        self._back = (_TOP + (_BOTTOM - _TOP) * fade).astype(np.float32)
        self._light = self._mesh.colours.astype(np.float64)
        look = look or Look()
        for name, tint in look.tints.items():
            parts = [i for i, part in enumerate(self._mesh.names) if part.startswith(_TINTED[name])]
            self._light[np.isin(self._mesh.parts, parts)] *= tint
        self._key, self._bright = np.array(_KEY if look.light is None else look.light), look.bright
        if look.back is not None:
            self._back = np.tile(np.array(look.back, np.float32), (self._h, 1))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Places of points (N, 3) in the picture: (N, 2), shares of its width and height, from the upper left."""
        local = (points - self.aim) @ self._axes.T
        depth = self._distance - local[:, 2]
        x = 0.5 + local[:, 0] / depth * self._focal / self._w
        y = 0.5 - local[:, 1] / depth * self._focal / self._h
        return np.stack([x, y], 1)

    def frame(self, points: np.ndarray) -> np.ndarray:
        """One picture of the vertices (V, 3): (height, width, 3) uint8."""
        normals = vertex_normals(points, self._mesh.triangles) @ self._axes.T
        x, y = (self.project(points) * (self._w, self._h)).T
        depth = self._distance - (points - self.aim) @ self._axes[2]
        picture = np.repeat(self._back[:, None], self._w, 1).reshape(-1, 3)
        pixel, triangle = self._visible(np.stack([x, y], 1), depth)
        if len(pixel):
            colours = self._shade(normals).astype(np.float32)
            corners = self._mesh.triangles[triangle]
            screen = np.stack([x, y], 1).astype(np.float32)
            row, column = (k.astype(np.float32) for k in np.divmod(pixel, self._w))
            u, v = _weights(screen[corners], column, row)
            a, b, c = (colours[corners[:, k]] for k in range(3))
            picture[pixel] = a + (b - a) * u[:, None] + (c - a) * v[:, None]
        k = self._sharp
        fine = sum(picture.reshape(self._h, self._w, 3)[i::k, j::k] for i in range(k) for j in range(k)) / (k * k)
        return (np.clip(fine, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _shade(self, normals: np.ndarray) -> np.ndarray:
        """(V, 3) sRGB: key light from the upper left, fill from the right, sky, gloss."""
        n = normals
        key = np.clip(n @ (self._key / np.linalg.norm(self._key)) * 0.85 + 0.15, 0, 1)
        fill = np.clip(n @ (_FILL / np.linalg.norm(_FILL)), 0, 1)
        light = self._bright * (0.30 + 0.13 * n[:, 1] + 0.62 * key + 0.14 * fill)
        warm = np.array([1.03, 1.0, 0.965]) * light[:, None]
        gloss = np.clip(n @ (_GLINT / np.linalg.norm(_GLINT)), 0, 1)
        shine = 0.045 * gloss**8 + 0.30 * self._mesh.gloss * gloss**30
        linear = np.clip(self._light * warm + shine[:, None], 0, 1)
        glint = self._mesh.part("glintLeft") | self._mesh.part("glintRight")
        linear[glint] = 1
        out: np.ndarray = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return out

    def _visible(self, screen: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels that are covered and the nearest triangle of each."""
        p, d = screen[self._mesh.triangles], depth[self._mesh.triangles]
        low, high = np.ceil(p.min(1) - 0.5).astype(np.int64), np.floor(p.max(1) - 0.5).astype(np.int64)
        low, high = np.maximum(low, 0), np.minimum(high, [self._w - 1, self._h - 1])
        b, c = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
        area = b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]
        front = np.flatnonzero((area < -1e-9) & (high >= low).all(1))
        b, c, low, size = b[front], c[front], low[front], (high - low)[front].max(1) + 1
        # weights of the second and third corner, and depth, as planes over the picture: value, step right, step down
        inverse = 1 / area[front]
        right_u, down_u, right_v, down_v = c[:, 1] * inverse, -c[:, 0] * inverse, -b[:, 1] * inverse, b[:, 0] * inverse
        x, y = (low + 0.5 - p[front, 0]).T
        u, v = x * right_u + y * down_u, x * right_v + y * down_v
        first, db, dc = d[front, 0], d[front, 1] - d[front, 0], d[front, 2] - d[front, 0]
        planes = np.stack([
            [u, v, first + u * db + v * dc], [right_u, right_v, right_u * db + right_v * dc],
            [down_u, down_v, down_u * db + down_v * dc],
        ]).astype(np.float32)  # fmt: skip
        # triangles of about one size are tested against their pixels at once; depth and number share one integer
        far = np.int64(1) << 62
        nearest = np.full(self._w * self._h, far, np.int64)
        last = 0
        for edge in _SIZES:
            chosen = np.flatnonzero((size > last) & (size <= edge))
            last = edge
            for part in np.array_split(chosen, max(1, len(chosen) * edge * edge // 1_000_000)):
                if len(part):
                    self._fill(planes[:, :, part], low[part], front[part], edge, nearest)
        pixel = np.flatnonzero(nearest != far)
        return pixel, nearest[pixel] & 0xFFFFF

    def _fill(self, planes: np.ndarray, low: np.ndarray, which: np.ndarray, edge: int, nearest: np.ndarray) -> None:
        """Enter triangles of at most `edge` pixels into the packed depth buffer."""
        step = np.arange(edge, dtype=np.float32)
        start, right, down = planes[..., None, None]
        u, v, z = start + right * step + down * step[:, None]
        inside = (u >= -1e-5) & (v >= -1e-5) & (u + v <= 1 + 1e-5)
        hit = np.flatnonzero(inside)
        triangle, place = hit // (edge * edge), hit % (edge * edge)
        column, row = low[triangle, 0] + place % edge, low[triangle, 1] + place // edge
        key = ((z.ravel()[hit] * 1e6).astype(np.int64) << 20) | which[triangle]
        inside = (column < self._w) & (row < self._h)
        np.minimum.at(nearest, (row * self._w + column)[inside], key[inside])


def _weights(p: np.ndarray, column: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric weights of the second and third corner of triangles p (N, 3, 2) at pixel centres (N,)."""
    a, b, c = p[:, 0], p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    x, y = column + 0.5 - a[:, 0], row + 0.5 - a[:, 1]
    area = b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]
    return (x * c[:, 1] - y * c[:, 0]) / area, (b[:, 0] * y - b[:, 1] * x) / area
