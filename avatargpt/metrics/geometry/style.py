"""Predicates about manner: in comparison with a neutral rendition of the same action."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry.predicates import Verdict, predicate


def pace(s: Signals) -> float:
    """How fast a clip is: travel speed where it goes somewhere, else the 90th percentile of wrist speed, m/s."""
    if s.path >= 1.0 and s.reach >= 0.8:
        return s.travel_speed
    return float(np.percentile(s.relative_velocity[:, [20, 21]].max(1), 90))


def _ratio(s: Signals, reference: Signals) -> float:
    return pace(s) / max(pace(reference), 1e-3)


@predicate
def slower(s: Signals, reference: Signals, factor: float = 0.88) -> Verdict:
    """Pace at most `factor` of the neutral one."""
    ratio = _ratio(s, reference)
    return Verdict(ratio <= factor, {"pace_ratio": ratio})


@predicate
def faster(s: Signals, reference: Signals, factor: float = 1.1) -> Verdict:
    """Pace at least `factor` of the neutral one."""
    ratio = _ratio(s, reference)
    return Verdict(ratio >= factor, {"pace_ratio": ratio})


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
    return _compare("stance", _apart(s, 7, 8), _apart(reference, 7, 8), factor)


@predicate
def wider_arms(s: Signals, reference: Signals, factor: float = 1.1) -> Verdict:
    """The hands are held further from the body's middle than in the neutral rendition."""
    return _compare("arms", _apart(s, 20, 21), _apart(reference, 20, 21), factor)


def _apart(s: Signals, left: int, right: int) -> float:
    return float(np.median(np.abs(s.local[:, left, 0] - s.local[:, right, 0])))


def _compare(name: str, value: float, neutral: float, factor: float) -> Verdict:
    ratio = value / max(neutral, 1e-3)
    return Verdict(ratio >= factor, {f"{name}_ratio": ratio})
