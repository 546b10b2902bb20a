"""Actions that are done slowly: "slowly close your eyes over 4 seconds", "gradually smile", "smile more and more".

A rule. Readers tell how long such an action lasts, and the driver does it as quickly as any other and holds it. So
where the words say that it is slow, it grows over the seconds that are said, else over most of its time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from avatargpt.language.face.gradual import ER, GRADUALLY, lasting, parts_of
from avatargpt.language.face.parts import denies
from avatargpt.language.face.scores import check_length
from instruct_data.face.actions import actions
from instruct_data.face.score import Event, Score

RISE = 0.7  # of its time over which an action grows of which nobody says how long
HOLD = 1.0  # s for which it is held then, where it is said
NEAR = 0.2  # s between two actions that are steps of one
_STEPS = re.compile(rf"\b(?:ever {ER}|increasingly)\b", re.I)  # "wider and wider" is "ever wider" in `parts_of`
_ENDS = re.compile(  # what goes slowly does not grow
    r"\b(?:fad\w+|(?:disappear|vanish|dissolv|releas|relax)\w*|let(?:s|ting)? go|ever less"
    r"|drop\w* (?:the|your|his|her) (?:smile|grin|smirk|frown|pout))\b",
    re.I,
)
FULLER = {"smile": "broad_smile", "open_mouth": "wide_open_mouth"}


def slowly(score: Score, read: Callable[[str], Score], fixed: bool) -> Score:
    """The score with actions that grow where its words say that they are slow.

    Args:
        read: what a clause means.
        fixed: the clip is as long as the score; else it grows with the seconds that are said.

    Raises:
        UserError: longer than a score can be.
    """
    if not any(_held(e) for e in score.events):
        return score
    for clause, after in parts_of(score.text):
        if not (GRADUALLY.search(clause) or _STEPS.search(clause)) or denies(clause) or _ENDS.search(clause):
            continue
        named = {e.action for e in read(clause).events if _held(e)}
        if _STEPS.search(clause):
            named |= {FULLER[n] for n in named if n in FULLER}
            score = _as_one(score, named)
        said = lasting(clause)
        free = [e for e in score.events if e.action in named and _held(e) and (said or not e.rise)]
        if free:
            score = _grown(score, free[0 if re.search(r"\w", after) else -1], said, fixed)
    return score


def _held(e: Event) -> bool:
    return actions()[e.action].form == "hold" and e.repeat == 1


def _grown(score: Score, event: Event, said: float | None, fixed: bool) -> Score:
    if said is None:
        return _put(score, event, replace(event, rise=RISE), 0.0)
    lasts = event.duration if fixed else max(event.duration, said + HOLD)
    by = lasts - event.duration
    check_length(score.text, score.length + by)
    return _put(score, event, replace(event, duration=lasts, rise=min(said / lasts, 1.0)), by)


def _put(score: Score, event: Event, instead: Event, by: float) -> Score:
    """Another event in the place of one, and what comes after it `by` seconds later."""
    def later(time: float) -> float:
        return round(time + by, 3) if time >= event.end - NEAR else time

    events = (instead if e is event else replace(e, start=later(e.start)) for e in score.events)
    emotions = (replace(f, start=later(f.start), end=later(f.end)) for f in score.emotions)
    return replace(score, length=score.length + by, events=tuple(events), emotions=tuple(emotions))


def _as_one(score: Score, named: set[str]) -> Score:
    """Steps of one action, each stronger than the one before, as one action that grows."""
    out: list[Event] = []
    for e in sorted(score.events, key=lambda e: e.start):
        last = next((o for o in reversed(out) if e.action in (o.action, FULLER.get(o.action))), None)
        if last and e.action in named and _held(e) and e.start - last.end <= NEAR and e.intensity > last.intensity:
            first = last.duration if not last.rise else last.rise * last.duration
            lasts = e.end - last.start
            rise = min((first + e.duration / 2) / lasts, 1.0)
            out[out.index(last)] = replace(e, start=last.start, duration=round(lasts, 3), rise=rise)
        else:
            out.append(e)
    return replace(score, events=tuple(out))
