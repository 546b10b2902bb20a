"""Figures of faces and of parsed instructions: action units, emotions, readings of scores, short events."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import CLOSED, LABIODENTAL, OPEN, VOWELS, Phone
from instruct_data.face.emotions import DEGREES, prototypes, read_units
from instruct_data.face.score import Score
from vqvae import arkit
from vqvae.arkit import INDEX, NAMES, expand
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.smoothing import runs_of

# AUF1 and AUEmo after InstructAvatar (arXiv 2405.15758): the paper detects action units in three random frames of a
# video and keeps those found in all three; AUF1 is the F1 of that set against the reference's, averaged over samples,
# AUEmo the recall of the units that are typical of the emotion. Here units are read from the ARKit weights themselves
# (`instruct_data.face.emotions`), by the paper's three-frame rule and over the whole clip, so figures are comparable
# among each other, not with the paper's.


MIN_EMOTION_LEVEL = 0.35  # of the intensity in the score
MIN_EMOTION_SECONDS = 1.0
MIN_UNIT_LEVEL = 0.15  # a little below intensity A
MIN_CLIP_SHARE = 0.25  # of the frames of a clip in which a unit has to be active
FRAMES = 3
MAX_START_OFF = 0.4  # s between two starts that count as the same
LIDS_SHUT = 0.6  # level of lids
MAX_BLINK_FRAMES = 15
MAX_LIP_GAP = 0.03  # jawOpen - mouthClose below which the lips are together ...
MIN_PRESS = 0.18  # ... when mouthPress is above
# The units that the paper's evaluation names for each emotion.
TYPICAL: dict[str, frozenset[int]] = {
    "angry": frozenset({4, 26, 9, 7}), "fearful": frozenset({1, 2, 5, 26}), "happy": frozenset({6, 12, 26, 7}),
    "contempt": frozenset({1, 17, 12, 7}), "disgusted": frozenset({4, 6, 15, 9}), "sad": frozenset({4, 17, 15, 1}),
    "surprised": frozenset({1, 2, 26, 7}),
}  # fmt: skip


def active_units(motion: FaceMotion, rule: str = "clip", times: np.ndarray | None = None) -> frozenset[int]:
    """Numbers of the action units that a clip shows.

    Args:
        rule: ``clip`` = seen in a quarter of the frames; ``frames`` = seen in all of three random frames.
        times: (3,) seconds of these frames (`three_times`); drawn with seed 0 when left out.
    """
    active = {n: v >= MIN_UNIT_LEVEL for n, v in read_units(motion).items()}
    if rule == "clip":
        return frozenset(n for n, v in active.items() if v.mean() >= MIN_CLIP_SHARE)
    if rule != "frames":
        raise UserError(f"rule {rule!r}; accepted clip, frames")
    if times is None:
        times = three_times(np.random.default_rng(0), motion)
    chosen = np.minimum((times * motion.fps).astype(int), len(motion) - 1)
    return frozenset(n for n, v in active.items() if v[chosen].all())


def three_times(rng: np.random.Generator, *motions: FaceMotion) -> np.ndarray:
    """Seconds of three different frames (fewer of shorter motions) that all the motions have."""
    shortest = min(motions, key=lambda m: m.seconds)
    return (rng.choice(len(shortest), min(FRAMES, len(shortest)), replace=False) + 0.5) / shortest.fps


def set_f1(units: frozenset[int], reference: frozenset[int]) -> float:
    """F1 of two sets; 1 when both are empty."""
    if not units and not reference:
        return 1.0
    return 2 * len(units & reference) / (len(units) + len(reference))


def au_f1(motions: Sequence[FaceMotion], references: Sequence[FaceMotion], rule: str = "clip", seed: int = 0) -> float:
    """AUF1, 0 to 1: mean F1 of each motion's units against its reference's.

    With the rule ``frames`` a motion and its reference are read at the same three times. Pairs of which neither shows
    a unit say nothing and are left out; NaN when none is left.
    """
    rng = np.random.default_rng(seed)
    values = []
    for m, r in zip(motions, references, strict=True):
        # Both faces at the same moments, or random frames would lower the score of a perfect copy.
        times = three_times(rng, m, r)
        units, reference = active_units(m, rule, times), active_units(r, rule, times)
        if units or reference:
            values.append(set_f1(units, reference))
    return float(np.mean(values)) if values else float("nan")


def au_emo(motions: Sequence[FaceMotion], emotions: Sequence[str], rule: str = "clip", seed: int = 0) -> float:
    """AUEmo, 0 to 1: mean share of the emotion's typical units that are active."""
    rng = np.random.default_rng(seed)
    shares = []
    for motion, name in zip(motions, emotions, strict=True):
        if name not in TYPICAL:
            raise UserError(f"no typical action units for {name!r}; accepted {', '.join(TYPICAL)}")
        shares.append(len(active_units(motion, rule, three_times(rng, motion)) & TYPICAL[name]) / len(TYPICAL[name]))
    return float(np.mean(shares))


# Names, (2, 57, emotions) prototypes per own side, and (57,) what makes gaze and head comparable with weights.
@cache
def _basis() -> tuple[list[str], np.ndarray, np.ndarray]:
    scale = np.ones(arkit.COUNT + 5)
    scale[arkit.COUNT : arkit.COUNT + 3] = 1 / (30 * DEGREES)
    names = [n for n in prototypes() if n != "neutral"]
    return names, np.stack([prototypes()[n].pose for n in names], -1) * scale[:, None], scale


def read_emotions(motion: FaceMotion, start: float = 0.0, end: float | None = None) -> dict[str, float]:
    """How strongly each of the emotions is shown between two times (seconds): a rule, not a network.

    The mean pose is taken apart into the emotions' action-unit prototypes with non-negative shares (least squares); a
    one-sided emotion may lie on either side. Returns name -> level, strongest first, without ``neutral``.
    """
    from scipy.optimize import nnls

    from avatargpt.kinematics.face import gaze

    part = motion.slice(int(start * motion.fps), len(motion) if end is None else max(1, round(end * motion.fps)))
    lids = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
    x, y = gaze(part)
    mean = np.concatenate([part.weights.mean(0), part.head.mean(0), [x.mean(), y.mean()]])
    mean[lids] = np.median(part.weights[:, lids], 0)  # without blinks
    mean[[i for i, n in enumerate(NAMES) if n.startswith("eyeLook")]] = 0
    names, basis, scale = _basis()
    fits = [nnls(side, mean * scale) for side in basis]
    levels = min(fits, key=lambda f: f[1])[0]
    return dict(sorted(zip(names, map(float, levels), strict=True), key=lambda kv: -kv[1]))


def emotions_shown(motion: FaceMotion, score: Score) -> list[bool]:
    """Whether each emotion of the score that lasts a second without events is shown.

    It has to be among the strongest read there (as many as the score names at that time, and one more), at no less than
    a third of its intensity. Parts in which events move the face are left out, because they read as emotions too.
    """
    results = []
    for f in score.emotions:
        busy = any(e.start < f.end and f.start < e.end for e in score.events)
        end = min(f.end, score.length)
        if f.name == "neutral" or busy or end - f.start < MIN_EMOTION_SECONDS:
            continue
        end = min(end, motion.seconds)
        if end - f.start < MIN_EMOTION_SECONDS:  # the clip is over before it could be seen
            results.append(False)
            continue
        together = {o.name for o in score.emotions if o.start < end - 0.2 and f.start + 0.2 < o.end}
        levels = read_emotions(motion, f.start + 0.3 * (end - f.start), end - 0.15)
        strongest = list(levels)[: len(together) + 1]
        results.append(f.name in strongest and levels[f.name] >= MIN_EMOTION_LEVEL * f.intensity)
    return results


def f1(pairs: Sequence[tuple[Counter[str], Counter[str]]]) -> float:
    """F1 over all names of (read, reference), counted as often as they occur; NaN without any."""
    both = sum((a & b).total() for a, b in pairs)
    total = sum(a.total() + b.total() for a, b in pairs)
    return 2 * both / total if total else float("nan")


def score_reading(read: Sequence[Score], references: Sequence[Score]) -> dict[str, float]:
    """Shares, 0 to 1.

    Returns:
        ``actions``, ``emotions``: F1 over the names of all scores, actions counted as often as they occur, emotions
        once a score; ``sequences``: share of the scores with actions that are read exactly, in their order;
        ``timed``: of the actions read rightly, share that begin within 0.4 s of where they should; ``counts``: share of
        them with the right count.
    """
    actions = [(Counter(e.action for e in a.events), Counter(e.action for e in b.events))
               for a, b in zip(read, references, strict=True)]  # fmt: skip
    emotions = [(Counter({f.name for f in a.emotions}), Counter({f.name for f in b.emotions}))
                for a, b in zip(read, references, strict=True)]  # fmt: skip
    same, timed, counts = [], [], []
    for a, b in zip(read, references, strict=True):
        first, second = (sorted(s.events, key=lambda e: (e.start, e.action)) for s in (a, b))
        if second:
            same.append([e.action for e in first] == [e.action for e in second])
        free = list(first)
        for e in second:
            match = min((o for o in free if o.action == e.action), key=lambda o: abs(o.start - e.start), default=None)
            if match is not None:
                free.remove(match)
                timed.append(abs(match.start - e.start) <= MAX_START_OFF)
                counts.append(match.repeat == e.repeat)
    mean = {k: float(np.mean(v)) if v else float("nan") for k, v in
            (("sequences", same), ("timed", timed), ("counts", counts))}  # fmt: skip
    return {"actions": f1(actions), "emotions": f1(emotions), **mean}


def events_kept(clips: list[np.ndarray], rebuilt: list[np.ndarray]) -> dict[str, float]:
    """Shares of the short events of (T, 55) features that are still there in others of the same length.

    Returns:
        ``blinks``: both lids above 0.6 for at most half a second; kept when they pass 0.5 in one of its frames.
        ``closures``: lips pressed (above 0.18) with less than 0.03 between them; kept when in one of its frames or next
        to it they are pressed above 0.12 with less than 0.06 between them. What the clips have none of is left out.
    """
    blinks, closures = list[bool](), list[bool]()
    for before, after in zip(clips, rebuilt, strict=True):
        lids, other_lids = (x[:, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]].min(1) for x in (before, after))
        for start, stop in runs_of(lids > LIDS_SHUT):
            if stop - start <= MAX_BLINK_FRAMES:
                blinks.append(bool((other_lids[start:stop] > LIDS_SHUT - 0.1).any()))
        # How far the lips are apart, and how hard they are pressed.
        (gap, press), (other_gap, other_press) = (
            (x[:, INDEX["jawOpen"]] - x[:, INDEX["mouthClose"]], channel(x, "mouthPress")) for x in (before, after)
        )
        for start, stop in runs_of((gap < MAX_LIP_GAP) & (press > MIN_PRESS)):
            around = slice(max(start - 1, 0), stop + 1)
            pressed = (other_gap[around] < 2 * MAX_LIP_GAP) & (other_press[around] > MIN_PRESS * 2 / 3)
            closures.append(bool(pressed.any()))
    counted = {"blinks": blinks, "closures": closures}
    return {k: float(np.mean(v)) for k, v in counted.items() if v}


# Match of lips and phones: closures and contacts with false ones beside them, silence, onsets, rounding.

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


def find_closed_lips(curves: np.ndarray) -> np.ndarray:
    """(T,) bool: the lips are pressed together: jawOpen below 0.10 and mouthPress above 0.18."""
    return (channel(curves, "jawOpen") < CLOSED_JAW) & (channel(curves, "mouthPress") > CLOSED_PRESS)


def find_touching_lip(curves: np.ndarray) -> np.ndarray:
    """(T,) bool: the lower lip is at the teeth: jawOpen below 0.16 and mouthRollLower above 0.18, lips not pressed."""
    roll = channel(curves, "mouthRollLower")
    return (channel(curves, "jawOpen") < CONTACT_JAW) & (roll > CONTACT_ROLL) & ~find_closed_lips(curves)


def measure_rounding(curves: np.ndarray) -> np.ndarray:
    """(T,) mouthFunnel + mouthPucker."""
    return channel(curves, "mouthFunnel") + channel(curves, "mouthPucker")


def measure_pressing(curves: np.ndarray) -> np.ndarray:
    """(T,) mouthPress + mouthRollLower + mouthRollUpper: recorded rigs close the lips with either."""
    return channel(curves, "mouthPress") + channel(curves, "mouthRollLower") + channel(curves, "mouthRollUpper")


def movements(curves: np.ndarray) -> np.ndarray:
    """(T, 3) jaw, rounding, press: what of recorded faces is compared, a linear map of the curves."""
    c = curves.astype(np.float32)
    return np.stack([channel(c, "jawOpen"), measure_rounding(c), measure_pressing(c)], 1)


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
        shut, touch = find_closed_lips(curves), find_touching_lip(curves)
        lips, teeth = ([p for p in phones if p.name in group] for group in (CLOSED, LABIODENTAL))
        # Phones near a p, b, m share its closure, so they prove nothing.
        jaw = channel(curves, "jawOpen")
        for p in phones:
            # First frame in a phone and the first after it.
            a, b = (min(max(int(np.ceil(x * FPS - 1e-6)), 0), len(curves)) for x in (p.start, p.end))
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


def onset_lags(curves: np.ndarray, teacher: np.ndarray, phones: Sequence[Phone], level: float = 0.15) -> list[float]:
    """ms from the teacher's crossing of `level` of its peak to this one's, at every start of speech after a pause."""
    out = []
    signal, reference = curves[:, MOUTH].sum(1), teacher[:, MOUTH].sum(1)
    for start, end in pauses(phones, len(curves) / FPS):
        a, b = max(0, int((max(start, 0) + SETTLE) * FPS)), int((end + 0.25) * FPS)
        if b > len(curves) or b - a < 4 or end * FPS - a < 4:
            continue
        here, there = _find_crossing(signal[a:b], level), _find_crossing(reference[a:b], level)
        if here is not None and there is not None:
            out.append((here - there) * 1000 / FPS)
    return out


# Frame, with its fraction, at which x last rises through `level` of its largest value.
def _find_crossing(x: np.ndarray, level: float) -> float | None:
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
