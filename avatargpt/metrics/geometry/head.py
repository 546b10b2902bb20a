"""Predicates about the head and the shoulders: nodding, shaking the head, looking about, shrugging."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import Signals, longest, swings
from avatargpt.metrics.geometry.predicates import Verdict, predicate


def _face(s: Signals) -> np.ndarray:
    """(T,) where the face points about the vertical, degrees from the first facing; left is positive."""
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
def looks(s: Signals, side: str, degrees: float = 20.0) -> Verdict:
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
    held = longest(pitch[0] - pitch > degrees)
    return Verdict(held >= seconds, {"up_s": held})
