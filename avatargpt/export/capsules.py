"""Capsules as impostors: which one each pixel sees, and how it is lit; several frames at once.

Within a capsule's bounding box the entry point of each pixel's ray follows in closed form (parallel rays per capsule,
true perspective between them). A box has few pixels and takes some twenty operations, so that calling them costs more
than computing them; neighbouring frames share the calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Capsules(NamedTuple):
    """P capsules of F frames on the screen, in pixels, float32; depths are positive away from the camera.

    Attributes:
        x, y, radius: (F, P, 2) of both ends. rise: (F, P) depth of the second end behind the first, start: (F, P) of
            the first.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    rise: np.ndarray
    start: np.ndarray


class Seen(NamedTuple):
    """The M pixels that capsules cover, frame by frame, row by row.

    Attributes:
        frame, pixel: (M,) where; pixels are counted row by row. part: (M,) the capsule in front. cover: (M,) share of
            the pixel, 0..1. normal: (M, 3) of its surface, in camera axes.
    """

    frame: np.ndarray
    pixel: np.ndarray
    part: np.ndarray
    cover: np.ndarray
    normal: np.ndarray


def rasterise(c: Capsules, width: int, height: int) -> Seen | None:
    """What is seen of capsules in a picture; None = nothing."""
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
    numbers = (
        c.x[..., 0], c.y[..., 0], wide / flat2, tall / flat2, wide / flat, tall / flat, deep / (flat * length), ex, ey,
        c.rise, c.radius[..., 0], c.radius[..., 1] - c.radius[..., 0], c.start,
    )  # fmt: skip
    # (P, 13, F, 1, 1)
    table = np.stack([n.astype(np.float32) for n in numbers]).transpose(2, 0, 1)[..., None, None]
    for i, ((left, top), (right, bottom)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if left >= right or top >= bottom:
            continue
        sx, sy, ux, uy, nx, ny, lean, ax, ay, az, first, taper, start = table[i]
        box = (slice(None), slice(top - y0, bottom - y0), slice(left - x0, right - x0))
        px, py = column[left:right] - sx, row[top:bottom] - sy
        t = px * ux + py * uy
        radii = np.maximum(t, 0)
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
        t -= radii  # the ray meets the cylinder nearer to the end that points at the camera
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        np.multiply(t, taper, out=radii)
        radii += first
        dx, dy = px - t * ax, py - t * ay
        dx *= dx
        dy *= dy
        dx += dy  # the squared gap between the pixel and the axis
        np.sqrt(dx, out=dy)
        edge = np.subtract(radii, dy, out=dy)
        edge += 0.5
        radii *= radii
        radii -= dx
        np.maximum(radii, 0, out=radii)
        np.sqrt(radii, out=radii)
        z = np.multiply(t, az, out=dx)
        z += start
        z -= radii
        front = edge > 0
        front &= z < buffer[box]
        np.minimum(edge, 1, out=edge)
        np.maximum(cover[box], edge, out=cover[box])
        np.copyto(buffer[box], z, where=front)
        np.copyto(part[box], i, where=front)
        np.copyto(along[box], t, where=front)
    at = np.flatnonzero(cover).astype(np.int32)  # whose division is the quicker one
    place, x = np.divmod(at, np.int32(shape[2]))
    frame, y = np.divmod(place, np.int32(shape[1]))
    x += x0
    y += y0
    which, t = part.ravel()[at], along.ravel()[at]
    used = np.ascontiguousarray(table[..., 0, 0][:, [0, 1, 7, 8, 10, 11]].transpose(2, 0, 1)).reshape(-1, 6)
    sx, sy, ax, ay, first, taper = used[frame * len(table) + which].T
    radii = t * taper + first
    dx, dy = column[x] - sx - t * ax, row[y, 0] - sy - t * ay
    out = np.sqrt(np.maximum(radii * radii - (dx * dx + dy * dy), 0))
    inverse = 1 / np.maximum(radii, 1e-3)
    normal = np.stack([dx * inverse, -dy * inverse, out * inverse], -1)
    return Seen(frame, y * np.int32(width) + x, which, cover.ravel()[at], normal)


def shaded(normal: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colours (M, 3) under wrapped key light from the upper left, sky light from above, darker rims; normals (M, 3)."""
    key = normal @ np.array([-0.45, 0.62, 0.64], np.float32)
    up, facing = normal[..., 1], np.clip(normal[..., 2], 0, 1)
    light = 0.50 + 0.42 * np.clip(key, -0.2, 1) + 0.12 * up - 0.16 * (1 - facing) ** 2
    gloss = 0.10 * np.clip(normal @ np.array([-0.27, 0.37, 0.89], np.float32), 0, 1) ** 24
    out: np.ndarray = colour * (light * 1.12)[..., None] + gloss[..., None]
    return out
