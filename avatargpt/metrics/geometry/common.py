"""What predicates of several files share: sides, directions, distances of hands, flights, waves and thrusts."""

from typing import Annotated, Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, runs_of, swings
from vqvae.errors import UserError

# What a parameter of a predicate accepts; `predicates.validate` reads it from the annotation.
Side = Literal["left", "right", "both", "any"]
AnySide = Literal["left", "right", "any"]
OneSide = Literal["left", "right"]
HANDS = {"left": "l", "right": "r"}
DIRECTIONS = {
    "left": (1, 0, 0), "right": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "forward": (0, 0, 1),
    "ahead": (0, 0, 1), "front": (0, 0, 1), "back": (0, 0, -1), "behind": (0, 0, -1), "high": (0, 1, 0),
    "low": (0, -1, 0),
}  # fmt: skip


def of_side(values: dict[str, float], side: str) -> float:
    """The value of a side; ``both``: the smaller of the two, ``any``: the larger."""
    if side in HANDS:
        return values[side]
    if side not in ("both", "any"):
        raise UserError(f"side {side!r}; accepted left, right, both, any")
    return min(values.values()) if side == "both" else max(values.values())


def with_unit(values: dict[str, float], unit: str) -> dict[str, float]:
    """Values of the left and the right as figures of a verdict: ``left_m``."""
    return {f"{k}_{unit}": float(v) for k, v in values.items()}


def together(s: Signals) -> np.ndarray:
    """(T,) distance of the wrists from each other, metres."""
    return np.linalg.norm(s.at("l_wrist") - s.at("r_wrist"), axis=1)


def direction(words: str) -> np.ndarray:
    """(3,) unit vector (left, up, forward) of e.g. ``up``, ``forward_left``, ``high left``."""
    parts = words.replace("_", " ").replace("-", " ").split()
    unknown = [p for p in parts if p not in DIRECTIONS]
    if unknown or not parts:
        raise UserError(f"direction {words!r}; accepted words: {', '.join(DIRECTIONS)}")
    total = np.sum([DIRECTIONS[p] for p in parts], axis=0).astype(float)
    return total / np.linalg.norm(total)


Direction = Annotated[str, direction]


def find_flights(s: Signals, height: float, rise: float) -> list[tuple[int, int]]:
    """Stretches in the air, frames: nothing touches the floor and the pelvis is higher than its usual height."""
    usual = float(np.median(s.joints[:, 0, 1]))
    up = (s.clearance > 0.5 * height) & (s.joints[:, 0, 1] > usual + 0.5 * rise)
    out = []
    for start, stop in runs_of(up, gap=1):
        high = s.clearance[start:stop].max() >= height and s.joints[start:stop, 0, 1].max() >= usual + rise
        if high and stop - start <= 1.0 * FPS:
            out.append((start, stop))
    return out


def wave_swings(s: Signals, hand: str, amplitude: float) -> int:
    """Half-swings of a raised hand relative to its shoulder: sideways or in depth, whichever oscillates more."""
    best = 0
    for start, stop in runs_of(s.hand_height(hand) > -0.12, gap=4):
        relative = s.arm(hand)[start:stop]
        best = max(best, swings(relative[:, 0], amplitude), swings(relative[:, 2], amplitude))
    return best


def thrusts(s: Signals, hand: str, speed: float) -> int:
    """Times the wrist shoots away from its shoulder and ends stretched out at chest height."""
    arm = s.arm(hand)
    length = np.linalg.norm(arm, axis=1)
    out = np.gradient(length) * FPS if len(s) > 1 else np.zeros(1)
    count = 0
    for start, stop in runs_of(out > 0.15):
        end = arm[min(stop, len(arm) - 1)]
        gained = length[min(stop, len(arm) - 1)] - length[max(start - 1, 0)]
        level = -0.36 < end[1] < 0.22 and np.hypot(end[0], end[2]) > 0.3
        count += bool(out[start:stop].max() >= speed and gained > 0.08 and level)
    return count
