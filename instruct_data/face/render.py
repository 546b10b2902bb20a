"""The score renderer: events and emotions -> ARKit curves and head motion, by rule.

Every event moves its shapes from rest to an apex and back with rise and fall times drawn from what was measured on real
takes; halves of the face differ a little in strength and time; emotions are held action-unit poses that swell and ebb,
fade into each other and give way where an event needs the same part of the face; blinks, eye movements, breath and
drift of the head go on underneath. The same score and seed give the same clip, and every weight that belongs to an
action or an emotion rises strictly with its intensity.
"""

from __future__ import annotations

import numpy as np

from instruct_data.face.actions import SIZE, Action, actions, fitted
from instruct_data.face.emotions import prototypes
from instruct_data.face.idle import BLINK, DOWN, Liveliness, blinks, idle, smooth_noise
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.face.tracks import ease, ending, event_tracks
from vqvae import arkit
from vqvae.face import FaceMotion

FPS = 30.0
LAG_SECONDS = 0.008  # standard deviation of the half difference in time between the two sides
ASYMMETRY_LEAST = 0.01  # of lids and brows, where the takes show none at all
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


class _Clip:
    """One rendering: times, seeds and the person's own small asymmetries."""

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
    measured = fitted()["asymmetry"]
    draw = {region: rng.normal() for region in ("eye", "brow", "mouth", "cheek", "nose")}
    out = np.ones(SIZE)
    for shape in arkit.SIDED:
        if shape.startswith("eyeLook"):
            continue
        region = next(r for r in draw if shape.startswith(r))
        size = max(measured.get(shape, 0.02), ASYMMETRY_LEAST) * np.clip(draw[region], -2, 2)
        left, right = arkit.expand(shape)
        out[arkit.INDEX[left]], out[arkit.INDEX[right]] = 1 + size, 1 - size
    return out


def _events(clip: _Clip) -> tuple[np.ndarray, np.ndarray]:
    """(T, 57) what the events ask for and (T, 57) how much of an emotion they leave."""
    table = actions()
    t, events, n = clip.t, clip.score.events, arkit.COUNT
    out = np.zeros((len(t), SIZE))
    leaves = np.ones((len(t), SIZE))
    beats = np.zeros((len(t), n))
    for k, e in enumerate(events):
        action = table[e.action]
        held, rhythm = (_ended(clip, e, curve) for curve in _event(clip, e, action, k))
        out[:, :n] = np.maximum(out[:, :n], held[:, :n])
        beats = np.maximum(beats, rhythm[:, :n])
        out[:, n:] += held[:, n:] + rhythm[:, n:]
        active = ease((t - e.start) / min(0.3, 0.4 * e.duration)) * ease((e.end + 0.3 - t) / 0.3)
        leaves *= 1 - active[:, None] * _taken(e, action)
    out[:, :n] += beats * (1 - out[:, :n])
    return out, leaves


def _taken(e: Event, action: Action) -> np.ndarray:
    """(57,) share of an emotion that gives way to an event: what it yields, and the angles it moves itself.

    A repeated action also clears its own shapes, or the emotion would fill the pauses.
    """
    share = np.zeros(SIZE)
    share[: arkit.COUNT] = 0.9 if action.form == "neutral" else action.yields
    poses = [action.hold, *(p for _, p in action.keys)]
    moves = np.abs(poses).max(0)
    if action.form != "cycle":  # nods and shakes go on from where the emotion holds the head
        share[arkit.COUNT :][moves[arkit.COUNT :] > 0] = ANGLES_YIELD
    if e.repeat > 1:
        share[: arkit.COUNT][moves[: arkit.COUNT] > 0.3] = 0.8
    return share


def _ended(clip: _Clip, e: Event, curve: np.ndarray) -> np.ndarray:
    """An event's curve, ended by later events that close the mouth or bring the face to rest."""
    for other in clip.score.events:
        form = actions()[other.action].form
        if other is e or other.start <= e.start or form not in ("close", "neutral"):
            continue
        left = 1 - ending(other, clip.t)[:, None]
        if form == "neutral":
            curve = curve * left
        else:
            curve[:, _JAW_OPENERS] *= left
    return curve


def _event(clip: _Clip, e: Event, action: Action, k: int) -> tuple[np.ndarray, np.ndarray]:
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
    up = ease((t - f.start + EMOTION_EARLY) / (after + EMOTION_EARLY))
    if f.end >= length - 0.05:
        return up
    return up * ease(1 - (t - f.end + EMOTION_EARLY) / (after + EMOTION_EARLY))


def _strengths(f: Emotion, t: np.ndarray) -> float | np.ndarray:
    """How strong a feeling is at times `t` (T,), where it grows or fades; else one number."""
    return f.intensity if f.to is None else np.interp(t, (f.start, f.end), (f.intensity, f.to))


def _swell(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, 57) factors near 1, one curve per region: a felt face is never frozen."""
    waves = 1 + SWELL * smooth_noise(t, rng, len(_REGIONS) + 1, 2.2, 0.7)
    return np.clip(waves, 0.6, 1.4)[:, _REGION_OF]


def _emotions(clip: _Clip) -> tuple[np.ndarray, Liveliness]:
    """(T, 57) what the emotions ask for, and how lively the face is."""
    t, n = clip.t, arkit.COUNT
    levels: dict[str, np.ndarray] = {}
    for f in clip.score.emotions:
        onset = clip.rng(5, _stable(f.name)).uniform(*EMOTION_ONSET)
        both = np.stack([_envelope(f, clip.score.length, t, onset * slower) for slower in (1.0, HEAD_SLOWER)])
        levels[f.name] = levels.get(f.name, 0) + _strengths(f, t) * both
    missing = np.ones((len(t), n))
    pose = np.zeros((len(t), SIZE))
    factors = np.zeros((3, len(t)))
    total = np.full(len(t), 1e-6)
    for name, raw in levels.items():
        face, head = np.minimum(raw, 1.0)
        p = prototypes()[name]
        curve = _swell(t, clip.rng(2, _stable(name))) * p.pose[int(clip.right)] * clip.halves
        missing *= 1 - np.clip(face[:, None] * curve[:, :n], 0, 1)
        pose[:, n : n + 3] += head[:, None] * curve[:, n : n + 3]
        pose[:, n + 3 :] += face[:, None] * curve[:, n + 3 :]
        factors += face * (np.array([p.blinks, p.darts, p.sway]) - 1)[:, None]
        total += face
    pose[:, :n] = 1 - missing
    rates = 1 + factors / np.maximum(total, 1)
    return pose, Liveliness(rates[0], rates[1], rates[2])


def _stable(name: str) -> int:
    """A number per name that does not depend on the run."""
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31


def _quiet_lids(clip: _Clip, alive: Liveliness) -> Liveliness:
    """No spontaneous blinks around actions of the lids, so that a counted blink stays one."""
    rate = alive.blinks.copy()
    for e in clip.score.events:
        if e.action in EYE_ACTIONS:
            rate[(clip.t > e.start - BLINK_FREE) & (clip.t < e.end + BLINK_FREE)] = 0
    return Liveliness(rate, alive.darts, alive.sway)


def _calm_eyes(clip: _Clip, alive: Liveliness) -> np.ndarray:
    """(T, 1) how much of the idle gaze and drift is left while an event moves eyes or head."""
    left = np.ones(len(clip.t))
    for e in clip.score.events:
        a = actions()[e.action]
        moved = a.hold[arkit.COUNT :].any() or any(p[arkit.COUNT :].any() for _, p in a.keys)
        if moved:
            left *= 1 - 0.7 * ease((clip.t - e.start + 0.2) / 0.2) * ease((e.end + 0.3 - clip.t) / 0.3)
    return left[:, None]


def render(score: Score, seed: int = 0, fps: float = FPS, side: str = "") -> FaceMotion:
    """Score -> face clip of `score.length` seconds; the same seed gives the same clip.

    Args:
        side: of one-sided emotions, ``left`` or ``right``; empty = drawn by the seed.
    """
    clip = _Clip(score, seed, fps, side)
    wanted, leaves = _events(clip)
    felt, alive = _emotions(clip)
    alive = _quiet_lids(clip, alive)
    resting = idle(clip.t, alive, clip.rng(3))
    calm = _calm_eyes(clip, alive)
    shapes, n = wanted[:, : arkit.COUNT], arkit.COUNT
    felt *= leaves
    emotion = felt[:, :n]
    weights = (shapes**POWER + emotion**POWER) ** (1 / POWER) + resting[:, :n] * (1 - shapes) * (1 - emotion)
    rest = wanted[:, n:] + felt[:, n:] + resting[:, n:] * calm
    _gaze(weights, rest[:, 3:])
    _lids(weights, blinks(clip.t, alive, clip.rng(4)))
    return FaceMotion(weights, rest[:, :3], fps, score.text)


def _gaze(weights: np.ndarray, gaze: np.ndarray) -> None:
    """Add gaze x (+ left), y (+ up) to the eight eyeLook shapes, in place."""
    x, y = np.clip(gaze, -1, 1).T
    for name, value in (
        ("eyeLookOutLeft", x), ("eyeLookInLeft", -x), ("eyeLookInRight", x), ("eyeLookOutRight", -x),
        ("eyeLookUpLeft", y), ("eyeLookUpRight", y), ("eyeLookDownLeft", -y), ("eyeLookDownRight", -y),
    ):  # fmt: skip
        weights[:, arkit.INDEX[name]] = np.clip(weights[:, arkit.INDEX[name]] + value, 0, 1)


def _lids(weights: np.ndarray, closure: np.ndarray) -> None:
    """Spontaneous blinks over what the lids do, and no wide eye behind a closed lid, in place."""
    for lid, down, side in zip(BLINK, DOWN, ("Left", "Right"), strict=True):
        weights[:, lid] = np.maximum(weights[:, lid], closure)
        weights[:, down] = np.clip(weights[:, down] + 0.12 * closure, 0, 1)
        weights[:, arkit.INDEX[f"eyeWide{side}"]] *= 1 - np.clip(weights[:, lid], 0, 1)
