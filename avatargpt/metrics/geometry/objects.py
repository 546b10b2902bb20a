"""Predicates about handling things that are not there: picking up, carrying, pushing, throwing, doors, tools."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, longest, runs_of, swings
from avatargpt.metrics.geometry.hands import HANDS, _named, of_side, together
from avatargpt.metrics.geometry.predicates import Verdict, predicate


@predicate
def picks_up(s: Signals, side: str = "any", low: float = 0.5, rise: float = 0.3) -> Verdict:
    """A hand goes down below `low` and comes up again by `rise`, trunk up at the end."""
    got, bottom = {}, {}
    for name, h in HANDS.items():
        height = s.hand_over_floor(h)
        k = int(height.argmin())
        got[name] = float(
            height[k] < low and height[k:].max() - height[k] >= rise and height[: k + 1].max() > height[k] + 0.2
        )
        bottom[name] = height[k]
    ok = of_side(got, side) > 0 and float(s.uprightness[-1]) > 0.6
    return Verdict(ok, _named(bottom, "lowest_m"))


@predicate
def puts_down(s: Signals, side: str = "any", low: float = 0.8, drop: float = 0.15) -> Verdict:
    """A hand that carries before the body (elbow bent) goes down by `drop` to below `low` and lets go: comes back.

    The elbow is bent more on the way there than afterwards.
    """
    got, bottom = {}, {}
    for name, h in HANDS.items():
        height = s.hand_over_floor(h)
        k = int(height.argmin())
        before = s.bend(h, "arm")[: k + 1]
        held = before.min() < 130
        got[name] = float(height[k] < low and height[: k + 1].max() - height[k] >= drop and held)
        bottom[name] = height[k]
    return Verdict(of_side(got, side) > 0, _named(bottom, "lowest_m"))


@predicate
def lifts(s: Signals, low: float = 0.65, rise: float = 0.25, apart: float = 0.65) -> Verdict:
    """Both hands, no more than `apart` from each other, come up together by `rise` from below `low`."""
    height = np.maximum(s.hand_over_floor("l"), s.hand_over_floor("r"))
    close = together(s) < apart
    grip = np.where(close, height, np.inf)
    k = int(grip.argmin())
    top = float(np.where(close[k:], height[k:], -np.inf).max())
    ok = bool(np.isfinite(grip[k]) and grip[k] < low and top - grip[k] >= rise)
    return Verdict(ok, {"lowest_m": float(min(grip[k], 9.0)), "top_m": max(top, -9.0)})


@predicate
def carries(s: Signals, distance: float = 0.5, share: float = 0.25) -> Verdict:
    """Goes somewhere with both hands in front of the body, not far apart, not hanging at the sides."""
    arms = [s.arm(h) for h in "lr"]
    bent = (s.bend("l", "arm") < 165) & (s.bend("r", "arm") < 165)
    mask = (together(s) < 0.65) & bent & (arms[0][:, 2] > 0.08) & (arms[1][:, 2] > 0.08)
    held = float(mask.mean())
    return Verdict(s.reach >= distance and held >= share, {"held_share": held, "reach_m": s.reach})


@predicate
def pushes(s: Signals, side: str = "both", gain: float = 0.1, out: float = 0.28) -> Verdict:
    """Hands (`side`: both, any, left, right) before the chest go out forward by `gain`, level and slower than a blow.

    Counted in the world, so that a push by stepping forward with stretched arms is one too.
    """
    got = {}
    for name, h in HANDS.items():
        arm, wrist = s.arm(h), s.at(f"{h}_wrist")
        speed = s.hand_speed(h)
        got[name] = 0.0
        for a, b in runs_of((arm[:, 2] > 0.1) & (arm[:, 1] > -0.5) & (arm[:, 1] < 0.15), gap=2):
            for i in range(a, b):
                till = slice(i, min(i + 30, b))
                level = (np.abs(wrist[till, 1] - wrist[i, 1]) < 0.12) & (arm[till, 2] > out) & (speed[till] < 2.5)
                got[name] = max(got[name], float(np.where(level, wrist[till, 2] - wrist[i, 2], 0).max()))
    return Verdict(of_side(got, side) >= gain and s.travel_speed < 1.5, _named(got, "m"))


@predicate
def pulls(s: Signals, gain: float = 0.13, out: float = 0.32) -> Verdict:
    """Hands that are stretched out in front come in towards the body by `gain`, or go back with it."""
    best = 0.0
    for h in "lr":
        arm, wrist = s.arm(h), s.at(f"{h}_wrist")
        for a, b in runs_of((arm[:, 2] > 0.05) & (arm[:, 1] > -0.55), gap=2):
            for i in range(a, b):
                if arm[i, 2] < out:
                    continue
                # Level: a hand that is merely lowered comes in as well, but goes down more than it comes in.
                till = slice(i, min(i + 30, b))
                speed = s.hand_speed(h)[till]
                level = (np.abs(wrist[till, 1] - wrist[i, 1]) < 0.15) & (np.maximum.accumulate(speed) < 2.5)
                best = max(best, float(np.where(level, wrist[i, 2] - wrist[till, 2], 0).max()))
    return Verdict(best >= gain and s.travel_speed < 1.5, {"gain_m": best})


@predicate
def throws(s: Signals, side: str = "any", speed: float = 2.5) -> Verdict:
    """A hand goes from behind or above the shoulder forward at `speed` m/s or more: an overarm throw."""
    fastest = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        v = np.gradient(arm, axis=0) * FPS if len(s) > 1 else np.zeros_like(arm)
        drawn = np.maximum.accumulate((arm[:, 2] < 0.05) | (arm[:, 1] > 0.0))
        fastest[name] = float(np.where(drawn, v[:, 2], 0).max())
    return Verdict(of_side(fastest, side) >= speed, _named(fastest, "mps"))


@predicate
def catches(s: Signals, near: float = 0.4) -> Verdict:
    """Both hands come up in front together, within `near` of each other, and are drawn in towards the body."""
    both = (together(s) < near) & (np.minimum(s.arm("l")[:, 2], s.arm("r")[:, 2]) > 0.05)
    both &= np.minimum(s.hand_height("l"), s.hand_height("r")) > -0.45
    reach = 0.5 * (np.linalg.norm(s.arm("l"), axis=1) + np.linalg.norm(s.arm("r"), axis=1))
    drawn = 0.0
    for a, b in runs_of(both, gap=3):
        window = reach[max(a - 4, 0) : b]
        drawn = max(drawn, float((np.maximum.accumulate(window) - window).max()))
    return Verdict(drawn >= 0.05, {"drawn_in_m": drawn, "together_s": longest(both)})


@predicate
def knocks(s: Signals, side: str = "any", times: int = 2, most: int = 99, amplitude: float = 0.03) -> Verdict:
    """A bent arm with the hand before the shoulder taps forward and back, `times` times (`most` at most).

    Raising the hand may count as one more.
    """
    count = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        mask = (arm[:, 2] > 0.12) & (arm[:, 1] > -0.3) & (arm[:, 1] < 0.3)
        away = np.linalg.norm(arm, axis=1)
        count[name] = float(max((max(swings(arm[a:b, 2], amplitude), swings(away[a:b], amplitude))
                                 for a, b in runs_of(mask, gap=2)), default=0))  # fmt: skip
    half = of_side(count, side)
    return Verdict(2 * times - 1 <= half <= 2 * most + 4, _named(count, "half_swings"))


@predicate
def opens_door(s: Signals, side: str = "any", moved: float = 0.15) -> Verdict:
    """A hand takes hold in front at the height of a handle and swings something by `moved` metres over the ground."""
    travel = {}
    for name, h in HANDS.items():
        height, arm = s.hand_over_floor(h), s.arm(h)
        mask = (height > 0.7) & (height < 1.35) & (arm[:, 2] > 0.12)
        wrist = s.at(f"{h}_wrist")[:, [0, 2]]
        travel[name] = 0.0
        for a, b in runs_of(mask, gap=2):
            if b - a < 0.4 * FPS:
                continue
            for i in range(a, b - 6, 2):
                # The hand keeps the height of the handle while it moves over the ground, and rests on it before.
                still = float(np.ptp(s.at(f"{h}_wrist")[i : i + 4], axis=0).max()) < 0.06
                level = np.abs(height[i:b] - height[i]) < 0.1
                if still:
                    travel[name] = max(
                        travel[name], float((np.linalg.norm(wrist[i:b] - wrist[i], axis=1) * level).max())
                    )
    return Verdict(of_side(travel, side) >= moved, _named(travel, "m"))


@predicate
def types(s: Signals, seconds: float = 0.5) -> Verdict:
    """Both hands are held before the body below the chest, elbows bent, while they move little."""
    low = np.maximum(s.hand_height("l"), s.hand_height("r")) < -0.1
    bent = (s.bend("l", "arm") < 135) & (s.bend("r", "arm") < 135)
    front = np.minimum(s.arm("l")[:, 2], s.arm("r")[:, 2]) > 0.12
    calm = s.relative_velocity[:, [20, 21]].max(1) < 1.2
    held = longest(low & bent & front & calm & (together(s) < 0.6), gap=3)
    return Verdict(held >= seconds, {"held_s": held})
