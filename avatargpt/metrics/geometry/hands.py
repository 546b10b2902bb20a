"""Predicates of hands near the body, and basic facts of which checks for rarer actions are built."""
# There is no hand joint beyond the wrist: a hand at the mouth has its wrist about 0.1 to 0.25 m from it.

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.common import (
    HANDS,
    Direction,
    Side,
    direction,
    find_flights,
    of_side,
    together,
    with_unit,
)
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import longest, runs_of

MOUTH = (0.0, -0.02, 0.07)  # of the mouth from the head joint, heading frame, metres


def to_mouth(s: Signals, hand: str) -> np.ndarray:
    """(T,) distance of a wrist (l or r) from the mouth, metres."""
    mouth = s.local[:, 15] + np.array(MOUTH)
    return np.linalg.norm(s.hand(hand) - mouth, axis=1)


@predicate
def hand_to_mouth(
    s: Signals, side: Side = "any", times: int = 1, most: int = 99, distance: float = 0.26, seconds: float = 0.15
) -> Verdict:
    """A hand is brought to the mouth, `times` times, from at least 0.1 m further away: drinking, eating."""
    count, closest = {}, {}
    for name, h in HANDS.items():
        d = to_mouth(s, h)
        visits = [(a, b) for a, b in runs_of(d < distance, gap=2) if (b - a) / FPS >= seconds]
        # Between two visits the hand goes away by 5 cm more than the edge of what counts as near.
        count[name] = 0
        last = 0
        for a, b in visits:
            if d[last : a + 1].max() > distance + (0.1 if last == 0 else 0.04):
                count[name] += 1
            last = b
        closest[name] = d.min()
    got = of_side({k: float(v) for k, v in count.items()}, side)
    return Verdict(
        times <= got <= most, {**with_unit(closest, "m"), **with_unit({k: float(v) for k, v in count.items()}, "times")}
    )


@predicate
def hand_at_ear(s: Signals, side: Side = "any", seconds: float = 0.7, distance: float = 0.27) -> Verdict:
    """A hand stays beside the head, elbow bent: on the phone."""
    duration = {}
    for name, h in HANDS.items():
        wrist, head = s.at(f"{h}_wrist"), s.at("head")
        mask = (np.linalg.norm(wrist - head, axis=1) < distance) & (s.bend(h, "arm") < 90)
        duration[name] = longest(mask & (wrist[:, 1] < head[:, 1] + 0.15))
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


@predicate
def salutes(s: Signals, side: Side = "any", seconds: float = 0.2) -> Verdict:
    """A hand is held at the brow: wrist near the head and about as high, elbow out at the height of the shoulder."""
    duration = {}
    for name, h in HANDS.items():
        wrist, head = s.at(f"{h}_wrist"), s.at("head")
        close = (np.linalg.norm(wrist - head, axis=1) < 0.33) & (np.abs(wrist[:, 1] - head[:, 1]) < 0.2)
        raised = s.at(f"{h}_elbow")[:, 1] > s.at(f"{h}_shoulder")[:, 1] - 0.16
        duration[name] = longest(close & raised)
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


# Frames in which two hands, `d` apart, are closest between partings by `amplitude`.
def _meetings(d: np.ndarray, distance: float, amplitude: float) -> list[int]:
    meetings: list[int] = []
    closing = True
    low = high = float(d[0]) if d[0] >= distance else float("inf")
    for i, value in enumerate(d):
        if closing:
            high = max(high, value) if np.isfinite(high) else value
            if value < distance and (value < high - amplitude or not meetings):
                meetings.append(i)
                closing, low = False, value
        else:
            if value < low:
                meetings[-1], low = i, value
            if value > low + amplitude:
                closing, high = True, value
    return meetings


@predicate
def claps(s: Signals, times: int = 2, most: int = 99, distance: float = 0.22, amplitude: float = 0.06) -> Verdict:
    """The hands meet (wrists within `distance`) and part by `amplitude`, between `times` and `most` times.

    They meet from left and right, at 0.8 m/s or more, in a place that stays: hands that rub each other or hold one
    thing move along each other, those of crossed arms pass, and those of a swimmer stretch on together.
    """
    d = together(s)
    meetings = _meetings(d, distance, amplitude)
    across = (s.local[:, 20, 0] - s.local[:, 21, 0]) / np.maximum(d, 1e-6)
    middle = 0.5 * (s.local[:, 20] + s.local[:, 21])
    count = 0
    for i, previous, following in zip(meetings, [0, *meetings], [*meetings[1:], len(d)], strict=False):
        # Widest apart within 0.4 s before and after, as far as they are apart there at all.
        sides = (range(max(previous, i - 8), i + 1), range(i, min(following, i + 9)))
        apart = [max(side, key=lambda k: float(d[k])) for side in sides]
        swift = i == 0 or float((d[max(i - 8, 0) : i] - d[max(i - 8, 0) + 1 : i + 1]).max()) * FPS >= 0.8
        moved = np.linalg.norm(middle[min(i + 4, len(d) - 1)] - middle[max(i - 4, 0)])
        parted = all(across[k] > 0.9 for k in apart if d[k] > d[i] + 0.5 * amplitude)
        count += int(swift and moved < 0.2 and parted)
    ok = times <= count <= most
    return Verdict(ok, {"claps": float(count), "closest_m": float(d.min())})


@predicate
def palms_together(s: Signals, seconds: float = 0.6, distance: float = 0.24) -> Verdict:
    """The hands stay together before the chest: praying, pleading."""
    chest = s.local[:, 9]
    mid = 0.5 * (s.local[:, 20] + s.local[:, 21]) - chest
    duration = longest((together(s) < distance) & (mid[:, 2] > 0.08) & (np.abs(mid[:, 1]) < 0.4))
    return Verdict(duration >= seconds, {"held_s": duration, "closest_m": float(together(s).min())})


@predicate
def arms_crossed(s: Signals, seconds: float = 0.4, distance: float = 0.23) -> Verdict:
    """Each forearm lies before the chest with its wrist by the other arm."""
    left = np.linalg.norm(s.at("l_wrist") - s.at("r_elbow"), axis=1)
    right = np.linalg.norm(s.at("r_wrist") - s.at("l_elbow"), axis=1)
    crossed = (s.local[:, 20, 0] < s.local[:, 21, 0] + 0.03) | ((left < distance) & (right < distance))
    bent = (s.bend("l", "arm") < 125) & (s.bend("r", "arm") < 125)
    high = np.minimum(s.at("l_wrist")[:, 1], s.at("r_wrist")[:, 1]) > s.joints[:, 0, 1]
    duration = longest(crossed & bent & high)
    values = {"held_s": duration, "left_m": float(left.min()), "right_m": float(right.min())}
    return Verdict(duration >= seconds, values)


@predicate
def hands_on_hips(s: Signals, side: Side = "both", seconds: float = 0.4, distance: float = 0.28) -> Verdict:
    """The wrists are at the hips with the elbows bent and pointing outwards or back."""
    duration = {}
    for name, h in HANDS.items():
        hip = 0.5 * (s.at(f"{h}_hip") + s.at("pelvis"))
        wrist, sign = s.at(f"{h}_wrist"), 1 if h == "l" else -1
        j = 18 if h == "l" else 19
        out = sign * (s.local[:, j, 0] - s.local[:, j + 2, 0])
        away = np.hypot(s.local[:, j, 0] - s.local[:, j - 2, 0], s.local[:, j, 2] - s.local[:, j - 2, 2])
        close = np.linalg.norm(wrist - hip, axis=1) < distance
        mask = close & (s.bend(h, "arm") < 140) & (out > -0.02) & (away > 0.08)
        duration[name] = longest(mask)
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


# (T,) angle between an arm and a direction, in the facing of the frame or of the start, whichever is nearer.
def _aim(s: Signals, hand: str, towards: np.ndarray) -> np.ndarray:
    angles = []
    for arm in (s.arm(hand), s.at(f"{hand}_wrist") - s.at(f"{hand}_shoulder")):
        unit = arm / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1e-6)
        angles.append(np.rad2deg(np.arccos(np.clip(unit @ towards, -1, 1))))
    return np.minimum(*angles)


@predicate
def points(
    s: Signals,
    side: Side = "any",
    to: Direction = "forward",
    degrees: float = 38.0,
    seconds: float = 0.2,
    straight: float = 115.0,
) -> Verdict:
    """A stretched arm is held towards `to` (words of `DIRECTIONS`, also joined: ``up left``) within `degrees`."""
    towards = direction(to)
    duration, nearest = {}, {}
    for name, h in HANDS.items():
        angle = _aim(s, h, towards)
        out = s.bend(h, "arm") > straight
        if towards[1] < -0.9:  # a hanging arm already points down: the hand must have been elsewhere before
            out &= s.hand_height(h).max() > -0.35
        duration[name] = longest((angle < degrees) & out)
        nearest[name] = angle[out].min() if out.any() else 180.0
    return Verdict(of_side(duration, side) >= seconds, {**with_unit(duration, "s"), **with_unit(nearest, "deg")})


@predicate
def reaches(
    s: Signals, side: Side = "any", to: Direction = "high", degrees: float = 45.0, seconds: float = 0.1
) -> Verdict:
    """An arm goes out towards `to`, 0.38 m from the shoulder; ``high``: over the head, ``low``: below 0.65 m."""
    duration = {}
    for name, h in HANDS.items():
        far = np.linalg.norm(s.arm(h), axis=1) > 0.38
        if to == "high":
            mask = (s.hand_over_head(h) > 0.02) & far
        elif to == "low":
            mask = s.hand_over_floor(h) < 0.65
        else:
            # A hanging arm is as far from "left" as from "forward": it must also be lifted off the side.
            mask = (_aim(s, h, direction(to)) < degrees) & far & (s.hand_height(h) > -0.45)
        duration[name] = longest(mask)
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


@predicate
def beckons(s: Signals, side: Side = "any", times: int = 2, amplitude: float = 0.05) -> Verdict:
    """A raised hand in front comes towards the body again and again: calling somebody over."""
    count = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        mask = (arm[:, 1] > -0.4) & (arm[:, 2] > 0.05)
        length = np.linalg.norm(arm, axis=1)
        count[name] = float(max((max(swings(length[a:b], amplitude), swings(arm[a:b, 1], amplitude))
                                 for a, b in runs_of(mask, gap=4)), default=0))  # fmt: skip
    return Verdict(of_side(count, side) >= 2 * times - 1, with_unit(count, "half_swings"))


@predicate
def hugs(s: Signals, seconds: float = 0.2) -> Verdict:
    """Both arms open wide in front or to the sides and close round somebody before the chest."""
    d = together(s)
    high = np.minimum(s.hand_height("l"), s.hand_height("r")) > -0.4
    front = np.minimum(s.arm("l")[:, 2], s.arm("r")[:, 2]) > 0.08
    closed = (d < 0.4) & high & front
    opened = (d > 0.5) & high
    duration = longest(closed)
    first = int(np.argmax(closed)) if closed.any() else 0
    ok = duration >= seconds and bool(opened[: max(first, 1)].any()) and s.reach < 1.5
    return Verdict(ok, {"closed_s": duration, "widest_m": float(d[high].max()) if high.any() else 0.0})


@predicate
def shakes_hands(s: Signals, side: Side = "any", times: int = 2, amplitude: float = 0.02) -> Verdict:
    """A hand held out in front between hip and chest goes up and down `times` times."""
    count = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        mask = (arm[:, 2] > 0.2) & (arm[:, 1] < 0.02) & (arm[:, 1] > -0.5)
        count[name] = float(max((swings(arm[a:b, 1], amplitude) for a, b in runs_of(mask, gap=2)), default=0))
    min_count = 2 * times - 2 if times > 2 else 2 * times - 1
    return Verdict(of_side(count, side) >= min_count, with_unit(count, "half_swings"))


@predicate
def hand_below(s: Signals, height: float = 0.5, side: Side = "any") -> Verdict:
    """A wrist gets below `height` metres over the floor."""
    low = {n: float(s.hand_over_floor(h).min()) for n, h in HANDS.items()}
    got = max(low.values()) if side == "both" else low.get(side, min(low.values()))
    return Verdict(got < height, with_unit(low, "m"))


@predicate
def hand_fast(s: Signals, side: Side = "any", speed: float = 2.5) -> Verdict:
    """A wrist moves at `speed` m/s or more relative to the pelvis."""
    fast = {n: float(s.hand_speed(h).max()) for n, h in HANDS.items()}
    return Verdict(of_side(fast, side) >= speed, with_unit(fast, "mps"))


@predicate
def hand_before(s: Signals, side: Side = "any", seconds: float = 0.5) -> Verdict:
    """A hand is held before the chest or the belly, elbow bent."""
    duration = {}
    for name, h in HANDS.items():
        mask = (s.arm(h)[:, 2] > 0.12) & (s.bend(h, "arm") < 130) & (np.abs(s.hand_height(h)) < 0.5)
        duration[name] = longest(mask)
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


@predicate
def hand_at_table(
    s: Signals, side: Side = "any", out: float = 0.33, height: float = 1.15, seconds: float = 0.1
) -> Verdict:
    """A hand is held `out` metres before the pelvis, below `height`, or lower than 0.6 m: taking or putting."""
    duration = {}
    for name, h in HANDS.items():
        y = s.hand_over_floor(h)
        duration[name] = longest(((s.hand(h)[:, 2] > out) & (y < height)) | (y < 0.6))
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


@predicate
def stands(s: Signals, reach: float = 0.7) -> Verdict:
    """Stays upright on its feet all the time, within `reach` metres of where it began."""
    low, up = float(np.percentile(s.joints[:, 0, 1], 3)), float(np.percentile(s.uprightness, 3))
    return Verdict(low > 0.72 and up > 0.75 and s.reach <= reach, {"lowest_m": low, "upright": up, "reach_m": s.reach})


@predicate
def hand_drawn_in(s: Signals, side: Side = "any", out: float = 0.38, gain: float = 0.08) -> Verdict:
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
    return Verdict(of_side(drawn, side) >= gain, with_unit(drawn, "m"))


@predicate
def strikes(s: Signals, side: Side = "any", speed: float = 2.4) -> Verdict:
    """A hand before the body, between waist and head, moves at `speed` or more: any kind of punch."""
    fast = {}
    for name, h in HANDS.items():
        where = (s.hand(h)[:, 2] > 0.15) & (s.hand_height(h) > -0.45) & (s.hand_height(h) < 0.4)
        fast[name] = float(np.where(where, s.hand_speed(h), 0).max())
    return Verdict(of_side(fast, side) >= speed and s.travel_speed < 1.6, with_unit(fast, "mps"))


@predicate
def hand_thrown(s: Signals, side: Side = "any", speed: float = 1.3, out: float = 0.3) -> Verdict:
    """A hand moves forward at `speed` or more and ends stretched out in front: a throw of any kind."""
    fast = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        v = np.gradient(arm, axis=0) * 20 if len(s) > 1 else np.zeros_like(arm)
        out_soon = np.array([arm[i : i + 8, 2].max() > out for i in range(len(arm))])
        fast[name] = float(np.where(out_soon, v[:, 2], 0).max())
    upright = float(np.percentile(s.uprightness, 10)) > 0.5
    return Verdict(of_side(fast, side) >= speed and upright, with_unit(fast, "mps"))


@predicate
def tilts(s: Signals, degrees: float = 7.0, seconds: float = 0.25) -> Verdict:
    """The whole body, from the feet to the neck, tilts by `degrees` from how it stood, feet in place: leaning."""
    feet = 0.5 * (s.joints[:, 7] + s.joints[:, 8])
    line = s.joints[:, 12] - feet
    tilt = np.rad2deg(np.arctan2(line[:, [0, 2]], line[:, 1:2]))
    moved = np.linalg.norm(tilt - np.median(tilt[: max(len(tilt) // 10, 2)], axis=0), axis=1)
    duration = longest(moved > degrees)
    low = float(np.percentile(s.joints[:, 0, 1], 3))
    passed = duration >= seconds and low > 0.7 and s.reach < 0.6
    return Verdict(passed, {"held_s": duration, "tilt_deg": float(moved.max())})


@predicate
def hand_low_guard(s: Signals, seconds: float = 0.1) -> Verdict:
    """A forearm sweeps down before the body, elbow rather straight, hand off the side: a low block."""
    duration = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        duration[name] = longest((arm[:, 2] > 0.12) & (arm[:, 1] < -0.25))
    return Verdict(max(duration.values()) >= seconds and hand_fast(s, speed=1.2).passed, with_unit(duration, "s"))


@predicate
def hand_rounds(s: Signals, side: Side = "any", times: int = 1) -> Verdict:
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
    return Verdict(of_side(rounds, side) >= max(times - 0.35, 0.9), with_unit(rounds, "rounds"))


@predicate
def points_anywhere(s: Signals, side: Side = "any", seconds: float = 0.2) -> Verdict:
    """A stretched arm is held still away from the body, in whatever direction."""
    duration = {}
    for name, h in HANDS.items():
        arm = s.arm(h)
        away = np.linalg.norm(arm[:, [0, 2]], axis=1) > 0.3
        mask = (s.bend(h, "arm") > 115) & away & (s.hand_speed(h) < 0.5)
        duration[name] = longest(mask)
    return Verdict(of_side(duration, side) >= seconds, with_unit(duration, "s"))


@predicate
def arm_across(s: Signals, seconds: float = 0.3) -> Verdict:
    """A stretched arm lies across the chest."""
    duration = {n: longest(((1 if h == "l" else -1) * s.hand(h)[:, 0] < 0.0)
                       & (s.hand_height(h) > -0.35)) for n, h in HANDS.items()}  # fmt: skip
    return Verdict(max(duration.values()) >= seconds, with_unit(duration, "s"))


@predicate
def head_tilts(s: Signals, degrees: float = 8.0, seconds: float = 0.2) -> Verdict:
    """The head is bent to a side, forward or back against the chest."""
    neck = s.local[:, 15] - s.local[:, 12]
    chest = s.local[:, 12] - s.local[:, 9]
    unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-6) for v in (neck, chest)]
    angle = np.rad2deg(np.arccos(np.clip((unit[0] * unit[1]).sum(1), -1, 1)))
    pitch = s.head_turn[0]
    duration = longest((np.abs(angle - angle[0]) > degrees) | (np.abs(pitch - pitch[0]) > degrees))
    return Verdict(duration >= seconds, {"held_s": duration})


@predicate
def shrugs_any(s: Signals, rise: float = 0.02) -> Verdict:
    """At least one shoulder goes up against the chest by `rise` metres while its hand stays below the shoulder."""
    lift = {}
    for n, j, h in (("left", 16, "l"), ("right", 17, "r")):
        low = s.hand_height(h) < -0.15
        lift[n] = float(np.ptp((s.joints[:, j, 1] - s.joints[:, 9, 1])[low])) if low.any() else 0.0
    ok = max(lift.values()) >= rise and float(s.uprightness.min()) > 0.7
    return Verdict(ok, with_unit(lift, "m"))


@predicate
def knee_lifts(s: Signals, side: Side = "any", times: int = 2, rise: float = 0.15) -> Verdict:
    """A knee comes up by `rise` metres, `times` times, body upright."""
    count = {n: float(len(runs_of(s.joints[:, k, 1] - np.percentile(s.joints[:, k, 1], 10) > rise, gap=1)))
             for n, k in (("left", 4), ("right", 5))}  # fmt: skip
    ok = of_side(count, side) >= times and float(np.median(s.uprightness)) > 0.6
    return Verdict(ok, with_unit(count, "lifts"))


@predicate
def flies(s: Signals, times: int = 1, most: int = 99, height: float = 0.025) -> Verdict:
    """Both feet are off the floor, the pelvis up, `times` times: jumps and hops, also small ones."""
    count = len(find_flights(s, height, 0.02))
    bounces = swings(s.joints[:, 0, 1], 0.05) // 2
    ok = times <= count <= most
    return Verdict(ok, {"flights": float(count), "bounces": float(bounces), "clearance_m": float(s.clearance.max())})
