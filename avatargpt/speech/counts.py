"""Counts that an instruction names in full ("nod 12 times") and that are more than the reader has learnt.

A rule: where a text has as many such counts as a reading has actions done several times, these are done so often, as
fast as they were read; what follows comes later.
"""

from __future__ import annotations

import re
from dataclasses import replace

from avatargpt.speech.seconds import NUMBER, named_seconds, value
from instruct_data.face.score import Event, Score
from vqvae.errors import UserError

KNOWN = 6  # times that are read as they are
MOST = 100
_NEAR = 0.4  # s by which a reading may miss how long something is said to take
_OVER = 0.35  # s that an action may begin before the end of what it follows
_TIMES = re.compile(rf"(?<![\w.])({NUMBER})(?:\s+times|\s*[x\u00d7])(?!\w)", re.I)


def named_counts(text: str) -> list[int]:
    """How often an instruction says that something is done, in its order; once and twice do not count."""
    return [int(value(n)) for n in _TIMES.findall(text) if value(n) >= 2]


def counted(score: Score) -> Score:
    """The reading with the counts of its text, where some are beyond what readers know.

    Raises:
        UserError: more often than a score can say.
    """
    said = named_counts(score.text)
    if max(said, default=0) <= KNOWN:
        return score
    if max(said) > MOST:
        raise UserError(f"facial instruction {score.text[:40]!r}: {max(said)} times; accepted up to {MOST}")
    several = sorted((e for e in score.events if e.repeat > 1), key=lambda e: e.start)
    if len(several) != len(said):
        return score
    for k, many in enumerate(said):
        event = sorted((e for e in score.events if e.repeat > 1), key=lambda e: e.start)[k]
        score = _so_often(score, event, many)
    return score


def _so_often(score: Score, event: Event, many: int) -> Score:
    """One event `many` times, and all that begins after it later by what that takes."""
    if any(abs(event.duration - seconds) <= _NEAR for seconds in named_seconds(score.text)[1]):
        return replace(score, events=tuple(replace(e, repeat=many) if e is event else e for e in score.events))
    later, after = event.duration * (many / event.repeat - 1), event.end - _OVER

    def moved(time: float) -> float:
        return time + later if time >= after else time

    events = tuple(
        replace(event, repeat=many, duration=event.duration + later) if e is event else replace(
            e, start=moved(e.start), duration=moved(e.end) - moved(e.start)) for e in score.events
    )  # fmt: skip
    emotions = tuple(replace(f, start=moved(f.start), end=moved(f.end)) for f in score.emotions)
    return replace(score, length=score.length + later, events=events, emotions=emotions)
