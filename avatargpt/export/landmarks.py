"""Landmarks of our head, and pictures of landmarks as input of networks.

The 68 points of iBUG 300-W (Sagonas et al. 2013) in their order, so that any detector of the usual kind can stand in
for ours: jaw 17 from the picture's left, brows 5 and 5, bridge 4 and nostrils 5, eyes 6 and 6 (corner, upper lid,
corner, lower lid), outer lips 12, inner lips 8; then a 69th and 70th for the irises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avatargpt.export.head import head
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


def landmarks(points: np.ndarray) -> np.ndarray:
    """(70, 3) metres: the landmarks of our head's vertices (V, 3), wherever these have moved."""
    return np.stack([points[v].mean(0) for v in head().landmarks])


def carried(points: np.ndarray, motion: FaceMotion) -> np.ndarray:
    """Landmarks of a photographed face, moved as our head's are by a clip.

    Our head at rest is laid on the photo's landmarks (scale, turn and shift by least squares, Umeyama 1991); how far
    every landmark of ours goes from there is added to the photo's.

    Args:
        points: (68, 2) or (70, 2), shares of a square picture, of somebody who faces the camera at rest.

    Returns:
        (T, 68 or 70, 2) for `avatargpt.face.portrait.Portrait.animate`.
    """
    from avatargpt.export.head import shaped, turned
    from avatargpt.export.renderers import MeshRenderer
    from vqvae.face import turns

    points = np.asarray(points, np.float64)
    if points.shape not in ((68, 2), (70, 2)):
        raise UserError(f"landmarks of a photo: {points.shape}; accepted: (68, 2) or (70, 2)")
    if not np.isfinite(points).all():
        lost = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise UserError(f"landmarks of a photo: number {lost} is not finite; accepted: every landmark found")
    project = MeshRenderer(64, 64).project
    still = project(landmarks(head().points.astype(np.float64)))[: len(points)]
    ours = [project(landmarks(turned(shaped(w), q))) for w, q in zip(motion.weights, turns(motion.head), strict=True)]
    a, b = still - still.mean(0), points - points.mean(0)
    u, d, v = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    matrix = (u * flip) @ v * ((d * flip).sum() / (a**2).sum())
    return points + (np.stack(ours)[:, : len(points)] - still) @ matrix.T


def landmark_image(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: lines through landmarks; jaw and nose, brows and eyes, lips in a channel each.

    Args:
        points: (70, 2) or (68, 2) in shares of the picture, x to the right, y down. Points that are not finite, and
            lines to them, are left out.
    """
    from PIL import Image, ImageDraw

    fine, channels = 4, []
    scaled = np.asarray(points, np.float64) * size * fine
    finite = np.asarray(np.isfinite(scaled).all(axis=1))
    for channel in range(3):
        picture = Image.new("L", (size * fine, size * fine))
        draw = ImageDraw.Draw(picture)
        for chain_channel, chain, closed in _CHAINS:
            if chain_channel != channel:
                continue
            ring = (*chain, chain[0]) if closed else chain
            for a, b in zip(ring, ring[1:], strict=False):
                if finite[a] and finite[b]:
                    draw.line([tuple(scaled[a]), tuple(scaled[b])], 255, width=max(fine * size // 64, 1))
        if channel == 1:
            for i in _IRISES:
                if i < len(scaled) and finite[i]:
                    r = _IRIS * size * fine
                    draw.ellipse([*(scaled[i] - r), *(scaled[i] + r)], fill=255)
        channels.append(np.asarray(picture.resize((size, size), Image.Resampling.BOX)))
    return np.stack(channels, -1)
