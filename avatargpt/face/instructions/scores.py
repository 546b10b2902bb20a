"""Scores for a clip: arranged from the clauses of a request, fitted to its length, and converted for the driver.

All of it is arithmetic on times; the parser (`avatargpt.face.instructions.parser`) reads the words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from avatargpt.face.audio_model.conditioning import MAX_FEELINGS, Clause, Feeling
from instruct_data.face.actions import actions
from instruct_data.face.emotions import one_sided
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from instruct_data.requests.spec import FaceClause, FaceRequest
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.gesture.features import TimedWord

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
    grown = pace_score(score, seconds)
    pairs = zip(grown.events, score.events, strict=True)
    events = (replace(g, duration=e.duration) if _brief(e) else g for g, e in pairs)
    return replace(grown, events=tuple(events))


def fill_score(score: Score, seconds: float, named: NamedTimes = "") -> Score:
    """All times grow or shrink until the actions end `TAIL` seconds before the clip does.

    They stay where they end up to `MAX_TAIL` seconds before it, where the instruction names seconds and they fit, where
    it names them by the clock, and where the clip is more than `MAX_FILL` times as long. A single blink or wink only
    comes later.
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


def pace_score(score: Score, seconds: float) -> Score:
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
        return hold_score(score, seconds) if score.events and fits else pace_score(score, seconds)
    # The score keeps its length: sound may be longer than any score.
    return replace(score, emotions=_emotions_until(score, seconds, score.length))


def cut_score(score: Score, seconds: float) -> Score:
    """The score in a clip of so many seconds at its own times: what is beyond its end is cut off."""
    return fit_score(replace(score, timed=True), seconds)


def late_score(score: Score, second: float) -> Score | None:
    """The score from a second on, None where nothing is left of it."""
    events = tuple(
        replace(e, start=max(0.0, e.start - second), duration=e.end - max(e.start, second))
        for e in score.events if e.end > second
    )  # fmt: skip
    emotions = tuple(
        replace(f, start=max(0.0, f.start - second), end=f.end - second, intensity=f.at(max(f.start, second)))
        for f in score.emotions if f.end > second
    )  # fmt: skip
    left = replace(score, length=score.length - second, events=events, emotions=emotions)
    return left if events or emotions else None


def join_scores(parts: Sequence[tuple[float, Score]], seconds: float, text: str = "") -> Score | None:
    """One score of so many seconds from scores that begin at these; None where nothing is in them."""
    events = [replace(e, start=e.start + at) for at, score in parts for e in score.events if e.start + at < seconds]
    emotions = [
        replace(f, start=f.start + at, end=min(f.end + at, seconds))
        for at, score in parts for f in score.emotions if f.start + at < seconds
    ]  # fmt: skip
    return Score(seconds, tuple(events), tuple(emotions), text) if events or emotions else None


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


# Timing of instructions: the clauses of a `FaceRequest` -> a `Score`. The parser reads what a clause does or feels.
BEGIN = 0.2  # s before the first action
GAP = 0.3  # s between two actions
FEELING_SECONDS = 2.0  # of a feeling without a duration, before something else
LAST_FEELING_SECONDS = 1.5  # at least
CHANGE_SECONDS = 4.0  # of a change without a duration
HOLD = 1.0  # s that what has grown is held
FAINT = 0.05  # strength from which something grows and to which it fades
FADE_STEPS = 4  # of an action that fades
MAX_PERIOD_SHARE = 0.6  # of a period that an action takes
MIN_SECONDS = 0.3  # of a period or a clause
TEMPOS = {"very_slow": 2.5, "slow": 1.7, "fast": 0.65, "very_fast": 0.45}  # times the usual duration
SLOW_RISE = 0.7  # share of its time over which a slow action grows
DEFAULT_ROUNDS = 2  # of turns without a number
DEFAULT_REPEATS = 3  # of something periodic in a clip of no given length
SHARED_LENGTH = 8.0  # s of a clip whose shares are named and whose length is not
PARSER_SECONDS, PARSER_CLOCK, PARSER_TIMES = 5.0, 8.0, 6  # the largest that the parser reads as they are
MIN_CERTAINTY = 0.8  # of a second beyond the clip's end, to be refused
PACES = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)  # of their usual time that actions take in a clip that is too short

Read = Callable[[str], Score]
WordTimes: TypeAlias = "Sequence[TimedWord]"  # of speech


@dataclass
class ScoredClause:
    """A clause with its events and emotions, from second 0."""

    clause: FaceClause
    events: list[Event]
    emotions: list[Emotion]
    natural: float  # s that its actions take; 0 of a feeling
    # start, end: its place in the clip, end None = open
    start: float = 0.0
    end: float | None = None
    pace: float = 1.0  # factor of its usual duration

    @property
    def takes(self) -> float:
        """Seconds that it takes without a stated duration."""
        c = self.clause
        single = (self.natural * TEMPOS.get(c.tempo or "", 1.0) if self.events else FEELING_SECONDS) * self.pace
        times = c.times or 1
        if c.pause and times > 1:
            return times * single + (times - 1) * c.pause
        if c.course and self.events:
            return max(single, CHANGE_SECONDS * self.pace)
        return single * times if self.events else single

    @property
    def stated(self) -> float | None:
        """Its stated duration in seconds."""
        if self.clause.seconds is not None:
            return self.clause.seconds
        return None if self.end is None else self.end - self.start


def is_beyond(request: FaceRequest, words: WordTimes = ()) -> bool:
    """Whether a request has times that the parser's tokens cannot write, or words of a speech that are known."""
    return (request.seconds or 0.0) > PARSER_SECONDS or any(
        c.every or (c.word and words) or (c.times or 0) > PARSER_TIMES or (c.seconds or 0.0) > PARSER_SECONDS
        or max(c.at or 0.0, c.until or 0.0) > PARSER_CLOCK
        for c in request.clauses
    )  # fmt: skip


def is_timed(request: FaceRequest) -> bool:
    """Whether a request has other times, which the parser may or may not have understood."""
    return request.alternating or any(
        c.denied or c.pause or c.wait or c.course or c.until_end or c.from_share is not None or c.to_share is not None
        for c in request.clauses
    )  # fmt: skip


def in_context(clauses: Sequence[FaceClause], whole: Score, read: Read) -> Read:
    """`read`, but for clauses of an instruction that is read as one feeling after another, as many as clauses.

    A clause by itself may say too little: "cheer up" after "sad".
    """
    runs: list[Emotion] = []
    for f in sorted(whole.emotions, key=lambda f: f.start):
        if runs and runs[-1].name == f.name:
            runs[-1] = replace(max(runs[-1], f, key=lambda g: g.strongest), start=runs[-1].start, end=f.end)
        elif runs and f.start < runs[-1].end - SHORT:  # at once
            return read
        else:
            runs.append(f)
    if whole.events or len(runs) < 2 or len(runs) != len({c.action for c in clauses}):
        return read
    feelings = {c.action: Score(f.end - f.start, (), (replace(f, start=0.0, end=f.end - f.start),), c.action)
                for c, f in zip(clauses, runs, strict=True)}  # fmt: skip
    return lambda clause: feelings[clause] if clause in feelings else read(clause)


def slow_actions(score: Score, clauses: Sequence[FaceClause], read: Read, extend: bool) -> Score:
    """Held actions that a request calls slow grow slowly, which the parser's tokens cannot write.

    Args:
        read: the score of a clause's words by themselves. extend: whether the score may become longer.
    """
    events = list(score.events)
    for c in clauses:
        if c.tempo not in ("slow", "very_slow") or c.denied or c.times or c.course:
            continue
        names = {e.action for e in read(c.action).events}
        for k, e in enumerate(events):
            if e.action not in names or e.rise or e.repeat > 1 or actions()[e.action].form != "hold":
                continue
            if extend and c.seconds is not None and all(other.end <= e.end for other in events):
                # grown when the stated time is over, and held for a while
                lasts = c.seconds + HOLD
                events[k] = replace(e, duration=lasts, rise=round(c.seconds / lasts, 3))
            else:
                events[k] = replace(e, rise=SLOW_RISE)
    length = max([score.length, *(np.ceil(2 * e.end) / 2 for e in events)])
    return replace(score, events=tuple(events), length=float(length) if extend else score.length)


def read_denied(clauses: Sequence[FaceClause], read: Read) -> tuple[str, ...]:
    """Names of what clauses deny; ``still`` for one that names nothing ("don't move")."""
    refused = [read(c.action) for c in clauses if c.denied]
    return tuple(n for s in refused for n in [e.action for e in s.events] + [f.name for f in s.emotions] or ["still"])


def deny(score: Score, names: tuple[str, ...]) -> Score:
    """A score without what must not happen."""
    events = tuple(e for e in score.events if e.action not in names)
    return replace(score, events=events, emotions=tuple(f for f in score.emotions if f.name not in names), denied=names)


def arrange(request: FaceRequest, read: Read, seconds: float | None = None, words: WordTimes = ()) -> Score | None:
    """The score of a request; None where the clip is too short for all of it, and no clause names its second.

    Args:
        read: the score of a clause's words by themselves. seconds: of the clip, None = as long as it takes.
        words: of the speech that it goes with.
    """
    seconds = seconds or request.seconds
    denied = read_denied(request.clauses, read)
    parts = [_make_part(c, read) for c in _with_waits(request.clauses)]
    parts = [p for p in parts if p.events or p.emotions]
    if request.alternating and len(parts) > 1:
        parts = _in_turn(parts, request)
    length = seconds or _length(parts, words)
    if length > MAX_SECONDS:
        raise UserError(f"facial instruction {request.text[:40]!r}: {length:g} s; accepted up to {MAX_SECONDS:g}")
    _fit(parts, length, words)
    if late := [p for p in parts if p.start >= length]:
        if late[0].start == length or late[0].clause.at is None or late[0].clause.sure < MIN_CERTAINTY:
            return None
        what = f"{late[0].clause.action} at {late[0].start:g} s"
        raise UserError(f"{request.text[:60]!r}: {what}; accepted before {length:g}, the end of the clip")
    events: list[Event] = []
    emotions: list[Emotion] = []
    for k, part in enumerate(parts):
        events += part_events(part, length)
        emotions = add_emotions(emotions, part, parts[k + 1 :], length)
    timed = any(c.at is not None or c.until is not None for c in request.clauses)
    inside = [replace(e, duration=round(min(e.duration, max(length - e.start, 0.1)), 3)) for e in events
              if e.start < length]  # fmt: skip
    shown = tuple(replace(f, end=min(f.end, length)) for f in emotions if f.start < length)
    inside.sort(key=lambda e: e.start)
    return deny(Score(round(length, 3), tuple(inside), shown, request.text, timed=timed), denied)


def _with_waits(clauses: Sequence[FaceClause]) -> list[FaceClause]:
    """The clauses that are not denied; one after "don't move for six seconds" waits so long."""
    out: list[FaceClause] = []
    wait: float | None = None
    for clause in clauses:
        if clause.denied:
            wait = clause.seconds
        else:
            out.append(clause.model_copy(update={"wait": wait}) if wait and not clause.wait else clause)
            wait = None
    return out


def _fit(parts: Sequence[ScoredClause], length: float, words: WordTimes) -> None:
    """Places the parts; those without a stated duration are faster where the clip is too short."""
    for pace in (1.0, *PACES):
        for part in parts:
            part.pace = pace
        _place(parts, length, words)
        ends = [part.start + part.takes * (part.end is None) for part in parts if part.events]
        starts = [part.start + MIN_SECONDS for part in parts]
        if max([*ends, *starts], default=0.0) <= length:
            return


def _make_part(clause: FaceClause, read: Read) -> ScoredClause:
    score = read(clause.action)
    events = sorted(score.events, key=lambda e: e.start)
    first = events[0].start if events else 0.0
    moved = [replace(e, start=round(e.start - first, 3)) for e in events]
    natural = max((e.end for e in moved), default=0.0)
    if clause.times is not None and len(moved) == 1:
        natural /= moved[0].repeat
        moved = [replace(moved[0], repeat=1, duration=natural)]
    # To calm down is to grow calm: it is the feeling before that fades.
    if clause.course == "fading" and not moved and score.emotions and all(f.name == "neutral" for f in score.emotions):
        clause = clause.model_copy(update={"course": "rising"})
    return ScoredClause(clause, moved, list(score.emotions), natural)


def _in_turn(parts: list[ScoredClause], request: FaceRequest) -> list[ScoredClause]:
    """The parts in turns."""
    each = request.rounds or max((p.clause.times or 1 for p in parts), default=1)
    rounds = each if request.rounds or each > 1 else DEFAULT_ROUNDS
    total = request.in_all or rounds * len(parts)
    plain = {"times": None, "together": False, "wait": None}
    out = []
    for k in range(total):
        single = parts[k % len(parts)]
        clause = single.clause.model_copy(update=plain if k else {**plain, "wait": single.clause.wait})
        out.append(replace(single, clause=clause))
    return out


def _length(parts: Sequence[ScoredClause], words: WordTimes) -> float:
    """Seconds of a clip without a given length."""
    shared = any(p.clause.from_share is not None or p.clause.to_share is not None for p in parts)
    length = max([SHARED_LENGTH if shared else 0.0, *(word.end for word in words)])
    _place(parts, length or MAX_SECONDS, words)
    for part in parts:
        c = part.clause
        if c.every:
            begin = part.start
            last = begin + ((c.times or DEFAULT_REPEATS) - 1) * c.every
            end = (part.end if part.end is not None and c.seconds else last) + (part.natural + TAIL)
        elif c.until_end:
            end = part.start + max(part.takes, FEELING_SECONDS)
        elif part.end is not None and not shared:
            end = part.end + (TAIL if part.events else 0.0)
        else:
            end = part.start + (part.takes + TAIL if part.events else max(FEELING_SECONDS, LAST_FEELING_SECONDS))
        if c.course:
            end += HOLD
        length = max(length, end)
    return float(max(length, 1.0))


def _place(parts: Sequence[ScoredClause], length: float, words: WordTimes) -> None:
    """Sets the start of each part, and its end where that is stated."""
    cursor, before = 0.0, None
    for part in parts:
        c = part.clause
        anchor = anchor_time(c, words)
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


def _end(part: ScoredClause, length: float) -> float | None:
    c = part.clause
    if c.until is not None and c.until > part.start:
        return c.until
    if c.to_share is not None:
        # "for 40 percent of the time" from somewhere, or up to that place
        return max(part.start + MIN_SECONDS, c.to_share * length)
    if c.until_end:
        return length
    if c.seconds is not None and not (c.course and part.events):
        return part.start + c.seconds
    return None


def anchor_time(clause: FaceClause, words: WordTimes) -> float | None:
    """Second of a clause's word of the speech; None where it is not spoken."""
    if not clause.word:
        return None
    anchor = [w for w in clause.word.lower().split() if w]
    spoken = ["".join(ch for ch in w.text.lower() if ch.isalnum() or ch == "'") for w in words]
    for k in range(len(spoken) - len(anchor) + 1):
        if spoken[k : k + len(anchor)] == anchor:
            start, end = words[k].start, words[k + len(anchor) - 1].end
            return end if clause.moment == "after" else max(start - 0.5, 0.0) if clause.moment == "before" else start
    return None


# Events and feelings of placed parts
def part_events(part: ScoredClause, length: float) -> list[Event]:
    """The events of a placed part."""
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
        return [x for e in part.events for x in _change_event(e, part, length)]
    if len(part.events) == 1:
        e = part.events[0]
        is_held = actions()[e.action].form == "hold" and e.repeat == 1 and times == 1
        rise = SLOW_RISE if is_held and c.tempo in ("slow", "very_slow") else e.rise
        repeat = times if c.times else e.repeat
        brief = e.action in BRIEF and repeat == 1 and c.seconds is None
        if part.end is None and not c.times:
            lasts = e.duration * TEMPOS.get(c.tempo or "", 1.0) * part.pace
        elif brief and not c.until_end and c.until is None and c.to_share is None:
            lasts = e.duration
        return [replace(e, start=round(part.start, 3), duration=round(max(lasts, 0.1), 3), repeat=repeat, rise=rise)]
    single = [_at(e, part.start + e.start * part.pace, part.pace) for e in part.events]
    if times > 1:
        step = (part.natural + GAP) * part.pace
        return [replace(e, start=round(e.start + k * step, 3)) for k in range(times) for e in single]
    if part.end is None:
        return single
    last = max(e.end for e in single)
    return [replace(e, duration=round(e.duration + part.end - last, 3)) if e.end == last else e for e in single]


def _at(event: Event, start: float, pace: float) -> Event:
    return replace(event, start=round(start, 3), duration=round(event.duration * pace, 3))


def _every(part: ScoredClause, length: float) -> list[Event]:
    c = part.clause
    period = max(c.every or 0.0, 0.0)
    if period < MIN_SECONDS:
        raise UserError(f"{c.action[:40]!r}: every {period:g} s; accepted {MIN_SECONDS:g} s or more")
    until = min(part.end if part.end is not None else length, length)
    out: list[Event] = []
    begin, times = part.start, 0
    while begin < until - 0.2 and (not c.times or times < c.times):
        for e in part.events:
            duration = min(e.duration, MAX_PERIOD_SHARE * period)
            out.append(replace(e, start=round(begin + e.start, 3), duration=round(duration, 3)))
        begin, times = begin + period, times + 1
    return out


def _change_event(event: Event, part: ScoredClause, length: float) -> list[Event]:
    """An action that grows, or that fades in steps."""
    c = part.clause
    stated = part.stated
    over = min(stated if stated is not None else CHANGE_SECONDS, max(length - part.start, 0.2))
    if c.course == "rising":
        lasts = min(over + HOLD, max(length - part.start, over))
        return [replace(event, start=round(part.start, 3), duration=round(lasts, 3), rise=round(over / lasts, 3))]
    step = over / FADE_STEPS
    return [
        replace(event, start=round(part.start + k * step, 3), duration=round(step, 3),
                intensity=round(max(event.intensity * (1 - k / FADE_STEPS), FAINT), 3))
        for k in range(FADE_STEPS)
    ]  # fmt: skip


def add_emotions(
    before: list[Emotion], part: ScoredClause, after: Sequence[ScoredClause], length: float
) -> list[Emotion]:
    """The feelings so far and those of a part: each lasts until the next one, or its stated duration."""
    c = part.clause
    if not part.emotions:
        return before
    next_part = next((p for p in after if p.emotions and not p.clause.together), None)
    crossed = next_part is not None and next_part.clause.course == "rising" and part.clause.seconds is None
    if part.end is not None and not c.course:
        end = min(part.end, length)
    elif next_part is not None and not crossed:
        end = max(next_part.start, part.start + MIN_SECONDS)
    else:
        end = length
    stated = part.stated
    over = stated if stated is not None else max(0.85 * (end - part.start), MIN_SECONDS)
    over = part.start + min(over, length - part.start)
    out = list(before)
    if c.course == "rising":
        old = [f for f in out if f.end > part.start and f.start <= part.start]
        out = [f for f in out if f not in old]
        for f in old:
            if f.start < part.start - 0.01:
                out.append(replace(f, end=part.start, to=None))
            if f.name not in {g.name for g in part.emotions}:
                out.append(replace(f, start=part.start, end=over, to=FAINT))
        strength_before = {f.name: f.intensity for f in old}
        for f in _strongest(part):
            first = strength_before.get(f.name, FAINT)
            out.append(replace(f, start=part.start, end=over, intensity=first, to=f.intensity))
            if over < end - 0.05:
                out.append(replace(f, start=over, end=end, to=None))
        return [_round_emotion(f) for f in out]
    for f in _strongest(part):
        if c.course == "fading":
            out.append(_round_emotion(replace(f, start=part.start, end=over, to=FAINT)))
        else:
            out.append(_round_emotion(replace(f, start=part.start, end=max(end, part.start + 0.1), to=None)))
    return out


def _strongest(part: ScoredClause) -> list[Emotion]:
    """Each feeling of a part once, as strong as it gets."""
    return [max((f for f in part.emotions if f.name == n), key=lambda f: f.strongest)
            for n in dict.fromkeys(f.name for f in part.emotions)]  # fmt: skip


def _round_emotion(f: Emotion) -> Emotion:
    return replace(f, start=round(f.start, 3), end=round(f.end, 3))
