"""Complete key states in numbers: the columns of a key's rows, one clip's keys, and what makes clips differ."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from instruct_data.synth.expressions import resolve
from instruct_data.synth.format import CONTROLS, Param
from instruct_data.synth.stances import Stance, foot_offsets

# Columns of a hand's row.
REST, AT, ANGLES = 0, 1, 2
H_MODE, H_FRAME, H_AT, H_ELBOW, H_SET, H_PALM, H_ANGLES, H_SIZE = 0, 1, 2, 5, 6, 7, 10, 14
# Columns of a foot's row; F_HIGH is the height within the stage frame of its round.
F_MODE, F_AT, F_YAW, F_PITCH, F_LIFT, F_KNEE, F_HIP, F_BEND, F_HIGH, F_SIZE = 0, 1, 4, 5, 6, 7, 8, 11, 12, 13
SIZES = {"pelvis": 3, "pelvis_rot": 3, "spine": 3, "head": 3, "gaze": 4, "l_shoulder": 2, "r_shoulder": 2,
         "l_hand": H_SIZE, "r_hand": H_SIZE, "l_foot": F_SIZE, "r_foot": F_SIZE}  # fmt: skip
_POOL = 128


@dataclass
class Timeline:
    """Keys of one clip. K keys; a hold is two keys alike.

    Attributes:
        times: (K,) seconds, the first 0.
        rows: control -> (K, size) numbers, see the column constants; lengths in metres, angles in degrees.
        ease: (K,) index into EASES of the way to this key.
        anticipate, overshoot: (K,) shares.
        air: (K,) whether the body flies on the way to this key.
        contacts: (K, 7) booleans in the order of CONTACTS.
        balance: (K,) whether the centre of mass is kept over the contacts.
        seconds: length.
        params: what was drawn; words for choices with words.
        scope: what expressions saw.
        stands: whether the clip starts and ends in the stand pose.
        stretched: factor by which the times were changed to fit the limits.
        follow: how strongly the trunk goes with the hands.
    """

    times: np.ndarray
    rows: dict[str, np.ndarray]
    ease: np.ndarray
    anticipate: np.ndarray
    overshoot: np.ndarray
    air: np.ndarray
    contacts: np.ndarray
    balance: np.ndarray
    seconds: float
    params: dict[str, Any]
    scope: dict[str, Any]
    stretched: float = 1.0
    stands: tuple[bool, bool] = (False, False)
    follow: float = 0.0


@dataclass
class Drawn:
    """How one clip differs from another of the same parameters."""

    tempo: float
    size: Mapping[str, float]
    feet: Mapping[str, tuple[float, float, float]]
    pool: Iterator[float]
    rng: np.random.Generator
    times: dict[int, float] = field(default_factory=dict)

    @classmethod
    def draw(
        cls, rng: np.random.Generator, stance: Stance | None, usual: Mapping[str, tuple[float, float, float]]
    ) -> Drawn:
        """Draw them; `usual` is the place (x, z, yaw) of the feet in the stand pose."""
        size = {c: min(max(1 + 0.06 * n, 0.88), 1.12) for c, n in zip(CONTROLS, rng.standard_normal(11), strict=True)}
        wide, fore, turn = float(rng.uniform(-0.015, 0.035)), float(rng.normal(0, 0.014)), float(rng.normal(2, 4))
        feet = {"l_foot": (wide, fore, turn), "r_foot": (-wide, -fore, -turn)}
        if stance is not None:
            feet = foot_offsets(stance, usual)
        tempo = min(max(float(rng.normal(1, 0.07)), 0.85), 1.18)
        return cls(tempo, size, feet, iter(rng.standard_normal(_POOL).tolist()), rng)

    def normal(self) -> float:
        """The next standard normal number."""
        drawn = next(self.pool, None)
        if drawn is None:
            self.pool = iter(self.rng.standard_normal(_POOL).tolist())
            drawn = next(self.pool)
        return drawn


def draw_params(params: tuple[Param, ...], rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values for expressions, and what captions and records say."""
    scope: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for p in params:
        u = float(rng.random())
        if p.values:
            weights = p.weights or (1 / len(p.values),) * len(p.values)
            i = min(bisect_right(list(accumulate(weights)), u), len(p.values) - 1)
            value, word = p.values[i], p.words[i]
            numeric = not isinstance(value, str) and word == (f"{value:g}" if isinstance(value, float) else str(value))
            scope[p.name], told[p.name] = value, value if numeric else word
        else:
            low, high = resolve(p.low, {}, p.name), resolve(p.high, {}, p.name)
            scope[p.name] = told[p.name] = low + (high - low) * u
    return scope, told


def varied(angle: float, size: float, right: float) -> float:
    """An angle times `size`, but what is beyond `right` / 2 varies by its way to the nearest multiple of `right` alone:
    a body that is upside down or on its side stays so. Degrees."""
    if abs(angle) <= right / 2:
        return angle * size
    return angle + (angle - right * round(angle / right)) * (size - 1)


def raise_floor(rows: dict[str, np.ndarray]) -> None:
    """Lift a clip that goes below its start (stairs down), so that its lowest foothold is at 0."""
    lowest = min(float(np.where(rows[f][:, F_MODE] == AT, rows[f][:, F_AT + 1], 0).min()) for f in ("l_foot", "r_foot"))
    if lowest >= 0:
        return
    rows["pelvis"][:, 1] -= lowest
    rows["gaze"][:, 2] -= lowest * rows["gaze"][:, 0]
    for foot in ("l_foot", "r_foot"):
        rows[foot][rows[foot][:, F_MODE] == AT, F_AT + 1] -= lowest
    for hand in ("l_hand", "r_hand"):
        staged = (rows[hand][:, H_MODE] == AT) & (rows[hand][:, H_FRAME] == 0)
        rows[hand][staged, H_AT + 1] -= lowest
