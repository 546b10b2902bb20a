"""Predicates of distance, speed, direction and manner, the last by comparison with a neutral rendition."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry.common import AnySide, Direction, direction, stance
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.errors import UserError


@predicate
def turned(s: Signals, side: AnySide, degrees: float, within: float = 20.0) -> Verdict:
    """The facing has turned to `side` (left, right, any) by `degrees`, `within` degrees more or less, at the end."""
    yaw = {"left": s.net_yaw, "right": -s.net_yaw}.get(side, abs(s.net_yaw))
    return Verdict(abs(yaw - degrees) <= within, {"yaw_deg": s.net_yaw})


@predicate
def heads(s: Signals, to: Direction, within: float = 20.0, distance: float = 0.4) -> Verdict:
    """The body ends `distance` metres from where it began, towards `to` as seen from its first facing.

    to: words of `hands.DIRECTIONS` in the plane, also joined: ``forward left``. within: degrees.
    """
    off = off_course(s, to)
    return Verdict(s.net_distance >= distance and off <= within, {"off_deg": off, "distance_m": s.net_distance})


def off_course(s: Signals, to: str) -> float:
    """Degrees between where the body gets to and a direction in the plane, as seen from its first facing."""
    aim = direction(to)[[0, 2]]
    cosine = s.net @ aim / max(s.net_distance, 1e-6) / np.linalg.norm(aim)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


@predicate
def hands_rest(s: Signals, side: Literal["left", "right", "both"] = "both", height: float = -0.25) -> Verdict:
    """The hand of `side` (left, right, both) never gets over `height` from its shoulder."""
    sides = {"left": "l", "right": "r"}.get(side, "lr")
    top = max(float(s.hand_height(h).max()) for h in sides)
    return Verdict(top <= height, {"top_m": top})


# Largest extent of a raised wrist's way about its shoulder, m; of the way sideways and in depth.
def _hand_range(s: Signals) -> float:
    extents = [0.0]
    for h in "lr":
        raised = s.arm(h)[s.hand_height(h) > -0.2]
        if len(raised) > 3:
            extents.append(float(np.max(np.percentile(raised, 95, 0) - np.percentile(raised, 5, 0))))
    return max(extents)


MEASURES: dict[str, Callable[[Signals], float]] = {
    "speed": lambda s: float(np.percentile(s.velocity.max(1), 90)),  # of the fastest joint, m/s
    "travel": lambda s: s.travel_speed,
    "step": lambda s: float(np.percentile(stance(s), 95)),  # distance of the ankles in the plane, m
    "hand_range": _hand_range,
    "hand_height": lambda s: float(max(s.hand_over_floor(h).max() for h in "lr")),  # of the highest wrist, m
    "jump": lambda s: float(s.clearance.max()),
    "drop": lambda s: float(np.percentile(s.joints[:, 0, 1], 95) - s.joints[:, 0, 1].min()),  # of the pelvis, m
    "lean": lambda s: float(s.pitch.max() - np.median(s.pitch[: max(len(s) // 8, 2)])),  # forward, degrees
    "foot_height": lambda s: float(s.joints[:, [7, 8], 1].max() - s.floor),  # of the highest ankle, m
    "nod": lambda s: float(np.ptp(s.head_turn[0])),  # up and down against the chest, degrees
    "turn_rate": lambda s: float(np.abs(np.gradient(s.yaw)).max() * 20) if len(s) > 1 else 0.0,  # degrees per second
}


def measure(what: str) -> Callable[[Signals], float]:
    """The measure of that name; raises UserError for an unknown one."""
    if what not in MEASURES:
        raise UserError(f"nothing measures {what!r}; accepted: {', '.join(MEASURES)}")
    return MEASURES[what]


@predicate
def compared(s: Signals, reference: Signals, what: Annotated[str, measure], factor: float) -> Verdict:
    """A measure (`MEASURES`) is at least `factor` times that of the other rendition; at most, for factors below 1."""
    ratio = measure(what)(s) / max(measure(what)(reference), 1e-6)
    return Verdict(ratio >= factor if factor > 1 else ratio <= factor, {f"{what}_ratio": ratio})


def pace(s: Signals) -> float:
    """How fast a clip is: travel speed where it goes somewhere, else the 90th percentile of wrist speed, m/s."""
    if s.path >= 1.0 and s.reach >= 0.8:
        return s.travel_speed
    return float(np.percentile(s.relative_velocity[:, [20, 21]].max(1), 90))


@predicate
def slower(s: Signals, reference: Signals, factor: float = 0.88) -> Verdict:
    """Pace at most `factor` of the neutral one."""
    ratio = pace(s) / max(pace(reference), 1e-3)
    return Verdict(ratio <= factor, {"pace_ratio": ratio})


@predicate
def faster(s: Signals, reference: Signals, factor: float = 1.1) -> Verdict:
    """Pace at least `factor` of the neutral one."""
    return _compare("pace", pace(s), pace(reference), factor)


@predicate
def stooped(s: Signals, reference: Signals, degrees: float = 5.0) -> Verdict:
    """The trunk, or the head before it, is bent further forward than in the neutral rendition."""
    def posture(x: Signals) -> tuple[float, float]:
        head = x.local[:, 15] - x.local[:, 9]
        return float(np.median(x.pitch)), float(np.median(np.rad2deg(np.arctan2(head[:, 2], head[:, 1]))))

    trunk, head = (a - b for a, b in zip(posture(s), posture(reference), strict=True))
    return Verdict(trunk >= degrees or head >= 1.5 * degrees, {"trunk_deg": trunk, "head_deg": head})


@predicate
def erect(s: Signals, reference: Signals, degrees: float = 2.0) -> Verdict:
    """The trunk is held further back than in the neutral rendition."""
    lean = float(np.median(s.pitch) - np.median(reference.pitch))
    return Verdict(lean <= -degrees, {"trunk_deg": lean})


@predicate
def wider_stance(s: Signals, reference: Signals, factor: float = 1.3) -> Verdict:
    """The feet are further apart sideways than in the neutral rendition."""
    return _compare("stance", _width(s, 7, 8), _width(reference, 7, 8), factor)


@predicate
def wider_arms(s: Signals, reference: Signals, factor: float = 1.1) -> Verdict:
    """The hands are held further from the body's middle than in the neutral rendition."""
    return _compare("arms", _width(s, 20, 21), _width(reference, 20, 21), factor)


def _width(s: Signals, left: int, right: int) -> float:
    return float(np.median(np.abs(s.local[:, left, 0] - s.local[:, right, 0])))


def _compare(name: str, value: float, neutral: float, factor: float) -> Verdict:
    ratio = value / max(neutral, 1e-3)
    return Verdict(ratio >= factor, {f"{name}_ratio": ratio})
