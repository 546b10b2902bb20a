"""The score renderer: events and emotions -> ARKit curves and head motion, by rule."""

# Every event moves its shapes from rest to an apex and back with rise and fall times drawn from what was measured on
# real takes; halves of the face differ a little in strength and time; emotions are held action-unit poses that swell
# and ebb, fade into each other and give way where an event needs the same part of the face; blinks, eye movements,
# breath and drift of the head go on underneath. The same score and seed give the same clip, and every weight that
# belongs to an action or an emotion rises strictly with its intensity.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.face.actions import LID_SHARE, SIZE, Action, actions, load_fitted
from instruct_data.face.emotions import DEGREES, prototypes
from instruct_data.face.score import Emotion, Event, Score
from vqvae import arkit
from vqvae.face import FaceMotion
from vqvae.rates import FACE_FPS
from vqvae.smoothing import smoothstep

# Events: one track of key poses for each, and a rhythm on top of it.
MAX_RAMP = 0.42  # of the time that an action has
GAP_SHARE = 0.9  # of a repetition's time that it lasts; the rest is the pause before the next
SLOW_SECONDS = 2.2  # actions that last longer than this also begin and end more slowly
PULSE_TOP_SECONDS = 0.034  # a lid closed on purpose stays so, one frame at 30 fps
SINGLE_BLINK = 0.8  # seconds; one blink or wink given more time than this is done slowly
_LEFT = np.array([n.endswith("Left") and n not in ("jawLeft", "mouthLeft") for n in arkit.NAMES] + [False] * 5)
_RIGHT = np.array([n.endswith("Right") and n not in ("jawRight", "mouthRight") for n in arkit.NAMES] + [False] * 5)
_CENTRE = ~(_LEFT | _RIGHT)
Keys = list[tuple[float, np.ndarray]]  # seconds, (57,) pose


@dataclass
class PoseTrack:
    """Poses at rising times (seconds); before the first and after the last the pose stands."""

    times: np.ndarray  # (K,)
    poses: np.ndarray  # (K, 57)

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
        share = smoothstep((t - self.times[i]) / span)[:, None]
        poses = self.poses[:, mask]
        return poses[i] * (1 - share) + poses[i + 1] * share


def _track(keys: Keys) -> PoseTrack:
    times = np.maximum.accumulate(np.array([k[0] for k in keys]) + 1e-6 * np.arange(len(keys)))
    return PoseTrack(times, np.stack([k[1] for k in keys]))


def _hold(action: Action, start: float, seconds: float, rng: np.random.Generator, last: bool) -> Keys:
    zero = np.zeros(SIZE)
    slow = max(1.0, (seconds / SLOW_SECONDS) ** 0.5)
    # Ways up and down are drawn between the fitted lower quartile and median.
    share = 0.6 * rng.random(2)
    up, down = (min((q[0] + s * (q[1] - q[0])) * slow, MAX_RAMP * seconds)
                for q, s in zip((action.rise, action.fall), share, strict=True))  # fmt: skip
    sag = 1 - 0.06 * rng.random()  # the apex gives way a little while it is held
    tail = 0.35 * down if last else 0.0
    end = start + seconds + tail
    keys = [(start, zero), (start + up, action.hold), (end - down, action.hold * sag), (end, zero)]
    return keys if keys[1][0] <= keys[2][0] else [keys[0], (0.5 * (keys[1][0] + keys[2][0]), action.hold), keys[3]]


def _pulse(action: Action, start: float, seconds: float, alone: bool, rng: np.random.Generator) -> Keys:
    zero, closed = np.zeros(SIZE), action.keys[0][1]
    up, down = (q[0] + r * (q[1] - q[0]) for q, r in zip((action.rise, action.fall), rng.random(2), strict=True))
    natural = up + PULSE_TOP_SECONDS + down
    if alone and seconds > SINGLE_BLINK:
        up, down = min(0.3 * seconds, 0.3), min(0.4 * seconds, 0.4)
        top = seconds - up - down
    else:
        scale = min(1.0, GAP_SHARE * max(seconds, 0.2) / natural)
        up, down, top = up * scale, down * scale, PULSE_TOP_SECONDS
    return [(start, zero), (start + up, closed), (start + up + top, closed), (start + up + top + down, zero)]


def _cycle(action: Action, e: Event, rng: np.random.Generator) -> PoseTrack:
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


def event_tracks(action: Action, e: Event, rng: np.random.Generator) -> tuple[list[PoseTrack], list[PoseTrack]]:
    """Tracks of an event at intensity 1: poses held or passed through, and the rhythm on top of them."""
    tracks: list[PoseTrack] = []
    rhythm: list[PoseTrack] = []
    unit = e.duration / e.repeat
    undivided = action.form in ("cycle", "close")
    if action.hold.any():
        parts = 1 if undivided else e.repeat
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


# the takes show 15 blinks a minute as median; their eyes jump more often than a calm listener's, because they are
# performances: every third jump is used
JUMP_SHARE = 0.35
BLINK_TOP_SECONDS = 0.02  # a lid stays closed in passing
MAX_GAZE = 0.22
SWAY_DEGREES = np.array([1.3, 0.9, 0.7])  # standard deviation of yaw, pitch, roll
BREATHS_PER_MINUTE = 15.0
UNREST = {"brow": 0.006, "eyeSquint": 0.005, "mouth": 0.004, "cheek": 0.003, "nose": 0.003}
_REGION = np.array([next((v for k, v in UNREST.items() if n.startswith(k)), 0.0) for n in arkit.NAMES])
BLINK = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
DOWN = [arkit.INDEX["eyeLookDownLeft"], arkit.INDEX["eyeLookDownRight"]]


@dataclass(frozen=True)
class Liveliness:
    """How lively a face is over time, all (T,) factors, 1 = ordinary."""

    blinks: np.ndarray  # rate of blinks; 0 where none may fall
    darts: np.ndarray  # rate of eye movements
    sway: np.ndarray  # size of the head's drift


def smooth_noise(t: np.ndarray, rng: np.random.Generator, count: int, slow: float, fast: float) -> np.ndarray:
    """(T, count) noise of about unit variance: two layers of random values every `slow` and `fast` seconds, joined
    softly."""
    out = np.zeros((len(t), count))
    for period, weight in ((slow, 1.0), (fast, 0.5)):
        at = (t - t[0]) / period + rng.random()
        values = rng.standard_normal((int(at[-1]) + 2, count)) * weight
        i = at.astype(int)
        share = smoothstep(at - i)[:, None]
        out += values[i] * (1 - share) + values[i + 1] * share
    return out / 0.97  # two layers of variance 0.75 and 0.19


def _arrivals(rate: np.ndarray, step: float, min_distance: float, rng: np.random.Generator) -> np.ndarray:
    """Frames at which something happens: a renewal process of hazard `rate` (per second), `min_distance` s apart."""
    passed, next_at, last = 0.0, rng.exponential(), -np.inf
    out = []
    for i, r in enumerate(rate):
        passed += r * step
        if passed >= next_at and r > 0 and (i - last) * step >= min_distance:
            out.append(i)
            last = i
            passed, next_at = 0.0, rng.exponential()
    return np.array(out, int)


def blinks(t: np.ndarray, alive: Liveliness, rng: np.random.Generator) -> np.ndarray:
    """(T,) lid closure of spontaneous blinks; rate, closing, opening and height as measured."""
    b = load_fitted()["blinks"]
    step = float(t[1] - t[0]) if len(t) > 1 else 1.0
    out = np.zeros(len(t))
    for i in _arrivals(alive.blinks * b["per_minute"][1] / 60, step, 0.6, rng):
        ways = (b[k][:2] for k in ("closing_seconds", "opening_seconds"))
        close, opening = (np.interp(rng.random(), [0, 1], way) / LID_SHARE for way in ways)
        start = t[i] + 0.1
        shape = smoothstep((t - start) / close) - smoothstep((t - start - close - BLINK_TOP_SECONDS) / opening)
        # a blink cut short by an action of the eyes would leave half a lid behind: it is dropped
        if (alive.blinks[shape > 0.02] > 0).all():
            out = np.maximum(out, np.interp(rng.random(), [0, 1], [b["height"][2], 1.0]) * shape)
    return out


def eyes(t: np.ndarray, alive: Liveliness, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) small gaze offsets x, y: rests and quick jumps, sizes and pauses as measured, mostly sideways."""
    g = load_fitted()["gaze"]
    step = float(t[1] - t[0]) if len(t) > 1 else 1.0
    rate = JUMP_SHARE / (g["rest_seconds"][1] + g["seconds"][1]) * alive.darts
    out = np.zeros((len(t), 2))
    here = np.zeros(2)
    for i in _arrivals(rate, step, 0.12, rng):
        size = min(g["size"][0] * rng.exponential(), MAX_GAZE)
        angle = rng.uniform(0, 2 * np.pi)
        there = np.array([np.cos(angle), 0.6 * np.sin(angle)]) * size
        out += (there - here) * smoothstep((t - t[i]) / g["seconds"][2])[:, None]
        here = there
    return out + 0.3 * g["tremor_per_frame"] * smooth_noise(t, rng, 2, 0.8, 0.2)


def idle(t: np.ndarray, alive: Liveliness, rng: np.random.Generator) -> np.ndarray:
    """(T, 57) idle motion without blinks: weights (0 or a little more), head and gaze."""
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


# The whole clip: events over emotions over idle motion.
LAG_SECONDS = 0.008  # standard deviation of the half difference in time between the two sides
MIN_ASYMMETRY = 0.01  # of lids and brows, where the takes show none at all
BLINK_FREE = 0.35  # seconds around actions of the lids without spontaneous blinks
EMOTION_EARLY = 0.15  # seconds before its start at which an emotion begins to show
EMOTION_ONSET = (0.35, 0.8)  # seconds after it at which it is there
HEAD_SLOWER = 1.9  # the head takes that much longer to an emotion's pose than the face
SWELL = 0.1  # standard deviation of an emotion's swelling and ebbing, per region of the face
ANGLES_YIELD = 0.7  # share of an emotion's head angle or gaze that goes while an event moves the same angle
POWER = 4.0  # of the norm that joins an event with an emotion on one shape: nearly the larger one
EYE_ACTIONS = {"blink", "wink_left", "wink_right", "close_eyes", "widen_eyes", "roll_eyes", "yawn"}
_OPENERS = ("jawOpen", "mouthLowerDown", "mouthFunnel", "tongueOut")
_JAW_OPENERS = [arkit.INDEX[n] for shape in _OPENERS for n in arkit.expand(shape)]
_REGIONS = ("eye", "jaw", "mouth", "brow", "cheek", "nose", "tongue")
_REGION_OF = np.array([next(i for i, r in enumerate(_REGIONS) if n.startswith(r)) for n in arkit.NAMES] + [7] * 5)


class _FaceClip:
    """One rendering: times, seeds and the small asymmetries of the face."""

    def __init__(self, score: Score, seed: int, fps: float, side: str = "") -> None:
        self.score, self.seed = score, seed
        self.t = np.arange(max(1, round(score.length * fps))) / fps
        rng = self.rng(0)
        drawn = bool(rng.random() < 0.5)
        self.right = side == "right" if side else drawn  # the side of one-sided emotions
        self.lag = float(rng.normal(0, LAG_SECONDS))
        self.halves = _halves(rng)

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator per purpose, so that one part of a score does not change how another is drawn."""
        return np.random.default_rng([self.seed, *stream])


def _halves(rng: np.random.Generator) -> np.ndarray:
    """(57,) factors near 1: how much stronger one half of this face moves, per region."""
    measured = load_fitted()["asymmetry"]
    draw = {region: rng.normal() for region in ("eye", "brow", "mouth", "cheek", "nose")}
    out = np.ones(SIZE)
    for shape in arkit.SIDED:
        if shape.startswith("eyeLook"):
            continue
        region = next(r for r in draw if shape.startswith(r))
        size = max(measured.get(shape, 0.02), MIN_ASYMMETRY) * np.clip(draw[region], -2, 2)
        left, right = arkit.expand(shape)
        out[arkit.INDEX[left]], out[arkit.INDEX[right]] = 1 + size, 1 - size
    return out


def _events(clip: _FaceClip) -> tuple[np.ndarray, np.ndarray]:
    """(T, 57) pose of the events and (T, 57) share of an emotion that they leave."""
    table = actions()
    t, events, n = clip.t, clip.score.events, arkit.COUNT
    out = np.zeros((len(t), SIZE))
    leaves = np.ones((len(t), SIZE))
    beats = np.zeros((len(t), n))
    for k, e in enumerate(events):
        action = table[e.action]
        hold, rhythm = (_end_curve(clip, e, curve) for curve in _event(clip, e, action, k))
        out[:, :n] = np.maximum(out[:, :n], hold[:, :n])
        beats = np.maximum(beats, rhythm[:, :n])
        out[:, n:] += hold[:, n:] + rhythm[:, n:]
        active = smoothstep((t - e.start) / min(0.3, 0.4 * e.duration)) * smoothstep((e.end + 0.3 - t) / 0.3)
        leaves *= 1 - active[:, None] * _measure_yield(e, action)
    out[:, :n] += beats * (1 - out[:, :n])
    return out, leaves


def _measure_yield(e: Event, action: Action) -> np.ndarray:
    """(57,) share of an emotion that gives way to an event: what it yields, and the angles it moves itself."""
    # a repeated action also clears its own shapes, or the emotion would fill the pauses
    share = np.zeros(SIZE)
    share[: arkit.COUNT] = 0.9 if action.form == "neutral" else action.yields
    poses = [action.hold, *(p for _, p in action.keys)]
    moves = np.abs(poses).max(0)
    if action.form != "cycle":  # nods and shakes go on from where the emotion holds the head
        share[arkit.COUNT :][moves[arkit.COUNT :] > 0] = ANGLES_YIELD
    if e.repeat > 1:
        share[: arkit.COUNT][moves[: arkit.COUNT] > 0.3] = 0.8
    return share


def _end_curve(clip: _FaceClip, e: Event, curve: np.ndarray) -> np.ndarray:
    """An event's curve, ended by later events that close the mouth or bring the face to rest."""
    for later in clip.score.events:
        form = actions()[later.action].form
        if later is e or later.start <= e.start or form not in ("close", "neutral"):
            continue
        left = 1 - smoothstep((clip.t - later.start) / min(0.6 * later.duration, 0.5))[:, None]
        if form == "neutral":
            curve = curve * left
        else:
            curve[:, _JAW_OPENERS] *= left
    return curve


def _event(clip: _FaceClip, e: Event, action: Action, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 57) one event's curve at its intensity and (T, 57) the rhythm that goes on top."""
    rng = clip.rng(1, k)
    curves = [sum((track.at(clip.t, clip.lag) for track in tracks), np.zeros((len(clip.t), SIZE)))
              for tracks in event_tracks(action, e, rng)]  # fmt: skip
    level = action.level(e.intensity)
    pull = level * clip.halves
    if action.form == "pulse" or action.name == "close_eyes":
        return curves[0] * np.maximum(pull, level), curves[1]  # lids meet on both sides
    if e.rise:
        curves = [c * np.clip((clip.t - e.start) / (e.rise * e.duration), 0, 1)[:, None] for c in curves]
    unrest = 1 + 0.025 * smooth_noise(clip.t, rng, 1, 2.5, 0.6)
    return curves[0] * unrest * pull, curves[1] * pull


def _envelope(f: Emotion, length: float, t: np.ndarray, onset: float) -> np.ndarray:
    """(T,) 0 to 1: an emotion's coming and going."""
    after = min(onset, 0.5 * (f.end - f.start))
    up = smoothstep((t - f.start + EMOTION_EARLY) / (after + EMOTION_EARLY))
    if f.end >= length - 0.05:
        return up
    return up * smoothstep(1 - (t - f.end + EMOTION_EARLY) / (after + EMOTION_EARLY))


def _emotions(clip: _FaceClip) -> tuple[np.ndarray, Liveliness]:
    """(T, 57) pose of the emotions, and how lively the face is."""
    t, n = clip.t, arkit.COUNT
    levels: dict[str, np.ndarray] = {}
    for f in clip.score.emotions:
        onset = clip.rng(5, _stable(f.name)).uniform(*EMOTION_ONSET)
        both = np.stack([_envelope(f, clip.score.length, t, onset * slower) for slower in (1.0, HEAD_SLOWER)])
        strength = f.intensity if f.to is None else np.interp(t, (f.start, f.end), (f.intensity, f.to))
        levels[f.name] = levels.get(f.name, 0) + strength * both
    missing = np.ones((len(t), n))
    pose = np.zeros((len(t), SIZE))
    factors = np.zeros((3, len(t)))
    total = np.full(len(t), 1e-6)
    for name, raw in levels.items():
        face, head = np.minimum(raw, 1.0)
        p = prototypes()[name]
        # factors near 1, one curve per region, so that an emotional face is never frozen
        waves = 1 + SWELL * smooth_noise(t, clip.rng(2, _stable(name)), len(_REGIONS) + 1, 2.2, 0.7)
        curve = np.clip(waves, 0.6, 1.4)[:, _REGION_OF] * p.pose[int(clip.right)] * clip.halves
        missing *= 1 - np.clip(face[:, None] * curve[:, :n], 0, 1)
        pose[:, n : n + 3] += head[:, None] * curve[:, n : n + 3]
        pose[:, n + 3 :] += face[:, None] * curve[:, n + 3 :]
        factors += face * (np.array([p.blinks, p.darts, p.sway]) - 1)[:, None]
        total += face
    pose[:, :n] = 1 - missing
    rates = 1 + factors / np.maximum(total, 1)
    return pose, Liveliness(rates[0], rates[1], rates[2])


def _stable(name: str) -> int:
    """A number of a name, equal in every run."""
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31


def _calm_eyes(clip: _FaceClip, alive: Liveliness) -> np.ndarray:
    """(T, 1) how much of the idle gaze and drift is left while an event moves eyes or head."""
    left = np.ones(len(clip.t))
    for e in clip.score.events:
        a = actions()[e.action]
        moved = a.hold[arkit.COUNT :].any() or any(p[arkit.COUNT :].any() for _, p in a.keys)
        if moved:
            left *= 1 - 0.7 * smoothstep((clip.t - e.start + 0.2) / 0.2) * smoothstep((e.end + 0.3 - clip.t) / 0.3)
    return left[:, None]


def render(score: Score, seed: int = 0, fps: float = FACE_FPS, side: str = "") -> FaceMotion:
    """Score -> face clip of `score.length` seconds; the same seed gives the same clip. `side`: of one-sided emotions,
    ``left`` or ``right``; empty = drawn by the seed.
    """
    clip = _FaceClip(score, seed, fps, side)
    events_pose, leaves = _events(clip)
    emotions_pose, alive = _emotions(clip)
    for e in score.events:  # no spontaneous blinks around actions of the lids: a counted blink stays one
        if e.action in EYE_ACTIONS:
            alive.blinks[(clip.t > e.start - BLINK_FREE) & (clip.t < e.end + BLINK_FREE)] = 0
    resting = idle(clip.t, alive, clip.rng(3))
    calm = _calm_eyes(clip, alive)
    shapes, n = events_pose[:, : arkit.COUNT], arkit.COUNT
    emotions_pose *= leaves
    emotion = emotions_pose[:, :n]
    weights = (shapes**POWER + emotion**POWER) ** (1 / POWER) + resting[:, :n] * (1 - shapes) * (1 - emotion)
    angles = events_pose[:, n:] + emotions_pose[:, n:] + resting[:, n:] * calm
    x, y = np.clip(angles[:, 3:], -1, 1).T
    for name, value in (
        ("eyeLookOutLeft", x), ("eyeLookInLeft", -x), ("eyeLookInRight", x), ("eyeLookOutRight", -x),
        ("eyeLookUpLeft", y), ("eyeLookUpRight", y), ("eyeLookDownLeft", -y), ("eyeLookDownRight", -y),
    ):  # fmt: skip
        weights[:, arkit.INDEX[name]] = np.clip(weights[:, arkit.INDEX[name]] + value, 0, 1)
    _lids(weights, blinks(clip.t, alive, clip.rng(4)))
    return FaceMotion(weights, angles[:, :3], fps, score.text)


def _lids(weights: np.ndarray, closure: np.ndarray) -> None:
    """Spontaneous blinks over what the lids do, and no wide eye behind a closed lid, in place."""
    for lid, down, side in zip(BLINK, DOWN, ("Left", "Right"), strict=True):
        weights[:, lid] = np.maximum(weights[:, lid], closure)
        weights[:, down] = np.clip(weights[:, down] + 0.12 * closure, 0, 1)
        weights[:, arkit.INDEX[f"eyeWide{side}"]] *= 1 - np.clip(weights[:, lid], 0, 1)
