"""Predicates about arms, hands that go to and fro, the head and the shoulders."""

from typing import Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.common import (
    HANDS,
    AnySide,
    Side,
    chest_yaw,
    forearm_rise,
    thrusts,
    together,
    wave_swings,
)
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import runs_of


# The letters of the hands meant by `side` and of the hand that should stay down.
def _choose_hands(side: str) -> tuple[list[str], list[str]]:
    if side == "both":
        return ["l", "r"], []
    return [HANDS[side]], ["r" if side == "left" else "l"]


def _any_side(test: object, s: Signals, **parameters: object) -> Verdict:
    results = [test(s, side=side, **parameters) for side in ("left", "right", "both")]  # type: ignore[operator]
    return next((r for r in results if r.passed), results[0])


@predicate
def raises_hand(s: Signals, side: Side = "any", height: float = -0.06, other_height: float = -0.12) -> Verdict:
    """The wrist of `side` (left, right, both, any) is `height` over its shoulder for 0.3 s; the other stays down.

    The forearm points up beside the face, or the whole arm is stretched upwards: a hand at the face or held out is not
    raised.
    """
    # The default accepts a hand at shoulder level: tired and old people raise it no higher.
    if side == "any":
        return _any_side(raises_hand, s, height=height, other_height=1.0)
    up, down = _choose_hands(side)
    tops, raised = {}, {}
    for h in "lr":
        level = s.hand_height(h)
        upright = (forearm_rise(s, h) > 0.2) & (s.arm(h)[:, 2] < 0.33) & (s.uprightness > 0.3)
        beside = np.linalg.norm(s.at(f"{h}_wrist") - s.at("head"), axis=1) > 0.2
        upward = (upright & beside) | ((level > 0.2) & (s.bend(h, "arm") > 120))
        tops[h] = float(np.sort(level)[-min(4, len(s))])
        raised[h] = float(np.sort(np.where(upward, level, -1.0))[-min(6, len(s))])
    ok = all(raised[h] >= height for h in up) and all(tops[h] <= other_height for h in down)
    return Verdict(ok, {"left_top_m": tops["l"], "right_top_m": tops["r"]})


@predicate
def waves(s: Signals, side: Side = "any", swings_at_least: int = 4, amplitude: float = 0.022) -> Verdict:
    """A hand at shoulder height or above goes to and fro (`swings_at_least` half-swings); the other one does not."""
    if side == "any":
        return _any_side(waves, s, swings_at_least=swings_at_least, amplitude=amplitude)
    up, down = _choose_hands(side)
    count = {h: wave_swings(s, h, amplitude) for h in "lr"}
    ok = all(count[h] >= swings_at_least for h in up)
    ok = ok and all(count[h] < swings_at_least or float(s.hand_height(h).max()) < -0.1 for h in down)
    ok = ok and all(float(np.percentile(s.hand_height(h), 90)) < 0.1 for h in down)
    return Verdict(ok, {"left_swings": float(count["l"]), "right_swings": float(count["r"])})


@predicate
def holds_out_hand(s: Signals, side: Side = "any", seconds: float = 0.3) -> Verdict:
    """An arm is stretched away from the body, hand between hip and head, for a while: showing the way, inviting."""
    if side == "any":
        return _any_side(holds_out_hand, s, seconds=seconds)
    up, down = _choose_hands(side)
    duration = {}
    for h in "lr":
        extended = np.linalg.norm(s.arm(h)[:, [0, 2]], axis=1)
        mask = (extended >= 0.25) & (s.hand_height(h) > -0.42) & (s.hand_height(h) < 0.2)
        duration[h] = max((b - a for a, b in runs_of(mask, gap=1)), default=0) / FPS
    ok = all(duration[h] >= seconds for h in up) and s.reach < 0.7
    ok = ok and all(float(s.hand_over_head(h).max()) < 0.1 for h in up)
    ok = ok and all(float(np.percentile(s.hand_height(h), 75)) < -0.1 for h in down)
    ok = ok and all(wave_swings(s, h, 0.05) < 5 for h in up)
    return Verdict(ok, {"left_held_s": duration["l"], "right_held_s": duration["r"]})


@predicate
def punches(s: Signals, side: AnySide = "any", times: int = 1, speed: float = 0.8) -> Verdict:
    """A fist shoots out: the wrist leaves its shoulder at `speed` m/s or more and ends straight at chest height."""
    count = thrusts(s, speed)
    value = {"left": count["l"], "right": count["r"]}.get(side, count["l"] + count["r"])
    fastest = float(s.relative_velocity[:, [20, 21]].max())
    ok = value >= times and s.travel_speed < 1.6 and fastest > 1.8
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
def chops(s: Signals, times: int = 1, most: int = 99, high: float = 0.0, drop: float = 0.4) -> Verdict:
    """The hands, close together, come down by `drop` from shoulder height or higher within 0.8 s, `times` times."""
    height = 0.5 * (s.at("l_wrist")[:, 1] + s.at("r_wrist")[:, 1]) - 0.5 * (
        s.at("l_shoulder")[:, 1] + s.at("r_shoulder")[:, 1]
    )
    close = together(s) < 0.5
    count = 0
    for a, b in runs_of((height > high - 0.15) & close, gap=2):
        after = height[b : b + 16]
        top = float(height[a:b].max())
        count += bool(len(after) and top >= high - 0.15 and top - after.min() >= drop)
    return Verdict(times <= count <= most, {"strokes": float(count), "top_m": float(height.max())})


@predicate
def rows(s: Signals, times: int = 2, amplitude: float = 0.18) -> Verdict:
    """Both hands go forward and back together by `amplitude`, `times` times, trunk swinging along or still."""
    ahead = [s.local[:, 20, 2], s.local[:, 21, 2]]
    count = min(swings(x, amplitude) for x in ahead)
    same = float(np.asarray(np.corrcoef(np.stack(ahead)))[0, 1]) if min(np.std(x) for x in ahead) > 1e-6 else 0.0
    return Verdict(count >= 2 * times - 1 and same > 0.5, {"half_swings": float(count), "together": same})


@predicate
def looks(s: Signals, side: Literal["left", "right", "up", "down"], degrees: float = 20.0) -> Verdict:
    """The face turns by `degrees` to `side` (left, right, up, down) at some time."""
    pitch = s.head_turn[0]
    face = chest_yaw(s) + s.head_turn[1]
    turned = {"left": float((face - face[0]).max()), "right": float((face[0] - face).max()),
              "down": float((pitch - pitch[0]).max()), "up": float((pitch[0] - pitch).max())}  # fmt: skip
    return Verdict(turned[side] >= degrees, {f"{k}_deg": v for k, v in turned.items()})
