"""Predicates about arms, hands that go to and fro, the head and the shoulders."""

from typing import Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.common import (
    HANDS,
    AnySide,
    Side,
    forearm_rise,
    of_side,
    thrusts,
    together,
    wave_swings,
    with_unit,
)
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import longest, runs_of


# The letters of the hands meant by `side` and of the hand that should stay down.
def _chosen(side: str) -> tuple[list[str], list[str]]:
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
    up, down = _chosen(side)
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
def hand_over_head(s: Signals, side: Side = "any", height: float = 0.05) -> Verdict:
    """The wrist of `side` gets over the head joint by `height`; says nothing about the other hand."""
    tops = {name: float(s.hand_over_head(h).max()) for name, h in HANDS.items()}
    return Verdict(of_side(tops, side) >= height, with_unit(tops, "over_head_m"))


@predicate
def waves(s: Signals, side: Side = "any", swings_at_least: int = 4, amplitude: float = 0.022) -> Verdict:
    """A hand at shoulder height or above goes to and fro (`swings_at_least` half-swings); the other one does not."""
    if side == "any":
        return _any_side(waves, s, swings_at_least=swings_at_least, amplitude=amplitude)
    up, down = _chosen(side)
    count = {h: wave_swings(s, h, amplitude) for h in "lr"}
    ok = all(count[h] >= swings_at_least for h in up)
    ok = ok and all(count[h] < swings_at_least or float(s.hand_height(h).max()) < -0.1 for h in down)
    ok = ok and all(float(np.percentile(s.hand_height(h), 90)) < 0.1 for h in down)
    return Verdict(ok, {"left_swings": float(count["l"]), "right_swings": float(count["r"])})


# (T,) horizontal distance of wrist from shoulder.
def _extended(s: Signals, hand: str) -> np.ndarray:
    return np.linalg.norm(s.arm(hand)[:, [0, 2]], axis=1)


@predicate
def holds_out_hand(s: Signals, side: Side = "any", seconds: float = 0.3) -> Verdict:
    """An arm is stretched away from the body, hand between hip and head, for a while: showing the way, inviting."""
    if side == "any":
        return _any_side(holds_out_hand, s, seconds=seconds)
    up, down = _chosen(side)
    duration = {}
    for h in "lr":
        mask = (_extended(s, h) >= 0.25) & (s.hand_height(h) > -0.42) & (s.hand_height(h) < 0.2)
        duration[h] = max((b - a for a, b in runs_of(mask, gap=1)), default=0) / FPS
    ok = all(duration[h] >= seconds for h in up) and s.reach < 0.7
    ok = ok and all(float(s.hand_over_head(h).max()) < 0.1 for h in up)
    ok = ok and all(float(np.percentile(s.hand_height(h), 75)) < -0.1 for h in down)
    ok = ok and all(wave_swings(s, h, 0.05) < 5 for h in up)
    return Verdict(ok, {"left_held_s": duration["l"], "right_held_s": duration["r"]})


@predicate
def hand_at_face(s: Signals, seconds: float = 0.3, distance: float = 0.3) -> Verdict:
    """A wrist near the head for a while: calling, shouting, salute, phone."""
    gaps = [np.linalg.norm(s.at(f"{h}_wrist") - s.at("head"), axis=1) for h in "lr"]
    durations = [float((gap < distance).sum()) / FPS for gap in gaps]
    return Verdict(max(durations) >= seconds, {"left_s": durations[0], "right_s": durations[1]})


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
def calls_out(s: Signals) -> Verdict:
    """Stays in place and either leans forward with the hands up before the body, or holds a hand by the mouth."""
    lean = float(np.percentile(s.pitch, 95) - np.median(s.pitch[: max(len(s) // 8, 2)]))
    top = max(float(s.hand_height(h).max()) for h in "lr")
    at_face = hand_at_face(s)
    ok = s.reach < 0.7 and ((lean >= 12 and top > -0.2) or at_face.passed)
    return Verdict(ok, {"lean_deg": lean, "hand_m": top, **at_face.values})


@predicate
def circles_arms(s: Signals, times: int = 2) -> Verdict:
    """Both hands go from low to high and back `times` times (circles, flapping)."""
    count = [swings(s.hand_height(h), 0.45) for h in "lr"]
    return Verdict(min(count) >= 2 * times, {"left_swings": float(count[0]), "right_swings": float(count[1])})


AXES = {"left": 0, "up": 1, "forward": 2}


def count_swings(s: Signals, hand: str, axes: tuple[str, ...], amplitude: float, where: np.ndarray) -> float:
    """Most half-swings of one hand (l or r) along any of `axes` within one stretch of `where`."""
    arm = s.arm(hand)
    counts = [swings(arm[a:b, AXES[axis]], amplitude) for a, b in runs_of(where, gap=4) for axis in axes]
    return float(max(counts, default=0))


def _front(s: Signals, hand: str, min_reach: float = 0.1) -> np.ndarray:
    return s.arm(hand)[:, 2] > min_reach


@predicate
def wipes(s: Signals, side: Side = "any", times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A hand before the body at the height of a table goes to and fro level, `times` times there and back."""
    count = {}
    for name, h in HANDS.items():
        where = _front(s, h) & (s.hand_over_floor(h) > 0.55) & (s.hand_over_floor(h) < 1.25)
        level = max((count_swings(s, h, (axis,), amplitude, where) for axis in ("left", "forward")), default=0)
        vertical = count_swings(s, h, ("up",), amplitude, where)
        count[name] = level if level >= vertical else 0.0
    return Verdict(of_side(count, side) >= 2 * times - 1, with_unit(count, "half_swings"))


@predicate
def wipes_wall(s: Signals, side: Side = "any", times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A hand before the body, from the chest up, goes to and fro sideways or up and down: washing a window."""
    count = {}
    for name, h in HANDS.items():
        where = _front(s, h, 0.15) & (s.hand_height(h) > -0.4)
        count[name] = count_swings(s, h, ("left", "up"), amplitude, where)
    return Verdict(of_side(count, side) >= 2 * times - 1, with_unit(count, "half_swings"))


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
def saws(s: Signals, side: Side = "any", times: int = 3, amplitude: float = 0.08) -> Verdict:
    """A hand between hip and shoulder goes forward and back along a line, `times` times."""
    count = {}
    for name, h in HANDS.items():
        where = (s.hand_height(h) < 0.0) & (s.arm(h)[:, 2] > -0.15)
        along = count_swings(s, h, ("forward",), amplitude, where)
        count[name] = along if along >= count_swings(s, h, ("left",), amplitude, where) else 0.0
    return Verdict(of_side(count, side) >= 2 * times - 1 and s.reach < 0.7, with_unit(count, "half_swings"))


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
    return Verdict(max(count.values()) >= 2 * times, with_unit(count, "half_swings"))


@predicate
def drums(s: Signals, times: int = 2, amplitude: float = 0.05) -> Verdict:
    """Both hands beat up and down before the body, each `times` times or more, not always at once."""
    beats = {name: count_swings(s, h, ("up",), amplitude, _front(s, h, 0.05) & (s.hand_height(h) < 0.25))
             for name, h in HANDS.items()}  # fmt: skip
    return Verdict(min(beats.values()) >= 2 * times - 1, with_unit(beats, "half_swings"))


@predicate
def plays_keys(s: Signals, seconds: float = 0.8) -> Verdict:
    """Both hands are over a keyboard in front, below the chest, elbows bent, and move along it or beat."""
    where = (s.bend("l", "arm") < 140) & (s.bend("r", "arm") < 140) & _front(s, "l") & _front(s, "r")
    where &= (s.hand_height("l") < -0.1) & (s.hand_height("r") < -0.1)
    moves = sum(count_swings(s, h, ("left", "up"), 0.015, where) for h in "lr")
    duration = longest(where, gap=3)
    return Verdict(duration >= seconds and moves >= 3, {"held_s": duration, "half_swings": moves})


@predicate
def bows_violin(s: Signals, times: int = 2, amplitude: float = 0.08) -> Verdict:
    """One hand is held up in front of its shoulder, elbow bent; the other draws to and fro before the chest."""
    count = {}
    for name, h, o in (("left", "l", "r"), ("right", "r", "l")):
        holding = (s.hand_height(o) > -0.25) & (s.bend(o, "arm") < 155) & _front(s, o, 0.05)
        where = holding & (s.hand_height(h) > -0.45)
        count[name] = count_swings(s, h, ("left", "up", "forward"), amplitude, where)
    return Verdict(max(count.values()) >= 2 * times - 1, with_unit(count, "half_swings"))


@predicate
def conducts(s: Signals, times: int = 2, amplitude: float = 0.08) -> Verdict:
    """A raised hand (or both) beats time before the chest: up and down, `times` times."""
    count = {name: count_swings(s, h, ("up", "left"), amplitude, _front(s, h, 0.0) & (s.hand_height(h) > -0.45))
             for name, h in HANDS.items()}  # fmt: skip
    return Verdict(max(count.values()) >= 2 * times - 1 and s.reach < 0.8, with_unit(count, "half_swings"))


@predicate
def swims(s: Signals, times: int = 1, amplitude: float = 0.35) -> Verdict:
    """Large arm strokes: each hand goes by `amplitude` up and down, or out and in, or forward and back."""
    strokes = {}
    for name, h in HANDS.items():
        strokes[name] = max(float(swings(s.arm(h)[:, axis], amplitude)) for axis in range(3))
    both = min(strokes.values())
    return Verdict(both >= 2 * times - 1, with_unit(strokes, "half_swings"))


@predicate
def swings_arms(s: Signals, times: int = 2, amplitude: float = 0.15) -> Verdict:
    """Both arms swing to and fro by `amplitude`, `times` times, without going anywhere."""
    count = {}
    for name, h in HANDS.items():
        count[name] = max(float(swings(s.arm(h)[:, axis], amplitude)) for axis in (0, 2))
    return Verdict(min(count.values()) >= 2 * times - 1 and s.reach < 0.8, with_unit(count, "half_swings"))


# (T,) where the face points about the vertical, degrees from the first facing; left is positive.
def _face(s: Signals) -> np.ndarray:
    across = s.joints[:, 16] - s.joints[:, 17]
    chest = np.rad2deg(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])))
    return chest + s.head_turn[1]


@predicate
def nods(s: Signals, times: int = 1, most: int = 99, degrees: float = 8.0) -> Verdict:
    """The face goes down against the chest by `degrees` and up again, `times` times (`most` at most), trunk still."""
    pitch, yaw = s.head_turn
    count = swings(pitch, degrees)
    steady = float(np.percentile(s.pitch, 95) - np.percentile(s.pitch, 5)) < 14
    ok = 2 * times <= count <= 2 * most + 2 and np.ptp(pitch) >= np.ptp(yaw) and steady
    return Verdict(
        bool(ok), {"half_swings": float(count), "pitch_deg": float(np.ptp(pitch)), "yaw_deg": float(np.ptp(yaw))}
    )


@predicate
def shakes_head(s: Signals, times: int = 1, most: int = 99, degrees: float = 9.0) -> Verdict:
    """The face goes from side to side against the chest by `degrees`, there and back `times` times."""
    pitch, yaw = s.head_turn
    count = swings(yaw, degrees)
    ok = 2 * times <= count <= 2 * most + 2 and np.ptp(yaw) >= np.ptp(pitch) and yaw.max() > 3 > -3 > yaw.min()
    return Verdict(
        bool(ok), {"half_swings": float(count), "pitch_deg": float(np.ptp(pitch)), "yaw_deg": float(np.ptp(yaw))}
    )


@predicate
def looks_around(s: Signals, degrees: float = 20.0, net: float = 60.0) -> Verdict:
    """The face turns by `degrees` to either side while the body keeps its course (turned by less than `net`)."""
    face = _face(s)
    course = np.linspace(face[0], face[0] + s.net_yaw, len(face))
    left, right = float((face - course).max()), float((course - face).max())
    ok = left >= degrees and right >= degrees and abs(s.net_yaw) < net
    return Verdict(ok, {"left_deg": left, "right_deg": right})


@predicate
def looks(s: Signals, side: Literal["left", "right", "up", "down"], degrees: float = 20.0) -> Verdict:
    """The face turns by `degrees` to `side` (left, right, up, down) at some time."""
    pitch = s.head_turn[0]
    face = _face(s)
    turned = {"left": float((face - face[0]).max()), "right": float((face[0] - face).max()),
              "down": float((pitch - pitch[0]).max()), "up": float((pitch[0] - pitch).max())}  # fmt: skip
    return Verdict(turned[side] >= degrees, {f"{k}_deg": v for k, v in turned.items()})


@predicate
def shrugs(s: Signals, times: int = 1, most: int = 99, rise: float = 0.02) -> Verdict:
    """Both shoulders go up against the chest by `rise` metres and down again, `times` times."""
    lift = [s.joints[:, shoulder, 1] - s.joints[:, 9, 1] for shoulder in (16, 17)]
    count = min(swings(x, rise) for x in lift)
    top = min(float(np.ptp(x)) for x in lift)
    ok = 2 * times - 1 <= count <= 2 * most + 1 and float(s.uprightness.min()) > 0.7 and s.reach < 0.7
    return Verdict(ok, {"half_swings": float(count), "rise_m": top})


@predicate
def faces_up(s: Signals, degrees: float = 15.0, seconds: float = 0.2) -> Verdict:
    """The face is lifted against the chest by `degrees` from the start for `seconds`."""
    pitch = s.head_turn[0]
    duration = longest(pitch[0] - pitch > degrees)
    return Verdict(duration >= seconds, {"up_s": duration})
