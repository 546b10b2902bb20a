"""Renderers in plain numpy: bodies as shaded capsules on a ground grid with a soft shadow, and meshes of heads.

A frame of a body takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from avatargpt.export.head import head, vertex_normals
from avatargpt.export.mesh import figure
from vqvae.motion import Motion
from vqvae.skeleton import SMPL52

if TYPE_CHECKING:
    from avatargpt.export.mesh import AvatarMesh

SKY = np.array([0.945, 0.953, 0.965], np.float32)
GROUND = np.array([0.875, 0.890, 0.912], np.float32)
LINE = np.array([0.70, 0.735, 0.78], np.float32)
TRAIL = np.array([0.36, 0.68, 0.52], np.float32)
GRID = 0.5  # m between lines
DISTANCE = 7.0  # m from the camera to the body
CONVERSING = 0.4  # radians that the camera stands to the left of somebody who talks with the hands
FRAMES_TOGETHER = 4
_SHADOW_CELLS, _SHADOW_HALF = 72, 1.5  # texture size, half edge in metres
_LIGHT = np.array([0.35, 1.0, 0.45]) / np.linalg.norm([0.35, 1.0, 0.45])


@dataclass(frozen=True)
class View:
    """Where the camera stands: it looks at `height` above the followed ground point and shows `span` metres."""

    yaw: float  # radians about +Y; 0 = in front of a body that faces +Z
    elevation: float  # radians above the horizon
    height: float  # m
    span: float  # m that the picture's height covers at the body

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) rows right, up, towards the camera."""
        cy, sy, ce, se = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.elevation), np.sin(self.elevation)
        return np.array([[cy, 0, -sy], [-sy * se, ce, -cy * se], [sy * ce, se, cy * ce]])


def capsule_ends(motion: Motion) -> np.ndarray:
    """World end points of all capsules, (T, P, 2, 3) float32; with fingers where the motion has some."""
    skeleton, rotations = motion.with_fingers
    positions, matrices = skeleton.fk_full(rotations, motion.root)
    return figure(motion.fingers is not None).pose(positions, matrices).astype(np.float32)


def fit_view(ends: np.ndarray, targets: np.ndarray, aspect: float = 1.0, yaw: float = 0.6) -> View:
    """The closest view that holds all capsules `ends` (T, P, 2, 3) seen from the followed points `targets` (T, 3).

    Never closer than a standing person needs, so that clips compare. A figure with fingers is seen from the hips up.
    """
    low, high = min(float(ends[..., 1].min()), 0.0), max(float(ends[..., 1].max()) + 0.1, 1.85)
    yaw, elevation = float(yaw), np.radians(12)
    if ends.shape[1] == len(figure(True).joint):
        shape = figure(True)
        hips = ends[:, shape.joint == 0].mean((1, 2))[:, 1]
        low, high = float(hips.min()) - 0.16, float(ends[..., 1].max()) + 0.1
        above = np.array([not SMPL52.names[j].endswith(("hip", "knee", "ankle", "foot")) for j in shape.joint])
        ends, yaw, elevation = ends[:, above], CONVERSING, np.radians(6)
    view = View(yaw, elevation, (low + high) / 2, 1.0)
    local = (ends - targets[:, None, None]) @ view.axes.T
    sideways = float(np.abs(local[..., 0]).max()) + 0.12
    return View(yaw, view.elevation, view.height, max((high - low) * 1.16 + 0.1, 2 * sideways / aspect))


class BodyRenderer:
    """Draws frames of one size from one view."""

    def __init__(self, width: int, height: int, view: View, fingers: bool = False) -> None:
        self.width, self.height, self.view = width, height, view
        self._axes = view.axes.astype(np.float32)
        self._focal = float(height * DISTANCE / view.span)
        self._colours = figure(fingers).colours.astype(np.float32)
        self._radii = figure(fingers).radii.astype(np.float32)
        self._sky = (SKY * 255 + np.float32(0.5)).astype(np.uint8)
        # fingers and eyes cast no shadow of their own
        self._casting = np.flatnonzero(self._radii.mean(1) > 0.025)
        x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / self._focal
        y = (height / 2 - np.arange(height, dtype=np.float32) - 0.5) / self._focal
        rays = x[None, :, None] * self._axes[0] + y[:, None, None] * self._axes[1] - self._axes[2]
        eye = DISTANCE * self._axes[2] + np.array([0, view.height, 0], np.float32)
        # the camera does not roll, so that the ground fills the rows below the horizon
        self._horizon = int((rays[:, 0, 1] >= -eye[1] / (3.2 * DISTANCE)).sum())
        rays = rays[self._horizon :]
        reach = eye[1] / -rays[..., 1]
        clear = np.clip(1 - (reach / DISTANCE - 1.0) / 2.2, 0, 1)
        self._clear = clear.astype(np.float32)
        hit = (eye + rays * reach[..., None])[..., ::2]
        self._hit = np.ascontiguousarray(np.moveaxis(hit, -1, 0), np.float32)  # (2, rows, width): x, z
        self._cells = self._hit / np.float32(GRID)
        # the floor's colour in bytes is a sum of four: light, light of a line, haze, and the half that rounds
        self._shares = np.stack([self._clear, self._clear, 1 - self._clear, np.ones_like(self._clear)], -1)
        halves = np.full(3, 0.5 / 255, np.float32)
        self._paints = 255 * np.stack([GROUND, LINE - GROUND, SKY, halves])
        # allocated once: fresh memory of this size costs as much as the numbers
        self._planes = np.empty((3, *self._clear.shape), np.float32)
        self._painted = np.empty((*self._clear.shape, 3), np.float32)
        # a pixel's extent on the ground along x and z, metres: longer along grazing rays
        pixel = reach / self._focal
        lean = pixel * np.linalg.norm(rays, axis=-1) / np.maximum(-rays[..., 1], 0.05)
        towards = np.abs(rays[..., ::2]) / np.maximum(np.linalg.norm(rays[..., ::2], axis=-1, keepdims=True), 1e-6)
        soft = pixel[..., None] * (1 - towards) + lean[..., None] * towards
        self._sharp = np.ascontiguousarray(np.moveaxis(GRID / soft, -1, 0), np.float32)
        self._pixel = soft.mean(-1).astype(np.float32)
        cell = (hit / _SHADOW_HALF * 0.5 + 0.5) * (_SHADOW_CELLS - 1)
        inside = ((cell >= 0) & (cell < _SHADOW_CELLS - 1)).all(-1)
        self._shaded = np.flatnonzero(inside)
        base = cell[inside].astype(np.int64)
        self._texel = base[:, 0] * _SHADOW_CELLS + base[:, 1]
        self._part = np.ascontiguousarray((cell[inside] - base).T, np.float32)
        at = np.linspace(-_SHADOW_HALF, _SHADOW_HALF, _SHADOW_CELLS, dtype=np.float32)
        self._ground = np.stack(np.meshgrid(at, at, indexing="ij"), -1)

    def frame(self, ends: np.ndarray, target: np.ndarray, trail: np.ndarray | None = None) -> np.ndarray:
        """One picture (height, width, 3) uint8; `ends` (P, 2, 3) and `target` (3,) as of `frames`.

        Args:
            trail: (K, 3) path so far, drawn as a band on the ground.
        """
        out: np.ndarray = self.frames(np.asarray(ends)[None], np.asarray(target)[None], trail)[0]
        return out

    def frames(self, ends: np.ndarray, targets: np.ndarray, trail: np.ndarray | None = None) -> np.ndarray:
        """Pictures of neighbouring frames; `FRAMES_TOGETHER` at once are fastest.

        Args:
            ends: (F, P, 2, 3) world end points of the capsules, metres.
            targets: (F, 3) the followed point; its height is ignored. trail: as of `frame`.

        Returns:
            (F, height, width, 3) uint8.
        """
        here = (targets * [1, 0, 1]).astype(np.float32)
        local = np.asarray(ends, np.float32) - here[:, None, None]
        out = np.empty((len(local), self.height, self.width, 3), np.uint8)
        out[:, : self._horizon] = self._sky
        covered = _rasterise(self._project_ends(local), self.width, self.height)
        for k, picture in enumerate(out):
            floor = self._floor(here[k], local[k], trail)
            np.copyto(picture[self._horizon :], floor, casting="unsafe")
            if covered is None:
                continue
            rows = slice(*np.searchsorted(covered.frame, (k, k + 1)))
            at, cover = covered.pixel[rows], covered.cover[rows]
            # wrapped key light from the upper left, sky light from above, darker rims
            normal = covered.normal[rows]
            key = normal @ np.array([-0.45, 0.62, 0.64], np.float32)
            light = 0.50 + 0.42 * np.clip(key, -0.2, 1) + 0.12 * normal[..., 1]
            light = light - 0.16 * (1 - np.clip(normal[..., 2], 0, 1)) ** 2
            gloss = 0.10 * np.clip(normal @ np.array([-0.27, 0.37, 0.89], np.float32), 0, 1) ** 24
            body = self._colours[covered.part[rows]] * (light * 1.12)[..., None] + gloss[..., None]
            np.minimum(body, 1, out=body)
            body *= 255
            body += 0.5
            # at the outline the body covers a pixel in part
            edge = np.flatnonzero(cover < 1)
            place = at[edge] - self._horizon * self.width
            first = np.searchsorted(place, 0)
            under = np.empty((len(edge), 3), np.float32)
            under[:first] = SKY * 255 + np.float32(0.5)
            under[first:] = floor.reshape(-1, 3)[place[first:]]
            body[edge] = under + (body[edge] - under) * cover[edge, None]
            picture.reshape(-1, 3)[at] = body.astype(np.uint8)
        return out

    def _floor(self, here: np.ndarray, local: np.ndarray, trail: np.ndarray | None) -> np.ndarray:
        """The rows below the horizon, (rows, width, 3) float32 0.5..255.5; the next call writes into the same array."""
        nearest, offset, scratch = self._planes  # line, in widths of a pixel
        for axis, out in enumerate((nearest, offset)):
            np.add(self._cells[axis], here[2 * axis] / np.float32(GRID), out=out)
            out -= np.rint(out, out=scratch)
            np.abs(out, out=out)
            out *= self._sharp[axis]
        np.minimum(nearest, offset, out=nearest)
        lines = np.subtract(1.3, nearest, out=nearest)
        np.clip(lines, 0, 1, out=lines)
        light = offset
        np.copyto(light, self._clear)
        shadow, n = self._shadow(local), _SHADOW_CELLS
        around = shadow > 0  # a cell whose corners are all light needs no interpolation
        around[:-1] |= around[1:]
        around[:, :-1] |= around[:, 1:]
        dark = np.flatnonzero(around.ravel().take(self._texel))
        t, a, b = self._texel[dark], *self._part[:, dark]
        shadow = shadow.ravel()
        upper, lower = shadow[t], shadow[t + n]
        upper += (shadow[t + 1] - upper) * b
        lower += (shadow[t + n + 1] - lower) * b
        light.ravel()[self._shaded[dark]] *= 1 - 0.42 * (upper + (lower - upper) * a)
        self._shares[..., 0] = light
        np.multiply(light, lines, out=self._shares[..., 1])
        # row by row: one large product of so few columns would wake BLAS's threads, which takes longer than it does
        floor = np.matmul(self._shares, self._paints, out=self._painted)
        if trail is not None and len(trail) > 1:
            cover = self._band((trail[:, ::2] - here[::2]).astype(np.float32)) * self._clear
            floor += (TRAIL * 255 - floor) * cover[..., None]
        return floor

    def _band(self, path: np.ndarray) -> np.ndarray:
        """Coverage (rows, width) of the ground by a band along the path (K, 2), relative to the followed point."""
        corners = [0]
        # points closer than 5 cm add nothing
        for i in range(1, len(path)):
            if np.abs(path[i] - path[corners[-1]]).max() > 0.05:
                corners.append(i)
        path = path[[*corners, len(path) - 1]]
        cover = np.zeros(self._clear.size, np.float32)
        x, z = self._hit.reshape(2, -1)
        points, pixel = np.stack([x, z], -1), self._pixel.ravel()
        reach = np.abs(points).max(0) + 0.1
        for a, b in zip(path[:-1], path[1:], strict=True):
            if (np.minimum(np.abs(a), np.abs(b)) > reach).any():
                continue
            middle, half = (a + b) / 2, np.abs(b - a) / 2 + 0.06
            box = np.flatnonzero((np.abs(x - middle[0]) < half[0]) & (np.abs(z - middle[1]) < half[1]))
            d = _segment_distance(points[box], np.stack([a, b])[None])[0]
            cover[box] = np.maximum(cover[box], np.clip((0.028 - d) / pixel[box] + 0.5, 0, 1))
        return 0.85 * cover.reshape(self._clear.shape)

    def _shadow(self, local: np.ndarray) -> np.ndarray:
        """Darkness 0..1 of the ground texture (cells, cells); the softer, the higher the part is above it."""
        local, radii = local[self._casting], self._radii[self._casting].mean(1)
        flat = (local - local[..., 1:2] * (_LIGHT / _LIGHT[1]).astype(np.float32))[..., ::2]
        lift = np.clip(local[..., 1].mean(1), 0, 2)
        soft = 0.03 + 0.06 * lift
        step, margin = 2 * _SHADOW_HALF / (_SHADOW_CELLS - 1), (radii + soft)[:, None]
        low = np.clip((flat.min(1) - margin + _SHADOW_HALF) / step, 0, _SHADOW_CELLS).astype(int).min(0)
        high = np.clip((flat.max(1) + margin + _SHADOW_HALF) / step + 2, 0, _SHADOW_CELLS).astype(int).max(0)
        texture = np.zeros((_SHADOW_CELLS, _SHADOW_CELLS), np.float32)
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        cells = self._ground[box].reshape(-1, 2)
        if len(cells):
            d = _segment_distance(cells, flat)
            np.subtract(radii[:, None], d, out=d)
            d /= 2 * soft[:, None]
            d += 0.5
            np.clip(d, 0, 1, out=d)
            d *= 1 - 0.25 * lift[:, None]
            texture[box] = d.max(0).reshape(high - low)
        return texture

    def _project_ends(self, local: np.ndarray) -> _Capsules:
        """World end points (F, P, 2, 3) about the followed point, on the screen."""
        camera = (local - np.array([0, self.view.height, 0], np.float32)) @ self._axes.T
        depth = np.maximum(DISTANCE - camera[..., 2], 0.2)
        scale = self._focal / depth
        x, y = self.width / 2 + camera[..., 0] * scale, self.height / 2 - camera[..., 1] * scale
        # depths in one unit for all: pixels at the followed point
        unit = self._focal / DISTANCE
        return _Capsules(x, y, self._radii * scale, (depth[..., 1] - depth[..., 0]) * unit, depth[..., 0] * unit)


def _segment_distance(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Distances (P, N) of points (N, 2) to the segments between ends (P, 2, 2)."""
    first, axis = ends[:, :1], ends[:, 1:] - ends[:, :1]
    x, y = (points[:, k] - first[..., k] for k in (0, 1))
    t = x * axis[..., 0] + y * axis[..., 1]
    t /= np.maximum((axis * axis).sum(-1), 1e-9)
    np.clip(t, 0, 1, out=t)
    x -= t * axis[..., 0]
    y -= t * axis[..., 1]
    x *= x
    y *= y
    x += y
    return np.sqrt(x, out=x)


class _Capsules(NamedTuple):
    """P capsules of F frames on the screen, in pixels, float32; depths are positive away from the camera."""

    x: np.ndarray  # (F, P, 2) of both ends, as y and radius
    y: np.ndarray
    radius: np.ndarray
    rise: np.ndarray  # (F, P) depth of the second end behind the first
    start: np.ndarray  # (F, P) depth of the first end


class _Pixels(NamedTuple):
    """The M pixels that capsules cover, frame by frame, row by row."""

    frame: np.ndarray  # (M,)
    pixel: np.ndarray  # (M,) counted row by row
    part: np.ndarray  # (M,) the capsule in front
    cover: np.ndarray  # (M,) share of the pixel, 0..1
    normal: np.ndarray  # (M, 3) of the surface, in camera axes


def _rasterise(c: _Capsules, width: int, height: int) -> _Pixels | None:
    """The pixels of a picture that capsules cover; None = none."""
    # Within a capsule's bounding box the entry point of each pixel's ray follows in closed form (parallel rays per
    # capsule, true perspective between them). A box has few pixels, so that numpy's calls cost more than the numbers:
    # neighbouring frames share the calls.
    size = np.array([width, height])
    screen, around = np.stack([c.x, c.y], -1), c.radius[..., None]
    low = np.clip((screen - around).min(2) - 1, 0, size).astype(int).min(0)
    high = np.clip((screen + around).max(2) + 2, 0, size).astype(int).max(0)
    (x0, y0), (x1, y1) = low.min(0).tolist(), high.max(0).tolist()
    if x0 >= x1 or y0 >= y1:
        return None
    shape = (len(c.x), y1 - y0, x1 - x0)
    buffer, part = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int16)
    along, cover = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    column = np.arange(width, dtype=np.float32) + np.float32(0.5)
    row = (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
    ex, ey = c.x[..., 1] - c.x[..., 0], c.y[..., 1] - c.y[..., 0]
    wide, tall, deep = (v.astype(np.float64) for v in (ex, ey, c.rise))
    flat2 = np.maximum(wide * wide + tall * tall, 1e-4)
    flat, length = np.sqrt(flat2), np.sqrt(flat2 + deep * deep)
    point = flat2 <= 1e-4  # seen from its end: any direction will do
    nx, ny = np.where(point, 1, wide / flat), np.where(point, 0, tall / flat)
    numbers = (
        c.x[..., 0], c.y[..., 0], nx / flat, ny / flat, nx, ny, deep / (flat * length), ex, ey,
        c.rise, c.radius[..., 0], c.radius[..., 1] - c.radius[..., 0], c.start, flat2,
    )  # fmt: skip
    # (P, 14, F, 1, 1)
    table = np.stack([n.astype(np.float32) for n in numbers]).transpose(2, 0, 1)[..., None, None]
    for i, ((left, top), (right, bottom)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if left >= right or top >= bottom:
            continue
        sx, sy, ux, uy, nx, ny, lean, _, _, az, first, taper, start, long = table[i]
        box = (slice(None), slice(top - y0, bottom - y0), slice(left - x0, right - x0))
        px, py = column[left:right] - sx, row[top:bottom] - sy
        place = px * ux + py * uy  # along the axis, 0 and 1 at its ends
        radii = np.maximum(place, 0)
        np.minimum(radii, 1, out=radii)
        radii *= taper
        radii += first
        across = px * ny - py * nx
        across *= across
        radii *= radii
        radii -= across
        np.maximum(radii, 0, out=radii)
        np.sqrt(radii, out=radii)
        radii *= lean
        # the ray meets the cylinder nearer to the end that points at the camera
        t = np.subtract(place, radii, out=radii)
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        place -= t
        place *= place
        place *= long
        gap = np.add(place, across, out=place)  # squared, between the pixel and the axis
        radii = np.multiply(t, taper, out=across)
        radii += first
        edge = np.sqrt(gap)
        np.subtract(radii, edge, out=edge)
        edge += 0.5
        radii *= radii
        radii -= gap
        np.maximum(radii, 0, out=radii)
        np.sqrt(radii, out=radii)
        z = np.multiply(t, az, out=gap)
        z += start
        z -= radii
        front = edge > 0
        front &= z < buffer[box]
        np.minimum(edge, 1, out=edge)
        np.maximum(cover[box], edge, out=cover[box])
        np.copyto(buffer[box], z, where=front)
        np.copyto(part[box], i, where=front)
        np.copyto(along[box], t, where=front)
    at = np.flatnonzero(cover > 0)
    place, x = np.divmod(at.astype(np.int32), np.int32(shape[2]))  # whose division is the quicker one
    frame, y = np.divmod(place, np.int32(shape[1]))
    x += x0
    y += y0
    which, t = part.ravel().take(at), along.ravel().take(at)
    used = np.ascontiguousarray(table[..., 0, 0].transpose(1, 2, 0)[[0, 1, 7, 8, 10, 11]]).reshape(6, -1)
    capsule = (frame * len(table) + which).astype(np.intp)
    sx, sy, ax, ay, first, taper = (row_of.take(capsule) for row_of in used)
    radii = t * taper + first
    dx, dy = column[x] - sx - t * ax, row[y, 0] - sy - t * ay
    out = np.sqrt(np.maximum(radii * radii - (dx * dx + dy * dy), 0))
    inverse = 1 / np.maximum(radii, 1e-3)
    normal = np.stack([dx * inverse, -dy * inverse, out * inverse], -1)
    return _Pixels(frame, (y * np.int32(width) + x).astype(np.intp), which, cover.ravel().take(at), normal)


# The renderer of heads and avatars: triangles with a depth buffer, in plain numpy.
# Light is computed at the vertices and interpolated (Gouraud).

_DISTANCE = 0.78  # m from the camera to the head
_AIM = np.array([0.0, -0.030, 0.02])
_TOP, _BOTTOM = np.array([0.945, 0.955, 0.97]), np.array([0.80, 0.835, 0.875])
_SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 24, 32, 48, 80, 160, 400, 1200, 5000)
_KEY, _FILL = np.array([-0.48, 0.55, 0.68]), np.array([0.75, 0.05, 0.60])
_GLINT = np.array([-0.25, 0.40, 0.88])


@dataclass(frozen=True)
class Appearance:
    """Another complexion and another light."""

    # tints: part of the head (``skin``, ``hair`` for hair and brows, ``eye``, ``cloth``) -> factors (3,) on its
    # linear colours
    tints: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    light: tuple[float, float, float] | None = None  # (3,) where the main light comes from; None = the upper left
    bright: float = 1.0  # factor on all light
    # sRGB 0..1 of a plain background (3,), or a picture (H, W, 3) that is stretched behind; None = the usual one
    back: tuple[float, float, float] | np.ndarray | None = None
    texture: np.ndarray | None = None  # (V, 1) or (V, 3) factors on the linear colours of the vertices


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
        self, width: int, height: int, span: float = 0.36, yaw: float = 0.0, sharp: int = 2,
        look: Appearance | None = None, shape: AvatarMesh | None = None, aim: np.ndarray = _AIM,
        distance: float = _DISTANCE,
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
        look = look or Appearance()
        for name, tint in look.tints.items():
            tinted = [i for i, part in enumerate(self._mesh.names) if part.startswith(_TINTED[name])]
            self._light[np.isin(self._mesh.parts, tinted)] *= tint
        self._key, self._bright = np.array(_KEY if look.light is None else look.light), look.bright
        if look.back is not None:
            back = np.array(look.back, np.float32)
            if back.ndim == 1:
                self._back = np.tile(back, (self._h, 1))
            else:  # a picture, stretched
                from PIL import Image

                parts = [Image.fromarray(np.ascontiguousarray(back[..., k])) for k in range(3)]
                size, way = (self._w, self._h), Image.Resampling.BICUBIC
                self._back = np.stack([np.asarray(p.resize(size, way)) for p in parts], -1)
        if look.texture is not None:
            self._light *= look.texture

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
        rows = self._back[:, None] if self._back.ndim == 2 else self._back
        picture = np.broadcast_to(rows, (self._h, self._w, 3)).reshape(-1, 3).copy()
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
