"""Check of every event of a score against the curves: channel, side, order, count, time, intensity.

For each event the signal of its action (`face_signals`) is followed through its time:

- **level**: the apex reaches at least half of what the intensity asks for, and is a rise over what was before;
- **side**: signals of one-sided actions are differences of sides; two-sided ones need both sides to take part;
- **intensity**: the apex is within 0.5 to 1.7 times what is asked, and where a clip does one action twice with
  intensities at least 0.15 apart, the stronger one comes out stronger;
- **time**: half the rise falls between 0.25 s before the start and 0.6 s (or 45 % of the duration) after it;
- **order**: of two events that start at least 0.4 s apart, the first rises first;
- **count**: peaks are counted with hysteresis; blinks, winks, nods, shakes and everything that is repeated must match.

A rise, its time, too much strength and letting go too early can be told only where the event is alone with its signal:
no event of a related action overlaps it, and what is felt at the time, rendered by itself, moves the signal by less
than 0.15. Where a related one has ended less than 0.35 s before, from where it rises and whether too early is left
open: the signal may still be on its way back. A closed mouth and a neutral face are states: they are looked at in the
second half of their time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np

from avatargpt.kinematics.face import EXPRESSIVE, LOOKS, ActionSignal
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, mirror_action
from vqvae import arkit
from vqvae.face import FaceMotion

MIN_LEVEL, MAX_LEVEL = 0.5, 1.7  # of the level that the intensity stands for
MIN_RISE = 0.3
MAX_EARLY, MAX_LATE, MAX_LATE_SHARE = 0.25, 0.6, 0.45  # s, s, of the duration
MIN_ORDER_GAP = 0.4  # s between starts whose order is checked
ONSET_TOLERANCE = 0.1  # seconds by which onsets may be swapped: slow movements overlap quick ones
MIN_INTENSITY_GAP = 0.15  # of two events of one action whose levels are compared
MIN_BILATERAL = 0.5  # of the weaker side of a two-sided action
UP, DOWN = 0.6, 0.4
MIN_DIP = 0.15  # share of the apex by which a signal falls between repetitions
MAX_JAW_SHUT = 0.12  # jawOpen of a closed mouth
MAX_NEUTRAL = 0.2  # largest weight of a neutral face
RELATED_SECONDS = 0.35  # seconds before an event in which a related one leaves the signal on its way back
MIN_EMOTION_EFFECT = 0.15  # of emotions alone on an action's signal, which hides the event's time and strength
STATES = ("shut", "rest")
HEAD_BEATS = {"nod": 1.0, "shake_head": 2.0}  # swings to one side and to both
COUNTED = ("blink", "wink_left", "wink_right", "nod", "shake_head")
# Signals that share shapes: while one of a group is active, another's level and rise cannot be told apart from it.
GROUPS: tuple[frozenset[str], ...] = (
    frozenset("smile broad_smile smirk_left smirk_right laugh raise_cheeks".split()),
    frozenset("open_mouth wide_open_mouth yawn gasp sigh laugh chew stick_out_tongue funnel_lips".split())
    | {"close_mouth", "blow"},
    frozenset("raise_brows raise_inner_brows raise_left_brow raise_right_brow gasp yawn".split()),
    frozenset("blink wink_left wink_right close_eyes yawn squint look_down roll_eyes sigh".split()),
    frozenset("squint close_eyes wrinkle_nose raise_cheeks broad_smile laugh yawn lower_brows".split()),
    frozenset("sneer_left sneer_right wrinkle_nose broad_smile laugh".split()),
    frozenset("pucker_lips funnel_lips blow sigh puff_cheeks".split()),
    frozenset("press_lips suck_lips bite_lower_lip puff_cheeks frown".split()),
    frozenset("look_up look_down roll_eyes lean_forward look_down_head".split()),
    frozenset("look_left look_right roll_eyes turn_head_left turn_head_right".split()),
    frozenset("nod look_up_head look_down_head lean_forward laugh sigh gasp yawn".split()),
    frozenset("shake_head turn_head_left turn_head_right".split()),
    frozenset("tilt_head_left tilt_head_right".split()), frozenset("jaw_left jaw_right chew".split()),
    frozenset("broad_smile open_mouth wide_open_mouth laugh stretch_lips bite_lower_lip".split()),
    frozenset("widen_eyes gasp raise_brows wink_left wink_right blink".split()), frozenset("frown chin_raise".split()),
    frozenset("lower_brows wrinkle_nose".split()),
)  # fmt: skip


@dataclass
class EventResult:
    """The outcome of one event."""

    event: Event  # as in the score
    level: float = 0.0  # apex of the signal (1 = fully done)
    onset: float = float("nan")  # seconds at which half the rise is reached; NaN for states and missing events
    peaks: int = 0  # how often
    faults: list[str] = field(default_factory=list)  # what is wrong, empty = passed

    @property
    def passed(self) -> bool:
        return not self.faults


def _frames(m: FaceMotion, start: float, end: float) -> slice:
    a = int(np.clip(round(start * m.fps), 0, len(m) - 1))
    return slice(a, int(np.clip(round(end * m.fps), a + 1, len(m))))


def _is_related(a: str, b: str) -> bool:
    return a == b or any(a in g and b in g for g in GROUPS)


# Events of related actions that are active in that time.
def _active(score: Score, e: Event, start: float, end: float) -> list[Event]:
    concurrent = [o for o in score.events if o is not e and o.start < end and start < o.end]
    return [o for o in concurrent if _is_related(o.action, e.action) or o.action == "return_to_neutral"]


def _has_emotion(score: Score, e: Event) -> bool:
    return any(f.name != "neutral" and f.start < e.end and e.start < f.end for f in score.emotions)


@lru_cache(maxsize=64)
def _render_emotions(emotions: tuple[Emotion, ...], length: float) -> FaceMotion:
    return render(Score(length, emotions=emotions), seed=1)


@cache
def looks_at_head(action: str) -> bool:
    """Whether the signal of an action depends on how the head is turned."""
    axes = 0.3 * np.concatenate([np.eye(3), -np.eye(3)])  # about each, either way, whatever one weight shows meanwhile
    turned, weights = np.tile(axes, (arkit.COUNT, 1)), np.repeat(np.eye(arkit.COUNT), len(axes), 0)
    a, b = (LOOKS[action].signal(FaceMotion(weights, head)) for head in (np.zeros_like(turned), turned))
    return bool(np.abs(a - b).max() > 0)


def count_peaks(signal: np.ndarray, low: float, high: float) -> int:
    """How often the signal rises above `high` after having been below `low`."""
    count, armed = 0, True
    for v in signal:
        if armed and v >= high:
            count, armed = count + 1, False
        elif v <= low:
            armed = True
    return count


def _check_closed_mouth(m: FaceMotion, e: Event, overlapping: Sequence[Event]) -> EventResult:
    result = EventResult(e)
    later = [o for o in overlapping if o.start > e.start - 0.05 and o.action != "return_to_neutral"]
    stop = min([e.end, *(o.start for o in later if o.start > e.start + 0.3 * e.duration)])
    jaw = m.channel("jawOpen")[_frames(m, 0.5 * (e.start + stop), stop)]
    result.level = 1 - float(np.median(jaw))
    if np.median(jaw) > MAX_JAW_SHUT and not any(o.start <= stop and o.end > 0.5 * (e.start + stop) for o in later):
        result.faults.append(f"mouth open by {np.median(jaw):.2f}")
    return result


def _check_neutral(m: FaceMotion, e: Event, score: Score) -> EventResult:
    result = EventResult(e)
    tail = m.weights[_frames(m, e.start + 0.7 * e.duration, e.end)][:, EXPRESSIVE]
    result.level = 1 - float(np.median(tail, 0).max())
    late = e.start + 0.75 * e.duration
    acts = [o for o in score.events if LOOKS[o.action].form not in STATES]
    alive = any(e.start <= o.start < e.end and o.end > late for o in acts)
    if 1 - result.level > MAX_NEUTRAL + (MIN_EMOTION_EFFECT if _has_emotion(score, e) else 0) and not alive:
        result.faults.append(f"not neutral: {1 - result.level:.2f}")
    return result


def _check(m: FaceMotion, e: Event, score: Score) -> EventResult:
    look = LOOKS[e.action]
    overlapping = _active(score, e, e.start, e.end)
    if look.form == "shut":
        return _check_closed_mouth(m, e, overlapping)
    if look.form == "rest":
        return _check_neutral(m, e, score)
    result = EventResult(e)
    opposite = any(o.action == mirror_action(e.action) != e.action for o in overlapping)
    signal = look.one_side(m) if opposite and look.one_side else look.signal(m)
    target = e.intensity**look.power
    alone = not overlapping
    if alone and _has_emotion(score, e):  # what is felt may move the signal by itself
        felt = _render_emotions(score.emotions, score.length)
        alone = not np.abs(look.signal(felt)[_frames(felt, e.start, e.end)]).max() > MIN_EMOTION_EFFECT
    after = 0.05 if e.repeat > 1 else 0.2  # what an emotion does after the last repetition is none of them
    inside = signal[_frames(m, e.start - 0.05, e.end + after)]
    share = 96 if look.form in ("pulse", "beat") or look.brief or e.repeat > 1 else 80
    result.level = float(np.percentile(inside, share))
    if e.action in HEAD_BEATS:  # how far the head swings, from wherever it is held
        result.level = float(np.ptp(np.percentile(inside, (3, 97)))) / HEAD_BEATS[e.action]
    if result.level < MIN_LEVEL * target:
        result.faults.append(f"level {result.level:.2f} of {target:.2f}")
        return result
    # The signal's level shortly before the event, None at the start of a clip.
    before = None if e.start < 0.1 else float(np.median(signal[_frames(m, max(0.0, e.start - 0.3), e.start)]))
    base = before if before is not None and before < result.level else min(0.0, result.level)
    if e.action in HEAD_BEATS:
        base = float(np.percentile(inside, 97)) - result.level
        signal = signal - base  # measured from the swing's own middle or top
        base = 0.0
    falling = bool(_active(score, e, e.start - RELATED_SECONDS, e.start))
    from_where = None if falling or e.action in HEAD_BEATS else before
    if alone and from_where is not None and result.level - from_where < MIN_RISE * target:
        result.faults.append(f"no rise: {from_where:.2f} to {result.level:.2f}")
    if alone and result.level > MAX_LEVEL * target + 0.1:
        result.faults.append(f"too strong: {result.level:.2f} of {target:.2f}")
    if look.both:
        left, right = (np.percentile(m.channel(f"{look.both}{s}")[_frames(m, e.start, e.end + 0.2)], share)
                       for s in ("Left", "Right"))  # fmt: skip
        other_side = any(o.action.endswith(("_left", "_right")) for o in overlapping)
        if min(left, right) < MIN_BILATERAL * max(left, right) and not other_side:
            result.faults.append(f"one side only: {left:.2f} and {right:.2f}")
    _time(m, signal, base, result, look, None if not alone else math.inf if falling else MAX_EARLY)
    _count(inside, result, look, overlapping)
    return result


# Onset of the event; with `early`, the seconds by which it may begin too early, also whether it is in time.
def _time(
    m: FaceMotion, signal: np.ndarray, base: float, result: EventResult, look: ActionSignal, early: float | None
) -> None:
    e = result.event
    half = base + 0.5 * (result.level - base)
    first = max(0.0, e.start - 0.6)
    above = signal[_frames(m, first, e.end + 0.2)] >= half
    if not above.any():
        result.faults.append("never at half its height")
        return
    # Of several rises the one nearest to the start counts: what came before may have passed half the height too.
    rises = np.flatnonzero(above & ~np.concatenate([[False], above[:-1]])) + round(first * m.fps)
    result.onset = float(rises[np.argmin(np.abs(rises / m.fps - e.start))]) / m.fps
    latest = e.start + max(MAX_LATE, MAX_LATE_SHARE * e.duration * (1.6 if look.brief else 1.0) / max(1, e.repeat))
    if early is None:
        return
    if not e.start - early <= result.onset <= latest:
        result.faults.append(f"begins at {result.onset:.2f} s instead of {e.start:.2f} s")
    if look.form == "hold" and not look.brief and e.repeat == 1:
        inside = signal[_frames(m, e.start, e.end)]
        if (inside >= half).mean() < 0.35:
            result.faults.append("let go too early")


def _count(inside: np.ndarray, result: EventResult, look: ActionSignal, overlapping: Sequence[Event]) -> None:
    e = result.event
    floor = float(inside.min())
    if e.action not in HEAD_BEATS:
        # The lowest point between the first and the last time that a repeated signal is near its apex.
        high = np.flatnonzero(inside >= UP * result.level)
        between = inside[high[0] : high[-1] + 1] if len(high) else inside
        floor = float(between.min()) if e.repeat > 1 else min(0.0, floor)
    span = float(inside.max()) - floor
    steady = span < MIN_DIP * result.level  # one long apex: what it trembles by is no repetition
    result.peaks = 1 if steady else count_peaks(inside, floor + DOWN * span, floor + UP * span)
    if e.repeat == 1 and (look.free or e.action not in COUNTED):
        return
    hiding = [o for o in overlapping if o.start < e.end and e.start < o.end and _is_related(o.action, e.action)]
    if any(o.action in (*COUNTED, "close_eyes") for o in hiding):
        return
    if result.peaks != e.repeat:
        result.faults.append(f"{result.peaks} times instead of {e.repeat}")


def check_score(motion: FaceMotion, score: Score) -> list[EventResult]:
    """One result per event of the score, in its order."""
    results = [_check(motion, e, score) for e in score.events]
    for a in results:
        for b in results:
            gap = b.event.start - a.event.start
            # Some movements have their apex late, when the next may have begun.
            overlaps = LOOKS[a.event.action].brief and a.event.end > b.event.start
            # A comparison with NaN (states, what was not seen) is false.
            if gap >= MIN_ORDER_GAP and not overlaps and b.onset <= a.onset - ONSET_TOLERANCE:
                b.faults.append(f"comes before {a.event.action}")
            stronger = b.event.intensity - a.event.intensity
            if a.event.action == b.event.action and stronger >= MIN_INTENSITY_GAP and a.passed and b.level <= a.level:
                b.faults.append(f"not stronger than the other {a.event.action}")
    return results
