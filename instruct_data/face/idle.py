"""What a face does when it does nothing: blinks, small eye movements, drift of the head, breath, tiny unrest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.face.actions import LID_SHARE, SIZE, fitted
from instruct_data.face.aus import DEGREES
from instruct_data.face.tracks import ease
from vqvae import arkit

# The takes show 15 blinks a minute as median; the eyes jump more often in them than a calm listener's do, because they
# are performances: every third jump is taken.
JUMP_SHARE = 0.35
TOP_SECONDS = 0.02  # a lid stays closed in passing
GAZE_LARGEST = 0.22
SWAY_DEGREES = np.array([1.3, 0.9, 0.7])  # standard deviation of yaw, pitch, roll
BREATHS_PER_MINUTE = 15.0
UNREST = {"brow": 0.006, "eyeSquint": 0.005, "mouth": 0.004, "cheek": 0.003, "nose": 0.003}
_REGION = np.array([next((v for k, v in UNREST.items() if n.startswith(k)), 0.0) for n in arkit.NAMES])
BLINK = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
DOWN = [arkit.INDEX["eyeLookDownLeft"], arkit.INDEX["eyeLookDownRight"]]


@dataclass(frozen=True)
class Liveliness:
    """How lively a face is over time, all (T,) factors, 1 = ordinary.

    Attributes:
        blinks: rate of blinks; 0 where none may fall.
        darts: rate of eye movements.
        sway: size of the head's drift.
    """

    blinks: np.ndarray
    darts: np.ndarray
    sway: np.ndarray


def smooth_noise(t: np.ndarray, rng: np.random.Generator, count: int, slow: float, fast: float) -> np.ndarray:
    """(T, count) noise of about unit variance: two layers of random values every `slow` and `fast` seconds, joined
    softly."""
    out = np.zeros((len(t), count))
    for period, weight in ((slow, 1.0), (fast, 0.5)):
        at = (t - t[0]) / period + rng.random()
        values = rng.standard_normal((int(at[-1]) + 2, count)) * weight
        i = at.astype(int)
        share = ease(at - i)[:, None]
        out += values[i] * (1 - share) + values[i + 1] * share
    return out / 0.97  # two layers of variance 0.75 and 0.19


def _arrivals(rate: np.ndarray, step: float, least: float, rng: np.random.Generator) -> np.ndarray:
    """Frames at which something happens: a renewal process whose hazard is `rate` (per second), `least` s apart."""
    passed, next_at, last = 0.0, rng.exponential(), -np.inf
    out = []
    for i, r in enumerate(rate):
        passed += r * step
        if passed >= next_at and r > 0 and (i - last) * step >= least:
            out.append(i)
            last = i
            passed, next_at = 0.0, rng.exponential()
    return np.array(out, int)


def blinks(t: np.ndarray, alive: Liveliness, rng: np.random.Generator) -> np.ndarray:
    """(T,) lid closure of spontaneous blinks; rate, closing, opening and height as measured."""
    b = fitted()["blinks"]
    step = float(t[1] - t[0]) if len(t) > 1 else 1.0
    out = np.zeros(len(t))
    for i in _arrivals(alive.blinks * b["per_minute"][1] / 60, step, 0.6, rng):
        ways = (b[k][:2] for k in ("closing_seconds", "opening_seconds"))
        close, opening = (np.interp(rng.random(), [0, 1], way) / LID_SHARE for way in ways)
        start = t[i] + 0.1
        shape = ease((t - start) / close) - ease((t - start - close - TOP_SECONDS) / opening)
        # A blink cut short by an action of the eyes would leave half a lid behind: it is dropped.
        if (alive.blinks[shape > 0.02] > 0).all():
            out = np.maximum(out, np.interp(rng.random(), [0, 1], [b["height"][2], 1.0]) * shape)
    return out


def eyes(t: np.ndarray, alive: Liveliness, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) small gaze offsets x, y: rests and quick jumps, sizes and pauses as measured, mostly sideways."""
    g = fitted()["gaze"]
    step = float(t[1] - t[0]) if len(t) > 1 else 1.0
    rate = JUMP_SHARE / (g["rest_seconds"][1] + g["seconds"][1]) * alive.darts
    out = np.zeros((len(t), 2))
    here = np.zeros(2)
    for i in _arrivals(rate, step, 0.12, rng):
        size = min(g["size"][0] * rng.exponential(), GAZE_LARGEST)
        angle = rng.uniform(0, 2 * np.pi)
        there = np.array([np.cos(angle), 0.6 * np.sin(angle)]) * size
        out += (there - here) * ease((t - t[i]) / g["seconds"][2])[:, None]
        here = there
    return out + 0.3 * g["tremor_per_frame"] * smooth_noise(t, rng, 2, 0.8, 0.2)


def idle(t: np.ndarray, alive: Liveliness, rng: np.random.Generator) -> np.ndarray:
    """(T, 57) all of it but the blinks: weights (0 or a little more), head and gaze."""
    out = np.zeros((len(t), SIZE))
    out[:, : arkit.COUNT] = np.clip(smooth_noise(t, rng, arkit.COUNT, 3.0, 0.7) * _REGION, 0, 0.018)
    left = np.array([n.endswith("Left") for n in arkit.NAMES])
    both = arkit.MIRROR[np.flatnonzero(left)]
    out[:, both] = 0.8 * out[:, np.flatnonzero(left)] + 0.2 * out[:, both]  # both halves mostly move together
    drift = smooth_noise(t, rng, 3, 2.6, 0.9) * SWAY_DEGREES * DEGREES * alive.sway[:, None]
    breath = np.sin(2 * np.pi * (t * BREATHS_PER_MINUTE / 60 + rng.random())) * 0.35 * DEGREES
    drift[:, 1] += breath
    out[:, arkit.COUNT : arkit.COUNT + 3] = drift
    out[:, -2:] = eyes(t, alive, rng)
    return out
