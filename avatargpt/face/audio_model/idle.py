"""Idle life: small movements of head and eyes that nobody asked for. A rule, not a network.

The driver learns from rendered clips, in which such movements fall at random; of these it learns the mean, which is
none. The head drifts and breathes, more where somebody speaks, and dips with the jaw; the eyes make up for the head's
drift, so that the viewer is looked at, and jump a little now and then, as in the takes (`instruct_data.face.render`).
How far a head moves is our choice, for the takes at hand were made with heads held still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from avatargpt.face.audio_model.blinks import Span
from avatargpt.face.audio_model.gaze import gaze, with_gaze
from instruct_data.face.score import Score
from vqvae import arkit
from vqvae.face import FaceMotion

USUAL = 1.0
_JAW = arkit.INDEX["jawOpen"]
_LAYERS = ((2.6, 1.0), (0.9, 0.5))  # s between the random values of a drift, and their weight
_BREATH_RATE, _BREATH_DEGREES = 15.0 / 60, 0.35
_SPEAKING = 1.2  # jaw weights a second at which somebody speaks with all their might
_SPEAKING_SECONDS, _QUICK, _SLOW = 0.6, 0.12, 1.2  # time constants: speaking, and the jaw's quick and slow mean
_SWAYS_MORE = np.array([1.2, 1.8, 1.5])  # by so much the drift grows with speaking: yaw, pitch, roll
_DIP_DEGREES = 14.0  # of the head for a jaw fully open, while speaking
_LEAST_REST = 0.12  # s between two jumps of the eyes
_CALM, _BEFORE, _AFTER, _FADE = 0.7, 0.2, 0.3, 0.2  # what is taken off while head or eyes do what they were told
_OPENS = 0.1  # of the jaw: smaller poses, a broad smile's for one, may last as long as somebody speaks


def calm_spans(score: Score | None) -> tuple[Span, ...]:
    """Seconds (start, end) of a score's actions that move head or eyes; all where nothing is to move."""
    if score is not None and "still" in score.denied:
        return ((0.0, float("inf")),)
    return _spans(score, lambda pose: bool(pose[arkit.COUNT :].any()))


def jaw_spans(score: Score | None) -> tuple[Span, ...]:
    """Seconds (start, end) of a score's actions that open the jaw, which is no speech then."""
    return _spans(score, lambda pose: bool(pose[_JAW] > _OPENS))


def _spans(score: Score | None, moves: Callable[[np.ndarray], bool]) -> tuple[Span, ...]:
    from instruct_data.face.actions import actions

    def counts(name: str) -> bool:
        action = actions()[name]
        return any(moves(pose) for pose in (action.hold, *(p for _, p in action.keys)))

    return tuple((e.start, e.end) for e in (() if score is None else score.events) if counts(e.action))


class _Drift:
    """Three smooth random numbers of about unit variance, second by second, the same however long one listens."""

    def __init__(self, rng: np.random.Generator, period: float) -> None:
        self._rng, self._period = rng, period
        self._phase = float(rng.random())
        self._values = rng.standard_normal((2, 3))
        self._at = 0

    def __call__(self, second: float) -> np.ndarray:
        at = second / self._period + self._phase
        while self._at < int(at):
            self._at += 1
            self._values = np.stack((self._values[1], self._rng.standard_normal(3)))
        share = _ease(at - int(at))
        return np.asarray(self._values[0] * (1 - share) + self._values[1] * share)


class _Jumps:
    """Where eyes rest, (2,) to the left and up in eyeLook weights: pauses, sizes and speed as in the takes."""

    def __init__(self, rng: np.random.Generator, fps: float) -> None:
        from instruct_data.face.actions import fitted
        from instruct_data.face.render import JUMP_SHARE

        self._rng, self._fps, self._facts = rng, fps, fitted()["gaze"]
        self._rate = JUMP_SHARE / (self._facts["rest_seconds"][1] + self._facts["seconds"][1])
        self._since, self._before, self._there = 0.0, np.zeros(2), np.zeros(2)
        self._wait = self._pause()

    def _pause(self) -> float:
        return _LEAST_REST + float(self._rng.exponential(1 / self._rate))

    def __call__(self) -> np.ndarray:
        from instruct_data.face.render import GAZE_LARGEST

        self._since += 1 / self._fps
        if self._since >= self._wait:
            size = min(self._facts["size"][0] * float(self._rng.exponential()), GAZE_LARGEST)
            angle = float(self._rng.uniform(0, 2 * np.pi))
            self._before, self._there = self._there, np.array([np.cos(angle), 0.6 * np.sin(angle)]) * size
            self._since, self._wait = 0.0, self._pause()
        done = _ease((self._since + 1 / self._fps) / self._facts["seconds"][2])
        return np.asarray(self._before + (self._there - self._before) * done)


class Idler:
    """Idle movements, frame by frame; the same seed and jaw give the same, live and in a whole clip.

    Args:
        amount: 0 = none, 1 = as usual. calm: seconds in which head or eyes do what they were told (`calm_spans`).
        jaw: seconds in which the jaw does what it was told (`jaw_spans`).
    """

    def __init__(
        self, fps: float, amount: float = USUAL, seed: int = 0, calm: Sequence[Span] = (), jaw: Sequence[Span] = ()
    ) -> None:
        rng = [np.random.default_rng([seed, 53, k]) for k in range(4)]
        self._fps, self._amount, self.calm, self.jaw = fps, amount, calm, jaw
        self._drifts = [(_Drift(r, period), weight) for r, (period, weight) in zip(rng, _LAYERS, strict=False)]
        self._jumps = _Jumps(rng[2], fps)
        self._breath = float(rng[3].random())
        self._frame, self._last = 0, 0.0
        self._speaking = self._quick = self._slow = 0.0

    def _heard(self, jaw: float, free: float) -> float:
        """How much is spoken, 0 to 1, and the means of the jaw, brought up to this frame as far as the jaw is `free`.

        While it is told what to do, they stay as they were.
        """
        moved = abs(jaw - self._last) * self._fps if self._frame else 0.0
        self._last = jaw
        self._speaking += free * _share(_SPEAKING_SECONDS, self._fps) * (moved - self._speaking)
        self._quick += free * _share(_QUICK, self._fps) * (jaw - self._quick)
        self._slow += free * _share(_SLOW, self._fps) * (jaw - self._slow)
        return min(self._speaking / _SPEAKING, 1.0)

    def offsets(self, jaw: float) -> np.ndarray:
        """(5,) of the next frame: the head's yaw, pitch, roll in radians, gaze to the left and up in weights."""
        from instruct_data.face.render import SWAY_DEGREES

        second = self._frame / self._fps
        free = _outside(self.jaw, second)
        speaking = self._heard(jaw, free)
        drift = np.sum([weight * d(second) for d, weight in self._drifts], 0) / 0.97
        head = drift * SWAY_DEGREES * (1 + _SWAYS_MORE * speaking)
        head[1] += _BREATH_DEGREES * np.sin(2 * np.pi * (second * _BREATH_RATE + self._breath))
        head[1] -= _DIP_DEGREES * (self._quick - self._slow) * speaking * free
        eyes = self._jumps() - head[:2] / arkit.EYE_DEGREES  # the vestibulo-ocular reflex
        self._frame += 1
        left = _outside(self.calm, second, _CALM)
        return self._amount * left * np.concatenate((np.radians(head), eyes))

    def __call__(self, motion: FaceMotion) -> FaceMotion:
        """The next frames, with what idles in them."""
        if self._amount == 0:
            return motion
        more = np.array([self.offsets(float(jaw)) for jaw in motion.weights[:, _JAW]]).reshape(-1, 5)
        looks = np.clip(gaze(motion.weights) + more[:, None, 3:].astype(np.float32), -1, 1)
        return replace(motion, weights=with_gaze(motion.weights, looks), head=motion.head + more[:, :3])


def left(spans: Sequence[Span], frames: np.ndarray, fps: float) -> np.ndarray:
    """(T,) 0..1: how much of what nobody asked for the head does in frames (T,), where its spans are calm."""
    if not spans:
        return np.ones(len(frames))
    return np.array([_outside(spans, k / fps, _CALM) for k in frames.tolist()])


def _outside(spans: Sequence[Span], second: float, most: float = 1.0) -> float:
    """1 away from all spans, 1 - `most` in one, in between where it begins and ends."""
    left = 1.0
    for start, end in spans:
        if start - _BEFORE < second < end + _AFTER:
            left *= 1 - most * _ease((second - start + _BEFORE) / _FADE) * _ease((end + _AFTER - second) / _FADE)
    return left


def _share(seconds: float, fps: float) -> float:
    """Of the way to a new value that a mean with this time constant goes in one frame."""
    return float(1 - np.exp(-1 / (seconds * fps)))


def _ease(x: float) -> float:
    """0 to 1 with soft ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
