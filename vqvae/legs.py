"""Legs of two bones that reach for a place: where the knee goes."""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot

# share of a leg's length from which on it is stretched less
EASED_REACH = 0.95


def bent_knee(hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, goal: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Place of the knee with the ankle at `goal` (or as near as the leg reaches), all (N, 3), metres.

    The knee stays in the plane that it bends in; where the leg is straight it bends towards `ahead` (N, 3).
    """
    a, b = np.linalg.norm(knee - hip, axis=-1), np.linalg.norm(ankle - knee, axis=-1)
    old, new = ankle - hip, goal - hip
    size = np.linalg.norm(new, axis=-1, keepdims=True)
    u = new / np.maximum(size, 1e-9)
    before = np.linalg.norm(old, axis=-1)
    turn = rot.between(old, new)
    bow = rot.rotate(turn, knee - hip)
    bow = bow - (bow * u).sum(-1, keepdims=True) * u
    ahead = ahead - (ahead * u).sum(-1, keepdims=True) * u
    straight = np.linalg.norm(bow, axis=-1, keepdims=True) < 1e-3
    bow = np.where(straight, ahead, bow)
    bow = bow / np.maximum(np.linalg.norm(bow, axis=-1, keepdims=True), 1e-9)
    reach = before + _eased(size[:, 0], a + b) - _eased(before, a + b)
    reach = np.clip(reach, np.abs(a - b) + 1e-4, (a + b) - 1e-4)
    along = (a**2 - b**2 + reach**2) / (2 * reach)
    out = np.sqrt(np.maximum(a**2 - along**2, 0))
    return np.asarray(hip + along[:, None] * u + out[:, None] * bow)


def _eased(reach: np.ndarray, length: np.ndarray) -> np.ndarray:
    """A leg's reach (N,) that approaches its length (N,) ever more slowly from `EASED_REACH` of it on."""
    # a knee that is nearly straight moves by centimetres when the reach changes by millimetres: a pop at every hold
    first = EASED_REACH * length
    room = length - first
    return np.where(reach > first, first + room * (1 - np.exp(-np.maximum(reach - first, 0) / room)), reach)
