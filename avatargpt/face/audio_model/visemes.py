"""Viseme rules: phones with times -> mouth curves. The driver learns from them where no face was recorded.

Dominance functions after Cohen and Massaro (1993): each phone pulls a channel towards its target with a strength that
decays around it; rounding reaches about 150 ms ahead. On top come hard rules as in JALI (Edwards et al. 2016): p, b, m
close the lips whatever their context, f and v bring the lower lip to the teeth, sibilants keep the jaw nearly shut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import CLOSED, INDEX, LABIODENTAL, SILENCE, VOWELS, Phone
from vqvae.arkit import INDEX as CHANNEL
from vqvae.arkit import NAMES, expand

if TYPE_CHECKING:
    from avatargpt.gesture.features import TimedWord

# The speaker style vector: size of each kind of movement, 0 = usual, -1 and 1 = the range in training.
STYLE = ("jaw", "rounding", "spread", "closure", "lips", "tongue", "brows", "head")
WIDTH = len(NAMES) + 3  # weights, then head yaw, pitch, roll in radians

_BLENDED = ("jaw", "funnel", "pucker", "stretch", "smile", "lower", "upper", "tongue")
# phone: jaw funnel pucker stretch smile lower upper tongue | pull on the jaw | pull on the rounding
_TABLE = """
SIL .00 .00 .00 .00 .00 .00 .00 .00 | 1.0 1.0
AA  .56 .04 .00 .06 .00 .18 .10 .00 | 1.3 0.8
AE  .48 .00 .00 .22 .06 .20 .14 .00 | 1.3 0.8
AH  .30 .02 .00 .08 .00 .10 .06 .00 | 0.7 0.5
AO  .42 .48 .22 .00 .00 .08 .04 .00 | 1.0 1.2
EH  .36 .00 .00 .24 .08 .14 .10 .00 | 1.0 0.8
ER  .22 .32 .24 .00 .00 .06 .06 .00 | 0.8 1.0
IH  .20 .00 .00 .26 .12 .10 .08 .00 | 0.8 0.8
IY  .14 .00 .00 .42 .26 .10 .10 .00 | 0.9 1.0
UH  .20 .36 .42 .00 .00 .04 .04 .00 | 0.9 1.1
UW  .13 .42 .75 .00 .00 .02 .02 .00 | 1.0 1.4
P   .02 .00 .00 .00 .00 .00 .00 .00 | 1.2 0.1
B   .02 .00 .00 .00 .00 .00 .00 .00 | 1.2 0.1
M   .02 .00 .00 .00 .00 .00 .00 .00 | 1.2 0.1
F   .06 .00 .00 .06 .00 .00 .18 .00 | 1.5 0.2
V   .06 .00 .00 .06 .00 .00 .16 .00 | 1.5 0.2
T   .12 .00 .00 .10 .00 .12 .06 .06 | 0.5 0.1
D   .13 .00 .00 .10 .00 .12 .06 .06 | 0.5 0.1
N   .15 .00 .00 .08 .00 .10 .05 .05 | 0.6 0.1
L   .20 .00 .00 .06 .00 .12 .06 .14 | 0.6 0.1
S   .05 .00 .00 .22 .06 .22 .16 .00 | 1.6 0.3
Z   .05 .00 .00 .20 .05 .22 .16 .00 | 1.6 0.3
SH  .10 .52 .32 .00 .00 .18 .14 .00 | 1.3 1.0
ZH  .10 .50 .32 .00 .00 .18 .14 .00 | 1.3 1.0
CH  .10 .52 .34 .00 .00 .18 .14 .00 | 1.3 1.0
JH  .10 .48 .32 .00 .00 .18 .14 .00 | 1.3 1.0
TH  .12 .00 .00 .06 .00 .10 .08 .50 | 1.0 0.2
DH  .12 .00 .00 .06 .00 .10 .06 .36 | 0.8 0.2
K   .22 .00 .00 .06 .00 .08 .04 .00 | 0.4 0.1
G   .22 .00 .00 .06 .00 .08 .04 .00 | 0.4 0.1
NG  .20 .00 .00 .06 .00 .08 .04 .00 | 0.4 0.1
HH  .20 .00 .00 .04 .00 .06 .04 .00 | 0.1 0.1
R   .18 .30 .34 .00 .00 .04 .04 .00 | 0.5 0.9
W   .10 .42 .72 .00 .00 .02 .02 .00 | 0.9 1.4
Y   .14 .00 .00 .32 .16 .08 .06 .00 | 0.6 0.6
"""
_DIPHTHONGS = {"AY": ("AA", "IY"), "AW": ("AA", "UH"), "EY": ("EH", "IY"), "OW": ("AO", "UH"), "OY": ("AO", "IY")}
_ROWS = {line.split()[0]: line.replace("|", " ").split()[1:] for line in _TABLE.strip().splitlines()}
_TARGET = {name: np.array(row[:8], float) for name, row in _ROWS.items()}
_PULL = {name: (float(row[8]), float(row[9])) for name, row in _ROWS.items()}
# Reach of a phone before and after it in seconds: jaw, rounding, the rest.
_BEFORE, _AFTER = np.array([0.065, 0.125, 0.07]), np.array([0.06, 0.075, 0.06])
_KIND = np.array([0, 1, 1, 2, 2, 2, 2, 2])  # of each blended channel
RAMP = 0.05  # s in which the lips close and open
REST_AFTER = 0.12  # s after which silence is rest, exactly
BLOCK, REACH = 30 * FPS, 2.0  # frames blended at once, and s from them beyond which no phone pulls
# Confidence of an aligned word, and the median of it and of `AROUND` words on each side, from which its phones are
# trusted: 0.94 of 765 words of 40 recordings with their own transcripts, 0.07 with another's.
MIN_CONFIDENCE, MIN_AROUND, AROUND = 0.1, 0.4, 2
MAX_PAUSE = 0.3  # s between trusted words that are known to be silent
BESIDE = 0.15  # s before and after trusted words in which phones are known, too


@dataclass(frozen=True)
class VisemeCurves:
    """Curves of one clip by the rules."""

    curves: np.ndarray  # (T, 55) ARKit weights in [0, 1] and head yaw, pitch, roll in radians
    phones: np.ndarray  # (T, 2) uint8 index into `ARPABET` at each frame's time and half a frame later


# Curves of a clip
def phone_track(phones: Sequence[Phone], frames: int) -> np.ndarray:
    """(T, 2) uint8: the phones at n / 30 and (n + 1/2) / 30 s."""
    track = np.full(frames * 2, SILENCE, np.uint8)
    for p in phones:
        first, last = (int(np.ceil(2 * FPS * x - 1e-9)) for x in (p.start, p.end))
        track[max(first, 0) : max(last, 0)] = INDEX[p.name]
    return track.reshape(frames, 2)


def viseme_curves(
    phones: Sequence[Phone], frames: int, loudness: np.ndarray | None = None, style: np.ndarray | None = None
) -> VisemeCurves:
    """Mouth, brow and head curves for a clip.

    Args:
        phones: in order; times not covered are silence.
        frames: T at 30 fps, frame n at n / 30 s.
        loudness: (T,) dB, for stress; None = all equal.
    """
    size = np.exp2(0.45 * (np.zeros(len(STYLE)) if style is None else np.asarray(style, float)))
    parts = _split(phones, frames / FPS)
    t = np.arange(frames) / FPS
    start, end = np.array([p.start for p in parts]), np.array([p.end for p in parts])
    stress = _stress(parts, loudness)
    blended = _blend(parts, t, start, end, stress)
    blended *= size[[0, 1, 1, 2, 2, 4, 4, 5]]
    closure, contact = _contacts(parts, t, CLOSED), _contacts(parts, t, LABIODENTAL)
    resting = _find_silence(parts, t)
    jaw, funnel, pucker, stretch, smile, lower, upper, tongue = (blended * (1 - resting[:, None])).T
    open_ = 1 - closure
    grip = closure * min(size[3], 1.5)
    free = 1 - 0.7 * contact
    curves = np.zeros((frames, WIDTH), np.float32)

    def put(name: str, values: np.ndarray) -> None:
        for channel in expand(name):
            curves[:, CHANNEL[channel]] = np.clip(values, 0, 1)

    put("jawOpen", np.minimum(jaw, 0.07 + jaw * (1 - contact)) * open_ + 0.02 * closure)
    put("mouthClose", 0.04 * closure)
    put("mouthFunnel", funnel * (1 - 0.6 * closure) * free)
    put("mouthPucker", pucker * (1 - 0.3 * closure))
    put("mouthStretch", stretch * (1 - 0.5 * closure))
    put("mouthSmile", smile)
    put("mouthPress", 0.52 * grip)
    put("mouthRollLower", 0.22 * grip + 0.40 * contact * min(size[3], 1.5) * open_)
    put("mouthRollUpper", 0.22 * grip)
    put("mouthShrugLower", 0.24 * contact * open_)
    put("mouthLowerDown", lower * open_ * free)
    put("mouthUpperUp", upper * open_ + 0.1 * contact * open_)
    put("tongueOut", tongue * open_)
    accent = _accents(parts, stress, t)
    put("browInnerUp", 0.14 * size[6] * accent)
    put("browOuterUp", 0.10 * size[6] * accent)
    curves[:, len(NAMES) + 1] = -0.035 * size[7] * accent
    return VisemeCurves(curves, phone_track(phones, frames))


def place_phones(words: Iterable[TimedWord]) -> np.ndarray | None:
    """(T, 2) phones of words as `phone_track` has them, -1 where they are not known; None where no word has any.

    Words of an aligner are trusted where they and those around them fit the sound; the times of others were given.
    """
    known = list(words)
    sure = np.array([1.0 if c is None else c for c in (getattr(w, "confidence", None) for w in known)])
    phones = [p for w in known for p in getattr(w, "phones", ())]
    spans: list[tuple[float, float]] = []
    last = -1
    for k, word in enumerate(known):
        around = np.median(sure[max(k - AROUND, 0) : k + AROUND + 1])
        if getattr(word, "phones", ()) and sure[k] >= MIN_CONFIDENCE and around >= MIN_AROUND:
            joins = last == k - 1 and spans and word.start - spans[-1][1] <= MAX_PAUSE - BESIDE
            spans.append((spans.pop()[0] if joins else word.start - BESIDE, word.end + BESIDE))
            last = k
    if not spans:
        return None
    track = phone_track(phones, int(np.ceil(spans[-1][1] * FPS))).astype(np.int16)
    at = np.arange(2 * len(track)) / (2 * FPS)
    starts, ends = np.array(spans).T
    begun = np.searchsorted(starts, at, "right")  # spans that have begun
    track.ravel()[at >= np.append(-np.inf, ends)[begun]] = -1
    return track


def _split(phones: Sequence[Phone], seconds: float) -> list[Phone]:
    """Diphthongs as two vowels; gaps and the outside as silence."""
    out: list[Phone] = []
    now = -1.0
    for p in phones:
        if p.start > now + 1e-6:
            out.append(Phone("SIL", now, p.start))
        if p.name in _DIPHTHONGS:
            first, second = _DIPHTHONGS[p.name]
            middle = p.start + 0.55 * (p.end - p.start)
            out += [Phone(first, p.start, middle), Phone(second, middle, p.end)]
        else:
            out.append(p)
        now = p.end
    if now < seconds + 1.0:
        out.append(Phone("SIL", now, seconds + 1.0))
    return out


def _stress(parts: list[Phone], loudness: np.ndarray | None) -> np.ndarray:
    """(P,) how far each vowel stands out in length and loudness, in standard deviations; 0 for other phones."""
    index = [i for i, p in enumerate(parts) if p.name in VOWELS]
    out = np.zeros(len(parts))
    if len(index) < 3:
        return out
    length = np.array([parts[i].end - parts[i].start for i in index])
    value = np.log(np.maximum(length, 0.02))
    value = (value - value.mean()) / (value.std() + 0.1)
    if loudness is not None and len(loudness):
        frame = [min(int((parts[i].start + parts[i].end) / 2 * FPS), len(loudness) - 1) for i in index]
        loud = loudness[frame]
        value = 0.5 * value + 0.5 * np.clip((loud - np.median(loud)) / 5, -2.5, 2.5)
    out[index] = value
    return out


def _blend(parts: list[Phone], t: np.ndarray, start: np.ndarray, end: np.ndarray, stress: np.ndarray) -> np.ndarray:
    """(T, 8) dominance-weighted means of the phones' targets."""
    target = np.stack([_TARGET[p.name] for p in parts])
    pull = np.array([_PULL[p.name] for p in parts])
    target[:, 0] *= np.clip(1 + 0.16 * stress, 0.7, 1.35)
    out = np.empty((len(t), len(_BLENDED)))
    for first in range(0, len(t), BLOCK):  # memory grows with frames times phones
        rows = slice(first, first + BLOCK)
        near = slice(np.searchsorted(end, t[rows][0] - REACH), np.searchsorted(start, t[rows][-1] + REACH))
        out[rows] = _blend_block(target[near], pull[near], t[rows], start[near], end[near])
    return out


def _blend_block(target: np.ndarray, pull: np.ndarray, t: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    # The same of frames t and the phones near them.
    inset = np.minimum(0.25 * (end - start), 0.03)
    ahead = np.clip((start + inset)[None] - t[:, None], 0, None)
    behind = np.clip(t[:, None] - (end - inset)[None], 0, None)
    out = np.empty((len(t), len(_BLENDED)))
    for kind in range(3):
        # Power 1.6: between an exponential, which lingers, and a Gaussian, which hardly reaches its neighbours.
        weight = np.exp(-((ahead / _BEFORE[kind]) ** 1.6) - (behind / _AFTER[kind]) ** 1.6)
        weight *= pull[:, 1 if kind == 1 else 0]
        weight /= weight.sum(1, keepdims=True) + 1e-9
        chosen = np.flatnonzero(kind == _KIND)
        out[:, chosen] = weight @ target[:, chosen]
    return out


def _contacts(parts: list[Phone], t: np.ndarray, names: frozenset[str]) -> np.ndarray:
    """(T,) in [0, 1]: 1 while one of the phones is made; at least one frame each."""
    out = np.zeros(len(t))
    for p in parts:
        if p.name not in names:
            continue
        length = p.end - p.start
        first, last = p.start + 0.2 * length, p.end - (0.35 if p.name in ("P", "B") else 0.2) * length
        outside = np.maximum(np.maximum(first - t, t - last), 0)
        x = np.clip(1 - outside / RAMP, 0, 1)
        shape = x * x * (3 - 2 * x)
        nearest = int(round((first + last) / 2 * FPS))
        if 0 <= nearest < len(t):
            shape[nearest] = 1.0
        out = np.maximum(out, shape)
    return out


def _find_silence(parts: list[Phone], t: np.ndarray) -> np.ndarray:
    """(T,) 1 where silence has lasted and will last, 0 where something is spoken, smooth between."""
    out = np.zeros(len(t))
    for p in parts:
        if p.name == "SIL":
            inside = np.minimum(t - p.start - 0.3 * REST_AFTER, p.end - t - 0.3 * REST_AFTER) / (0.7 * REST_AFTER)
            x = np.clip(inside, 0, 1)
            out = np.maximum(out, x * x * (3 - 2 * x))
    return out


def _accents(parts: list[Phone], stress: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(T,) bumps of about a quarter second on vowels that stand out, at least 0.45 s apart."""
    out = np.zeros(len(t))
    last = -1.0
    for i in np.flatnonzero(stress > 0.7):
        middle = (parts[i].start + parts[i].end) / 2
        if middle - last < 0.45:
            continue
        last = middle
        out += min(stress[i], 2.0) / 1.5 * np.exp(-0.5 * ((t - middle) / 0.11) ** 2)
    return out
