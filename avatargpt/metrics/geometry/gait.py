"""Predicates about where the body goes and how fast."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import Signals, swings
from avatargpt.metrics.geometry.predicates import Verdict, predicate

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
    apart = np.linalg.norm((s.joints[:, 7] - s.joints[:, 8])[:, [0, 2]], axis=1)
    height = s.joints[:, 0, 1]
    if len(s) < 8 or np.std(apart) < 0.02 or np.std(height) < 0.003:
        return -1.0
    return float(np.corrcoef(apart, height)[0, 1])


def is_running(s: Signals, phase: float = RUN_PHASE) -> bool:
    """Faster than any walk, or at a moderate speed with the rise and fall of a run."""
    return s.travel_speed >= RUN_SPEED or (s.travel_speed >= SLOWEST_RUN and gait_phase(s) > phase)


def _upright(s: Signals) -> bool:
    return float(np.percentile(s.uprightness, 10)) > 0.4 and float(np.percentile(s.joints[:, 0, 1], 10)) > 0.5


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
    return Verdict(ok, _gait(s))


@predicate
def walks_backward(s: Signals, distance: float = 0.5) -> Verdict:
    """Backward in its own facing, without turning round."""
    ok = s.gone_forward <= -distance and abs(s.gone_left) < 0.5 * -s.gone_forward and _upright(s)
    return Verdict(ok and abs(s.net_yaw) < 60, _gait(s))


@predicate
def goes_sideways(s: Signals, side: str, distance: float = 0.4) -> Verdict:
    """Drifts to `side` while the facing stays; pure side steps and slanting walks both count."""
    lateral = s.gone_left if side == "left" else -s.gone_left
    ok = lateral >= distance and lateral >= 0.3 * abs(s.gone_forward) and abs(s.net_yaw) < 45 and _upright(s)
    return Verdict(ok, _gait(s))


@predicate
def turns(s: Signals, side: str, degrees: float = 40.0, most: float = 1e9) -> Verdict:
    """Net turn of the facing to `side` by at least `degrees` (and at most `most`), upright."""
    yaw = s.net_yaw if side == "left" else -s.net_yaw
    return Verdict(degrees <= yaw <= most and _upright(s), {"yaw_deg": s.net_yaw})


@predicate
def turns_around(s: Signals, degrees: float = 120.0, most: float = 250.0) -> Verdict:
    """Faces about the other way at some later moment."""
    away = float(np.abs(s.yaw - s.yaw[0]).max())
    return Verdict(degrees <= away and abs(s.net_yaw) <= most and _upright(s), {"largest_yaw_deg": away})


@predicate
def veers(s: Signals, side: str, degrees: float = 20.0) -> Verdict:
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
