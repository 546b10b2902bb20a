"""Spontaneous blinks: a rule, not a network. New ones at random moments, and a recording's own taken out.

The driver shows a blink only where one is told, so without these a face stares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from vqvae import arkit

if TYPE_CHECKING:
    from instruct_data.face.score import Score

USUAL_RATE = 15.0  # a minute; the median of the Live Link takes (docs/face.md)
Span = tuple[float, float]
LIDS = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
_WIDE = [arkit.INDEX["eyeWideLeft"], arkit.INDEX["eyeWideRight"]]
_BLINK = np.array([0.30, 0.85, 1.0, 0.95, 0.62, 0.32, 0.14, 0.04])  # a lid at 30 fps: closes fast, opens slowly
_BLINK_FPS = 30.0
_SHUT, _LONGEST_BLINK = 0.45, 0.55  # share of the way from rest that counts as closing; seconds
_CLOSED = 0.8  # weight of a lid that is closed already
_LEAST_GAP, _MOST_GAP = 0.6, 1e9  # seconds between two blinks; at most, on the mean: in effect none
_REST_SECONDS, _REST_PERCENT = 4.0, 20  # where lids rest: low in what they do around a moment


def told(score: Score | None) -> tuple[Span, ...]:
    """Seconds (start, end) around a score's actions of the lids, in which no other blink may fall; all where it
    denies blinks."""
    from instruct_data.face.render import BLINK_FREE, EYE_ACTIONS

    if score is not None and "blink" in score.denied:
        return ((0.0, float("inf")),)
    acts = () if score is None else score.events
    return tuple((e.start - BLINK_FREE, e.end + BLINK_FREE) for e in acts if e.action in EYE_ACTIONS)


def lid_curve(fps: float) -> np.ndarray:
    """(n,) closure of a lid over one blink."""
    count = max(2, round(len(_BLINK) * fps / _BLINK_FPS))
    return np.interp(np.linspace(0, len(_BLINK) - 1, count), np.arange(len(_BLINK)), _BLINK)


def moments(per_minute: float, seed: int) -> Iterator[float]:
    """Seconds at which blinks begin, without end; gaps from a gamma distribution (shape 3), at least 0.6 s."""
    rng = np.random.default_rng([seed, 52])
    mean = min(60.0 / per_minute, _MOST_GAP)
    now = float(rng.uniform(0, mean))
    while True:
        yield now
        now += _LEAST_GAP + float(rng.gamma(3.0, max(mean - _LEAST_GAP, 0.05) / 3.0))


def closures(weights: np.ndarray, fps: float) -> np.ndarray:
    """(T, 2) frames of (T, 52) in which each lid is near to shut, as seen from where it rests around that time."""
    from scipy.ndimage import percentile_filter

    lids = weights[:, LIDS]
    window = 2 * round(_REST_SECONDS * fps / 2) + 1
    rest = np.stack([percentile_filter(x, _REST_PERCENT, size=window, mode="nearest") for x in lids.T], 1)
    return np.asarray(lids > rest + _SHUT * (1 - rest))


def without_own(weights: np.ndarray, fps: float) -> np.ndarray:
    """(T, 52) without short closures of both eyes; winks and what lasts longer than half a second stay."""
    from avatargpt.kinematics.joints import runs_of

    out = weights.copy()
    for start, stop in runs_of(np.asarray(closures(weights, fps).all(1))):
        if (stop - start) / fps <= _LONGEST_BLINK:
            _take_out(out, start, stop, fps)
    return out


def with_new(
    weights: np.ndarray, fps: float, per_minute: float, seed: int = 0, spans: Sequence[Span] | None = None
) -> np.ndarray:
    """(T, 52) with blinks at random moments; the end may cut the last one off, as it does live.

    Args:
        spans: seconds without one (`told`); None where nothing is known of the clip: they keep off every closure, and
            all are whole, so that `without_own` knows them again.
    """
    out = weights.copy()
    if per_minute <= 0:
        return out
    curve = lid_curve(fps)
    busy = np.asarray(closures(weights, fps).any(1)) if spans is None else None
    for at in takewhile(lambda a: a < len(out), (round(s * fps) for s in moments(per_minute, seed))):
        end = at + len(curve)
        if not _open(out[at], at / fps, end / fps, spans or ()):
            continue
        if busy is None or not (end > len(out) or busy[max(at - len(curve), 0) : end + len(curve)].any()):
            for frame, closed in zip(out[at:], curve, strict=False):
                _close(frame, closed)
    return out


class Blinker:
    """The same blinks frame by frame, where a face is shown as it comes.

    Args:
        fps: of the frames. per_minute, seed, spans: as for `with_new`.
    """

    def __init__(self, fps: float, per_minute: float, seed: int = 0, spans: Sequence[Span] = ()) -> None:
        self._fps, self.spans = fps, spans
        self._moments = moments(per_minute, seed) if per_minute > 0 else iter(())
        self._curve = lid_curve(fps)
        self._frame = 0
        self._next = self._after()
        self._since: int | None = None  # frames since the blink that lasts began

    def _after(self) -> int | None:
        second = next(self._moments, None)
        return None if second is None else round(second * self._fps)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """(52,) of the next frame, with what a blink does to it."""
        out = weights.copy()
        if self._frame == self._next:
            end = self._frame + len(self._curve)
            if self._since is None and _open(out, self._frame / self._fps, end / self._fps, self.spans):
                self._since = 0
            self._next = self._after()
        if self._since is not None:
            _close(out, self._curve[self._since])
            self._since = self._since + 1 if self._since + 1 < len(self._curve) else None
        self._frame += 1
        return out


def _open(weights: np.ndarray, start: float, end: float, spans: Sequence[Span]) -> bool:
    return bool(weights[LIDS].max() < _CLOSED) and not any(a < end and start < b for a, b in spans)


def _close(weights: np.ndarray, closed: float) -> None:
    weights[LIDS] = np.maximum(weights[LIDS], closed)
    weights[_WIDE] *= 1 - weights[LIDS]  # no wide eye behind a closed lid


def _take_out(weights: np.ndarray, start: int, stop: int, fps: float) -> None:
    """A straight line instead of the closure around [start, stop), from where the lids leave rest to their return."""
    reach = max(1, round(0.3 * fps))
    low, high = max(start - reach, 0), min(stop + reach, len(weights))
    for lid in LIDS:
        before, after = weights[low:start, lid], weights[stop:high, lid]
        a = low + int(before.argmin()) if len(before) else None
        b = stop + int(after.argmin()) if len(after) else None
        here = weights[a, lid] if a is not None else weights[b, lid] if b is not None else 0.0
        there = weights[b, lid] if b is not None else here
        first, last = a if a is not None else 0, b if b is not None else len(weights) - 1
        weights[first : last + 1, lid] = np.linspace(here, there, last - first + 1)
