"""Predicates of locomotion: direction, speed, gaits and steps."""

from typing import Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.common import AnySide, OneSide, find_flights, stance
from avatargpt.metrics.geometry.predicates import Verdict, predicate

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
    apart = stance(s)
    height = s.joints[:, 0, 1]
    if len(s) < 8 or np.std(apart) < 0.02 or np.std(height) < 0.003:
        return -1.0
    return float(np.corrcoef(apart, height)[0, 1])


def is_running(s: Signals, phase: float = RUN_PHASE) -> bool:
    """Faster than any walk, or at a moderate speed with the rise and fall of a run."""
    return s.travel_speed >= RUN_SPEED or (s.travel_speed >= SLOWEST_RUN and gait_phase(s) > phase)


def is_upright(s: Signals) -> bool:
    return float(np.percentile(s.uprightness, 10)) > 0.4 and float(np.percentile(s.joints[:, 0, 1], 10)) > 0.5


def has_steps(s: Signals) -> bool:
    """Whether one foot gets in front of the other and back, which jumps and slides of the body do not show."""
    return swings(s.local[:, 7, 2] - s.local[:, 8, 2], 0.1) >= 1


@predicate
def veers(s: Signals, side: OneSide, degrees: float = 20.0) -> Verdict:
    """Goes ahead on a course that bends to `side`: the path's direction, or the facing, changes by `degrees`."""
    third = max(len(s) // 4, 3)
    p = s.joints[:, 0][:, [0, 2]]
    first, last = p[third] - p[0], p[-1] - p[-1 - third]
    bend = np.rad2deg(np.arctan2(last[0], last[1]) - np.arctan2(first[0], first[1]))
    bend = float((bend + 180) % 360 - 180)
    sign = 1 if side == "left" else -1
    ok = s.gone_forward >= 0.6 and max(sign * bend, sign * s.net_yaw) >= degrees and is_upright(s)
    return Verdict(ok, {
        "bend_deg": bend, "forward_m": s.gone_forward, "left_m": s.gone_left, "yaw_deg": s.net_yaw,
        "speed_mps": s.travel_speed, "gait_phase": gait_phase(s),
    })  # fmt: skip


ANKLE = {"left": 7, "right": 8}


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
