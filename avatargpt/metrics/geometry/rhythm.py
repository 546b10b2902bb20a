"""Predicates about hands that go to and fro: wiping, sweeping, sawing, rowing, instruments, conducting, swimming.

Swings are half-swings, from one turning point to the next, in the heading frame relative to the shoulder.
"""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import Signals, longest, runs_of, swings
from avatargpt.metrics.geometry.hands import HANDS, _named, of_side, together
from avatargpt.metrics.geometry.predicates import Verdict, predicate

AXES = {"left": 0, "up": 1, "forward": 2}


def count_swings(s: Signals, hand: str, axes: tuple[str, ...], amplitude: float, where: np.ndarray) -> float:
    """Most half-swings of one hand (l or r) along any of `axes` within one stretch of `where`."""
    arm = s.arm(hand)
    found = [swings(arm[a:b, AXES[axis]], amplitude) for a, b in runs_of(where, gap=4) for axis in axes]
    return float(max(found, default=0))


def _front(s: Signals, hand: str, least: float = 0.1) -> np.ndarray:
    return s.arm(hand)[:, 2] > least


@predicate
def wipes(s: Signals, side: str = "any", times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A hand before the body at the height of a table goes to and fro level, `times` times there and back."""
    count = {}
    for name, h in HANDS.items():
        where = _front(s, h) & (s.hand_over_floor(h) > 0.55) & (s.hand_over_floor(h) < 1.25)
        level = max((count_swings(s, h, (axis,), amplitude, where) for axis in ("left", "forward")), default=0)
        vertical = count_swings(s, h, ("up",), amplitude, where)
        count[name] = level if level >= vertical else 0.0
    return Verdict(of_side(count, side) >= 2 * times - 1, _named(count, "half_swings"))


@predicate
def wipes_wall(s: Signals, side: str = "any", times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A hand before the body, from the chest up, goes to and fro sideways or up and down: washing a window."""
    count = {}
    for name, h in HANDS.items():
        where = _front(s, h, 0.15) & (s.hand_height(h) > -0.4)
        count[name] = count_swings(s, h, ("left", "up"), amplitude, where)
    return Verdict(of_side(count, side) >= 2 * times - 1, _named(count, "half_swings"))


@predicate
def sweeps(s: Signals, times: int = 2, amplitude: float = 0.08) -> Verdict:
    """Both hands hold a handle before the body, below the chest, and swing it to and fro."""
    grip = (together(s) < 0.75) & (s.hand_height("l") < 0.05) & (s.hand_height("r") < 0.05)
    grip &= _front(s, "l", 0.0) | _front(s, "r", 0.0)
    count = min(count_swings(s, h, ("left", "forward"), 0.6 * amplitude, grip) for h in "lr")
    most = max(count_swings(s, h, ("left", "forward"), amplitude, grip) for h in "lr")
    ok = count >= 2 * times - 1 and most >= 2 * times - 1
    return Verdict(ok, {"half_swings": count, "of_one_hand": most})


@predicate
def saws(s: Signals, side: str = "any", times: int = 3, amplitude: float = 0.08) -> Verdict:
    """A hand between hip and shoulder goes forward and back along a line, `times` times."""
    count = {}
    for name, h in HANDS.items():
        where = (s.hand_height(h) < 0.0) & (s.arm(h)[:, 2] > -0.15)
        along = count_swings(s, h, ("forward",), amplitude, where)
        count[name] = along if along >= count_swings(s, h, ("left",), amplitude, where) else 0.0
    return Verdict(of_side(count, side) >= 2 * times - 1 and s.reach < 0.7, _named(count, "half_swings"))


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
def digs(s: Signals, times: int = 1, low: float = 0.75, rise: float = 0.2) -> Verdict:
    """The trunk bends, hands on a shaft go down below `low` and come up again by `rise`, `times` times."""
    height = np.minimum(s.hand_over_floor("l"), s.hand_over_floor("r"))
    count = swings(height, rise)
    bent = float(np.percentile(s.pitch, 90))
    ok = count >= 2 * times and float(height.min()) < low and bent > 12 and float(np.median(together(s))) < 0.85
    return Verdict(ok, {"half_swings": float(count), "lowest_m": float(height.min()), "lean_deg": bent})


@predicate
def rows(s: Signals, times: int = 2, amplitude: float = 0.18) -> Verdict:
    """Both hands go forward and back together by `amplitude`, `times` times, trunk swinging along or still."""
    ahead = [s.local[:, 20, 2], s.local[:, 21, 2]]
    count = min(swings(x, amplitude) for x in ahead)
    same = float(np.asarray(np.corrcoef(np.stack(ahead)))[0, 1]) if min(np.std(x) for x in ahead) > 1e-6 else 0.0
    return Verdict(count >= 2 * times - 1 and same > 0.5, {"half_swings": float(count), "together": same})


@predicate
def strums(s: Signals, times: int = 2, amplitude: float = 0.03) -> Verdict:
    """One hand goes up and down before the belly, the other is held out to its side at the height of the chest."""
    count = {}
    for name, h, o in (("left", "l", "r"), ("right", "r", "l")):
        neck = (s.hand_height(o) > -0.45) & (s.bend(o, "arm") < 150)
        sign = 1 if o == "l" else -1
        out = sign * s.hand(o)[:, 0] > 0.15
        belly = (s.hand_height(h) < -0.1) & (s.bend(h, "arm") < 140)
        count[name] = count_swings(s, h, ("up", "left"), amplitude, neck & out & belly)
    return Verdict(max(count.values()) >= 2 * times, _named(count, "half_swings"))


@predicate
def drums(s: Signals, times: int = 2, amplitude: float = 0.05) -> Verdict:
    """Both hands beat up and down before the body, each `times` times or more, not always at once."""
    beats = {name: count_swings(s, h, ("up",), amplitude, _front(s, h, 0.05) & (s.hand_height(h) < 0.25))
             for name, h in HANDS.items()}  # fmt: skip
    return Verdict(min(beats.values()) >= 2 * times - 1, _named(beats, "half_swings"))


@predicate
def plays_keys(s: Signals, seconds: float = 0.8) -> Verdict:
    """Both hands are over a keyboard in front, below the chest, elbows bent, and move along it or beat."""
    where = (s.bend("l", "arm") < 140) & (s.bend("r", "arm") < 140) & _front(s, "l") & _front(s, "r")
    where &= (s.hand_height("l") < -0.1) & (s.hand_height("r") < -0.1)
    moves = sum(count_swings(s, h, ("left", "up"), 0.015, where) for h in "lr")
    held = longest(where, gap=3)
    return Verdict(held >= seconds and moves >= 3, {"held_s": held, "half_swings": moves})


@predicate
def bows_violin(s: Signals, times: int = 2, amplitude: float = 0.08) -> Verdict:
    """One hand is held up in front of its shoulder, elbow bent; the other draws to and fro before the chest."""
    count = {}
    for name, h, o in (("left", "l", "r"), ("right", "r", "l")):
        held = (s.hand_height(o) > -0.25) & (s.bend(o, "arm") < 155) & _front(s, o, 0.05)
        where = held & (s.hand_height(h) > -0.45)
        count[name] = count_swings(s, h, ("left", "up", "forward"), amplitude, where)
    return Verdict(max(count.values()) >= 2 * times - 1, _named(count, "half_swings"))


@predicate
def conducts(s: Signals, times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A raised hand (or both) beats time before the chest: up and down, `times` times."""
    count = {name: count_swings(s, h, ("up", "left"), amplitude, _front(s, h, 0.0) & (s.hand_height(h) > -0.45))
             for name, h in HANDS.items()}  # fmt: skip
    return Verdict(max(count.values()) >= 2 * times - 1 and s.reach < 0.8, _named(count, "half_swings"))


@predicate
def swims(s: Signals, times: int = 1, amplitude: float = 0.35) -> Verdict:
    """Large arm strokes: each hand goes by `amplitude` up and down, or out and in, or forward and back."""
    strokes = {}
    for name, h in HANDS.items():
        strokes[name] = max(float(swings(s.arm(h)[:, axis], amplitude)) for axis in range(3))
    both = min(strokes.values())
    return Verdict(both >= 2 * times - 1, _named(strokes, "half_swings"))


@predicate
def swings_arms(s: Signals, times: int = 2, amplitude: float = 0.15) -> Verdict:
    """Both arms swing to and fro by `amplitude`, `times` times, without going anywhere."""
    count = {}
    for name, h in HANDS.items():
        count[name] = max(float(swings(s.arm(h)[:, axis], amplitude)) for axis in (0, 2))
    return Verdict(min(count.values()) >= 2 * times - 1 and s.reach < 0.8, _named(count, "half_swings"))
