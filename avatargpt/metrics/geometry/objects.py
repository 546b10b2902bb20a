"""Predicates of handling (unseen) objects (picking up, carrying, throwing, doors, tools), and of sport."""

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.acts import kicks
from avatargpt.metrics.geometry.arms import punches
from avatargpt.metrics.geometry.common import HANDS, AnySide, Side, of_side, together, with_unit
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import longest, runs_of


@predicate
def lifts(s: Signals, low: float = 0.65, rise: float = 0.25, width: float = 0.65) -> Verdict:
    """Both hands, no more than `width` from each other, come up together by `rise` from below `low`."""
    height = np.maximum(s.hand_over_floor("l"), s.hand_over_floor("r"))
    close = together(s) < width
    grip = np.where(close, height, np.inf)
    k = int(grip.argmin())
    top = float(np.where(close[k:], height[k:], -np.inf).max())
    ok = bool(np.isfinite(grip[k]) and grip[k] < low and top - grip[k] >= rise)
    return Verdict(ok, {"lowest_m": float(min(grip[k], 9.0)), "top_m": max(top, -9.0)})


@predicate
def pushes(s: Signals, side: Side = "both", gain: float = 0.1, out: float = 0.28) -> Verdict:
    """Hands (`side`: both, any, left, right) before the chest go forward by `gain`, level and slower than a blow."""
    # Counted in the world, so that a push by stepping forward with stretched arms is one too.
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
    return Verdict(of_side(got, side) >= gain and s.travel_speed < 1.5, with_unit(got, "m"))


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
def catches(s: Signals, width: float = 0.4) -> Verdict:
    """Both hands come up in front together, within `width` of each other, and are drawn in towards the body."""
    both = (together(s) < width) & (np.minimum(s.arm("l")[:, 2], s.arm("r")[:, 2]) > 0.05)
    both &= np.minimum(s.hand_height("l"), s.hand_height("r")) > -0.45
    reach = 0.5 * (np.linalg.norm(s.arm("l"), axis=1) + np.linalg.norm(s.arm("r"), axis=1))
    drawn = 0.0
    for a, b in runs_of(both, gap=3):
        window = reach[max(a - 4, 0) : b]
        drawn = max(drawn, float((np.maximum.accumulate(window) - window).max()))
    return Verdict(drawn >= 0.05, {"drawn_in_m": drawn, "together_s": longest(both)})


@predicate
def opens_door(s: Signals, side: Side = "any", moved: float = 0.15) -> Verdict:
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
    return Verdict(of_side(travel, side) >= moved, with_unit(travel, "m"))


@predicate
def swings_bat(s: Signals, speed: float = 2.5, travel: float = 0.5) -> Verdict:
    """Both hands on one handle sweep across the body, level, at `speed` m/s or more and over `travel` metres."""
    grip = together(s) < 0.42
    best_speed = best_travel = 0.0
    mid = 0.5 * (s.joints[:, 20] + s.joints[:, 21]) - s.joints[:, 0]
    v = np.linalg.norm(np.gradient(mid, axis=0), axis=1) * FPS if len(s) > 1 else np.zeros(1)
    for a, b in runs_of(grip & (v > 0.5 * speed), gap=1):
        way = mid[max(a - 1, 0) : b + 1]
        if v[a:b].max() >= speed:
            best_speed, best_travel = max(best_speed, float(v[a:b].max())), max(
                best_travel, float(np.linalg.norm(np.ptp(way[:, [0, 2]], axis=0)))
            )  # fmt: skip
    return Verdict(best_travel >= travel, {"mps": best_speed, "across_m": best_travel})


@predicate
def swings_club(s: Signals, speed: float = 2.5, drop: float = 0.35) -> Verdict:
    """Both hands on one grip go down by `drop` on one side, through below the waist, and up again on the other."""
    grip = together(s) < 0.42
    mid = 0.5 * (s.joints[:, 20] + s.joints[:, 21])
    v = np.linalg.norm(np.gradient(mid, axis=0), axis=1) * FPS if len(s) > 1 else np.zeros(1)
    fast = np.where(grip, v, 0)
    k = int(fast.argmax())
    window = slice(max(k - 12, 0), k + 13)
    height, x = mid[window, 1], mid[window, 0]
    low = int(height.argmin())
    down, up = float(height[: low + 1].max() - height[low]), float(height[low:].max() - height[low])
    ok = fast[k] >= speed and down >= drop and up >= 0.5 * drop and np.ptp(x) > 0.3 and height[low] < 1.05
    return Verdict(bool(ok), {"mps": float(fast[k]), "down_m": down, "up_m": up, "across_m": float(np.ptp(x))})


@predicate
def swings_racket(s: Signals, side: Side = "any", speed: float = 3.0, travel: float = 0.55) -> Verdict:
    """One hand sweeps fast and far, forward or across the body, away from the other hand: forehand, backhand, serve."""
    best = {}
    for name, h in HANDS.items():
        arm, fast = s.arm(h), s.hand_speed(h)
        best[name] = 0.0
        for a, b in runs_of(fast > 0.4 * speed, gap=1):
            way = arm[max(a - 1, 0) : b + 1]
            if fast[a:b].max() >= speed:
                best[name] = max(best[name], float(np.linalg.norm(np.ptp(way, axis=0))))
    return Verdict(of_side(best, side) >= travel and s.travel_speed < 2.0, with_unit(best, "m"))


@predicate
def bowls(s: Signals, side: Side = "any", back: float = 0.12, front: float = 0.15) -> Verdict:
    """A stretched arm swings from behind the hip, low, forward past it, with the body going down: bowling."""
    ok = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        behind = (arm[:, 2] < -back) & (arm[:, 1] < 0.1)
        k = int(np.argmax(behind)) if behind.any() else len(arm)
        last = int(len(behind) - 1 - np.argmax(behind[::-1])) if behind.any() else len(arm)
        swing = arm[last : last + 14]
        ok[name] = float(k < len(arm) and len(swing) > 1 and swing[:, 2].max() > front
                         and swing[: int(np.argmax(swing[:, 2])) + 1, 1].min() < -0.3)  # fmt: skip
    drop = float(np.percentile(s.joints[:, 0, 1], 95) - s.joints[:, 0, 1].min())
    return Verdict(of_side(ok, side) > 0 and drop > 0.04, {**with_unit(ok, "swung"), "drop_m": drop})


@predicate
def shoots_hoop(s: Signals, rise: float = 0.3) -> Verdict:
    """A hand goes from the chest or lower to well over the head, elbow opening, the other hand near it on the way."""
    best, gap = 0.0, float("inf")
    for h in "lr":
        over = s.hand_over_head(h)
        k = int(over.argmax())
        start = max(k - 2 * int(FPS), 0)
        gain = float(over[k] - over[start : k + 1].min())
        if over[k] > 0.12 and s.bend(h, "arm")[max(k - 2, 0) : k + 6].max() > 110:
            best, gap = max(best, gain), min(gap, float(together(s)[start : k + 1].min()))
    return Verdict(best >= rise and gap < 0.45, {"gain_m": best, "hands_m": min(gap, 9.0)})


@predicate
def boxes(s: Signals, times: int = 2, most: int = 99) -> Verdict:
    """Punches several times with a guard in between: `times` or more."""
    hit = punches(s, times=times)
    count = hit.values["left_thrusts"] + hit.values["right_thrusts"]
    return Verdict(hit.passed and count <= most, hit.values)


@predicate
def spin_kicks(s: Signals, side: AnySide = "any", degrees: float = 120.0) -> Verdict:
    """Kicks while turning through `degrees` or more."""
    swept = float(s.yaw.max() - s.yaw.min())
    kicked = kicks(s, side=side)
    return Verdict(kicked.passed and swept >= degrees, {**kicked.values, "swept_deg": swept})


@predicate
def cycles(s: Signals, times: int = 2, amplitude: float = 0.1) -> Verdict:
    """The knees go up and down in turn, `times` times each, with the body seated or lying: pedalling."""
    knees = [s.joints[:, 4, 1], s.joints[:, 5, 1]]
    count = min(swings(k, amplitude) for k in knees)
    still = float(np.ptp(s.joints[:, 0, 1][len(s) // 4 : max(3 * len(s) // 4, len(s) // 4 + 1)])) < 0.12
    speeds = [np.diff(k) for k in knees]
    turn = float(np.asarray(np.corrcoef(np.stack(speeds)))[0, 1]) if min(np.std(v) for v in speeds) > 1e-6 else 1.0
    return Verdict(count >= 2 * times - 1 and still and turn < 0.3, {"half_swings": float(count), "same_phase": turn})
