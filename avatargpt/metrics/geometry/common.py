"""What predicates of several files share: sides, directions, distances of hands, flights, waves and thrusts."""

from typing import Annotated, Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from vqvae.errors import UserError
from vqvae.smoothing import runs_of

# What a parameter of a predicate accepts; `predicates.validate` reads it from the annotation.
Side = Literal["left", "right", "both", "any"]
AnySide = Literal["left", "right", "any"]
OneSide = Literal["left", "right"]
HANDS = {"left": "l", "right": "r"}
ELBOWS = {"l": 18, "r": 19}
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


def stance(s: Signals) -> np.ndarray:
    """(T,) distance of the ankles in the plane, metres."""
    return np.linalg.norm((s.joints[:, 7] - s.joints[:, 8])[:, [0, 2]], axis=1)


def chest_yaw(s: Signals) -> np.ndarray:
    """(T,) where the shoulders face about the vertical, degrees; left is positive."""
    across = s.joints[:, 16] - s.joints[:, 17]
    return np.asarray(np.rad2deg(np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))))


def direction(words: str) -> np.ndarray:
    """(3,) unit vector (left, up, forward) of e.g. ``up``, ``forward_left``, ``high left``."""
    parts = words.replace("_", " ").replace("-", " ").split()
    unknown = [p for p in parts if p not in DIRECTIONS]
    if unknown or not parts:
        raise UserError(f"direction {words!r}; accepted words: {', '.join(DIRECTIONS)}")
    total = np.sum([DIRECTIONS[p] for p in parts], axis=0).astype(float)
    return total / np.linalg.norm(total)


Direction = Annotated[str, direction]


MAX_FLIGHT = int(FPS)  # frames: nobody stays in the air for more than a second
FREE_FALL = 9.81 / 8  # m/s^2: a body that is in the air for t seconds rises and falls by FREE_FALL * t^2
# Share of that arc which a flight must show: nearly all recorded and keyframed ones show 0.45 or more, jumps played at
# half the speed 0.2 to 0.3, bodies that float or step on their toes 0.2 at most.
MIN_ARC = 0.3


def _lowest_before(height: np.ndarray, frames: int) -> np.ndarray:
    """(T,) lowest value of each frame and the `frames` before it."""
    padded = np.concatenate([np.full(frames, np.inf), height])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, frames + 1).min(1))


def find_flights(s: Signals, height: float, rise: float) -> list[tuple[int, int]]:
    """Stretches in the air, frames: the whole body leaves what it stood on and comes down again, the pelvis in an arc.

    Args:
        height: metres by which the lowest joint rises over where it stood before and over where it lands.
        rise: metres by which the pelvis gets over its usual height of the second before and after.
    """
    lowest, pelvis = s.joints[..., 1].min(1), s.joints[:, 0, 1]
    before, after = _lowest_before(lowest, MAX_FLIGHT), _lowest_before(lowest[::-1], MAX_FLIGHT)[::-1]
    lift = lowest - np.maximum(before, after)
    out = []
    for start, stop in runs_of(lift > 0.5 * height, gap=1):
        if lift[start:stop].max() < height or stop - start > MAX_FLIGHT:
            continue
        # The pelvis alone shows nothing (a crouching body rises, too): it must follow the arc of a falling body.
        first, last = max(start - 1, 0), min(stop, len(s) - 1)
        arc = float((pelvis[first : last + 1] - np.linspace(pelvis[first], pelvis[last], last + 1 - first)).max())
        # A falling body is in the upper half of its arc for 1 / sqrt(2) of the time.
        upper = int((lift[start:stop] > 0.5 * lift[start:stop].max()).sum())
        fall = FREE_FALL * 2 * (upper / FPS) ** 2
        around = np.concatenate([pelvis[max(start - MAX_FLIGHT, 0) : start], pelvis[stop : stop + MAX_FLIGHT]])
        usual = float(np.median(around)) if len(around) else float("inf")
        top = float(pelvis[start:stop].max())
        # A body that falls over leaves its feet, too, but does not rise.
        rises = top - max(pelvis[first], pelvis[last]) >= 0.25 * arc
        if rises and arc >= MIN_ARC * fall and top >= usual + rise:
            out.append((start, stop))
    return out


def forearm_rise(s: Signals, hand: str) -> np.ndarray:
    """(T,) height of a wrist (l or r) over its elbow, metres; an upright forearm has 0.25."""
    return np.asarray(s.at(f"{hand}_wrist")[:, 1] - s.at(f"{hand}_elbow")[:, 1])


def _thrusts_of(s: Signals, hand: str, speed: float) -> list[int]:
    # Frames in which a hand shoots out.
    arm, pace = s.arm(hand), s.hand_speed(hand)
    length = np.linalg.norm(arm, axis=1)
    out = np.gradient(length) * FPS if len(s) > 1 else np.zeros(1)
    starts = []
    for start, stop in runs_of(out > 0.15):
        first, last = max(start - 1, 0), min(stop, len(arm) - 1)
        end, gained = arm[last], length[last] - length[first]
        level = -0.36 < end[1] < 0.22 and np.hypot(end[0], end[2]) > 0.3
        straight = length[last] > 0.44  # of 0.53: a waving or swimming arm stays below 0.42 or is slow
        fast = out[start:stop].max() >= speed and pace[first : last + 1].max() > 1.8
        if level and straight and fast and gained > 0.08:
            starts.append(start)
    return starts


def wave_swings(s: Signals, hand: str, amplitude: float) -> int:
    """Half-swings to and fro of a hand that is held up, relative to its elbow, apart from the other hand.

    They must be the hand's main movement: sideways, or in depth if the hand is well over the shoulder. The guard of a
    fist that punches sways, too: there must be six or more to a punch.
    """
    height, punches = s.hand_height(hand), _thrusts_of(s, hand, 0.8)
    forearm = s.hand(hand) - s.local[:, ELBOWS[hand]]
    best = 0
    for start, stop in runs_of(height > -0.12, gap=4):
        up = start + np.flatnonzero(height[start:stop] > height[start:stop].max() - 0.2)
        held = slice(up[0], up[-1] + 1)
        # Hands in the hair are as near to the head as some low waves, but higher.
        distance = np.linalg.norm(s.at(f"{hand}_wrist") - s.at("head"), axis=1)
        at_head = np.median(distance[held]) < 0.3 and np.median(height[held]) > 0.15
        joined = np.percentile(together(s)[start:stop], 10) < 0.15
        hanging = np.median(forearm[held, 1]) < 0.15
        if joined or hanging or at_head:
            continue
        energy = (np.diff(forearm[held], axis=0) ** 2).sum(0)
        axis = int(energy.argmax())
        if axis == 0 or (axis == 2 and float(np.median(height[held])) > 0.15):
            count = swings(forearm[held, axis], amplitude)
            best = max(best, count if count >= 6 * sum(start <= punch < stop for punch in punches) else 0)
    return best


def thrusts(s: Signals, speed: float) -> dict[str, int]:
    """Times that each wrist (l, r) shoots away from its shoulder and ends stretched out at chest height.

    Both hands at once push or throw, and are no thrusts.
    """
    starts = {h: _thrusts_of(s, h, speed) for h in "lr"}
    return {h: sum(all(abs(a - b) > 3 for b in starts[o]) for a in starts[h]) for h, o in ("lr", "rl")}
