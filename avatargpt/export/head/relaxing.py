"""Smoothing of the half grid that the skin is made of."""

from __future__ import annotations

import numpy as np

_ROUNDS = 10
_FLIP = np.array([-1.0, 1, 1])


def relaxed(points: np.ndarray, share: np.ndarray, across: np.ndarray, merged: tuple[int, int]) -> np.ndarray:
    """The half grid (rows, columns, 3) with vertices drawn towards the mean of their neighbours.

    The first and the last column lie in the middle: beyond them follows the mirror image.

    Args:
        share: (rows, columns) 0..1 how much, towards all four neighbours; the first and the last row stay.
        across: (rows, columns) 0..1 how much, towards those of the same row.
        merged: a row that is the same as the one before from a column on, and this column.
    """
    out, (row, column) = points.copy(), merged
    for _ in range(_ROUNDS):
        wide = _with_mirror_image(out)
        mean = (wide[1:-1, :-2] + wide[1:-1, 2:] + out[:-2] + out[2:]) / 4
        out[1:-1] += 0.6 * share[1:-1, :, None] * (mean - out[1:-1])
        out[row, column:] = out[row - 1, column:]
    for _ in range(_ROUNDS):
        wide = _with_mirror_image(out)
        out += 0.5 * across[..., None] * ((wide[:, :-2] + wide[:, 2:]) / 2 - out)
    return out


def _with_mirror_image(grid: np.ndarray) -> np.ndarray:
    return np.concatenate([grid[:, 1:2] * _FLIP, grid, grid[:, -2:-1] * _FLIP], 1)
