"""Predicates of hands near the body, and basic facts of which checks for rarer actions are built."""
# There is no hand joint beyond the wrist: a hand at the mouth has its wrist about 0.1 to 0.25 m from it.

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.metrics.geometry.common import HANDS, Direction, Side, direction, of_side, together, with_unit
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import longest, runs_of

MOUTH = (0.0, -0.02, 0.07)  # of the mouth from the head joint, heading frame, metres


@predicate
def hand_to_mouth(
    s: Signals, side: Side = "any", times: int = 1, most: int = 99, distance: float = 0.26, seconds: float = 0.15
) -> Verdict:
    """A hand is brought to the mouth, `times` times, from at least 0.1 m further away: drinking, eating."""
    count, closest = {}, {}
    for name, h in HANDS.items():
        d = np.linalg.norm(s.hand(h) - (s.local[:, 15] + np.array(MOUTH)), axis=1)
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


# (T,) angle between an arm and a direction, in the facing of the frame or of the start, whichever is nearer.
def _aim(s: Signals, hand: str, towards: np.ndarray) -> np.ndarray:
    angles = []
    for arm in (s.arm(hand), s.at(f"{hand}_wrist") - s.at(f"{hand}_shoulder")):
        unit = arm / np.maximum(np.linalg.norm(arm, axis=1, keepdims=True), 1e-6)
        angles.append(np.rad2deg(np.arccos(np.clip(unit @ towards, -1, 1))))
    return np.minimum(*angles)


@predicate
def points(
    s: Signals, side: Side = "any", to: Direction = "forward", degrees: float = 38.0, seconds: float = 0.2,
    straight: float = 115.0,
) -> Verdict:  # fmt: skip
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
def head_tilts(s: Signals, degrees: float = 8.0, seconds: float = 0.2) -> Verdict:
    """The head is bent to a side, forward or back against the chest."""
    neck = s.local[:, 15] - s.local[:, 12]
    chest = s.local[:, 12] - s.local[:, 9]
    unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-6) for v in (neck, chest)]
    angle = np.rad2deg(np.arccos(np.clip((unit[0] * unit[1]).sum(1), -1, 1)))
    pitch = s.head_turn[0]
    duration = longest((np.abs(angle - angle[0]) > degrees) | (np.abs(pitch - pitch[0]) > degrees))
    return Verdict(duration >= seconds, {"held_s": duration})
