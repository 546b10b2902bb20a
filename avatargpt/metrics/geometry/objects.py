"""Predicates of handling (unseen) objects (picking up, carrying, throwing, doors, tools), and of sport."""

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.acts import kicks
from avatargpt.metrics.geometry.arms import count_swings, punches
from avatargpt.metrics.geometry.common import HANDS, AnySide, Side, of_side, together, with_unit
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import longest, runs_of


@predicate
def picks_up(s: Signals, side: Side = "any", low: float = 0.5, rise: float = 0.3) -> Verdict:
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
    return Verdict(ok, with_unit(bottom, "lowest_m"))


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
def carries(s: Signals, distance: float = 0.5, share: float = 0.25) -> Verdict:
    """Goes somewhere with both hands in front of the body, not far apart, not hanging at the sides."""
    arms = [s.arm(h) for h in "lr"]
    bent = (s.bend("l", "arm") < 165) & (s.bend("r", "arm") < 165)
    mask = (together(s) < 0.65) & bent & (arms[0][:, 2] > 0.08) & (arms[1][:, 2] > 0.08)
    carrying = float(mask.mean())
    return Verdict(s.reach >= distance and carrying >= share, {"held_share": carrying, "reach_m": s.reach})


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
def throws(s: Signals, side: Side = "any", speed: float = 2.5) -> Verdict:
    """A hand goes from behind or above the shoulder forward at `speed` m/s or more: an overarm throw."""
    fastest = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        v = np.gradient(arm, axis=0) * FPS if len(s) > 1 else np.zeros_like(arm)
        drawn = np.maximum.accumulate((arm[:, 2] < 0.05) | (arm[:, 1] > 0.0))
        fastest[name] = float(np.where(drawn, v[:, 2], 0).max())
    return Verdict(of_side(fastest, side) >= speed, with_unit(fastest, "mps"))


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
def knocks(s: Signals, side: Side = "any", times: int = 2, most: int = 99, amplitude: float = 0.03) -> Verdict:
    """A bent arm with the hand before the shoulder taps forward and back, `times` times (`most` at most)."""
    # Raising the hand may count as one more.
    count = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        mask = (arm[:, 2] > 0.12) & (arm[:, 1] > -0.3) & (arm[:, 1] < 0.3)
        away = np.linalg.norm(arm, axis=1)
        count[name] = float(max((max(swings(arm[a:b, 2], amplitude), swings(away[a:b], amplitude))
                                 for a, b in runs_of(mask, gap=2)), default=0))  # fmt: skip
    half = of_side(count, side)
    return Verdict(2 * times - 1 <= half <= 2 * most + 4, with_unit(count, "half_swings"))


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
def types(s: Signals, seconds: float = 0.5) -> Verdict:
    """Both hands are held before the body below the chest, elbows bent, while they move little."""
    low = np.maximum(s.hand_height("l"), s.hand_height("r")) < -0.1
    bent = (s.bend("l", "arm") < 135) & (s.bend("r", "arm") < 135)
    front = np.minimum(s.arm("l")[:, 2], s.arm("r")[:, 2]) > 0.12
    calm = s.relative_velocity[:, [20, 21]].max(1) < 1.2
    duration = longest(low & bent & front & calm & (together(s) < 0.6), gap=3)
    return Verdict(duration >= seconds, {"held_s": duration})


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
def club_held(s: Signals, seconds: float = 0.5, degrees: float = 8.0) -> Verdict:
    """Stands leaning over with both hands together low before the body, moving them little: addressing a ball."""
    mid = 0.5 * (s.joints[:, 20] + s.joints[:, 21])
    mask = (together(s) < 0.35) & (mid[:, 1] < 1.05) & (s.pitch - s.pitch[0] > degrees)
    duration = longest(mask & (s.joints[:, 0, 1] > 0.75) & (mid[:, 1] > 0.45))
    return Verdict(duration >= seconds, {"held_s": duration})


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
def dribbles(s: Signals, side: Side = "any", times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A hand before or beside the body, below the chest, goes down and up `times` times as with a bouncing ball."""
    count = {name: count_swings(s, h, ("up",), amplitude, (s.hand_height(h) < 0.0) & (s.bend(h, "arm") < 172))
             for name, h in HANDS.items()}  # fmt: skip
    return Verdict(of_side(count, side) >= 2 * times - 1, with_unit(count, "half_swings"))


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
def guards(s: Signals, seconds: float = 0.1) -> Verdict:
    """A forearm or both go up before the face or the chest, elbow bent: blocking a blow."""
    duration = {}
    for name, h in HANDS.items():
        wrist, chest = s.hand(h), s.local[:, 9]
        up = (s.hand_height(h) > -0.08) & (s.bend(h, "arm") < 115)
        duration[name] = longest(up & (wrist[:, 2] - chest[:, 2] > 0.12) & (np.abs(wrist[:, 0]) < 0.4))
    return Verdict(max(duration.values()) >= seconds, with_unit(duration, "s"))


@predicate
def spin_kicks(s: Signals, side: AnySide = "any", degrees: float = 120.0) -> Verdict:
    """Kicks while turning through `degrees` or more."""
    swept = float(s.yaw.max() - s.yaw.min())
    kicked = kicks(s, side=side)
    return Verdict(kicked.passed and swept >= degrees, {**kicked.values, "swept_deg": swept})


@predicate
def kicks_back(s: Signals, side: AnySide = "any", height: float = 0.3, speed: float = 2.0) -> Verdict:
    """A foot is kicked out behind: `height` over the floor, behind the hips, and fast."""
    fastest = {}
    for name, ankle in (("left", 7), ("right", 8)):
        out = (s.joints[:, ankle, 1] - s.floor > height) & (s.local[:, ankle, 2] < -0.3)
        fastest[name] = float(np.where(out, s.relative_velocity[:, ankle], 0).max())
    return Verdict(of_side(fastest, side) >= speed, with_unit(fastest, "mps"))


@predicate
def slaloms(s: Signals, times: int = 3, sway: float = 0.06) -> Verdict:
    """Knees bent, the hips go from side to side over the feet `times` times: turns on skis."""
    feet = 0.5 * (s.joints[:, 7, 0] + s.joints[:, 8, 0])
    count = max(swings(s.joints[:, 0, 0] - feet, sway), swings(s.joints[:, 0, 0], sway))
    bend = float(np.percentile(np.maximum(s.bend("l", "leg"), s.bend("r", "leg")), 25))
    return Verdict(count >= times and bend < 155, {"sways": float(count), "knee_deg": bend})


@predicate
def skis(s: Signals, times: int = 2, amplitude: float = 0.3) -> Verdict:
    """Hands swing far forward and back, again and again: with poles (together or in turn), knees giving way."""
    count = min(swings(s.arm(h)[:, 2], amplitude) for h in "lr")
    bend = float(np.percentile(np.minimum(s.bend("l", "leg"), s.bend("r", "leg")), 25))
    return Verdict(count >= 2 * times - 1 and bend < 160, {"half_swings": float(count), "knee_deg": bend})


@predicate
def skates(s: Signals, times: int = 3, sway: float = 0.06) -> Verdict:
    """The weight goes from side to side by `sway` in long strides, feet apart and back, knees bent."""
    course = np.linspace(s.joints[0, 0, 0], s.joints[-1, 0, 0], len(s))
    count = swings(s.joints[:, 0, 0] - course, sway)
    bend = float(np.percentile(np.minimum(s.bend("l", "leg"), s.bend("r", "leg")), 25))
    feet = swings(np.linalg.norm((s.joints[:, 7] - s.joints[:, 8])[:, [0, 2]], axis=1), 0.12)
    return Verdict(count >= times and bend < 165 and feet >= times, {"sways": float(count), "knee_deg": bend})


@predicate
def cycles(s: Signals, times: int = 2, amplitude: float = 0.1) -> Verdict:
    """The knees go up and down in turn, `times` times each, with the body seated or lying: pedalling."""
    knees = [s.joints[:, 4, 1], s.joints[:, 5, 1]]
    count = min(swings(k, amplitude) for k in knees)
    still = float(np.ptp(s.joints[:, 0, 1][len(s) // 4 : max(3 * len(s) // 4, len(s) // 4 + 1)])) < 0.12
    speeds = [np.diff(k) for k in knees]
    turn = float(np.asarray(np.corrcoef(np.stack(speeds)))[0, 1]) if min(np.std(v) for v in speeds) > 1e-6 else 1.0
    return Verdict(count >= 2 * times - 1 and still and turn < 0.3, {"half_swings": float(count), "same_phase": turn})
