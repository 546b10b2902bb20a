"""Counts that an instruction names in full ("nod 12 times") and that are more than the reader has learnt.

A rule: the action whose name stands in the clause of such a count is done so often, as fast as it was read, and what
follows comes later; where no name tells which, and there are as many counts as actions done several times, the one in
its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from avatargpt.language.face.seconds import Shortened, named_seconds, without_seconds
from avatargpt.language.numbers import NUMBER, below_zero, value
from instruct_data.face.score import Event, Score
from vqvae.errors import UserError

KNOWN = 6  # times that are read as they are
MOST = 100
_NEAR = 0.4  # s by which a reading may miss how long something is said to take
_OVER = 0.35  # s that an action may begin before the end of what it follows
_TIMES = re.compile(
    rf"(?<![\w.])(?:(?P<many>{NUMBER})(?:\s+times|\s*[x\u00d7])|(?P<twice>twice))(?!\w)"
    r"(?!\s+(?:as|the|more|per|an?|\w+er)\b)",  # "10x bigger", "twice as fast"
    re.I,
)
_COUNTED = re.compile(rf"{NUMBER}|\b(?:once|twice|thrice|couple|few|several|single|times|double|triple)\b", re.I)
_SHAKES = re.compile(
    r"\bshak(?:e|es|ing) (?:your|the|his|her|its|my|their) head\b(?! (?:left|right|to|on|exactly))", re.I
)
_CLAUSE = re.compile(r"[,;.]|\b(?:and|then|while)\b", re.I)


def named_counts(text: str) -> list[int]:
    """How often an instruction says that something is done, in its order; once does not count."""
    return [int(value(m["many"])) if m["many"] else 2 for m in _counts(text)]


def checked(text: str) -> str:
    """The instruction with "1 times" as "once", which the reader knows.

    Raises:
        UserError: a count or a time below zero, or a count that is none: 0 times, 1.5 times.
    """
    where = f"facial instruction {text[:40]!r}"
    if said := below_zero(text, shares=False):  # "lip corners at minus fifty percent" hang
        raise UserError(f"{where}: {said}; accepted numbers above zero")
    for m in _TIMES.finditer(text):
        over = _CLAUSE.match(text[m.end() :].lstrip() or ".") is not None  # not "at 1.5 times the usual speed"
        if m["many"] and m[0].lower().endswith("times") and (value(m["many"]) < 1 or value(m["many"]) % 1) and over:
            raise UserError(f"{where}: {m[0]}; accepted whole counts from 1 to {MOST}")
    return _TIMES.sub(lambda m: "once" if m["many"] and value(m["many"]) == 1 else m[0], text)


def _counts(text: str) -> list[re.Match[str]]:
    return [m for m in _TIMES.finditer(text) if m["twice"] or value(m["many"]) >= 2]


def counted(score: Score) -> Score:
    """The reading with the counts of its text, where some are beyond what readers know; a head is shaken twice.

    Raises:
        UserError: more often than a score can say.
    """
    score = _shaken(score)
    numbers = named_counts(score.text)
    if max(numbers, default=0) <= KNOWN:
        return score
    said = _counts(score.text)
    if max(numbers) > MOST:
        raise UserError(f"facial instruction {score.text[:40]!r}: {max(numbers)} times; accepted up to {MOST}")
    several = sorted((k for k, e in enumerate(score.events) if e.repeat > 1), key=lambda k: score.events[k].start)
    for place, (match, many) in enumerate(zip(said, numbers, strict=True)):
        if many <= KNOWN:
            continue
        named = _named(score, match, several)
        if named is None and len(several) == len(said):
            named = several[place]
        if named is not None:
            score = _so_often(score, score.events[named], many)
    return score


def _shaken(score: Score) -> Score:
    """Who is told to shake the head, and not how often, does so twice: of 508 such instructions to learn from 423."""
    shakes = [e for e in score.events if e.action == "shake_head"]
    if len(shakes) != 1 or shakes[0].repeat > 1 or _COUNTED.search(score.text) or not _SHAKES.search(score.text):
        return score
    return replace(score, events=tuple(replace(e, repeat=2) if e is shakes[0] else e for e in score.events))


def _named(score: Score, count: re.Match[str], several: Sequence[int]) -> int | None:
    """Which of the actions done several times stands in the clause of a count; None where none or several do."""
    cuts = [0, *(m.end() for m in _CLAUSE.finditer(score.text)), len(score.text)]
    start, stop = max(c for c in cuts if c <= count.start()), min(c for c in cuts if c >= count.end())
    words = re.findall(r"[a-z]+", score.text[start:stop].lower())

    def there(name: str) -> bool:
        return any(w.startswith(part.rstrip("e")[:5]) for part in name.split("_") for w in words)

    found = [k for k in several if there(score.events[k].action)]
    return found[0] if len(found) == 1 else None


def as_fast(score: Score, short: Shortened) -> Score:
    """What is done several times for longer than was read, so much more often; where the text counts, not."""
    if not short.lasting or _COUNTED.search(without_seconds(score.text)):
        return score

    def more(event: Event) -> Event:
        by = next((meant / read for read, meant in short.lasting if event.duration == meant), 1.0)
        return event if event.repeat == 1 or by <= 1 else replace(event, repeat=min(MOST, round(event.repeat * by)))

    return replace(score, events=tuple(more(e) for e in score.events))


def _so_often(score: Score, event: Event, many: int) -> Score:
    """One event `many` times, and all that begins after it later by what that takes."""
    if any(abs(event.duration - seconds) <= _NEAR for seconds in named_seconds(score.text)[1]):
        return replace(score, events=tuple(replace(e, repeat=many) if e is event else e for e in score.events))
    later, after = max(event.duration * (many / event.repeat - 1), 0.0), event.end - _OVER

    def moved(time: float) -> float:
        return time + later if time >= after else time

    events = tuple(
        replace(event, repeat=many, duration=event.duration + later) if e is event else replace(
            e, start=moved(e.start), duration=moved(e.end) - moved(e.start)) for e in score.events
    )  # fmt: skip
    emotions = tuple(replace(f, start=moved(f.start), end=moved(f.end)) for f in score.emotions)
    return replace(score, length=score.length + later, events=events, emotions=emotions)
