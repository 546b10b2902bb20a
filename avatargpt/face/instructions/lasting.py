"""A clause of an instruction where it was put in time -> events and feelings: repeated, growing, fading, held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from instruct_data.face.actions import actions
from instruct_data.face.score import Emotion, Event
from instruct_data.requests.spec import FaceClause
from vqvae.errors import UserError

GAP = 0.3  # s between two actions
FELT = 2.0  # s for which a feeling is felt before something else, where nobody says how long
CHANGES = 4.0  # s that a change takes of which nobody says how long
REST = 1.0  # s that what has grown is held
FAINT = 0.05  # strength from which something grows and to which it fades
STEPS = 4  # of an action that fades
MOST, LEAST = 0.6, 0.3  # of a period that an action takes; s of the shortest period
PACE = {"very_slow": 2.5, "slow": 1.7, "fast": 0.65, "very_fast": 0.45}
SLOWLY = 0.7  # share of its time over which a slow action grows


@dataclass
class Part:
    """A clause and what its words mean, from second 0.

    Attributes:
        natural: s that its actions take; 0 of a feeling. start, end: where it is put, end None = as long as it may.
        pace: of the time that it takes if nothing is said.
    """

    clause: FaceClause
    events: list[Event]
    emotions: list[Emotion]
    natural: float
    start: float = 0.0
    end: float | None = None
    pace: float = 1.0

    @property
    def takes(self) -> float:
        """Seconds that it takes if nothing else is said."""
        c = self.clause
        one = (self.natural * PACE.get(c.tempo or "", 1.0) if self.events else FELT) * self.pace
        times = c.times or 1
        if c.pause and times > 1:
            return times * one + (times - 1) * c.pause
        if c.course and self.events:
            return max(one, CHANGES * self.pace)
        return one * times if self.events else one


def done(part: Part, length: float) -> list[Event]:
    """The events of a part where it was put."""
    c = part.clause
    if not part.events:
        return []
    if c.every:
        return _every(part, length)
    times = c.times or 1
    if c.pause and times > 1:
        step = part.natural * part.pace + c.pause
        starts = [part.start + k * step for k in range(times)]
        return [_at(e, start + e.start * part.pace, part.pace) for start in starts for e in part.events]
    lasts = (part.end - part.start) if part.end is not None else part.takes
    if c.course:
        return [x for e in part.events for x in _changing(e, part, length)]
    if len(part.events) == 1:
        e = part.events[0]
        held = actions()[e.action].form == "hold" and e.repeat == 1 and times == 1
        rise = SLOWLY if held and c.tempo in ("slow", "very_slow") else e.rise
        repeat = times if c.times else e.repeat
        brief = e.action in ("blink", "wink_left", "wink_right") and repeat == 1 and c.seconds is None
        if part.end is None and not c.times:
            lasts = e.duration * PACE.get(c.tempo or "", 1.0) * part.pace
        elif brief and not c.until_end and c.until is None and c.to_share is None:
            lasts = e.duration
        return [replace(e, start=round(part.start, 3), duration=round(max(lasts, 0.1), 3), repeat=repeat, rise=rise)]
    one = [_at(e, part.start + e.start * part.pace, part.pace) for e in part.events]
    if times > 1:
        step = (part.natural + GAP) * part.pace
        return [replace(e, start=round(e.start + k * step, 3)) for k in range(times) for e in one]
    if part.end is None:
        return one
    last = max(e.end for e in one)
    return [replace(e, duration=round(e.duration + part.end - last, 3)) if e.end == last else e for e in one]


def _at(event: Event, start: float, pace: float) -> Event:
    return replace(event, start=round(start, 3), duration=round(event.duration * pace, 3))


def _every(part: Part, length: float) -> list[Event]:
    c = part.clause
    period = max(c.every or 0.0, 0.0)
    if period < LEAST:
        raise UserError(f"{c.action[:40]!r}: every {period:g} s; accepted {LEAST:g} s or more")
    until = min(part.end if part.end is not None else length, length)
    out: list[Event] = []
    begin, times = part.start, 0
    while begin < until - 0.2 and (not c.times or times < c.times):
        out += [replace(e, start=round(begin + e.start, 3), duration=round(min(e.duration, MOST * period), 3))
                for e in part.events]  # fmt: skip
        begin, times = begin + period, times + 1
    return out


def _changing(event: Event, part: Part, length: float) -> list[Event]:
    """An action that grows, or that fades in steps."""
    c = part.clause
    said = c.seconds if c.seconds is not None else (part.end - part.start) if part.end is not None else None
    over = min(said if said is not None else CHANGES, max(length - part.start, 0.2))
    if c.course == "rising":
        lasts = min(over + REST, max(length - part.start, over))
        return [replace(event, start=round(part.start, 3), duration=round(lasts, 3), rise=round(over / lasts, 3))]
    step = over / STEPS
    return [
        replace(event, start=round(part.start + k * step, 3), duration=round(step, 3),
                intensity=round(max(event.intensity * (1 - k / STEPS), FAINT), 3))
        for k in range(STEPS)
    ]  # fmt: skip


def felt(before: list[Emotion], part: Part, after: Sequence[Part], length: float) -> list[Emotion]:
    """The feelings so far and those of a part: each lasts until the next one, or as long as it is said."""
    c = part.clause
    if not part.emotions:
        return before
    following = next((p for p in after if p.emotions and not p.clause.together), None)
    crossed = following is not None and following.clause.course == "rising" and part.clause.seconds is None
    if part.end is not None and not c.course:
        end = min(part.end, length)
    elif following is not None and not crossed:
        end = max(following.start, part.start + LEAST)
    else:
        end = length
    said = c.seconds if c.seconds is not None else (part.end - part.start) if part.end is not None else None
    over = part.start + min(said if said is not None else max(0.85 * (end - part.start), LEAST), length - part.start)
    out = list(before)
    if c.course == "rising":
        old = [f for f in out if f.end > part.start and f.start <= part.start]
        out = [f for f in out if f not in old]
        for f in old:
            if f.start < part.start - 0.01:
                out.append(replace(f, end=part.start, to=None))
            if f.name not in {g.name for g in part.emotions}:
                out.append(replace(f, start=part.start, end=over, to=FAINT))
        from_ = {f.name: f.intensity for f in old}
        for f in _merged(part):
            first = from_.get(f.name, FAINT)
            out.append(replace(f, start=part.start, end=over, intensity=first, to=f.intensity))
            if over < end - 0.05:
                out.append(replace(f, start=over, end=end, to=None))
        return [_rounded(f) for f in out]
    for f in _merged(part):
        if c.course == "fading":
            out.append(_rounded(replace(f, start=part.start, end=over, to=FAINT)))
        else:
            out.append(_rounded(replace(f, start=part.start, end=max(end, part.start + 0.1), to=None)))
    return out


def _merged(part: Part) -> list[Emotion]:
    """Each feeling of a part once, as strong as it gets."""
    return [max((f for f in part.emotions if f.name == n), key=lambda f: f.strongest)
            for n in dict.fromkeys(f.name for f in part.emotions)]  # fmt: skip


def _rounded(f: Emotion) -> Emotion:
    return replace(f, start=round(f.start, 3), end=round(f.end, 3))
