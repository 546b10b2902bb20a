"""Predicates about the arms and hands."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, runs_of, swings
from avatargpt.metrics.geometry.predicates import Verdict, predicate

SIDES = {"left": "l", "right": "r"}


def _chosen(side: str) -> tuple[list[str], list[str]]:
    """The letters of the hands meant by `side` and of the hand that should stay down."""
    if side == "both":
        return ["l", "r"], []
    return [SIDES[side]], ["r" if side == "left" else "l"]


def _any_side(test: object, s: Signals, **parameters: object) -> Verdict:
    results = [test(s, side=side, **parameters) for side in ("left", "right", "both")]  # type: ignore[operator]
    return next((r for r in results if r.passed), results[0])


@predicate
def raises_hand(s: Signals, side: str = "any", height: float = -0.06, other: float = -0.12) -> Verdict:
    """The wrist of `side` (left, right, both, any) gets to `height` over its shoulder for 0.2 s; the other stays down.

    The default accepts an arm at shoulder level: tired and old people raise a hand no higher.
    """
    if side == "any":
        return _any_side(raises_hand, s, height=height, other=1.0)
    up, down = _chosen(side)
    tops = {h: float(np.sort(s.hand_height(h))[-min(4, len(s))]) for h in "lr"}
    ok = all(tops[h] >= height for h in up) and all(tops[h] <= other for h in down)
    return Verdict(ok, {"left_top_m": tops["l"], "right_top_m": tops["r"]})


@predicate
def hand_over_head(s: Signals, side: str = "any", height: float = 0.05) -> Verdict:
    """The wrist of `side` gets over the head joint by `height`; says nothing about the other hand."""
    tops = {h: float(s.hand_over_head(h).max()) for h in "lr"}
    need = {"left": ["l"], "right": ["r"], "both": ["l", "r"]}.get(side)
    ok = all(tops[h] >= height for h in need) if need else max(tops.values()) >= height
    return Verdict(ok, {"left_over_head_m": tops["l"], "right_over_head_m": tops["r"]})


def _wave_swings(s: Signals, hand: str, amplitude: float) -> int:
    """Half-swings of a raised hand, relative to its shoulder: sideways or in depth, whichever oscillates more."""
    best = 0
    for start, stop in runs_of(s.hand_height(hand) > -0.12, gap=4):
        relative = s.arm(hand)[start:stop]
        best = max(best, swings(relative[:, 0], amplitude), swings(relative[:, 2], amplitude))
    return best


@predicate
def waves(s: Signals, side: str = "any", swings_at_least: int = 4, amplitude: float = 0.022) -> Verdict:
    """A hand at shoulder height or above goes to and fro (`swings_at_least` half-swings); the other one does not."""
    if side == "any":
        return _any_side(waves, s, swings_at_least=swings_at_least, amplitude=amplitude)
    up, down = _chosen(side)
    count = {h: _wave_swings(s, h, amplitude) for h in "lr"}
    ok = all(count[h] >= swings_at_least for h in up)
    ok = ok and all(count[h] < swings_at_least or float(s.hand_height(h).max()) < -0.1 for h in down)
    ok = ok and all(float(np.percentile(s.hand_height(h), 90)) < 0.1 for h in down)
    return Verdict(ok, {"left_swings": float(count["l"]), "right_swings": float(count["r"])})


def _extended(s: Signals, hand: str) -> np.ndarray:
    """(T,) horizontal distance of wrist from shoulder."""
    return np.linalg.norm(s.arm(hand)[:, [0, 2]], axis=1)


@predicate
def holds_out_hand(s: Signals, side: str = "any", seconds: float = 0.3) -> Verdict:
    """An arm is stretched away from the body, hand between hip and head, for a while: showing the way, inviting."""
    if side == "any":
        return _any_side(holds_out_hand, s, seconds=seconds)
    up, down = _chosen(side)
    held = {}
    for h in "lr":
        mask = (_extended(s, h) >= 0.25) & (s.hand_height(h) > -0.42) & (s.hand_height(h) < 0.2)
        held[h] = max((b - a for a, b in runs_of(mask, gap=1)), default=0) / FPS
    ok = all(held[h] >= seconds for h in up) and s.reach < 0.7
    ok = ok and all(float(s.hand_over_head(h).max()) < 0.1 for h in up)
    ok = ok and all(float(np.percentile(s.hand_height(h), 75)) < -0.1 for h in down)
    ok = ok and all(_wave_swings(s, h, 0.05) < 5 for h in up)
    return Verdict(ok, {"left_held_s": held["l"], "right_held_s": held["r"]})


@predicate
def hand_at_face(s: Signals, seconds: float = 0.3, distance: float = 0.3) -> Verdict:
    """A wrist near the head for a while: calling, shouting, salute, phone."""
    near = [float((np.linalg.norm(s.at(f"{h}_wrist") - s.at("head"), axis=1) < distance).sum()) / FPS for h in "lr"]
    return Verdict(max(near) >= seconds, {"left_s": near[0], "right_s": near[1]})


def _thrusts(s: Signals, hand: str, speed: float) -> int:
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


@predicate
def punches(s: Signals, side: str = "any", times: int = 1, speed: float = 0.8) -> Verdict:
    """A fist shoots out: the wrist leaves its shoulder at `speed` m/s or more and ends stretched at chest height."""
    count = {h: _thrusts(s, h, speed) for h in "lr"}
    wanted = {"left": count["l"], "right": count["r"]}.get(side, count["l"] + count["r"])
    fastest = float(s.relative_velocity[:, [20, 21]].max())
    ok = wanted >= times and s.travel_speed < 1.6 and fastest > 1.8
    return Verdict(ok, {"left_thrusts": float(count["l"]), "right_thrusts": float(count["r"]), "wrist_mps": fastest})


@predicate
def slashes(s: Signals, times: int = 1, speed: float = 1.9) -> Verdict:
    """A stretched arm kept in front of the body sweeps fast, as with a blade: over 0.35 m of path a sweep."""
    total = 0
    for h in "lr":
        arm = s.arm(h)
        if float(np.percentile(arm[:, 2], 60)) < 0.2:
            continue
        fast = s.hand_speed(h)
        sweeping = (fast >= speed) & (np.linalg.norm(arm, axis=1) > 0.33) & (s.hand_over_head(h) < 0.35)
        for start, stop in runs_of(sweeping, gap=1):
            travelled = np.linalg.norm(np.diff(arm[max(start - 1, 0) : stop + 1], axis=0), axis=1).sum()
            mean_front = arm[start:stop, 2].mean()
            total += bool(travelled > 0.35 and mean_front > 0.12)
    ok = total >= times and s.travel_speed < 1.6 and float(np.percentile(s.uprightness, 10)) > 0.3
    return Verdict(ok, {"sweeps": float(total)})


@predicate
def calls_out(s: Signals) -> Verdict:
    """Stays in place and either leans forward with the hands up before the body, or holds a hand by the mouth."""
    lean = float(np.percentile(s.pitch, 95) - np.median(s.pitch[: max(len(s) // 8, 2)]))
    top = max(float(s.hand_height(h).max()) for h in "lr")
    near = hand_at_face(s)
    ok = s.reach < 0.7 and ((lean >= 12 and top > -0.2) or near.passed)
    return Verdict(ok, {"lean_deg": lean, "hand_m": top, **near.values})


@predicate
def circles_arms(s: Signals, times: int = 2) -> Verdict:
    """Both hands go from low to high and back `times` times (circles, flapping)."""
    count = [swings(s.hand_height(h), 0.45) for h in "lr"]
    return Verdict(min(count) >= 2 * times, {"left_swings": float(count[0]), "right_swings": float(count[1])})
