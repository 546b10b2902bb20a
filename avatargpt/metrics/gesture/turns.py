"""Behaviour while listening: stillness, nods, and their timing against the speaker's pauses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.kinematics.joints import FPS as SIGNAL_FPS
from avatargpt.kinematics.joints import Signals, runs_of
from avatargpt.metrics.gesture.beats import check, hand_speeds
from avatargpt.speech.audio import FPS, RATE
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.smoothing import running_mean

LOUD, RANGE, MIN_DB = 95.0, 30.0, -60.0  # percentile of levels; dB below it that are still speech; dB full scale
MIN_SPEECH = 0.1  # s of sound that is speech
MIN_PAUSE = 0.2  # s of silence that make a pause (inter-pausal units: Ward & Tsukahara 2000 and others)
MIN_TURN_GAP = 1.0  # s of silence that end a turn
MAX_STILL_SPEED = 0.1  # m/s below which a hand rests: recorded hands at rest sway by some cm/s
NOD, MAX_NOD_SECONDS = 4.0, 0.7  # degrees down and up again; s that either may take
MAX_STROKE_GAP = 0.15  # s between two strokes of one nod
ABOUT = 0.2  # s before and after a pause in which a nod still belongs to it


def speaking(audio: np.ndarray) -> np.ndarray:
    """(T,) bool at 30 fps: whether somebody speaks, by level alone, over 0.1 s, gaps below 0.2 s closed.

    Loud enough is what lies within 30 dB of the loud frames (their 95th percentile) and above -60 dB full scale.

    Args:
        audio: (n,) mono, 16 kHz, of one voice.
    """
    x = check(audio)
    frames = len(x) * FPS // RATE
    edges = np.arange(frames + 1) * RATE // FPS
    sums = np.concatenate([[0.0], np.cumsum(x**2)])
    power = (sums[edges[1:]] - sums[edges[:-1]]) / np.diff(edges)
    db = 10 * np.log10(running_mean(power, 3) + 1e-12) if frames else np.zeros(0)
    loud = db > max(np.percentile(db, LOUD) - RANGE, MIN_DB) if frames else np.zeros(0, bool)
    out = np.zeros(frames, bool)
    for start, stop in runs_of(loud, round(MIN_PAUSE * FPS) - 1):
        out[start:stop] = stop - start >= MIN_SPEECH * FPS
    return out


def pauses(speech: np.ndarray) -> list[tuple[float, float]]:
    """Start and end (s) of the silences of at least 0.2 s between two stretches of `speaking`."""
    stretches = runs_of(speech)
    return [(a[1] / FPS, b[0] / FPS) for a, b in zip(stretches[:-1], stretches[1:], strict=True)]


def turns(speech: np.ndarray) -> np.ndarray:
    """(T,) bool: `speaking` with gaps below 1 s closed."""
    out = np.zeros(len(speech), bool)
    for start, stop in runs_of(speech, round(MIN_TURN_GAP * FPS) - 1):
        out[start:stop] = True
    return out


def listening(listener: np.ndarray, speaker: np.ndarray) -> np.ndarray:
    """(T,) bool: the speaker has the turn and the listener has not; of the shorter length of both `speaking`."""
    n = min(len(listener), len(speaker))
    return turns(speaker)[:n] & ~turns(listener)[:n]


def still_share(motion: Motion, when: np.ndarray, max_speed: float = MAX_STILL_SPEED) -> float:
    """Share of the frames of `when` ((T,) bool at 30 fps) in which both hands are slower than `max_speed` m/s, 0..1."""
    return float((_within(motion, when) < max_speed).all(1).mean())


def _within(motion: Motion, when: np.ndarray) -> np.ndarray:
    speeds = hand_speeds(motion)
    n = min(len(speeds), len(when))
    if not when[:n].any():
        raise UserError(f"no such frame in the {n / FPS:.1f} s that sound and motion share")
    return speeds[:n][when[:n]]


@dataclass(frozen=True)
class Nod:
    """One nod: seconds at which the face starts down and is up again, degrees of its deepest stroke, strokes down."""

    start: float
    end: float
    degrees: float
    strokes: int


def nods(motion: Motion, degrees: float = NOD, max_seconds: float = MAX_NOD_SECONDS) -> list[Nod]:
    """Where the face goes down against the chest by `degrees` and up again, each within `max_seconds` seconds.

    Definition of this project. Strokes that follow one another at once are one nod. Pitch is `Signals.head_turn`, read
    at 20 fps; a nod starts where a tenth of its stroke is done, and ends where a tenth is left.

    Args:
        motion: any rate.
        degrees: least change of pitch, down and up.
        max_seconds: that either may take.
    """
    # Against the chest, so that leaning forward is no nod.
    pitch, reach = Signals(motion).head_turn[0], round(max_seconds * SIGNAL_FPS)
    lowest = _lowest(pitch, degrees)
    out: list[Nod] = []
    for before, at, after in zip([0, *lowest], lowest, [*lowest[1:], len(pitch) - 1], strict=False):
        first, last = max(before, at - reach), min(after, at + reach)
        down, up = pitch[first : at + 1], pitch[at : last + 1]
        deep = float(min(np.ptp(down), np.ptp(up)))
        if deep < degrees:
            continue
        start = (first + np.flatnonzero(down <= down.min() + 0.1 * np.ptp(down))[-1]) / SIGNAL_FPS
        end = (at + np.flatnonzero(up <= up.min() + 0.1 * np.ptp(up))[0]) / SIGNAL_FPS
        if out and start <= out[-1].end + MAX_STROKE_GAP:
            start, deep, strokes = out[-1].start, max(out[-1].degrees, deep), out.pop().strokes + 1
        else:
            strokes = 1
        out.append(Nod(float(start), float(end), deep, strokes))
    return out


# Frames in which a face is lowest before it is `degrees` higher again, having been that much higher before.
def _lowest(pitch: np.ndarray, degrees: float) -> list[int]:
    out: list[int] = []
    high, low, down = 0, 0, True  # frames of the highest and the lowest face since the last turn; down is positive
    for i, value in enumerate(pitch.tolist()):
        low = i if value > pitch[low] else low
        high = i if value < pitch[high] else high
        if down and pitch[low] - value >= degrees:
            out.append(low)
            down, high = False, i
        elif not down and value - pitch[high] >= degrees:
            down, low = True, i
    return out


@dataclass(frozen=True)
class NodTiming:
    """Timing of nods against the speaker's pauses.

    Attributes:
        hits: for every nod while listening 1.0 where it starts at a pause, else 0.0.
        chance: share of the time of listening that lies at a pause: what nods at random times would score.
    """

    hits: list[float]
    chance: float


def nod_timing(motion: Motion, listener: np.ndarray, speaker: np.ndarray, about: float = ABOUT) -> NodTiming:
    """Whether nods start at the speaker's pauses (stretched by `about` seconds on both sides).

    The end of a turn counts as a pause of 1 s. Definition of this project, after what is known of back-channels (Ward
    & Tsukahara 2000: they come at pauses and low pitch of the speaker).

    Args:
        motion: of the listener, any rate.
        listener: (T,) bool at 30 fps, see `speaking`; of the listener's voice.
        speaker: the same of the speaker's voice.
        about: seconds.
    """
    when = listening(listener, speaker)
    when = when[: min(len(when), round(motion.seconds * FPS))]
    if not when.any():
        raise UserError("nods while listening: the other never has the turn alone")
    at_pause = np.zeros(len(when), bool)
    ends = [stop / FPS for _, stop in runs_of(turns(speaker))]
    for start, end in [*pauses(speaker), *((stop, stop + MIN_TURN_GAP) for stop in ends)]:
        at_pause[max(0, round((start - about) * FPS)) : round((end + about) * FPS)] = True
    starts = [min(round(nod.start * FPS), len(when) - 1) for nod in nods(motion)]
    return NodTiming([float(at_pause[i]) for i in starts if when[i]], float(at_pause[when].mean()))
