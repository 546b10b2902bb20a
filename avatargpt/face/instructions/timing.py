"""A `FaceRequest` -> a `Score`: when each clause happens, how often, and how it grows or fades; arithmetic alone.

What a clause does or feels is read from its own words by the network of `avatargpt.face.instructions.parser`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from avatargpt.face.instructions.lasting import FELT, GAP, LEAST, REST, Part, done, felt
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from instruct_data.requests.spec import FaceClause, FaceRequest
from vqvae.errors import UserError

BEGIN, TAIL = 0.2, 0.4  # s before the first action, and after the last one
SHOWN = 1.5  # s for which the last feeling is shown at least
ROUNDS = 2  # of turns of which nobody says how many
AGAIN = 3  # times that something comes every so many seconds in a clip of no given length
USUAL = 8.0  # s of a clip whose shares are named and whose length is not
KNOWN_SECONDS, KNOWN_CLOCK, KNOWN_TIMES = 5.0, 8.0, 6  # that the parser reads as they are

CLEARLY = 0.8  # as sure a second beyond the clip's end must be to be refused
PACES = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)  # of their usual time that actions take in a clip that is too short

Read = Callable[[str], Score]
Words = Sequence[tuple[str, float, float]]  # of speech: word, start, end


def is_beyond(request: FaceRequest, words: Words = ()) -> bool:
    """Whether a request says what the parser's tokens cannot write, or was never taught: numbers, and words of the
    speech where these are known."""
    return (request.seconds or 0.0) > KNOWN_SECONDS or any(
        c.every or (c.word and words) or (c.times or 0) > KNOWN_TIMES or (c.seconds or 0.0) > KNOWN_SECONDS
        or max(c.at or 0.0, c.until or 0.0) > KNOWN_CLOCK
        for c in request.clauses
    )  # fmt: skip


def is_timed(request: FaceRequest) -> bool:
    """Whether a request says something else of time that the parser may or may not have understood."""
    return request.alternating or any(
        c.denied or c.pause or c.wait or c.course or c.until_end or c.from_share is not None or c.to_share is not None
        for c in request.clauses
    )  # fmt: skip


def arranged(request: FaceRequest, read: Read, seconds: float | None = None, words: Words = ()) -> Score | None:
    """The score of a request; None where the clip is too short for all of it, though no words say when it begins.

    Args:
        read: what a clause's words mean by themselves. seconds: of the clip, None = as long as it takes.
        words: of the speech that it goes with.

    Raises:
        UserError: longer than a score can be, too often, or a clause is said to begin after the clip's end.
    """
    seconds = seconds or request.seconds
    denied = tuple(name for c in request.clauses if c.denied for name in _names(read(c.action)))
    parts = [_part(c, read) for c in _waited(request.clauses)]
    parts = [p for p in parts if p.events or p.emotions]
    if request.alternating and len(parts) > 1:
        parts = _in_turn(parts, request)
    length = seconds or _length(parts, words)
    if length > MAX_SECONDS:
        raise UserError(
            f"facial instruction {request.text[:40]!r}: {length:g} s; accepted up to {MAX_SECONDS:g}"
        )  # fmt: skip
    _fit(parts, length, words)
    if late := [p for p in parts if p.start >= length]:
        if late[0].start == length or late[0].clause.at is None or late[0].clause.sure < CLEARLY:
            return None
        what = f"{late[0].clause.action} at {late[0].start:g} s"
        raise UserError(f"{request.text[:60]!r}: {what}; accepted before {length:g}, the end of the clip")
    events: list[Event] = []
    emotions: list[Emotion] = []
    for k, part in enumerate(parts):
        events += done(part, length)
        emotions = felt(emotions, part, parts[k + 1 :], length)
    timed = any(c.at is not None or c.until is not None for c in request.clauses)
    kept = [replace(e, duration=round(min(e.duration, max(length - e.start, 0.1)), 3)) for e in events
            if e.action not in denied and e.start < length]  # fmt: skip
    felt_ = tuple(replace(f, end=min(f.end, length)) for f in emotions if f.name not in denied and f.start < length)
    return Score(
        round(length, 3), tuple(sorted(kept, key=lambda e: e.start)), felt_, request.text, denied, timed
    )  # fmt: skip


def _waited(clauses: Sequence[FaceClause]) -> list[FaceClause]:
    """What is done; "don't move for six seconds, then gasp" waits."""
    out: list[FaceClause] = []
    wait: float | None = None
    for clause in clauses:
        if clause.denied:
            wait = clause.seconds
        else:
            out.append(clause.model_copy(update={"wait": wait}) if wait and not clause.wait else clause)
            wait = None
    return out


def _names(score: Score) -> list[str]:
    return [e.action for e in score.events] + [f.name for f in score.emotions] or ["still"]


def _fit(parts: Sequence[Part], length: float, words: Words) -> None:
    """Put the parts in time; what is said to take no certain time is done faster where the clip is too short for it."""
    for pace in (1.0, *PACES):
        for part in parts:
            part.pace = pace
        _place(parts, length, words)
        ends = [part.start + part.takes * (part.end is None) for part in parts if part.events]
        starts = [part.start + LEAST for part in parts]
        if max([*ends, *starts], default=0.0) <= length:
            return


def _part(clause: FaceClause, read: Read) -> Part:
    score = read(clause.action)
    events = sorted(score.events, key=lambda e: e.start)
    first = events[0].start if events else 0.0
    moved = [replace(e, start=round(e.start - first, 3)) for e in events]
    natural = max((e.end for e in moved), default=0.0)
    if clause.times is not None and len(moved) == 1:
        natural /= moved[0].repeat
        moved = [replace(moved[0], repeat=1, duration=natural)]
    return Part(clause, moved, list(score.emotions), natural)


def _in_turn(parts: list[Part], request: FaceRequest) -> list[Part]:
    """The parts one after the other, again and again."""
    each = request.rounds or max((p.clause.times or 1 for p in parts), default=1)
    rounds = each if request.rounds or each > 1 else ROUNDS
    total = request.in_all or rounds * len(parts)
    plain = {"times": None, "together": False, "wait": None}
    out = []
    for k in range(total):
        one = parts[k % len(parts)]
        clause = one.clause.model_copy(update=plain if k else {**plain, "wait": one.clause.wait})
        out.append(replace(one, clause=clause))
    return out


def _length(parts: Sequence[Part], words: Words) -> float:
    """Seconds of a clip that takes as long as it takes."""
    shared = any(p.clause.from_share is not None or p.clause.to_share is not None for p in parts)
    length = max([USUAL if shared else 0.0, *(end for _, _, end in words)])
    _place(parts, length or MAX_SECONDS, words)
    for part in parts:
        c = part.clause
        if c.every:
            begin = part.start
            end = part.end if part.end is not None and c.seconds else begin + ((c.times or AGAIN) - 1) * c.every
            end += part.natural + TAIL
        elif c.until_end:
            end = part.start + max(part.takes, FELT)
        elif part.end is not None and not shared:
            end = part.end + (TAIL if part.events else 0.0)
        else:
            end = part.start + (part.takes + TAIL if part.events else max(FELT, SHOWN))
        if c.course:
            end += REST
        length = max(length, end)
    return float(max(length, 1.0))


def _place(parts: Sequence[Part], length: float, words: Words) -> None:
    """Set when each part begins, and ends where that is said."""
    cursor, before = 0.0, None
    for part in parts:
        c = part.clause
        anchor = anchored(c, words)
        crossed = c.course == "rising" and before is not None and bool(before.emotions and part.emotions)
        if c.at is not None:
            part.start = c.at
        elif c.from_share is not None:
            part.start = c.from_share * length
        elif anchor is not None:
            part.start = anchor
        elif c.together and before is not None or crossed and before is not None and before.clause.seconds is None:
            part.start = before.start
        elif c.wait:
            part.start = cursor + c.wait
        elif c.every:
            part.start = c.every
        elif before is None:
            part.start = BEGIN if part.events else 0.0
        else:
            part.start = cursor + (GAP * part.pace if part.events else 0.0)
        part.end = _end(part, length)
        lasting = c.until_end or c.every or c.to_share is not None
        finish = part.end if part.end is not None and not lasting else part.start + part.takes
        cursor = max(cursor, finish) if not c.every else max(cursor, part.start)
        before = part


def _end(part: Part, length: float) -> float | None:
    c = part.clause
    if c.until is not None and c.until > part.start:
        return c.until
    if c.to_share is not None:
        # "for 40 percent of the time" from somewhere, or up to that place
        return max(part.start + LEAST, c.to_share * length)
    if c.until_end:
        return length
    if c.seconds is not None and not (c.course and part.events):
        return part.start + c.seconds
    return None


def anchored(clause: FaceClause, words: Words) -> float | None:
    """Second of a word of the speech; None where it is not said there."""
    if not clause.word:
        return None
    wanted = [w for w in clause.word.lower().split() if w]
    said = ["".join(ch for ch in w.lower() if ch.isalnum() or ch == "'") for w, _, _ in words]
    for k in range(len(said) - len(wanted) + 1):
        if said[k : k + len(wanted)] == wanted:
            start, end = words[k][1], words[k + len(wanted) - 1][2]
            return end if clause.moment == "after" else max(start - 0.5, 0.0) if clause.moment == "before" else start
    return None
