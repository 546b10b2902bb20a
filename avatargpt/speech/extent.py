"""What is to go on through a clip, to come at its end, or every so many seconds: "the whole time", "at the end".

A rule, for clips much longer than the instructions to learn from. The clause that says so is read once more alone, and
what it names goes on, comes last, or again and again; everything else stays as it was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from avatargpt.speech.scores import TAIL, held
from avatargpt.speech.seconds import NUMBER, value
from instruct_data.face.actions import actions
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score

ALREADY = 1.0  # s from the clip's end within which something does go on, or is last
LAST = 2.0  # s before the end of a clip in which a feeling comes that comes at its end
TOWARDS = 2 / 3  # of the clip, after which that begins which comes towards its end
TIMES = 3  # that something comes again in a clip of no given length
MOST = 0.6  # of the period that it takes
SHORTEST = 0.2  # s of the clip that are left for something
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
_LAST = re.compile(rf"\b(?:at the (?:very )?end{_OF}|to finish)(?!\w)", re.I)
_TOWARDS = re.compile(rf"\b(?:towards?|near|close to) the end{_OF}(?!\w)", re.I)
_EVERY = re.compile(
    rf"\b(?:once )?every (?:(?P<many>{NUMBER})[ -]*(?:s|secs?|seconds)|(?P<word>other|couple of|few)? ?seconds?)\b",
    re.I,
)
_PERIODS = {None: 1.0, "other": 2.0, "couple of": 2.0, "few": 3.0}  # s
_CLAUSES = re.compile(r"\s*[;.!](?:\s+|$)|\s*,\s*(?:and\s+)?(?:then\s+)?|\s+(?:and then|and|then|while|but)\s+", re.I)


def clauses(text: str, phrase: re.Pattern[str]) -> list[str]:
    """Clauses that say the phrase, without it; the clause before, or after, where nothing else is left of one."""
    parts = [p for p in _CLAUSES.split(phrase.sub(" \0 ", text)) if p.strip()]
    bare = [" ".join(p.replace("\0", " ").split()) for p in parts]
    out = []
    for k, part in enumerate(parts):
        if "\0" in part:
            out.append(bare[k] or (bare[k - 1] if k else "") or "".join(bare[k + 1 : k + 2]))
    return [clause for clause in out if clause]


def extended(score: Score, seconds: float, read: Callable[[str], Score]) -> Score:
    """The score with what its text wants through the clip, or at its end, where it does not do so yet.

    Args:
        seconds: of the clip.
        read: what a clause means.
    """
    if seconds < score.length or seconds > MAX_SECONDS:
        return score
    out = regular(score, seconds, read)
    for phrase, change in ((_THROUGH, _through), (_TOWARDS, _towards), (_LAST, _last)):
        for clause in clauses(score.text, phrase):
            part = read(clause)
            named = {e.action for e in part.events} | {f.name for f in part.emotions}
            out = change(held(out, seconds), named, seconds)
    return out


def regular(score: Score, seconds: float | None, read: Callable[[str], Score]) -> Score:
    """The score with what its text wants every so many seconds; `TIMES` times where no length is given."""
    found = _EVERY.search(score.text)
    part = [read(clause) for clause in clauses(score.text, _EVERY)][:1]
    if found is None or not part or not part[0].events:
        return score
    period = value(found["many"]) if found["many"] else _PERIODS[found["word"] and found["word"].lower()]
    first, named = part[0].events[0].start, {e.action for e in part[0].events}
    until = seconds or max(score.length, TIMES * period + part[0].length)
    again = tuple(
        replace(e, start=begin + e.start - first, duration=min(e.duration, MOST * period))
        for begin in np.arange(period, until - SHORTEST, period).tolist() for e in part[0].events
        if begin + min(e.end - first, period) <= until
    )  # fmt: skip
    kept = tuple(e for e in score.events if e.action not in named)
    if not again:
        return score
    return replace(held(score, until), events=tuple(sorted(kept + again, key=lambda e: e.start)))


def _through(score: Score, named: set[str], seconds: float) -> Score:
    """What is named goes on to the end of the clip."""
    last = _latest(score.events, named)
    events = (_longer(e, seconds - TAIL) if e in last else e for e in score.events)
    emotions = (replace(f, end=seconds) if f.name in named else f for f in score.emotions)
    return replace(score, events=tuple(events), emotions=tuple(emotions))


def _longer(event: Event, end: float) -> Event:
    """The action until `end`: held, or again and again as fast as before."""
    lasts = end - event.start
    if lasts <= event.duration + ALREADY:
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
    events = _latest(score.events, named)
    by = TOWARDS * seconds - min((e.start for e in events), default=seconds)
    room = seconds - TAIL - max((e.end for e in events), default=0.0)
    return _felt_from(_moved(score, events, min(by, room)), named, TOWARDS * seconds)


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
