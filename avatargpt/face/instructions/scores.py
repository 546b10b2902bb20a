"""Scores for a clip: fitted to its length, and converted to the driver's clauses and feelings; arithmetic on times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from avatargpt.face.audio_model.conditioning import MAX_FEELINGS, Clause, Feeling
from instruct_data.face.actions import actions
from instruct_data.face.emotions import one_sided
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from vqvae.errors import UserError

# Seconds that an instruction names: none, durations, or by the clock.
NamedTimes = Literal["", "lasting", "clock"]
SHORT = 1e-6
MAX_SPREAD = 1.5  # times as long as a score a clip may be for its actions to be spread over it
TAIL, MAX_TAIL = 0.4, 0.5  # s that a clip goes on after its last action, as written and at most to be filled
MAX_FILL = 2.5  # times as long as its actions a clip may be for them to fill it
BRIEF = ("blink", "wink_left", "wink_right")  # as long in any clip
BOUT = 5.0  # s of one bout of laughing
FADE = 0.4  # s over which a feeling's keyframe is reached
ON_ONE_SIDE = {f"{a}_{s}": s for a in ("smirk", "sneer") for s in ("left", "right")}
ON_ONE_SIDE |= {f"raise_{s}_brow": s for s in ("left", "right")}
OF_THE_MOUTH = ("amused", "ashamed", "contempt", "pained")


def spread_score(score: Score, seconds: float) -> Score:
    """All times grow to a clip that is up to `MAX_SPREAD` times as long; for others the score stays as it is.

    A single blink or wink only comes later.
    """
    if not 1 < seconds / score.length <= MAX_SPREAD or seconds > MAX_SECONDS:
        return score
    grown = _paced(score, seconds)
    pairs = zip(grown.events, score.events, strict=True)
    events = (replace(g, duration=e.duration) if _brief(e) else g for g, e in pairs)
    return replace(grown, events=tuple(events))


def fill_score(score: Score, seconds: float, named: NamedTimes = "") -> Score:
    """All times grow or shrink until the actions end `TAIL` seconds before the clip does.

    They stay where they end up to `MAX_TAIL` seconds before it, where the instruction names seconds and they fit, where
    it names them by the clock, and where the clip is more than `MAX_FILL` times as long. A single blink or wink only
    comes later.

    Args:
        named: how the instruction names seconds, if at all.
    """
    end = max((e.end for e in score.events), default=0.0)
    last = max(seconds - TAIL, 0.5 * seconds)
    if not end or seconds > MAX_SECONDS or last > MAX_FILL * end or (end > seconds and named == "clock"):
        return score
    if 0 <= seconds - end <= MAX_TAIL or (end <= seconds and named):
        return hold_score(score, seconds)
    factor, after = last / end, (seconds - last) / max(score.length - end, SHORT)

    def move(time: float) -> float:
        time = min(time, score.length)
        return time * factor if time <= end else last + (time - end) * after

    events = tuple(
        replace(e, start=e.start * factor, duration=e.duration * (1 if factor > 1 and _brief(e) else factor))
        for e in score.events
    )
    emotions = tuple(replace(f, start=move(f.start), end=move(f.end)) for f in score.emotions)
    return replace(score, length=seconds, events=events, emotions=emotions)


def check_times(score: Score, seconds: float) -> None:
    """Raises UserError for an action or feeling at a named second that begins after the clip's end."""
    starts = [*((e.start, e.action) for e in score.events), *((f.start, f.name) for f in score.emotions)]
    late = sorted(item for item in starts if item[0] >= seconds)
    if late and score.timed:
        what = f"{late[0][1].replace('_', ' ')} at {late[0][0]:g} s"
        raise UserError(f"{score.text[:60]!r}: {what}; accepted before {round(seconds, 2):g}, the end of the clip")


def _brief(e: Event) -> bool:
    return e.action in BRIEF and e.repeat == 1


def _emotions_until(score: Score, seconds: float, length: float) -> tuple[Emotion, ...]:
    """Feelings that last to the score's end (within half a second) last to the new one, others are cut there."""
    return tuple(
        part
        for f in score.emotions
        if f.start < seconds - SHORT
        for part in _extend(f, seconds if f.end >= score.length - 0.5 else min(f.end, seconds))
        if part.start < length - SHORT
    )


def _extend(f: Emotion, end: float) -> list[Emotion]:
    """A feeling that ends at `end`; one that grows or fades does so as fast as before, and then stays."""
    if f.to is None or end == f.end:
        return [replace(f, end=end)]
    if end < f.end:
        return [replace(f, end=end, to=f.at(end))]
    return [f, replace(f, intensity=f.to, start=f.end, end=end, to=None)]


def hold_score(score: Score, seconds: float) -> Score:
    """The score with another length: actions as they are, feelings held to it or cut."""
    return replace(score, length=seconds, emotions=_emotions_until(score, seconds, seconds))


def _paced(score: Score, seconds: float) -> Score:
    """All times grow or shrink until the score is `seconds` long."""
    factor = seconds / score.length
    events = tuple(replace(e, start=e.start * factor, duration=e.duration * factor) for e in score.events)
    emotions = tuple(replace(f, start=f.start * factor, end=f.end * factor) for f in score.emotions)
    return replace(score, length=seconds, events=events, emotions=emotions)


def fit_score(score: Score, seconds: float) -> Score:
    """The score for a clip of so many seconds: squeezed into a shorter one where something would be cut off.

    Feelings that last to the score's end (within half a second) are held to the clip's; actions stay in place.
    """
    if seconds < score.length:
        # Where the instruction names seconds by the clock, what lasts beyond the clip's end is cut off.
        if score.timed:
            begun = [e for e in score.events if e.start < seconds]
            cut = tuple(replace(e, duration=min(e.duration, seconds - e.start)) for e in begun)
            return hold_score(replace(score, events=cut), seconds)
        fits = all(e.end <= seconds for e in score.events) and all(f.start < seconds - MAX_TAIL for f in score.emotions)
        return hold_score(score, seconds) if score.events and fits else _paced(score, seconds)
    # The score keeps its length: sound may be longer than any score.
    return replace(score, emotions=_emotions_until(score, seconds, score.length))


def place_score(score: Score, seconds: float, spreads: bool, other_feelings: bool = False) -> Score:
    """The score as it is performed in a clip of so many seconds, and as long as the clip (or the longest score).

    Args:
        spreads: times may grow and shrink with the clip; otherwise they stay as written.
        other_feelings: replace its own, which are dropped.
    """
    check_times(score, seconds)
    if spreads:
        score = spread_score(score, seconds)
    if spreads or seconds > score.length:
        score = fit_score(score, seconds)
    return replace(score, length=min(seconds, MAX_SECONDS), emotions=() if other_feelings else score.emotions)


# Conversion for the driver
def clauses_of(score: Score) -> list[Clause]:
    """One clause for each event, with its times, strength and count."""
    out = []
    for e in score.events:
        action = actions()[e.action]
        # Rhythmic actions (laughing, chewing) get a count, in bouts: without one the driver loses the rhythm.
        rhythmic = action.form == "cycle" and not action.counted and e.repeat == 1
        bouts = max(1, int(np.ceil(e.duration / BOUT - SHORT))) if rhythmic else 1
        lasts = e.duration / bouts
        count = max(1, round(action.rate * lasts)) if rhythmic else e.repeat
        for k in range(bouts):
            start = e.start + k * lasts
            clause = Clause(e.action.replace("_", " "), start, start + lasts, e.intensity, count, e.action)
            out.append(replace(clause, rise=e.rise * e.duration) if bouts == 1 else clause)
    return out


def side_of(score: Score, feeling: str = "") -> str:
    """The side of one-sided feelings (contempt, doubt): ``right`` where the score's one-sided actions are all there.

    Where those of mouth and brows differ, a feeling of the mouth follows the mouth.
    """
    parts: dict[bool, set[str]] = {True: set(), False: set()}
    for e in score.events:
        if e.action in ON_ONE_SIDE:
            parts[not e.action.endswith("_brow")].add(ON_ONE_SIDE[e.action])
    sides = parts[feeling in OF_THE_MOUTH] or parts[feeling not in OF_THE_MOUTH]
    return "right" if sides == {"right"} else "left"


def feelings_of(score: Score) -> list[Feeling]:
    """Feelings as keyframes: at every change up to `MAX_FEELINGS`, each with its intensity.

    Of those that grow or fade there are the first and the last strength. One-sided feelings on the right say so
    (`side_of`): ``contempt, right``.
    """
    length, feelings = score.length, score.emotions
    if not feelings:
        return []
    edges = sorted({0.0, *(e.start for e in feelings), *(e.end for e in feelings if e.end < length)})
    out: list[Feeling] = []
    for start, end in zip(edges, [*edges[1:], length], strict=True):
        here = [e for e in feelings if e.start <= start + SHORT < e.end and e.name != "neutral"]
        changes = any(e.to is not None for e in here)  # as time goes on
        reached = start + min(FADE, 0.9 * max(length - start, 0.02)) if out and start > 0 else start
        if out and start > 0 and start - out[-1].second > FADE:  # hold the one before until the change begins
            out.append(replace(out[-1], second=start - 0.01))
        if not changes or reached < end:
            out.append(_keyframe(score, here, reached))
        if changes:
            out.append(_keyframe(score, here, end))
    ordered_feelings = sorted({f.second: f for f in out}.values(), key=lambda f: f.second)
    return [f for f in ordered_feelings if f.second <= length]


def _keyframe(score: Score, feelings: Sequence[Emotion], second: float) -> Feeling:
    """The feelings at a second, the strongest first."""
    here: dict[str, float] = {}
    for e in feelings:
        here[e.name] = max(here.get(e.name, 0.0), e.at(second))
    strongest = sorted(here.items(), key=lambda item: -item[1])[:MAX_FEELINGS]
    ordered = [(f"{n}, right" if n in one_sided() and side_of(score, n) == "right" else n, i) for n, i in strongest]
    (name, strength), secondary = (ordered or [("neutral", 0.0)])[0], tuple(ordered[1:])
    return Feeling(second, name, strength, secondary)
