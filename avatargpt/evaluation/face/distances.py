"""Distances of faces from reference clips on our own head: LVE, FDD and the FID of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from avatargpt.evaluation.face import rivals
from avatargpt.evaluation.report import figure, plain
from avatargpt.metrics.face_distances import FPS, face_fid, fdd, lve
from vqvae.face import FaceMotion

MM = 1000.0
WINDOW = 5  # s of a recorded take that count as one clip


@cache
def _places() -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the lips, and those of the upper face that any weight of brows, eyes, cheeks or nose moves."""
    from avatargpt.export.head import head
    from vqvae import arkit

    shape = head()
    lips = np.flatnonzero(shape.lips)
    upper = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("brow", "eye", "cheek", "nose"))]
    moved = np.abs(shape.morphs[upper]).max((0, 2)) > 0
    return lips, np.flatnonzero(moved & shape.part("skin") & (shape.points[:, 1] > shape.points[lips, 1].max()))


def vertices(motion: FaceMotion, places: np.ndarray) -> np.ndarray:
    """(T, V, 3) float64 millimetres of some vertices of our head, unturned, at 30 fps."""
    from avatargpt.export.head import head

    weights = motion.resampled(FPS).weights.astype(np.float64)
    moved = np.tensordot(weights, head().morphs[:, places].astype(np.float64), 1)
    return np.asarray((head().points[places] + moved) * MM)


def against(name: str, made: Sequence[FaceMotion], real: Sequence[FaceMotion]) -> dict[str, Any]:
    """LVE (mm), FDD (mm^2) and face FID of clips against their references, over the frames that both have."""
    from avatargpt.export.head import head

    lips, upper = _places()
    rest = head().points[upper].astype(np.float64) * MM
    errors, dynamics = [], []
    for m, r in zip(made, real, strict=True):
        count = min(len(m.resampled(FPS)), len(r.resampled(FPS)))
        errors.append(lve(vertices(m, lips)[:count], vertices(r, lips)[:count]))
        dynamics.append(fdd(vertices(m, upper)[:count], vertices(r, upper)[:count], rest))
    try:
        distance = face_fid(made, real)
    except ValueError:  # too few clips, or references that are all the same: there is no such figure
        distance = float("nan")
    return {f"lve/{name}": figure(errors), f"fdd/{name}": figure(dynamics), f"face_fid/{name}": plain(distance)}


def beside_recordings(
    made: Mapping[str, Sequence[np.ndarray]], held: Sequence[np.ndarray], training: Sequence[np.ndarray]
) -> dict[str, Any]:
    """The distances of `against` for faces made for recorded takes and for what needs no model (`of_recordings`).

    Args:
        made: row -> (T, 55) curves at 30 fps per held-out take. held: (T, 55), as recorded. training: of other takes.

    Returns:
        ``FIGURE/ROW``, over windows of `WINDOW` seconds.
    """
    real = _windows(held)
    rows = {**made, **rivals.of_recordings(held, training)}
    return {k: v for row, takes in rows.items() for k, v in against(row, _windows(takes), real).items()}


def _windows(takes: Sequence[np.ndarray]) -> list[FaceMotion]:
    width = round(WINDOW * FPS)
    return [FaceMotion.from_curves(np.asarray(take[i : i + width], np.float32), FPS)
            for take in takes for i in range(0, len(take) - width + 1, width)]  # fmt: skip
