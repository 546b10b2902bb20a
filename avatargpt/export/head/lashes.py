"""Eyelashes: thin triangles that stand on the edge of a lid."""

from __future__ import annotations

import numpy as np

_COUNT = 17  # of a lid
_ABOVE = 0.0001  # m off the lid


def lashes(edge: np.ndarray, side: int, lid: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3 N, 3) of N lashes, all first ones, all second ones, all tips; and (3 N,) the edge's vertex of each.

    Args:
        edge: (K, 3) the lid's edge from the inner corner to the outer one, metres from the centre of the eye.
        side: 1 for the person's left eye, -1 for the right one.
        lid: 1 for the upper lid, -1 for the lower one, whose lashes are shorter and thinner.
    """
    place = np.linspace(1.2, len(edge) - 1.6, _COUNT)
    t = np.linspace(0, 1, _COUNT)[:, None]
    long = (0.0036 + 0.0032 * t) * (1.0 if lid > 0 else 0.38)
    wide = 0.24 if lid > 0 else 0.09  # half of a lash, in steps of the edge

    def at(where: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(where, np.arange(len(edge)), c) for c in edge.T], 1)

    out = at(place)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    tip = out + np.concatenate([side * (0.75 * t - 0.18), np.full_like(t, 0.55 * lid), 0 * t], 1)  # fanned, curled
    tip *= long / np.linalg.norm(tip, axis=1, keepdims=True)
    points = [at(place - wide), at(place + wide), at(place) + tip]
    nearest = np.rint(place).astype(int)
    return np.concatenate(points) + np.tile(_ABOVE * out, (3, 1)), np.tile(nearest, 3)
