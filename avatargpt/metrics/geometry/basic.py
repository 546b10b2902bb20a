"""Plain facts about hands, knees and flights, of which checks for rarer actions are put together."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import Signals, longest, runs_of, swings
from avatargpt.metrics.geometry.acts import _flights
from avatargpt.metrics.geometry.hands import HANDS, _named, of_side, together
from avatargpt.metrics.geometry.predicates import Verdict, predicate


@predicate
def hand_below(s: Signals, height: float = 0.5, side: str = "any") -> Verdict:
    """A wrist gets below `height` metres over the floor."""
    low = {n: float(s.hand_over_floor(h).min()) for n, h in HANDS.items()}
    got = max(low.values()) if side == "both" else low.get(side, min(low.values()))
    return Verdict(got < height, _named(low, "m"))


@predicate
def hand_fast(s: Signals, side: str = "any", speed: float = 2.5) -> Verdict:
    """A wrist moves at `speed` m/s or more relative to the pelvis."""
    fast = {n: float(s.hand_speed(h).max()) for n, h in HANDS.items()}
    return Verdict(of_side(fast, side) >= speed, _named(fast, "mps"))


@predicate
def hand_forward(s: Signals, side: str = "any", out: float = 0.3, seconds: float = 0.1) -> Verdict:
    """A hand is held `out` metres before its shoulder."""
    held = {n: longest(s.arm(h)[:, 2] > out) for n, h in HANDS.items()}
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def hands_out(s: Signals, seconds: float = 0.2, height: float = 0.65) -> Verdict:
    """A hand rests on something: away from the body, above `height`, hardly moving for `seconds`."""
    held = {}
    for name, h in HANDS.items():
        index = 20 if h == "l" else 21
        far = np.linalg.norm(s.arm(h)[:, [0, 2]], axis=1) > 0.28
        held[name] = longest(far & (s.velocity[:, index] < 0.25) & (s.joints[:, index, 1] > height))
    return Verdict(max(held.values()) >= seconds, _named(held, "s"))


@predicate
def hand_before(s: Signals, side: str = "any", seconds: float = 0.5) -> Verdict:
    """A hand is held before the chest or the belly, elbow bent."""
    held = {}
    for name, h in HANDS.items():
        mask = (s.arm(h)[:, 2] > 0.12) & (s.bend(h, "arm") < 130) & (np.abs(s.hand_height(h)) < 0.5)
        held[name] = longest(mask)
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def hand_at_table(
    s: Signals, side: str = "any", out: float = 0.33, height: float = 1.15, seconds: float = 0.1
) -> Verdict:
    """A hand is held `out` metres before the pelvis, below `height`, or lower than 0.6 m: taking or putting."""
    held = {}
    for name, h in HANDS.items():
        y = s.hand_over_floor(h)
        held[name] = longest(((s.hand(h)[:, 2] > out) & (y < height)) | (y < 0.6))
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def stands(s: Signals, reach: float = 0.7) -> Verdict:
    """Stays upright on its feet all the time, within `reach` metres of where it began."""
    low, up = float(np.percentile(s.joints[:, 0, 1], 3)), float(np.percentile(s.uprightness, 3))
    return Verdict(low > 0.72 and up > 0.75 and s.reach <= reach, {"lowest_m": low, "upright": up, "reach_m": s.reach})


@predicate
def hand_drawn_in(s: Signals, side: str = "any", out: float = 0.38, gain: float = 0.08) -> Verdict:
    """A hand goes out `out` metres from its shoulder, off the side, and then in by `gain`: catching."""
    drawn = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        length = np.linalg.norm(arm, axis=1)
        away = (arm[:, 1] > -0.3) | (arm[:, 2] > 0.2)
        drawn[name] = 0.0
        for a, b in runs_of(away, gap=2):
            if length[a:b].max() > out:
                k = int(length[a:b].argmax())
                drawn[name] = max(drawn[name], float(length[a:b][k] - length[a:b][k:].min()))
    return Verdict(of_side(drawn, side) >= gain, _named(drawn, "m"))


@predicate
def strikes(s: Signals, side: str = "any", speed: float = 2.4) -> Verdict:
    """A hand before the body, between waist and head, moves at `speed` or more: any kind of punch."""
    fast = {}
    for name, h in HANDS.items():
        where = (s.hand(h)[:, 2] > 0.15) & (s.hand_height(h) > -0.45) & (s.hand_height(h) < 0.4)
        fast[name] = float(np.where(where, s.hand_speed(h), 0).max())
    return Verdict(of_side(fast, side) >= speed and s.travel_speed < 1.6, _named(fast, "mps"))


@predicate
def hand_thrown(s: Signals, side: str = "any", speed: float = 1.3, out: float = 0.3) -> Verdict:
    """A hand moves forward at `speed` or more and ends stretched out in front: a throw of any kind."""
    fast = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        v = np.gradient(arm, axis=0) * 20 if len(s) > 1 else np.zeros_like(arm)
        out_soon = np.array([arm[i : i + 8, 2].max() > out for i in range(len(arm))])
        fast[name] = float(np.where(out_soon, v[:, 2], 0).max())
    return Verdict(of_side(fast, side) >= speed and float(np.percentile(s.uprightness, 10)) > 0.5, _named(fast, "mps"))


@predicate
def tilts(s: Signals, degrees: float = 7.0, seconds: float = 0.25) -> Verdict:
    """The whole body, from the feet to the neck, tilts by `degrees` from how it stood, feet in place: leaning."""
    feet = 0.5 * (s.joints[:, 7] + s.joints[:, 8])
    line = s.joints[:, 12] - feet
    tilt = np.rad2deg(np.arctan2(line[:, [0, 2]], line[:, 1:2]))
    moved = np.linalg.norm(tilt - np.median(tilt[: max(len(tilt) // 10, 2)], axis=0), axis=1)
    held = longest(moved > degrees)
    low = float(np.percentile(s.joints[:, 0, 1], 3))
    return Verdict(held >= seconds and low > 0.7 and s.reach < 0.6, {"held_s": held, "tilt_deg": float(moved.max())})


@predicate
def hands_gripped(s: Signals, seconds: float = 0.4, near: float = 0.35) -> Verdict:
    """Both hands stay together as on one grip."""
    held = longest(together(s) < near)
    return Verdict(held >= seconds, {"held_s": held})


@predicate
def hand_low_guard(s: Signals, seconds: float = 0.1) -> Verdict:
    """A forearm sweeps down before the body, elbow rather straight, hand off the side: a low block."""
    held = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        held[name] = longest((arm[:, 2] > 0.12) & (arm[:, 1] < -0.25))
    return Verdict(max(held.values()) >= seconds and hand_fast(s, speed=1.2).passed, _named(held, "s"))


@predicate
def hand_rounds(s: Signals, side: str = "any", times: int = 1) -> Verdict:
    """A hand goes round in circles about its shoulder or before it, `times` rounds or more, in some upright plane."""
    rounds = {}
    for name, h in HANDS.items():
        best = 0.0
        for a, b in ((1, 2), (0, 1), (0, 2)):
            p = s.arm(h)[:, [a, b]]
            centre = 0.5 * (p.max(0) + p.min(0))
            # About the shoulder (large circles) and about the middle of the raised path (small ones).
            raised = s.hand_height(h) > -0.35
            if raised.sum() > 4:
                centre = 0.5 * (p[raised].max(0) + p[raised].min(0))
            for c, part in ((np.zeros(2), p), (centre, p[raised])):
                size = np.ptp(part, axis=0) if len(part) > 4 else np.zeros(2)
                if size.min() < 0.06 or size.min() < 0.35 * size.max():
                    continue
                angle = np.unwrap(np.arctan2(*(part - c).T))
                best = max(best, float(np.ptp(angle)) / (2 * np.pi))
        rounds[name] = best
    return Verdict(of_side(rounds, side) >= max(times - 0.35, 0.9), _named(rounds, "rounds"))


@predicate
def points_anywhere(s: Signals, side: str = "any", seconds: float = 0.2) -> Verdict:
    """A stretched arm is held still away from the body, in whatever direction."""
    held = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        away = np.linalg.norm(arm[:, [0, 2]], axis=1) > 0.3
        mask = (s.bend(h, "arm") > 115) & away & (s.hand_speed(h) < 0.5)
        held[name] = longest(mask)
    return Verdict(of_side(held, side) >= seconds, _named(held, "s"))


@predicate
def arm_across(s: Signals, seconds: float = 0.3) -> Verdict:
    """A stretched arm lies across the chest."""
    held = {n: longest(((1 if h == "l" else -1) * s.hand(h)[:, 0] < 0.0)
                       & (s.hand_height(h) > -0.35)) for n, h in HANDS.items()}  # fmt: skip
    return Verdict(max(held.values()) >= seconds, _named(held, "s"))


@predicate
def head_tilts(s: Signals, degrees: float = 8.0, seconds: float = 0.2) -> Verdict:
    """The head is bent to a side, forward or back against the chest."""
    neck = s.local[:, 15] - s.local[:, 12]
    chest = s.local[:, 12] - s.local[:, 9]
    unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-6) for v in (neck, chest)]
    angle = np.rad2deg(np.arccos(np.clip((unit[0] * unit[1]).sum(1), -1, 1)))
    pitch = s.head_turn[0]
    held = longest((np.abs(angle - angle[0]) > degrees) | (np.abs(pitch - pitch[0]) > degrees))
    return Verdict(held >= seconds, {"held_s": held})


@predicate
def shrugs_any(s: Signals, rise: float = 0.02) -> Verdict:
    """At least one shoulder goes up against the chest by `rise` metres while its hand stays below the shoulder."""
    lift = {}
    for n, j, h in (("left", 16, "l"), ("right", 17, "r")):
        low = s.hand_height(h) < -0.15
        lift[n] = float(np.ptp((s.joints[:, j, 1] - s.joints[:, 9, 1])[low])) if low.any() else 0.0
    ok = max(lift.values()) >= rise and float(s.uprightness.min()) > 0.7
    return Verdict(ok, _named(lift, "m"))


@predicate
def knee_lifts(s: Signals, side: str = "any", times: int = 2, rise: float = 0.15) -> Verdict:
    """A knee comes up by `rise` metres, `times` times, body upright."""
    count = {n: float(len(runs_of(s.joints[:, k, 1] - np.percentile(s.joints[:, k, 1], 10) > rise, gap=1)))
             for n, k in (("left", 4), ("right", 5))}  # fmt: skip
    ok = of_side(count, side) >= times and float(np.median(s.uprightness)) > 0.6
    return Verdict(ok, _named(count, "lifts"))


@predicate
def flies(s: Signals, times: int = 1, most: int = 99, height: float = 0.025) -> Verdict:
    """Both feet are off the floor, the pelvis up, `times` times: jumps and hops, also small ones."""
    count = len(_flights(s, height, 0.02))
    bounces = swings(s.joints[:, 0, 1], 0.05) // 2
    ok = times <= count <= most
    return Verdict(ok, {"flights": float(count), "bounces": float(bounces), "clearance_m": float(s.clearance.max())})
