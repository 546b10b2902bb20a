"""One event -> key poses at times, and key poses -> frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.face.actions import SIZE, Action
from instruct_data.face.score import Event
from vqvae import arkit

LONGEST_RAMP = 0.42  # of the time that an action has
GAP_SHARE = 0.9  # of a repetition's time that it lasts; the rest is the pause before the next
SLOW_SECONDS = 2.2  # actions that last longer than this also begin and end more slowly
TOP_SECONDS = 0.034  # a lid closed on purpose stays so, one frame at 30 fps
SINGLE_BLINK = 0.8  # seconds; one blink or wink given more time than this is done slowly
_LEFT = np.array([n.endswith("Left") and n not in ("jawLeft", "mouthLeft") for n in arkit.NAMES] + [False] * 5)
_RIGHT = np.array([n.endswith("Right") and n not in ("jawRight", "mouthRight") for n in arkit.NAMES] + [False] * 5)
_CENTRE = ~(_LEFT | _RIGHT)
Keys = list[tuple[float, np.ndarray]]  # seconds, (57,) pose


def ease(x: np.ndarray) -> np.ndarray:
    """0 to 1 with soft ends: 3x^2 - 2x^3."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


@dataclass
class Track:
    """Poses at rising times (seconds); before the first and after the last the pose stands.

    Attributes:
        times: (K,).
        poses: (K, 57).
    """

    times: np.ndarray
    poses: np.ndarray

    def at(self, t: np.ndarray, lag: float = 0.0) -> np.ndarray:
        """(T,) seconds -> (T, 57). The left half of the face runs `lag` seconds ahead, the right half behind."""
        if not lag:
            return self._at(t)
        out = np.empty((len(t), SIZE))
        for mask, shift in ((_LEFT, lag), (_RIGHT, -lag), (_CENTRE, 0.0)):
            out[:, mask] = self._at(t + shift, mask)
        return out

    def _at(self, t: np.ndarray, mask: np.ndarray | slice = slice(None)) -> np.ndarray:
        i = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        span = np.maximum(self.times[i + 1] - self.times[i], 1e-6)
        share = ease((t - self.times[i]) / span)[:, None]
        poses = self.poses[:, mask]
        return poses[i] * (1 - share) + poses[i + 1] * share


def _track(keys: Keys) -> Track:
    times = np.maximum.accumulate(np.array([k[0] for k in keys]) + 1e-6 * np.arange(len(keys)))
    return Track(times, np.stack([k[1] for k in keys]))


def _ramps(action: Action, seconds: float, rng: np.random.Generator) -> tuple[float, float]:
    """Seconds of the way up and down, drawn between the fitted lower quartile and median."""
    slow = max(1.0, (seconds / SLOW_SECONDS) ** 0.5)
    share = 0.6 * rng.random(2)
    up, down = (q[0] + s * (q[1] - q[0]) for q, s in zip((action.rise, action.fall), share, strict=True))
    return min(up * slow, LONGEST_RAMP * seconds), min(down * slow, LONGEST_RAMP * seconds)


def _hold(action: Action, start: float, seconds: float, rng: np.random.Generator, last: bool) -> Keys:
    zero = np.zeros(SIZE)
    up, down = _ramps(action, seconds, rng)
    sag = 1 - 0.06 * rng.random()  # the apex gives way a little while it is held
    tail = 0.35 * down if last else 0.0
    end = start + seconds + tail
    keys = [(start, zero), (start + up, action.hold), (end - down, action.hold * sag), (end, zero)]
    return keys if keys[1][0] <= keys[2][0] else [keys[0], (0.5 * (keys[1][0] + keys[2][0]), action.hold), keys[3]]


def _pulse(action: Action, start: float, seconds: float, alone: bool, rng: np.random.Generator) -> Keys:
    zero, closed = np.zeros(SIZE), action.keys[0][1]
    up, down = (q[0] + r * (q[1] - q[0]) for q, r in zip((action.rise, action.fall), rng.random(2), strict=True))
    natural = up + TOP_SECONDS + down
    if alone and seconds > SINGLE_BLINK:
        up, down = min(0.3 * seconds, 0.3), min(0.4 * seconds, 0.4)
        top = seconds - up - down
    else:
        scale = min(1.0, GAP_SHARE * max(seconds, 0.2) / natural)
        up, down, top = up * scale, down * scale, TOP_SECONDS
    return [(start, zero), (start + up, closed), (start + up + top, closed), (start + up + top + down, zero)]


def _cycle(action: Action, e: Event, rng: np.random.Generator) -> Track:
    zero = np.zeros(SIZE)
    count = e.repeat if action.counted or e.repeat > 1 else max(1, round(action.rate * e.duration))
    period = e.duration / count
    keys: Keys = [(e.start, zero)]
    for k in range(count):
        size = 1.0 if action.counted else rng.uniform(0.72, 1.08)
        keys += [(e.start + (k + at) * period, p * size) for at, p in action.keys]
        if not action.through or k == count - 1:
            keys.append((e.start + (k + 1) * period, zero))
    return _track(keys)


def event_tracks(action: Action, e: Event, rng: np.random.Generator) -> tuple[list[Track], list[Track]]:
    """What an event asks of the face, at intensity 1: what is held or passed through, and the rhythm on top of it."""
    tracks: list[Track] = []
    rhythm: list[Track] = []
    unit = e.duration / e.repeat
    whole = action.form in ("cycle", "close")
    if action.hold.any():
        parts = 1 if whole else e.repeat
        length = e.duration / parts
        keys: Keys = []
        for k in range(parts):
            alone = k == parts - 1
            keys += _hold(action, e.start + k * length, length if alone else GAP_SHARE * length, rng, alone)
        tracks.append(_track(keys))
    if action.form == "cycle":
        rhythm.append(_cycle(action, e, rng))
    elif action.form == "pulse":
        pulses = [_pulse(action, e.start + k * unit, unit, e.repeat == 1, rng) for k in range(e.repeat)]
        tracks.append(_track([key for p in pulses for key in p]))
    elif action.form == "keys":
        length = unit * (GAP_SHARE if e.repeat > 1 else 1.0)
        tracks.append(_track([(e.start + k * unit + at * length, p) for k in range(e.repeat) for at, p in action.keys]))
    return tracks, rhythm


def ending(e: Event, t: np.ndarray) -> np.ndarray:
    """(T,) 0 to 1: how far an event that ends others (neutral, closed mouth) has done so."""
    return ease((t - e.start) / min(0.6 * e.duration, 0.5))
