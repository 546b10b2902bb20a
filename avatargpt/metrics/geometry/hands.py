"""Predicates about what the hands do near the body: at the mouth, at the ear, together, on the hips, pointing, calling.

There is no hand joint beyond the wrist: a hand at the mouth has its wrist about 0.1 to 0.25 m from it.
"""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, longest, runs_of, swings
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.errors import UserError

HANDS = {"left": "l", "right": "r"}
MOUTH = (0.0, -0.02, 0.07)  # of the mouth from the head joint, heading frame, metres
DIRECTIONS = {
    "left": (1, 0, 0), "right": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0), "forward": (0, 0, 1),
    "ahead": (0, 0, 1), "front": (0, 0, 1), "back": (0, 0, -1), "behind": (0, 0, -1), "high": (0, 1, 0),
    "low": (0, -1, 0),
}  # fmt: skip


def of_side(values: dict[str, float], side: str) -> float:
    """The value of a side; ``both``: the smaller of the two, ``any``: the larger.

    Raises:
        UserError: another side.
    """
    if side in HANDS:
        return values[side]
    if side not in ("both", "any"):
        raise UserError(f"side {side!r}; accepted left, right, both, any")
    return min(values.values()) if side == "both" else max(values.values())


def _named(values: dict[str, float], unit: str) -> dict[str, float]:
    return {f"{k}_{unit}": float(v) for k, v in values.items()}


def together(s: Signals) -> np.ndarray:
    """(T,) distance of the wrists from each other, metres."""
    return np.linalg.norm(s.at("l_wrist") - s.at("r_wrist"), axis=1)


def to_mouth(s: Signals, hand: str) -> np.ndarray:
    """(T,) distance of a wrist (l or r) from the mouth, metres."""
    mouth = s.local[:, 15] + np.array(MOUTH)
    return np.linalg.norm(s.hand(hand) - mouth, axis=1)


@predicate
def hand_to_mouth(
    s: Signals, side: str = "any", times: int = 1, most: int = 99, near: float = 0.26, seconds: float = 0.15
) -> Verdict:
    """A hand is brought to the mouth, `times` times, from at least 0.1 m further away: drinking, eating."""
    count, closest = {}, {}
    for name, h in HANDS.items():
        d = to_mouth(s, h)
        visits = [(a, b) for a, b in runs_of(d < near, gap=2) if (b - a) / FPS >= seconds]
        # Between two visits the hand goes away by 5 cm more than the edge of what counts as near.
        count[name] = 0
        last = 0
        for a, b in visits:
            if d[last : a + 1].max() > near + (0.1 if last == 0 else 0.04):
                count[name] += 1
            last = b
        closest[name] = d.min()
    got = of_side({k: float(v) for k, v in count.items()}, side)
    return Verdict(
        times <= got <= most, {**_named(closest, "m"), **_named({k: float(v) for k, v in count.items()}, "times")}
    )


@predicate
def hand_at_ear(s: Signals, side: str = "any", seconds: float = 0.7, near: float = 0.27) -> Verdict:
    """A hand stays beside the head, elbow bent: on the phone."""
    held = {}
    for name, h in HANDS.items():
        wrist, head = s.at(f"{h}_wrist"), s.at("head")
        mask = (np.linalg.norm(wrist - head, axis=1) < near) & (s.bend(h, "arm") < 90)
        held[name] = longest(mask & (wrist[:, 1] < head[:, 1] + 0.15))
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def salutes(s: Signals, side: str = "any", seconds: float = 0.2) -> Verdict:
    """A hand is held at the brow: wrist near the head and about as high, elbow out at the height of the shoulder."""
    held = {}
    for name, h in HANDS.items():
        wrist, head = s.at(f"{h}_wrist"), s.at("head")
        near = (np.linalg.norm(wrist - head, axis=1) < 0.33) & (np.abs(wrist[:, 1] - head[:, 1]) < 0.2)
        raised = s.at(f"{h}_elbow")[:, 1] > s.at(f"{h}_shoulder")[:, 1] - 0.16
        held[name] = longest(near & raised)
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def claps(s: Signals, times: int = 2, most: int = 99, near: float = 0.22, amplitude: float = 0.06) -> Verdict:
    """The hands meet (wrists within `near`) and part by `amplitude`, between `times` and `most` times."""
    d = together(s)
    count, closing = 0, True
    low = high = float(d[0]) if d[0] >= near else float("inf")
    for value in d:
        if closing:
            high = max(high, value) if np.isfinite(high) else value
            if value < near and (value < high - amplitude or count == 0):
                count, closing, low = count + 1, False, value
        else:
            low = min(low, value)
            if value > low + amplitude:
                closing, high = True, value
    ok = times <= count <= most
    return Verdict(ok, {"claps": float(count), "closest_m": float(d.min())})


@predicate
def palms_together(s: Signals, seconds: float = 0.6, near: float = 0.24) -> Verdict:
    """The hands stay together before the chest: praying, pleading."""
    chest = s.local[:, 9]
    mid = 0.5 * (s.local[:, 20] + s.local[:, 21]) - chest
    held = longest((together(s) < near) & (mid[:, 2] > 0.08) & (np.abs(mid[:, 1]) < 0.4))
    return Verdict(held >= seconds, {"held_s": held, "closest_m": float(together(s).min())})


@predicate
def arms_crossed(s: Signals, seconds: float = 0.4, near: float = 0.23) -> Verdict:
    """Each forearm lies before the chest with its wrist by the other arm."""
    left = np.linalg.norm(s.at("l_wrist") - s.at("r_elbow"), axis=1)
    right = np.linalg.norm(s.at("r_wrist") - s.at("l_elbow"), axis=1)
    crossed = (s.local[:, 20, 0] < s.local[:, 21, 0] + 0.03) | ((left < near) & (right < near))
    bent = (s.bend("l", "arm") < 125) & (s.bend("r", "arm") < 125)
    high = np.minimum(s.at("l_wrist")[:, 1], s.at("r_wrist")[:, 1]) > s.joints[:, 0, 1]
    held = longest(crossed & bent & high)
    return Verdict(held >= seconds, {"held_s": held, "left_m": float(left.min()), "right_m": float(right.min())})


@predicate
def hands_on_hips(s: Signals, side: str = "both", seconds: float = 0.4, near: float = 0.28) -> Verdict:
    """The wrists are at the hips with the elbows bent and pointing outwards or back."""
    held = {}
    for name, h in HANDS.items():
        hip = 0.5 * (s.at(f"{h}_hip") + s.at("pelvis"))
        wrist, sign = s.at(f"{h}_wrist"), 1 if h == "l" else -1
        j = 18 if h == "l" else 19
        out = sign * (s.local[:, j, 0] - s.local[:, j + 2, 0])
        away = np.hypot(s.local[:, j, 0] - s.local[:, j - 2, 0], s.local[:, j, 2] - s.local[:, j - 2, 2])
        mask = (np.linalg.norm(wrist - hip, axis=1) < near) & (s.bend(h, "arm") < 140) & (out > -0.02) & (away > 0.08)
        held[name] = longest(mask)
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


def direction(words: str) -> np.ndarray:
    """(3,) unit vector (left, up, forward) of e.g. ``up``, ``forward_left``, ``high left``.

    Raises:
        UserError: a word that names no direction.
    """
    parts = words.replace("_", " ").replace("-", " ").split()
    unknown = [p for p in parts if p not in DIRECTIONS]
    if unknown or not parts:
        raise UserError(f"direction {words!r}; accepted words: {', '.join(DIRECTIONS)}")
    total = np.sum([DIRECTIONS[p] for p in parts], axis=0).astype(float)
    return total / np.linalg.norm(total)


def _aim(s: Signals, hand: str, towards: np.ndarray) -> np.ndarray:
    """(T,) angle between an arm and a direction, in the facing of the frame or of the start, whichever is nearer."""
    angles = []
    for arm in (s.arm(hand), s.at(f"{hand}_wrist") - s.at(f"{hand}_shoulder")):
        unit = arm / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1e-6)
        angles.append(np.rad2deg(np.arccos(np.clip(unit @ towards, -1, 1))))
    return np.minimum(*angles)


@predicate
def points(
    s: Signals,
    side: str = "any",
    to: str = "forward",
    degrees: float = 38.0,
    seconds: float = 0.2,
    straight: float = 115.0,
) -> Verdict:
    """A stretched arm is held towards `to` (words of `DIRECTIONS`, also joined: ``up left``) within `degrees`."""
    towards = direction(to)
    held, nearest = {}, {}
    for name, h in HANDS.items():
        angle = _aim(s, h, towards)
        out = s.bend(h, "arm") > straight
        if towards[1] < -0.9:  # a hanging arm already points down: the hand must have been elsewhere before
            out &= s.hand_height(h).max() > -0.35
        held[name] = longest((angle < degrees) & out)
        nearest[name] = angle[out].min() if out.any() else 180.0
    return Verdict(of_side(held, side) >= seconds, {**_named(held, "s"), **_named(nearest, "deg")})


@predicate
def reaches(s: Signals, side: str = "any", to: str = "high", degrees: float = 45.0, seconds: float = 0.1) -> Verdict:
    """An arm goes out towards `to`, 0.38 m from the shoulder; ``high``: over the head, ``low``: below 0.65 m."""
    held = {}
    for name, h in HANDS.items():
        far = np.linalg.norm(s.arm(h), axis=1) > 0.38
        if to == "high":
            mask = (s.hand_over_head(h) > 0.02) & far
        elif to == "low":
            mask = s.hand_over_floor(h) < 0.65
        else:
            # A hanging arm is as far from "left" as from "forward": it must also be lifted off the side.
            mask = (_aim(s, h, direction(to)) < degrees) & far & (s.hand_height(h) > -0.45)
        held[name] = longest(mask)
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def beckons(s: Signals, side: str = "any", times: int = 2, amplitude: float = 0.05) -> Verdict:
    """A raised hand in front comes towards the body again and again: calling somebody over."""
    count = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        mask = (arm[:, 1] > -0.4) & (arm[:, 2] > 0.05)
        length = np.linalg.norm(arm, axis=1)
        count[name] = float(max((max(swings(length[a:b], amplitude), swings(arm[a:b, 1], amplitude))
                                 for a, b in runs_of(mask, gap=4)), default=0))  # fmt: skip
    return Verdict(of_side(count, side) >= 2 * times - 1, _named(count, "half_swings"))


@predicate
def hugs(s: Signals, seconds: float = 0.2) -> Verdict:
    """Both arms open wide in front or to the sides and close round somebody before the chest."""
    d = together(s)
    high = np.minimum(s.hand_height("l"), s.hand_height("r")) > -0.4
    front = np.minimum(s.arm("l")[:, 2], s.arm("r")[:, 2]) > 0.08
    closed = (d < 0.4) & high & front
    opened = (d > 0.5) & high
    held = longest(closed)
    first = int(np.argmax(closed)) if closed.any() else 0
    ok = held >= seconds and bool(opened[: max(first, 1)].any()) and s.reach < 1.5
    return Verdict(ok, {"closed_s": held, "widest_m": float(d[high].max()) if high.any() else 0.0})


@predicate
def shakes_hands(s: Signals, side: str = "any", times: int = 2, amplitude: float = 0.02) -> Verdict:
    """A hand held out in front between hip and chest goes up and down `times` times."""
    count = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        mask = (arm[:, 2] > 0.2) & (arm[:, 1] < 0.02) & (arm[:, 1] > -0.5)
        count[name] = float(max((swings(arm[a:b, 1], amplitude) for a, b in runs_of(mask, gap=2)), default=0))
    least = 2 * times - 2 if times > 2 else 2 * times - 1
    return Verdict(of_side(count, side) >= least, _named(count, "half_swings"))
