"""Rules for what the driver does not move by itself: spontaneous blinks, lids at the apex, gaze and idle motion.

The driver learns from rendered clips, in which blinks and small movements fall at random; of these it learns the mean,
which is none. How far a head moves is our choice: the takes at hand were made with heads held still.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from avatargpt.face.audio_model.conditioning import Direction
from instruct_data.face.actions import action_names, actions, load_fitted
from instruct_data.face.render import BLINK_FREE, EYE_ACTIONS, JUMP_SHARE, MAX_GAZE, SINGLE_BLINK, SWAY_DEGREES
from instruct_data.face.score import DEFAULT, EXTREMELY, VERY, Score
from vqvae import arkit
from vqvae.face import FaceMotion
from vqvae.smoothing import smoothstep

# Start and end in seconds.
Span = tuple[float, float]
ALWAYS: tuple[Span, ...] = ((0.0, float("inf")),)

USUAL_RATE = 15.0  # blinks a minute; the median of the Live Link takes (docs/avatar_training.md)
LIDS = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
_WIDE = [arkit.INDEX["eyeWideLeft"], arkit.INDEX["eyeWideRight"]]
# A lid at 30 fps: it closes fast and opens slowly.
_BLINK = np.array([0.30, 0.85, 1.0, 0.95, 0.62, 0.32, 0.14, 0.04])
_BLINK_FPS = 30.0
_SHUT, _MAX_BLINK = 0.45, 0.55  # share of the way from rest that counts as closing; seconds
_CLOSED = 0.8  # weight of a lid that is closed already
_FIRST = 0.5  # s before which nobody blinks: until then sounds hardly differ
_MIN_GAP, _MAX_GAP = 0.6, 1e9  # s between two blinks; at most, on the mean: in effect none
_REST_SECONDS, _REST_PERCENT = 4.0, 20  # lids rest at this percentile of the seconds around a moment

CLOSING = {"close_eyes": (1, 1), "blink": (1, 1), "wink_left": (1, 0), "wink_right": (0, 1)}  # left lid, right lid
LOWERED = 0.5  # strength up to which lids are only lowered, and stay as the driver moves them
APEX = ((LOWERED, DEFAULT, VERY, EXTREMELY), (0.92, 0.95, 0.98, 1.0))  # strengths, and how far lids close there
HELD = ("close_eyes",)  # of `CLOSING`, those that last; the others close and open
BLINK_DOWN, BLINK_TOP, BLINK_UP = 0.09, 0.045, 0.18  # s that lids take to close, stay closed, take to open
BLINK_SECONDS = BLINK_DOWN + BLINK_TOP + BLINK_UP
HELD_DOWN, HELD_UP, HELD_SHARE = 0.14, 0.2, 0.8  # the same of closed eyes; share of each time of several
LID_FADE = 0.3  # s before and after an action in which lids go over from where the driver has them, and back

USUAL_IDLE = 1.0
_JAW = arkit.INDEX["jawOpen"]
_LAYERS = ((2.6, 1.0), (0.9, 0.5))  # s between the random values of a drift, and their weight
_BREATH_RATE, _BREATH_DEGREES = 15.0 / 60, 0.35
_SPEAKING = 1.2  # jaw weights a second of the most vigorous speech
_SPEAKING_SECONDS, _QUICK, _SLOW = 0.6, 0.12, 1.2  # time constants: speaking, and the jaw's quick and slow mean
_SPEAKING_SWAY = np.array([1.2, 1.8, 1.5])  # growth of the drift with speaking: yaw, pitch, roll
_DIP_DEGREES = 14.0  # of the head for a jaw fully open, while speaking
_MIN_FIXATION = 0.12  # s between two jumps of the eyes
_CALM, _BEFORE, _AFTER, _FADE = 0.7, 0.2, 0.3, 0.2  # share taken off around a span, s before and after it, s of fading
_UPPER = [k for k, n in enumerate(arkit.NAMES) if n.startswith(("brow", "eyeSquint", "eyeWide", "cheekSq", "nose"))]
_SETS = 0.15  # of a shape of the upper face: less than that goes together with speech
_OPENS = 0.1  # of the jaw: smaller poses, such as a broad smile's, may last as long as somebody speaks

# Weights of the positive and of the negative direction: left eye and right eye, sideways and up.
_PLUS_NAMES = [["eyeLookOutLeft", "eyeLookUpLeft"], ["eyeLookInRight", "eyeLookUpRight"]]
_MINUS_NAMES = [["eyeLookInLeft", "eyeLookDownLeft"], ["eyeLookOutRight", "eyeLookDownRight"]]
_PLUS, _MINUS = (np.array([[arkit.INDEX[n] for n in eye] for eye in x]) for x in (_PLUS_NAMES, _MINUS_NAMES))  # (2, 2)


# Spans of a score that blinks and idle motion keep off
class Spans(NamedTuple):
    """What a score moves, and when; the defaults: nothing."""

    lids: Sequence[Span] = ()
    calm: Sequence[Span] = ()
    jaw: Sequence[Span] = ()
    held: Sequence[Span] = ()

    @classmethod
    def of(cls, score: Score | None) -> Spans:
        """The spans of a score."""
        return cls(lid_spans(score), calm_spans(score), jaw_spans(score), held_spans(score))


def lid_spans(score: Score | None) -> tuple[Span, ...]:
    """Spans around a score's actions of the lids, in which no other blink may fall; all where it denies blinks."""
    if score is not None and "blink" in score.denied:
        return ALWAYS
    events = () if score is None else score.events
    return tuple((e.start - BLINK_FREE, e.end + BLINK_FREE) for e in events if e.action in EYE_ACTIONS)


def calm_spans(score: Score | None) -> tuple[Span, ...]:
    """Spans of a score's actions that move head or eyes; all where nothing is to move."""
    if score is not None and "still" in score.denied:
        return ALWAYS
    return _action_spans(score, lambda pose: bool(pose[arkit.COUNT :].any()))


def jaw_spans(score: Score | None) -> tuple[Span, ...]:
    """Spans of a score's actions that open the jaw, which is no speech then."""
    return _action_spans(score, lambda pose: bool(pose[_JAW] > _OPENS))


def held_spans(score: Score | None) -> tuple[Span, ...]:
    """Spans of a score's actions that set the upper face; all where nothing is to move."""
    if score is not None and "still" in score.denied:
        return ALWAYS
    return _action_spans(score, lambda pose: bool((pose[_UPPER] > _SETS).any()))


def _action_spans(score: Score | None, moves: Callable[[np.ndarray], bool]) -> tuple[Span, ...]:
    def counts(name: str) -> bool:
        action = actions()[name]
        return any(moves(pose) for pose in (action.hold, *(p for _, p in action.keys)))

    return tuple((e.start, e.end) for e in (() if score is None else score.events) if counts(e.action))


# Blinks
def lid_curve(fps: float) -> np.ndarray:
    """(n,) closure of a lid over one blink."""
    count = max(2, round(len(_BLINK) * fps / _BLINK_FPS))
    return np.interp(np.linspace(0, len(_BLINK) - 1, count), np.arange(len(_BLINK)), _BLINK)


class History:
    """A number that depends on all frames so far: with it, chance differs between sounds as it does between seeds.

    The mouth says what is heard: the same live and in a complete clip, whatever the chunks are.
    """

    # columns that neither blinks nor gaze nor moods of brows change
    _COLUMNS = [_JAW, *(arkit.INDEX[n] for n in ("mouthFunnel", "mouthPucker", "mouthPressLeft", "mouthLowerDownLeft"))]

    def __init__(self) -> None:
        self.value = 0

    def __call__(self, weights: np.ndarray) -> int:
        """The number after the next frame (52,)."""
        rounded = (weights[self._COLUMNS] * 255).astype(np.uint8)
        self.value = zlib.crc32(rounded.tobytes(), self.value)
        return self.value


class BlinkTimes:
    """Frames at which blinks begin, drawn from a seed and the face so far.

    Gaps are from a gamma distribution (shape 3), at least 0.6 s; the first one is uniform.
    """

    def __init__(self, fps: float, per_minute: float, seed: int) -> None:
        self._fps, self._seed, self._history = fps, seed, History()
        self._mean = min(60.0 / per_minute, _MAX_GAP) if per_minute > 0 else None
        self._first, self._frame, self._count = round(_FIRST * fps), 0, 0
        self._next: int | None = None

    def __call__(self, weights: np.ndarray) -> bool:
        """Whether a blink begins with the next frame (52,)."""
        frame, self._frame = self._frame, self._frame + 1
        if self._mean is None:
            return False
        history = self._history(weights)
        begins = frame == self._next
        if begins or frame == self._first:
            rng = np.random.default_rng([self._seed, 52, self._count, history])
            self._count += 1
            gap = _MIN_GAP + float(rng.gamma(3.0, max(self._mean - _MIN_GAP, 0.05) / 3.0))
            gap = gap if begins else float(rng.uniform(0, self._mean))
            self._next = frame + max(1, round(gap * self._fps))
        return begins


def closures(weights: np.ndarray, fps: float) -> np.ndarray:
    """(T, 2) frames of (T, 52) in which each lid is nearly shut, relative to where it rests around that time."""
    from scipy.ndimage import percentile_filter

    lids = weights[:, LIDS]
    window = 2 * round(_REST_SECONDS * fps / 2) + 1
    resting = np.stack([percentile_filter(x, _REST_PERCENT, size=window, mode="nearest") for x in lids.T], 1)
    return np.asarray(lids > resting + _SHUT * (1 - resting))


def remove_blinks(weights: np.ndarray, fps: float) -> np.ndarray:
    """(T, 52) without short closures of both eyes; winks and closures of more than half a second stay."""
    from vqvae.smoothing import runs_of

    out = weights.copy()
    for start, stop in runs_of(np.asarray(closures(weights, fps).all(1))):
        if (stop - start) / fps <= _MAX_BLINK:
            _remove_closure(out, start, stop, fps)
    return out


def add_blinks(
    weights: np.ndarray, fps: float, per_minute: float, seed: int = 0, spans: Sequence[Span] | None = None
) -> np.ndarray:
    """(T, 52) with blinks at random moments; the end may cut the last one off, as it does live.

    Args:
        spans: seconds without one (`lid_spans`); None where nothing is known of the clip: blinks then keep off every
            closure, and all are complete, so that `remove_blinks` finds them again.
    """
    out = weights.copy()
    if per_minute <= 0:
        return out
    curve = lid_curve(fps)
    busy = np.asarray(closures(weights, fps).any(1)) if spans is None else None
    times = BlinkTimes(fps, per_minute, seed)
    # Blinks that fall on closed lids or in a span are skipped, not moved: the moments do not depend on them.
    for at in [k for k, row in enumerate(weights) if times(row)]:
        end = at + len(curve)
        if not _may_blink(out[at], at / fps, end / fps, spans or ()):
            continue
        if busy is None or not (end > len(out) or busy[max(at - len(curve), 0) : end + len(curve)].any()):
            for frame, closed in zip(out[at:], curve, strict=False):
                _close(frame, closed)
    return out


class Blinker:
    """The same blinks as `add_blinks`, frame by frame."""

    def __init__(self, fps: float, per_minute: float, seed: int = 0, spans: Sequence[Span] = ()) -> None:
        self._fps, self.spans = fps, spans
        self._times = BlinkTimes(fps, per_minute, seed)
        self._curve = lid_curve(fps)
        self._frame = 0
        self._since: int | None = None  # frames since the present blink began

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """(52,) of the next frame with its blink."""
        out = weights.copy()
        if self._times(weights):
            end = self._frame + len(self._curve)
            if self._since is None and _may_blink(out, self._frame / self._fps, end / self._fps, self.spans):
                self._since = 0
        if self._since is not None:
            _close(out, self._curve[self._since])
            self._since = self._since + 1 if self._since + 1 < len(self._curve) else None
        self._frame += 1
        return out


def _may_blink(weights: np.ndarray, start: float, end: float, spans: Sequence[Span]) -> bool:
    return bool(weights[LIDS].max() < _CLOSED) and not any(a < end and start < b for a, b in spans)


def _close(weights: np.ndarray, closed: float) -> None:
    weights[LIDS] = np.maximum(weights[LIDS], closed)
    weights[_WIDE] *= 1 - weights[LIDS]  # no wide eye behind a closed lid


def _remove_closure(weights: np.ndarray, start: int, stop: int, fps: float) -> None:
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


class LidClosing:
    """Shuts lids that a score closes, frame by frame, when and as often as it says."""

    # The driver learnt from rendered clips, few of whose lids are quite shut (`instruct_data.face.render`): on a head
    # an eye at 0.8 is a slit with the iris in it. It closes them 0.3 s late, and of five quick blinks it makes six.

    def __init__(self) -> None:
        self._resting: np.ndarray | None = None  # (2,) lowest lids since the present actions began

    def direct(self, direction: Direction) -> None:
        """Clauses whose action closes lids, from the next frame on."""
        names = ["", *action_names()]
        chosen = [k for k, kind in enumerate(direction.kinds) if names[kind] in CLOSING]
        kinds = [names[direction.kinds[k]] for k in chosen]
        self._sides = np.array([CLOSING[kind] for kind in kinds], float).reshape(-1, 2)
        self._held = np.array([kind in HELD for kind in kinds], bool)
        self._spans = np.array([direction.spans[k][:5] for k in chosen], float).reshape(-1, 5)

    def __call__(self, row: np.ndarray, second: float) -> np.ndarray:
        """The frame (55,) at `second` with its lids where the score has them."""
        start, end, strength, _, _ = self._spans.T
        active = (second >= start - LID_FADE) & (second < end + LID_FADE)
        if not active.any():
            self._resting = None
            return row
        lids = row[LIDS]
        self._resting = lids if self._resting is None else np.minimum(self._resting, lids)
        # Little strength lowers lids alone, as the driver does it.
        share = np.clip((strength - LOWERED) / (DEFAULT - LOWERED), 0, 1)
        share = share * smoothstep((second - start + LID_FADE) / LID_FADE)
        share = share * smoothstep((end + LID_FADE - second) / LID_FADE)
        shut = (self._closure(second) * np.interp(strength, *APEX))[:, None] * self._sides
        goal = self._resting + (1 - self._resting) * shut.max(0)
        out = row.copy()
        out[LIDS] = lids + (share[:, None] * self._sides).max(0) * (goal - lids)
        return out

    def _closure(self, second: float) -> np.ndarray:
        """(C,) 0 to 1: how far each clause has closed its lids."""
        start, end, _, repeat, rise = self._spans.T
        unit = (end - start) / repeat
        number = np.clip(np.floor((second - start) / unit), 0, np.maximum(np.ceil(repeat) - 1, 0))
        since = second - start - number * unit
        # Blinks: shut, and open again; a slow single one takes its time.
        slow = (repeat == 1) & (unit > SINGLE_BLINK)
        pace = np.minimum(1.0, unit / BLINK_SECONDS)
        down = np.where(slow, np.minimum(0.3 * unit, 0.3), BLINK_DOWN * pace)
        up = np.where(slow, np.minimum(0.4 * unit, 0.4), BLINK_UP * pace)
        top = np.where(slow, unit - down - up, BLINK_TOP)
        blink = np.minimum(smoothstep(since / down), smoothstep((down + top + up - since) / up))
        # Closed eyes: half shut at the beginning and at the end, and in between open for a moment where there are more.
        lasts = np.where(repeat > 1, HELD_SHARE * unit, unit)
        grows = np.maximum(rise, np.minimum(HELD_DOWN * np.sqrt(np.maximum(unit, 1.0)), 0.4 * lasts))
        falls = np.minimum(HELD_UP, 0.4 * lasts)
        begins = since + np.where(rise > 0, 0.0, 0.5 * grows)
        held = np.minimum(smoothstep(begins / grows), smoothstep((lasts + 0.5 * falls - since) / falls))
        return np.where(self._held, held, blink)


# Gaze
def gaze(weights: np.ndarray) -> np.ndarray:
    """(T, 52) -> (T, 2, 2): of the left and the right eye, how far it looks to the person's left and up.

    1 is a full eyeLook weight: `arkit.EYE_DEGREES`.
    """
    return np.asarray(weights[:, _PLUS] - weights[:, _MINUS])


def with_gaze(weights: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """(T, 52) whose eyes look where (T, 2, 2) says."""
    out = weights.copy()
    out[:, _PLUS], out[:, _MINUS] = np.maximum(looks, 0), np.maximum(-looks, 0)
    return out


# Idle motion
class _Drift:
    """Three smooth random numbers of about unit variance at rising seconds."""

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


class _Saccades:
    """Where eyes rest, (2,) to the left and up in eyeLook weights: pauses, sizes and speed as in the takes.

    Jumps are drawn from a seed and the face so far.
    """

    def __init__(self, seed: Sequence[int], fps: float) -> None:
        self._seed, self._fps, self._facts = list(seed), fps, load_fitted()["gaze"]
        self._jumps, self._rng = 0, np.random.default_rng(self._seed)
        self._rate = JUMP_SHARE / (self._facts["rest_seconds"][1] + self._facts["seconds"][1])
        self._since, self._from, self._to = 0.0, np.zeros(2), np.zeros(2)
        self._wait = self._pause()

    def _pause(self) -> float:
        return _MIN_FIXATION + float(self._rng.exponential(1 / self._rate))

    def __call__(self, history: int) -> np.ndarray:
        self._since += 1 / self._fps
        if self._since >= self._wait:
            self._jumps += 1
            self._rng = np.random.default_rng([*self._seed, self._jumps, history])
            size = min(self._facts["size"][0] * float(self._rng.exponential()), MAX_GAZE)
            angle = float(self._rng.uniform(0, 2 * np.pi))
            self._from, self._to = self._to, np.array([np.cos(angle), 0.6 * np.sin(angle)]) * size
            self._since, self._wait = 0.0, self._pause()
        share = _ease((self._since + 1 / self._fps) / self._facts["seconds"][2])
        return np.asarray(self._from + (self._to - self._from) * share)


class JawActivity:
    """How fast the jaw moves, frame by frame: a mean in weights a second, of which a talk has about one, silence none.

    Args:
        seconds: time constant of the mean.
    """

    def __init__(self, fps: float, seconds: float = _SPEAKING_SECONDS) -> None:
        self._fps, self._share = fps, _compute_decay(seconds, fps)
        self._last: float | None = None
        self.value = 0.0

    def __call__(self, jaw: float, free: float = 1.0) -> float:
        """The mean after the next frame, which counts as far as it is `free` of a score."""
        moved = 0.0 if self._last is None else abs(jaw - self._last) * self._fps
        self._last = jaw
        self.value += free * self._share * (moved - self.value)
        return self.value


class Idler:
    """Idle movements, frame by frame; the same seed and mouth give the same, live and in a complete clip.

    Args:
        amount: 0 = none, 1 = as usual. calm: spans in which head or eyes perform a score (`calm_spans`).
        jaw: spans in which the jaw does (`jaw_spans`).
    """

    def __init__(
        self, fps: float, amount: float = USUAL_IDLE, seed: int = 0, calm: Sequence[Span] = (), jaw: Sequence[Span] = ()
    ) -> None:
        rng = [np.random.default_rng([seed, 53, k]) for k in range(4)]
        self._fps, self._amount, self.calm, self.jaw = fps, amount, calm, jaw
        self._drifts = [(_Drift(r, period), weight) for r, (period, weight) in zip(rng, _LAYERS, strict=False)]
        self._saccades, self._history = _Saccades([seed, 53, 2], fps), History()
        self._breath = float(rng[3].random())
        self._frame, self._speaking = 0, JawActivity(fps)
        self._quick = self._slow = 0.0

    def offsets(self, weights: np.ndarray) -> np.ndarray:
        """(5,) of the next frame (52,): the head's yaw, pitch, roll in radians, gaze to the left and up in weights."""
        second, jaw = self._frame / self._fps, float(weights[_JAW])
        free = _outside(self.jaw, second)
        # How much is spoken, 0 to 1; the means of the jaw follow it as far as it is free of a score.
        speaking = min(self._speaking(jaw, free) / _SPEAKING, 1.0)
        self._quick += free * _compute_decay(_QUICK, self._fps) * (jaw - self._quick)
        self._slow += free * _compute_decay(_SLOW, self._fps) * (jaw - self._slow)
        drift = np.sum([weight * d(second) for d, weight in self._drifts], 0) / 0.97
        # The head drifts and breathes, more while speaking, and dips with the jaw.
        head = drift * SWAY_DEGREES * (1 + _SPEAKING_SWAY * speaking)
        head[1] += _BREATH_DEGREES * np.sin(2 * np.pi * (second * _BREATH_RATE + self._breath))
        head[1] -= _DIP_DEGREES * (self._quick - self._slow) * speaking * free
        # The vestibulo-ocular reflex: eyes make up for the head's drift, so that the viewer is looked at.
        eyes = self._saccades(self._history(weights)) - head[:2] / arkit.EYE_DEGREES
        self._frame += 1
        share = _outside(self.calm, second, _CALM)
        return self._amount * share * np.concatenate((np.radians(head), eyes))

    def __call__(self, motion: FaceMotion) -> FaceMotion:
        """The next frames with their idle movements."""
        if self._amount == 0:
            return motion
        offsets = np.array([self.offsets(row) for row in motion.weights]).reshape(-1, 5)
        looks = np.clip(gaze(motion.weights) + offsets[:, None, 3:].astype(np.float32), -1, 1)
        return replace(motion, weights=with_gaze(motion.weights, looks), head=motion.head + offsets[:, :3])


def idle_share(spans: Sequence[Span], frames: np.ndarray, fps: float) -> np.ndarray:
    """(T,) 0..1: how much of the idle movement is left in frames (T,) around calm spans."""
    if not spans:
        return np.ones(len(frames))
    return np.array([_outside(spans, k / fps, _CALM) for k in frames.tolist()])


def _outside(spans: Sequence[Span], second: float, amount: float = 1.0) -> float:
    """1 away from all spans, 1 - `amount` in one, in between where it begins and ends."""
    share = 1.0
    for start, end in spans:
        if start - _BEFORE < second < end + _AFTER:
            share *= 1 - amount * _ease((second - start + _BEFORE) / _FADE) * _ease((end + _AFTER - second) / _FADE)
    return share


def free_share(spans: Sequence[Span], second: float) -> float:
    """1 away from spans in which a score moves something, 0 in one (`jaw_spans`)."""
    return _outside(spans, second)


def _compute_decay(seconds: float, fps: float) -> float:
    """Factor of an exponential mean with this time constant."""
    return float(1 - np.exp(-1 / (seconds * fps)))


def _ease(x: float) -> float:
    """0 to 1 with soft ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
