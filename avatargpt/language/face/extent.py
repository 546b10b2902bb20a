"""What is to go on through a clip, or to come at its end or in its middle: "the whole time", "for the last 3 seconds".

A rule, for clips much longer than the instructions to learn from. The clause that says so is read once more alone, and
what it names goes on, or comes then; everything else stays as it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from avatargpt.language.face.parts import clauses
from avatargpt.language.face.regular import regular
from avatargpt.language.face.scores import TAIL, held
from avatargpt.language.face.seconds import in_long_seconds
from avatargpt.language.numbers import NUMBER, UNIT, value
from instruct_data.face.actions import actions
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score

Item = TypeVar("Item", Event, Emotion)
ALREADY = 1.0  # s from the clip's end within which something does go on, or is last
LAST = 2.0  # s before the end of a clip in which a feeling comes that comes at its end
TOWARDS = 2 / 3  # of the clip, after which that begins which comes towards its end
HELD = 0.8  # s from which closed lids are held, not a blink
AGAIN = 1.0  # Hz at most at which something without a rhythm of its own comes again
_OF = r"(?: of (?:it|(?:the|this|my) (?:clip|speech|sentence|video)))?"
_THROUGH = re.compile(
    r"\b(?:(?:during |for |through )?the (?:whole|entire|full) (?:time|clip|thing|speech|sentence|video)|throughout"
    r"|all (?:the time|along|the way through)|(?:and )?(?:never|without) stop(?:s|ping)?|non-?stop|constantly"
    r"|continuously|from (?:the )?(?:start|beginning) to (?:the )?(?:end|finish)"
    rf"|(?:right )?(?:to|until|till) the (?:very )?end{_OF})(?!\w)",
    re.I,
)
_FINAL = re.compile(
    r"\b(?P<how>for|during|over|in|within) the (?:very )?(?:last|final) "
    rf"(?:(?P<many>{NUMBER})[ -]*{UNIT}|second){_OF}(?!\w)",
    re.I,
)
_HALFWAY = re.compile(
    rf"\b(?:(?:half-?|mid)(?: ?way)? through|(?:at|in) the middle){_OF}(?=\s*[,.;:!]|\s*$)"
    rf"|\b(?:half-?|mid)(?: ?way)? through{_OF[:-1]}|\bin the middle{_OF[:-1]}",
    re.I,
)
_PARTS: dict[re.Pattern[str], tuple[float, float]] = {  # of the clip, from and to
    re.compile(rf"\b(?:(?:for|in|during|over|through|spend) )?the {words}{_OF}(?!\w)", re.I): part
    for words, part in (
        ("first half", (0, 1 / 2)), ("(?:second|other|last) half", (1 / 2, 1)), ("first third", (0, 1 / 3)),
        ("(?:second|middle|next) third", (1 / 3, 2 / 3)), ("(?:last|final|third) third", (2 / 3, 1)),
        ("first quarter", (0, 1 / 4)), ("(?:last|final) quarter", (3 / 4, 1)),
    )
}  # fmt: skip
_LAST = re.compile(rf"\b(?:at the (?:very )?end{_OF}|to finish)(?!\w)", re.I)
_TOWARDS = re.compile(rf"\b(?:towards?|near|close to) the end{_OF}(?!\w)", re.I)


def extended(score: Score, seconds: float, read: Callable[[str], Score]) -> Score:
    """The score with what its text wants through the clip, or at its end, where it does not do so yet.

    Args:
        seconds: of the clip.
        read: what a clause means.
    """
    if max((e.end for e in score.events), default=0.0) > seconds or seconds > MAX_SECONDS:
        return score
    text, out = in_long_seconds(score.text), regular(score, seconds, read)
    several = sum(phrase.search(text) is not None for phrase in _PARTS) > 1
    for phrase, change in (
        (_THROUGH, _through), (_TOWARDS, _towards), (_LAST, _last), (_HALFWAY, _halfway), (_FINAL, _finally(text)),
        *((phrase, _between(*part, several)) for phrase, part in _PARTS.items()),
    ):  # fmt: skip
        for clause in clauses(text, phrase):
            part = read(clause)
            named = {e.action for e in part.events} | {f.name for f in part.emotions}
            out = change(held(out, seconds), named, seconds)
    return out


def _through(score: Score, named: set[str], seconds: float) -> Score:
    """What is named goes on to the end of the clip."""
    last = _latest(score.events, named)
    events = (_longer(e, seconds - TAIL) if e in last else e for e in score.events)
    emotions = (replace(f, end=seconds) if f.name in named else f for f in score.emotions)
    return replace(score, events=tuple(events), emotions=tuple(emotions))


def _longer(event: Event, end: float, ready: float = ALREADY) -> Event:
    """The action until `end`: held, or again and again as fast as before."""
    lasts = end - event.start
    if lasts <= event.duration + ready:
        return event
    action, rate = actions()[event.action], event.repeat / event.duration
    if event.repeat == 1:
        held = action.form in ("hold", "close", "neutral") or (action.form == "pulse" and event.duration >= HELD)
        rate = 1 / lasts if held else action.rate or min(rate, AGAIN)
    return replace(event, duration=lasts, repeat=min(100, max(1, round(rate * lasts))))


def _last(score: Score, named: set[str], seconds: float) -> Score:
    """What is named ends with the clip; feelings come in its last seconds."""
    events = _latest(score.events, named)
    by = seconds - TAIL - max((e.end for e in events), default=seconds)
    return _felt_from(_moved(score, events, by), named, max(seconds - LAST, 0.5 * seconds))


def _towards(score: Score, named: set[str], seconds: float) -> Score:
    """What is named begins in the last third of the clip."""
    return _from(score, named, TOWARDS * seconds, seconds)


def _halfway(score: Score, named: set[str], seconds: float) -> Score:
    """What is named begins in the middle of the clip."""
    return _from(score, named, seconds / 2, seconds)


def _from(score: Score, named: set[str], start: float, seconds: float) -> Score:
    """What is named begins at `start`, or as much earlier as it takes."""
    events = _latest(score.events, named)
    room = seconds - TAIL - max((e.end for e in events), default=0.0)
    by = min(start - min((e.start for e in events), default=start), room)
    return _felt_from(_moved(score, events, by), named, start)


def _between(first: float, last: float, several: bool) -> Callable[[Score, set[str], float], Score]:
    """What is named takes that part of the clip, from one share of it to another; where `several` parts are told, of
    each action and feeling the one that is nearest. Feelings to the end stay so."""

    def change(score: Score, named: set[str], seconds: float) -> Score:
        start, end = first * seconds, last * seconds
        chosen = _latest(score.events, named)
        here = [f for f in score.emotions if f.name in named]
        if several:
            chosen = _nearest([(e.action, e) for e in score.events if e.action in named], start)
            here = _nearest([(f.name, f) for f in here], start)
        ends = max(min(end, seconds - TAIL), (start + end) / 2)
        moved = (replace(e, start=start, duration=min(e.duration, ends - start)) for e in chosen)
        events = (*(e for e in score.events if e not in chosen), *(_longer(e, ends, 0.0) for e in moved))
        began = min((f.start for f in here), default=seconds)

        def felt(f: Emotion) -> Emotion:
            if f in here:
                return replace(f, start=start, end=end)
            return replace(f, start=end) if began < f.start < end < f.end else f  # what is felt after it

        on = {f.name for f in score.emotions if f.end > end}
        kept = (f for f in score.emotions if f in here or not (began < f.start and f.end <= end and f.name in on))
        return replace(score, events=_in_order(events), emotions=tuple(felt(f) for f in kept))

    return change


def _nearest(named: Sequence[tuple[str, Item]], start: float) -> list[Item]:
    """Of each name the item that begins nearest to `start`."""
    ordered = sorted(named, key=lambda one: -abs(one[1].start - start))
    return list({name: item for name, item in ordered}.values())


def _in_order(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda e: e.start))


def _finally(text: str) -> Callable[[Score, set[str], float], Score]:
    """What is named takes the last seconds of the clip: as many as the text says."""
    found = _FINAL.search(text)
    lasts = value(found["many"]) if found and found["many"] else 1.0
    on = found is not None and found["how"].lower() not in ("in", "within")

    def change(score: Score, named: set[str], seconds: float) -> Score:
        start = max(seconds - lasts, 0.0)
        if not on:
            return _from(score, named, start, seconds)
        last = _latest(score.events, named)
        events = (_longer(replace(e, start=start, duration=min(e.duration, lasts)), seconds, 0.0) if e in last else e
                  for e in score.events)  # fmt: skip
        return _felt_from(replace(score, events=tuple(events)), named, start)

    return change


def _latest(events: Sequence[Event], named: set[str]) -> list[Event]:
    """Of each named action the last one."""
    return list({e.action: e for e in sorted(events, key=lambda e: e.start) if e.action in named}.values())


def _moved(score: Score, events: Sequence[Event], by: float) -> Score:
    if by <= ALREADY:
        return score
    return replace(score, events=tuple(replace(e, start=e.start + by) if e in events else e for e in score.events))


def _felt_from(score: Score, named: set[str], start: float) -> Score:
    """Named feelings from `start` to the end of the clip; one that they followed lasts until then."""
    late = [f for f in score.emotions if f.name in named and f.start < start - ALREADY]
    began = min((f.start for f in late), default=0.0)

    def felt(f: Emotion) -> Emotion:
        if f in late:
            return replace(f, start=start, end=score.length)
        return replace(f, end=start) if late and f.start < began and abs(f.end - began) <= ALREADY else f

    return replace(score, emotions=tuple(felt(f) for f in score.emotions))
