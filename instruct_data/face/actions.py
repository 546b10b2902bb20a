"""The actions of ``actions.yaml`` as key poses in time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import arkit
from vqvae.io.data_files import read_yaml

SIZE = arkit.COUNT + 5  # weights, head yaw pitch roll (radians), gaze x y
DEGREES = np.pi / 180
FOLDER = Path(__file__).parent
# Measured times run from 10 to 90 % of the way, which is this share of a ramp with soft ends (3x^2 - 2x^3).
FITTED_SHARE = 0.61
# Lids snap: their measured ways are closer to straight lines.
LID_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class Action:
    """What one action does at intensity 1; (57,) poses hold weights, head angles in radians and gaze."""

    name: str  # as in scores
    form: str  # ``hold``, ``keys``, ``cycle``, ``pulse``, ``close`` (shuts the mouth) or ``neutral`` (ends all)
    gain: float  # exponent of the intensity
    hold: np.ndarray  # (57,) pose that is held
    keys: tuple[tuple[float, np.ndarray], ...]  # (share of the time, pose) of ``keys``, ``cycle`` and ``pulse``
    yields: np.ndarray  # (52,) share of an emotion's weight that gives way
    # rise, fall: seconds of the whole way, lower quartile and median
    rise: tuple[float, float]
    fall: tuple[float, float]
    rate: float  # cycles per second when the score names no count
    counted: bool  # one repeat is one cycle; otherwise one repeat may hold many
    through: bool  # the rhythm passes its rest pose without stopping
    # Intensities and shares of the full pose, instead of `gain` where given
    curve: tuple[tuple[float, float], ...] = ()

    def level(self, intensity: float) -> float:
        """Share of the full pose at this intensity; rises strictly."""
        if self.curve:
            intensities, shares = np.array(self.curve).T
            return float(np.interp(intensity, intensities, shares))
        return float(intensity**self.gain)


def pose(spec: dict[str, Any]) -> np.ndarray:
    """``{shapes, head, gaze}`` in the file's units -> (57,)."""
    out = np.zeros(SIZE)
    for shape, amount in (spec.get("shapes") or {}).items():
        for name in arkit.expand(shape):
            out[arkit.INDEX[name]] = amount
    for axis, name in enumerate(("yaw", "pitch", "roll")):
        out[arkit.COUNT + axis] = (spec.get("head") or {}).get(name, 0) * DEGREES
    for axis, name in enumerate("xy"):
        out[arkit.COUNT + 3 + axis] = (spec.get("gaze") or {}).get(name, 0)
    return out


def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = read_yaml(FOLDER / name)
    return data


@cache
def load_fitted() -> dict[str, Any]:
    """Statistics of real takes (``scripts/fit_faces.py``)."""
    return _read("fitted.yaml")


def _times(group: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Seconds of rise and fall of a group of actions, lower quartile and median each."""
    if group == "blink":
        rise, fall, share = (
            load_fitted()["blinks"]["closing_seconds"],
            load_fitted()["blinks"]["opening_seconds"],
            LID_SHARE,
        )
        return (rise[0] / share, rise[1] / share), (fall[0] / share, fall[1] / share)
    by_hand = _read("timing.yaml")
    if group in by_hand:
        rise, fall, share = by_hand[group]["rise"], by_hand[group]["fall"], 1.0
    else:
        measured = load_fitted()["movements"].get(group, load_fitted()["movements"]["lips"])
        rise, fall, share = measured["rise"], measured["fall"], FITTED_SHARE
    return (rise[0] / share, rise[1] / share), (fall[0] / share, fall[1] / share)


def _action(name: str, e: dict[str, Any]) -> Action:
    form = e.get("form") or next((f for f in ("keys", "cycle", "pulse") if f in e), "hold")
    if form == "pulse":
        keys: list[Any] = [(0.0, pose(e["pulse"]))]
    else:
        keys = [(float(at), pose(spec)) for at, spec in e.get(form, [])] if form in ("keys", "cycle") else []
    rise, fall = _times(e["group"])
    yields = np.zeros(arkit.COUNT)
    for shape, share in e["yields"].items():
        for full in arkit.expand(shape):
            yields[arkit.INDEX[full]] = share
    return Action(
        name, form, float(e.get("gain", 1)), pose(e), tuple(keys), yields, rise, fall, float(e.get("rate", 0)),
        bool(e.get("counted", False)), bool(e.get("through", False)),
        tuple((float(k), float(v)) for k, v in e.get("curve", {}).items()),
    )  # fmt: skip


@cache
def actions() -> dict[str, Action]:
    """Every action by name."""
    return {name: _action(name, e) for name, e in _read("actions.yaml").items()}


@cache
def _names() -> tuple[str, ...]:
    return tuple(actions())


def action_names() -> list[str]:
    """All names, in the file's order."""
    return list(_names())
