"""Match of lips and phones: closures and contacts with false ones beside them, silence, onsets, rounding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import CLOSED, LABIODENTAL, OPEN, VOWELS, Phone
from vqvae.arkit import INDEX, NAMES, expand

CLOSED_JAW, CLOSED_PRESS = 0.10, 0.18
CONTACT_JAW, CONTACT_ROLL = 0.16, 0.18
OPEN_JAW = 0.20
MIN_DISTANCE = 0.1  # s from a phone to the nearest p, b, m (f, v) for the lips to have to stay open
SETTLE = 0.15  # s after the end of speech by which the mouth rests
AHEAD = 0.15  # s before speech in which it may get ready
MOUTH = tuple(i for i, name in enumerate(NAMES) if name.startswith(("jaw", "mouth", "tongue", "cheekPuff")))
MAX_LAG = 6  # frames


def channel(curves: np.ndarray, name: str) -> np.ndarray:
    """(T,) a weight by name, or the mean of both sides."""
    return np.asarray(curves[:, [INDEX[n] for n in expand(name)]].mean(1))


def closed(curves: np.ndarray) -> np.ndarray:
    """(T,) bool: the lips are pressed together: jawOpen below 0.10 and mouthPress above 0.18."""
    return (channel(curves, "jawOpen") < CLOSED_JAW) & (channel(curves, "mouthPress") > CLOSED_PRESS)


def touching(curves: np.ndarray) -> np.ndarray:
    """(T,) bool: the lower lip is at the teeth: jawOpen below 0.16 and mouthRollLower above 0.18, lips not pressed."""
    roll = channel(curves, "mouthRollLower")
    return (channel(curves, "jawOpen") < CONTACT_JAW) & (roll > CONTACT_ROLL) & ~closed(curves)


def rounding(curves: np.ndarray) -> np.ndarray:
    """(T,) mouthFunnel + mouthPucker."""
    return channel(curves, "mouthFunnel") + channel(curves, "mouthPucker")


def pressing(curves: np.ndarray) -> np.ndarray:
    """(T,) mouthPress + mouthRollLower + mouthRollUpper: recorded rigs close the lips with either."""
    return channel(curves, "mouthPress") + channel(curves, "mouthRollLower") + channel(curves, "mouthRollUpper")


def movements(curves: np.ndarray) -> np.ndarray:
    """(T, 3) jaw, rounding, press: what of recorded faces is compared, a linear map of the curves."""
    c = curves.astype(np.float32)
    return np.stack([channel(c, "jawOpen"), rounding(c), pressing(c)], 1)


@dataclass
class Lips:
    """Shares as lists of 0 and 1 (one entry per phone), and values per event, over any number of clips."""

    closure: list[float] = field(default_factory=list)  # p, b, m with closed lips in a frame of theirs or next to it
    # closure_vowel, closure_consonant: vowels, other consonants away from any p, b, m with closed lips inside
    closure_vowel: list[float] = field(default_factory=list)
    closure_consonant: list[float] = field(default_factory=list)
    # contact, contact_vowel, contact_consonant: the same for f, v, p, b and m counting as neither
    contact: list[float] = field(default_factory=list)
    contact_vowel: list[float] = field(default_factory=list)
    contact_consonant: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)  # open vowels of at least 80 ms whose jaw opens
    # Largest mouth channel of each pause, from 150 ms after speech to 150 ms before it
    silence: list[float] = field(default_factory=list)
    # ms from the teacher's onset of movement to this one's, after each pause
    onset: list[float] = field(default_factory=list)
    closure_lag: list[float] = field(default_factory=list)  # ms from the teacher's middle of a closure to this one's

    def add(self, curves: np.ndarray, phones: Sequence[Phone], teacher: np.ndarray | None = None) -> None:
        """Count one clip: (T, 55) curves at 30 fps, its phones, and what the teacher makes of them."""
        shut, touch = closed(curves), touching(curves)
        lips, teeth = ([p for p in phones if p.name in group] for group in (CLOSED, LABIODENTAL))
        # Phones near a p, b, m share its closure, so they prove nothing.
        jaw = channel(curves, "jawOpen")
        for p in phones:
            a, b = _frames(p, len(curves))
            if p.name in CLOSED:
                self.closure.append(float(shut[max(a - 1, 0) : b + 1].any()))
            elif p.name in LABIODENTAL:
                self.contact.append(float(touch[max(a - 1, 0) : b + 1].any()))
            if p.name == "SIL" or b <= a:
                continue
            if p.name not in CLOSED and _distant(p, lips):
                (self.closure_vowel if p.name in VOWELS else self.closure_consonant).append(float(shut[a:b].any()))
            if p.name not in (*LABIODENTAL, *CLOSED) and _distant(p, teeth):
                (self.contact_vowel if p.name in VOWELS else self.contact_consonant).append(float(touch[a:b].any()))
            if p.name in OPEN and p.end - p.start >= 0.08:
                self.opened.append(float(jaw[a:b].max() > OPEN_JAW))
        for start, end in pauses(phones, len(curves) / FPS):
            a, b = max(0, int(np.ceil((start + SETTLE) * FPS))), min(int((end - AHEAD) * FPS), len(curves))
            if b > a:
                self.silence.append(float(curves[a:b][:, MOUTH].max()))
        if teacher is not None:
            self.onset += onset_lags(curves, teacher, phones)
            self.closure_lag += closure_lags(curves, teacher, lips)


# First frame in a phone and the first after it.
def _frames(p: Phone, frames: int) -> tuple[int, int]:
    a, b = (int(np.ceil(x * FPS - 1e-6)) for x in (p.start, p.end))
    return min(max(a, 0), frames), min(max(b, 0), frames)


def _distant(p: Phone, phones: Iterable[Phone]) -> bool:
    return all(o.start - p.end > MIN_DISTANCE or p.start - o.end > MIN_DISTANCE for o in phones)


def pauses(phones: Sequence[Phone], seconds: float, min_seconds: float = 0.35) -> list[tuple[float, float]]:
    """Silences of at least so many seconds, the ends of the clip included: start, end."""
    out = []
    now = -AHEAD - SETTLE  # no speech before the clip: its first pause counts from the first frame
    for p in [*(p for p in phones if p.name != "SIL"), Phone("SIL", seconds + AHEAD, seconds + AHEAD)]:
        if p.start - now >= min_seconds:
            out.append((now, p.start))
        now = max(now, p.end)
    return out


def _movement(curves: np.ndarray) -> np.ndarray:
    return np.asarray(curves[:, MOUTH].sum(1))


def onset_lags(curves: np.ndarray, teacher: np.ndarray, phones: Sequence[Phone], level: float = 0.15) -> list[float]:
    """ms from the teacher's crossing of `level` of its peak to this one's, at every start of speech after a pause."""
    out = []
    signal, reference = _movement(curves), _movement(teacher)
    for start, end in pauses(phones, len(curves) / FPS):
        a, b = max(0, int((max(start, 0) + SETTLE) * FPS)), int((end + 0.25) * FPS)
        if b > len(curves) or b - a < 4 or end * FPS - a < 4:
            continue
        here, there = _crossing(signal[a:b], level), _crossing(reference[a:b], level)
        if here is not None and there is not None:
            out.append((here - there) * 1000 / FPS)
    return out


# Frame, with its fraction, at which x last rises through `level` of its largest value.
def _crossing(x: np.ndarray, level: float) -> float | None:
    limit = level * x.max()
    below = np.flatnonzero(x < limit)
    if not len(below) or below[-1] + 1 >= len(x):
        return None
    i = int(below[-1])
    return i + float((limit - x[i]) / (x[i + 1] - x[i]))


def closure_lags(curves: np.ndarray, teacher: np.ndarray, lips: Sequence[Phone]) -> list[float]:
    """ms from the centre of mass of the teacher's press to this one's around every p, b, m."""
    out = []
    signal, reference = channel(curves, "mouthPress"), channel(teacher, "mouthPress")
    for p in lips:
        middle = round((p.start + p.end) / 2 * FPS)
        part = slice(max(0, middle - 3), middle + 4)
        a, b = signal[part], reference[part]
        if a.max(initial=0) > CLOSED_PRESS and b.max(initial=0) > CLOSED_PRESS:
            n = np.arange(len(a))
            out.append(float((a @ n / a.sum() - b @ n / b.sum()) * 1000 / FPS))
    return out


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of `a` with a reference `b`; 0 where `a` does not move, NaN where `b` does not."""
    if len(a) < 3 or b.std() < 1e-6:
        return float("nan")
    if a.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(a: np.ndarray, b: np.ndarray) -> float:
    """ms by which `a` comes after `b`: the lag of the highest correlation, refined by a parabola."""
    lags = list(range(-MAX_LAG, MAX_LAG + 1))
    n = len(a)
    r = np.array([correlation(a[max(k, 0) : n + min(k, 0)], b[max(-k, 0) : n - max(k, 0)]) for k in lags])
    i = int(np.nanargmax(r))
    shift = 0.0
    if 0 < i < len(r) - 1:
        curve = r[i - 1] - 2 * r[i] + r[i + 1]
        shift = 0.5 * (r[i - 1] - r[i + 1]) / curve if curve else 0.0
    return float((lags[i] + shift) * 1000 / FPS)
