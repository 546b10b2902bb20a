"""Predicates of locomotion: direction, speed, gaits and steps."""

from typing import Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.common import AnySide, OneSide, find_flights
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import runs_of

HOLD_FRAMES = int(FPS / 2)  # half a second
RUN_SPEED = 2.3  # m/s: above it every gait is a run
SLOWEST_RUN = 0.9  # m/s: below it no gait is a run
# Gait phase: nearly all walks lie below 0.05 and runs above 0.2, tired and old ones included. Between the two limits a
# gait may be called either.
RUN_PHASE, WALK_PHASE = 0.1, 0.32


def gait_phase(s: Signals) -> float:
    """Correlation of pelvis height with the distance between the feet.

    A walking body is lowest when the feet are apart (inverted pendulum: negative); a running one is highest then, as it
    flies (positive). It tells a slow jog from a brisk walk where speed cannot.
    """
    stance = np.linalg.norm((s.joints[:, 7] - s.joints[:, 8])[:, [0, 2]], axis=1)
    height = s.joints[:, 0, 1]
    if len(s) < 8 or np.std(stance) < 0.02 or np.std(height) < 0.003:
        return -1.0
    return float(np.corrcoef(stance, height)[0, 1])


def is_running(s: Signals, phase: float = RUN_PHASE) -> bool:
    """Faster than any walk, or at a moderate speed with the rise and fall of a run."""
    return s.travel_speed >= RUN_SPEED or (s.travel_speed >= SLOWEST_RUN and gait_phase(s) > phase)


def _upright(s: Signals) -> bool:
    return float(np.percentile(s.uprightness, 10)) > 0.4 and float(np.percentile(s.joints[:, 0, 1], 10)) > 0.5


def _steps(s: Signals) -> bool:
    """Whether one foot gets in front of the other and back, which jumps and slides of the body do not show."""
    return swings(s.local[:, 7, 2] - s.local[:, 8, 2], 0.1) >= 1


def _gait(s: Signals) -> dict[str, float]:
    return {
        "forward_m": s.gone_forward, "left_m": s.gone_left, "yaw_deg": s.net_yaw, "speed_mps": s.travel_speed,
        "gait_phase": gait_phase(s),
    }  # fmt: skip


@predicate
def travels_forward(s: Signals, distance: float = 0.6) -> Verdict:
    """Goes ahead in its own facing, on any course, on its feet, at any pace."""
    ok = s.gone_forward >= distance and abs(s.gone_left) < 0.5 * s.gone_forward and _upright(s)
    return Verdict(ok, _gait(s))


@predicate
def walks(s: Signals, distance: float = 0.6, most_speed: float = 99.0) -> Verdict:
    """Goes somewhere on its feet in any direction, slower than a run; `most_speed` in m/s for slow manners."""
    ok = s.path >= max(distance, 0.25 * s.seconds) and s.reach >= 0.5 * distance and _upright(s)
    ok = ok and not is_running(s, WALK_PHASE) and s.travel_speed <= most_speed
    return Verdict(ok, {**_gait(s), "path_m": s.path})


@predicate
def walks_forward(s: Signals, distance: float = 0.8, max_yaw: float = 45.0) -> Verdict:
    """Forward, hardly sideways, roughly straight, slower than a run."""
    ok = travels_forward(s, distance).passed and abs(s.gone_left) < 0.3 * s.gone_forward
    ok = ok and abs(s.net_yaw) <= max_yaw and not is_running(s, WALK_PHASE) and s.gone_forward > 0.7 * s.path
    ok = ok and _steps(s)
    return Verdict(ok, _gait(s))


@predicate
def walks_backward(s: Signals, distance: float = 0.5) -> Verdict:
    """Backward in its own facing, without turning round."""
    ok = s.gone_forward <= -distance and abs(s.gone_left) < 0.5 * -s.gone_forward and _upright(s)
    return Verdict(ok and abs(s.net_yaw) < 60 and _steps(s), _gait(s))


@predicate
def goes_sideways(s: Signals, side: OneSide, distance: float = 0.4) -> Verdict:
    """Drifts to `side` while the facing stays; pure side steps and slanting walks both count."""
    lateral = s.gone_left if side == "left" else -s.gone_left
    ok = lateral >= distance and lateral >= 0.3 * abs(s.gone_forward) and abs(s.net_yaw) < 45 and _upright(s)
    return Verdict(ok, _gait(s))


@predicate
def turns(s: Signals, side: OneSide, degrees: float = 40.0, most: float = 1e9) -> Verdict:
    """Net turn of the facing to `side` by at least `degrees` (and at most `most`), upright."""
    yaw = s.net_yaw if side == "left" else -s.net_yaw
    return Verdict(degrees <= yaw <= most and _upright(s), {"yaw_deg": s.net_yaw})


@predicate
def turns_around(s: Signals, degrees: float = 120.0, most: float = 250.0) -> Verdict:
    """Faces about the other way at some later moment."""
    away = float(np.abs(s.yaw - s.yaw[0]).max())
    return Verdict(degrees <= away and abs(s.net_yaw) <= most and _upright(s), {"largest_yaw_deg": away})


@predicate
def veers(s: Signals, side: OneSide, degrees: float = 20.0) -> Verdict:
    """Goes ahead on a course that bends to `side`: the path's direction, or the facing, changes by `degrees`."""
    third = max(len(s) // 4, 3)
    p = s.joints[:, 0][:, [0, 2]]
    first, last = p[third] - p[0], p[-1] - p[-1 - third]
    bend = np.rad2deg(np.arctan2(last[0], last[1]) - np.arctan2(first[0], first[1]))
    bend = float((bend + 180) % 360 - 180)
    sign = 1 if side == "left" else -1
    ok = s.gone_forward >= 0.6 and max(sign * bend, sign * s.net_yaw) >= degrees and _upright(s)
    return Verdict(ok, {"bend_deg": bend, **_gait(s)})


@predicate
def spins(s: Signals, degrees: float = 270.0) -> Verdict:
    """Turns through at least `degrees` about the vertical, upright, on the spot or nearly so."""
    swept = float(s.yaw.max() - s.yaw.min())
    return Verdict(swept >= degrees and float(np.median(s.uprightness)) > 0.4, {"swept_deg": swept})


@predicate
def runs(s: Signals, distance: float = 1.0, speed: float = SLOWEST_RUN) -> Verdict:
    """Goes ahead at a run: faster than any walk, or with the rise and fall of a run."""
    ok = s.gone_forward >= distance and is_running(s) and s.travel_speed >= speed
    ok = ok and float(np.median(s.uprightness)) > 0.4
    return Verdict(ok, _gait(s))


@predicate
def dashes(s: Signals, speed: float = 2.4) -> Verdict:
    """A fast run."""
    return runs(s, 1.0, speed)


@predicate
def stops(s: Signals, before: float = 0.6, after: float = 0.45) -> Verdict:
    """Was going at `before` m/s or more, and is below `after` at the end."""
    peak, end = float(s.speed.max()), float(s.speed[-4:].min())
    return Verdict(peak >= before and end <= min(after, 0.4 * peak), {"peak_mps": peak, "end_mps": end})


@predicate
def in_place(s: Signals, radius: float = 0.6) -> Verdict:
    """The pelvis stays within `radius` metres of where it began."""
    return Verdict(s.reach <= radius, {"reach_m": s.reach})


@predicate
def steps_in_place(s: Signals, times: int = 4, height: float = 0.08) -> Verdict:
    """Lifts the feet in turn without going anywhere (marching, jogging on the spot)."""
    counts = [swings(s.at(f"{side}_ankle")[:, 1], height) for side in "lr"]
    ok = s.reach <= 0.6 and min(counts) >= times
    return Verdict(ok, {"left_swings": float(counts[0]), "right_swings": float(counts[1]), "reach_m": s.reach})


ANKLE = {"left": 7, "right": 8}
TOE = {"left": 10, "right": 11}
KNEE = {"left": (4, 1), "right": (5, 2)}


# How often each foot leaves the ground: its ankle gets `height` over its own lowest place.
def _lifts(s: Signals, height: float) -> dict[str, int]:
    out = {}
    for name, ankle in ANKLE.items():
        y = s.joints[:, ankle, 1]
        out[name] = len(runs_of(y - np.percentile(y, 5) > height, gap=1))
    return out


@predicate
def marches(s: Signals, times: int = 2, drop: float = 0.3) -> Verdict:
    """The knees come up high in turn (thigh at least half way to level), each `times` times or more."""
    count = {n: len(runs_of(s.joints[:, k, 1] > s.joints[:, h, 1] - drop, gap=1)) for n, (k, h) in KNEE.items()}
    ok = min(count.values()) >= times and float(np.median(s.uprightness)) > 0.8
    return Verdict(ok, {f"{k}_lifts": float(v) for k, v in count.items()})


@predicate
def skips_along(s: Signals, times: int = 2, rise: float = 0.05) -> Verdict:
    """Goes ahead with a bounce: the pelvis springs up `times` times and both feet leave the floor."""
    bounces = swings(s.joints[:, 0, 1], rise)
    flights = len(find_flights(s, 0.03, 0.03))
    ok = bounces >= 2 * times and flights >= max(times - 1, 1) and s.path >= 0.6
    return Verdict(ok, {"half_bounces": float(bounces), "flights": float(flights), "path_m": s.path})


@predicate
def hops_on_one_leg(s: Signals, side: AnySide = "any", times: int = 1, most: int = 99, lift: float = 0.06) -> Verdict:
    """Springs off the floor `times` times while the foot of the other side never comes down in between."""
    flights = find_flights(s, 0.02, 0.02)
    count = {}
    for name, lifted in (("left", 8), ("right", 7)):
        up = s.joints[:, lifted, 1] - s.joints[:, ANKLE[name], 1] > lift
        count[name] = float(sum(bool(up[max(a - 2, 0) : b + 2].mean() > 0.6) for a, b in flights))
    value = count.get(side, max(count.values()))
    return Verdict(times <= value <= most, {f"{k}_hops": v for k, v in count.items()})


@predicate
def limps(s: Signals, side: AnySide = "any", ratio: float = 1.12) -> Verdict:
    """Goes along unevenly: one foot bears the weight for a shorter time, or the body sinks more over one leg.

    `side` is the leg that is spared: its time on the ground is the shorter one, or the pelvis is lower over it.
    """
    on = {n: float((s.velocity[:, a] < 0.35).mean()) for n, a in ANKLE.items()}
    times = {"left": (on["right"] + 0.02) / (on["left"] + 0.02), "right": (on["left"] + 0.02) / (on["right"] + 0.02)}
    ahead = {"left": s.local[:, 7, 2] - s.local[:, 8, 2], "right": s.local[:, 8, 2] - s.local[:, 7, 2]}
    stride = {n: float(np.percentile(x, 95)) for n, x in ahead.items()}
    uneven = max(stride.values()) / max(min(stride.values()), 0.03)
    trunk = s.local[:, 12] - s.local[:, 0]
    roll = np.rad2deg(np.arctan2(trunk[:, 0], trunk[:, 1]))
    dips = {"left": float(np.percentile(roll, 90)), "right": -float(np.percentile(roll, 10))}
    value = times.get(side, max(times.values()))
    sway = dips.get(side, max(dips.values()))
    ok = s.path >= 0.4 and (value >= ratio or (uneven >= 1.4 and sway > 2))
    values = {"left_ratio": times["left"], "right_ratio": times["right"], "stride_ratio": uneven, "sway_deg": sway}
    return Verdict(bool(ok), values)


@predicate
def on_tiptoe(s: Signals, share: float = 0.3, height: float = 0.105) -> Verdict:
    """The heels stay up: the lower ankle is above its standing height (0.065 to 0.085 m) in `share` of the frames."""
    low = np.minimum(s.joints[:, 7, 1], s.joints[:, 8, 1]) - s.floor
    got = float((low > height).mean())
    return Verdict(got >= share and float(s.clearance.max()) < 0.3, {"heels_up_share": got})


@predicate
def sneaks(s: Signals, most_speed: float = 0.95) -> Verdict:
    """Goes along slowly, knees bent or heels up, on its feet."""
    bent = float(np.median(np.maximum(s.bend("l", "leg"), s.bend("r", "leg"))))
    heels = on_tiptoe(s)
    ok = s.path >= 0.5 and s.reach >= 0.4 and s.travel_speed <= most_speed and float(np.median(s.uprightness)) > 0.6
    ok = ok and float(s.joints[:, 0, 1].min()) > 0.5 and (bent < 155 or heels.passed)
    return Verdict(ok, {"knee_deg": bent, "speed_mps": s.travel_speed, **heels.values})


@predicate
def steps_over(s: Signals, height: float = 0.22, distance: float = 0.3) -> Verdict:
    """Goes ahead with each foot, or one, lifted `height` over something on the ground."""
    lift = {n: float((s.joints[:, a, 1]).max() - np.percentile(s.joints[:, a, 1], 10)) for n, a in ANKLE.items()}
    moved = float(np.abs(s.net).max())
    ok = max(lift.values()) >= height and min(lift.values()) >= 0.4 * height and moved >= distance
    return Verdict(ok, {"left_m": lift["left"], "right_m": lift["right"], "moved_m": moved})


@predicate
def climbs_stairs(s: Signals, rise: float = 0.25, way: Literal["up", "down", "any"] = "any") -> Verdict:
    """The pelvis goes up (or down) by `rise` in steps, each foot set higher (lower) than before; upright.

    way: up, down, any.
    """
    y = s.joints[:, 0, 1]
    n = max(len(s) // 8, 2)
    gained = float(np.median(y[-n:]) - np.median(y[:n]))
    # The height that is kept for half a second: a jump does not climb.
    window = min(HOLD_FRAMES, len(y))
    highest = float(np.lib.stride_tricks.sliding_window_view(y, window).min(1).max() - np.median(y[:n]))
    feet = [float(s.joints[:, a, 1].max() - s.joints[:n, a, 1].min()) for a in ANKLE.values()]
    sunk = [float(s.joints[:n, a, 1].max() - s.joints[-n:, a, 1].min()) for a in ANKLE.values()]
    up = max(gained, highest) >= rise and min(feet) >= 0.6 * rise
    down = gained <= -rise and min(sunk) >= 0.6 * rise
    ok = {"up": up, "down": down}.get(way, up or down) and float(np.median(s.uprightness)) > 0.7
    return Verdict(
        bool(ok), {"gained_m": gained, "highest_m": highest, "left_foot_m": feet[0], "right_foot_m": feet[1]}
    )


@predicate
def climbs_ladder(s: Signals, times: int = 1, rise: float = 0.25) -> Verdict:
    """The body goes up (or down) by `rise` with the hands reaching over the shoulders in turn."""
    y = s.joints[:, 0, 1]
    hands = {h: swings(s.hand_height(h), 0.12) for h in "lr"}
    high = min(float(s.hand_height(h).max()) for h in "lr")
    ok = float(np.ptp(y)) >= rise and min(hands.values()) >= times and high > -0.05
    return Verdict(
        ok, {"rise_m": float(np.ptp(y)), "left_reaches": float(hands["l"]), "right_reaches": float(hands["r"])}
    )


@predicate
def sidesteps(s: Signals, side: AnySide = "any", distance: float = 0.25) -> Verdict:
    """Moves to `side` (left, right, any) with the face to the front, at least `distance` at the farthest."""
    x = s.joints[:, 0, 0] - s.joints[0, 0, 0]
    gone = {"left": float(x.max()), "right": -float(x.min())}
    value = gone.get(side, max(gone.values()))
    straight = float(np.ptp(s.joints[:, 0, 2])) < max(value, 0.3) and abs(s.net_yaw) < 45
    return Verdict(value >= distance and straight, {f"{k}_m": v for k, v in gone.items()})


@predicate
def steps_side_to_side(s: Signals, times: int = 3, width: float = 0.08) -> Verdict:
    """The body goes from side to side by `width`, `times` times, the feet stepping along: a simple dance."""
    count = swings(s.joints[:, 0, 0], width)
    feet = _lifts(s, 0.015)
    ok = count >= times and max(feet.values()) >= 1
    return Verdict(ok, {"sways": float(count), **{f"{k}_lifts": float(v) for k, v in feet.items()}})


@predicate
def cadence(s: Signals, least: float = 0.0, most: float = 99.0) -> Verdict:
    """Steps per second (half-swings of the feet's distance along the course) between `least` and `most`."""
    gap = s.local[:, 7, 2] - s.local[:, 8, 2]
    rate = swings(gap, 0.12) / max(len(s) / FPS, 0.1)
    return Verdict(least <= rate <= most, {"steps_per_s": rate})
