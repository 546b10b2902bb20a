"""What differs from clip to clip beside the keys: small correlated noise, sway, posture, and which part leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruct_data.synth.format import FRAMES
from instruct_data.synth.geometry import Array, Layout
from instruct_data.synth.rows import ANGLES, AT, H_ANGLES, H_AT, H_FRAME, H_MODE

# Standard deviations: metres for places, degrees for angles.
_PELVIS, _TURN, _SPINE, _HEAD = (0.004, 0.0015, 0.004), (0.5, 0.7, 0.5), (1.0, 1.2, 0.7), (1.6, 2.0, 1.0)
_HAND = (0.012, 0.01, 0.012, 4.0)
_STEP = 4


@dataclass(eq=False)
class Noise:
    """Offsets for every frame: pelvis (N, 3) m, turn, spine, head (N, 3) degrees, hands (N, 4) m and swivel degrees."""

    pelvis: Array
    turn: Array
    spine: Array
    head: Array
    hands: dict[str, Array]


def lags(rngs: Sequence[np.random.Generator]) -> dict[str, Array]:
    """Seconds by which controls come late: the head leads, the hands follow. ``settle``: overshoot of a hand."""
    drawn = np.stack([r.normal(0, 0.02, 5) for r in rngs])
    return {"head": drawn[:, 0] - 0.06, "gaze": drawn[:, 0] - 0.08, "spine": drawn[:, 1] * 0.5 + 0.01,
            "l_hand": drawn[:, 2] + 0.02, "r_hand": drawn[:, 3] + 0.02,
            "settle": 0.012 + 0.5 * np.abs(drawn[:, 4])}  # fmt: skip


def noises(layout: Layout, rngs: Sequence[np.random.Generator]) -> Noise:
    """Low-pass noise of every clip from its own generator; columns are scaled by the tables above."""
    scale = np.array([*_PELVIS, *_TURN, *_SPINE, *_HEAD, *_HAND, *_HAND])
    sizes = layout.counts // _STEP + 12
    parts, posture = [], []
    for rng, size in zip(rngs, sizes.tolist(), strict=True):
        parts.append(rng.standard_normal((size, len(scale))))
        posture.append(rng.standard_normal(12))
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    values = _spline(np.concatenate(parts), layout.frame / _STEP + 4, before[layout.clip]) * scale
    lean = np.stack(posture)[layout.clip]
    turn, spine, head = values[:, 3:6], values[:, 6:9] + 0, values[:, 9:12] + 0
    turn = turn + lean[:, 0:3] * np.array([0.6, 0.8, 0.5])
    spine = spine + lean[:, 3:6] * np.array([1.8, 1.0, 0.8])
    head = head + lean[:, 6:9] * np.array([2.5, 1.5, 1.2])
    hands = {}
    for i, hand in enumerate(("l_hand", "r_hand")):
        part = values[:, 12 + 4 * i : 16 + 4 * i].copy()
        part[:, 3] += 6 * lean[:, 9 + i]
        part[:, 2] += 0.012 * lean[:, 11]
        hands[hand] = part
    return Noise(values[:, 0:3], turn, spine, head, hands)


def _spline(coarse: Array, at: Array, first: Array) -> Array:
    """Twice-smoothed samples read at `first` + `at` by a uniform cubic B-spline; about unit variance."""
    smooth = 0.25 * coarse[:-2] + 0.5 * coarse[1:-1] + 0.25 * coarse[2:]
    i = first + at.astype(int) - 1
    u = (at - at.astype(int))[:, None]
    w0, w1 = (1 - u) ** 3 / 6, (3 * u**3 - 6 * u**2 + 4) / 6
    w2, w3 = (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6, u**3 / 6
    return 2.2 * (w0 * smooth[i - 1] + w1 * smooth[i] + w2 * smooth[i + 1] + w3 * smooth[i + 2])


def hand_places(rows: dict[str, Array], hand: str) -> Array:
    """About where a hand is relative to its shoulder (K, 3) in the chest's axes, from the keys alone."""
    row, side = rows[hand], 1.0 if hand == "l_hand" else -1.0
    pelvis, yaw = rows["pelvis"], np.radians(rows["pelvis_rot"][:, 1])
    mode, which, at = row[:, H_MODE], row[:, H_FRAME].astype(int), row[:, H_AT : H_AT + 3]
    x, z, c, s = at[:, 0] - pelvis[:, 0], at[:, 2] - pelvis[:, 2], np.cos(yaw), np.sin(yaw)
    staged = np.stack([c * x - s * z - 0.19 * side, at[:, 1] - pelvis[:, 1] - 1.45, s * x + c * z], 1)
    near = at + _FROM[which] - np.array([0.19 * side, 0, 0])
    lift, fore = np.radians(row[:, H_ANGLES]), np.radians(row[:, H_ANGLES + 1])
    out = np.sin(lift)
    angled = 0.5 * np.stack([side * out * np.cos(fore), -np.cos(lift), out * np.sin(fore)], 1)
    place = np.where((which == 0)[:, None], staged, near)
    place = np.where((mode == ANGLES)[:, None], angled, place)
    return np.where((mode == AT)[:, None] | (mode == ANGLES)[:, None], place, np.array([0.1 * side, -0.5, 0.07]))


def follow_hands(rows: dict[str, Array], strength: Array) -> None:
    """Turn and tilt the trunk a little after the hands: towards the side away from the arm that reaches out or up.

    Changes the rows of spine and head in place, by (K,) strength; about 6 degrees for one arm stretched out.
    """
    places = [hand_places(rows, hand) for hand in ("l_hand", "r_hand")]
    ahead = [np.clip(p[:, 2], -0.3, 0.6) for p in places]
    up = [np.clip(p[:, 1] + 0.1, 0, 0.6) for p in places]
    upright = np.clip(np.cos(np.radians(rows["pelvis_rot"][:, 0])), 0, 1) * strength
    turn, tilt = 12 * (ahead[1] - ahead[0]) * upright, 5 * (up[1] - up[0]) * upright
    rows["spine"][:, 1] += turn
    rows["spine"][:, 2] += tilt
    rows["head"][:, 1] -= 0.8 * turn
    rows["head"][:, 2] -= 0.6 * tilt


# Origins of hand targets relative to the middle between the shoulders, about; the stage is handled apart.
_ORIGINS = {"pelvis": (0, -0.45, 0), "chest": (0, -0.14, 0), "head": (0, 0.17, 0.05), "l_shoulder": (0.19, 0, 0),
            "r_shoulder": (-0.19, 0, 0), "l_hand": (0.1, -0.2, 0.3), "r_hand": (-0.1, -0.2, 0.3),
            "l_knee": (0.1, -0.9, 0.2), "r_knee": (-0.1, -0.9, 0.2)}  # fmt: skip
_FROM = np.array([_ORIGINS.get(n, (0, 0, 0)) for n in FRAMES], np.float64)
