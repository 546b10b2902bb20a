"""Keeps the centre of mass over what carries the body, by shifting the pelvis a little and in time."""

from __future__ import annotations

import numpy as np

from instruct_data.synth.body import Trunk
from instruct_data.synth.format import CONTACTS
from instruct_data.synth.geometry import Array
from instruct_data.synth.legs import HEEL_BACK, TOE_FORWARD, Foot
from instruct_data.synth.tracks import Batch

DIRECTIONS = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], 1)
MARGIN = 0.02
MOST = 0.16


def mass_centre(trunk: Trunk, feet: dict[str, Foot]) -> Array:
    """Roughly where the centre of mass is above the floor, (N, 2) x and z; arms hang with the chest."""
    p = trunk.position
    legs = sum(0.5 * f.sole[:, [0, 2]] + 0.5 * p["pelvis"][:, [0, 2]] for f in feet.values()) / 2
    return (
        0.2 * p["pelvis"][:, [0, 2]] + 0.16 * p["spine2"][:, [0, 2]] + 0.26 * p["neck"][:, [0, 2]]
        + 0.08 * p["head"][:, [0, 2]] + 0.3 * legs
    )  # fmt: skip


def _along(places: Array) -> Array:
    """How far places (N, 2) lie in each of the directions, (12, N)."""
    return DIRECTIONS[:, :1] * places[:, 0] + DIRECTIONS[:, 1:] * places[:, 1]


def support_shift(batch: Batch, trunk: Trunk, feet: dict[str, Foot]) -> Array:
    """(N, 3) shift of the pelvis that brings the centre of mass over the feet, smooth and ahead of time."""
    left, right, s = batch.place("pelvis")
    size = len(s)
    names = {c: i for i, c in enumerate(CONTACTS)}
    flags = batch.contacts
    active_key = (batch.only_feet & batch.balance).astype(float)
    active = np.minimum(active_key[left], active_key[right]) * ~batch.air[right]
    if not active.any():
        return np.zeros((size, 3))
    centre = mass_centre(trunk, feet)
    points, weights = [], []
    for name, foot in feet.items():
        carries = flags[:, names[name]].astype(float)
        weight = foot.ground * np.minimum(carries[left], carries[right])
        yaw = np.radians(foot.sole[:, 3])
        ahead = np.stack([np.sin(yaw), np.cos(yaw)], 1)
        middle = foot.sole[:, [0, 2]]
        points += [middle + ahead * (TOE_FORWARD + 0.02), middle - ahead * HEEL_BACK]
        weights += [weight, weight]
    most = np.maximum(weights[0], weights[2])
    active = active * (most > 0.5)
    total = np.maximum(weights[0] + weights[2], 1e-6)
    middle = (weights[0][:, None] * (points[0] + points[1]) + weights[2][:, None] * (points[2] + points[3])) / (
        2 * total[:, None]
    )
    shift = np.zeros((size, 2))
    # how far the support reaches in every direction
    mid, far = _along(middle), np.full((len(DIRECTIONS), size), -np.inf)
    for point, weight in zip(points, weights, strict=True):
        far = np.maximum(far, mid + weight * (_along(point) - mid))
    for _ in range(2):
        excess = _along(centre + shift) - far
        worst = DIRECTIONS[excess.argmax(0)]
        over = excess.max(0)
        # a foot alone carries on its width, two feet between them
        shift = shift - worst * np.clip(over + MARGIN, 0, None)[:, None] / 0.85
    shift *= active[:, None]
    size_of = np.sqrt(shift[:, 0] ** 2 + shift[:, 1] ** 2)
    shift *= (np.minimum(size_of, MOST) / np.maximum(size_of, 1e-9))[:, None]
    shift = batch.layout.smooth(shift, 3.0)
    return np.stack([shift[:, 0], np.zeros(size), shift[:, 1]], 1)
