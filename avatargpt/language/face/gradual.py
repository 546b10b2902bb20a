"""Feelings that grow, fade or turn into others as time goes by: "gradually become angry", "from happy to sad over 8 s".

A rule. Readers write such a change as two or three steps, as instructions to learn from do, and of one seconds however
long it is to take. Where the words say that it is gradual, straight lines take the place of the steps, over the seconds
that are said, else over nearly all of the time that is left. What is felt, and how strongly, is the reader's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from avatargpt.language.face.parts import denies, spans
from avatargpt.language.face.scores import check_length, held
from avatargpt.language.face.seconds import named_seconds
from avatargpt.language.numbers import NUMBER, UNIT, in_seconds, value
from instruct_data.face.score import MAX_SECONDS, Emotion, Score

FAINT = 0.05  # strength from which something grows and to which it fades
REST = 1.0  # s that the feeling at the end is held, where nobody says how long the clip is
SHORTEST = 2.0  # s that a change takes of which nobody says how long
SHARE, HELD = 0.85, 0.6  # of the time that is left a change takes that share, and leaves so many seconds
NEUTRAL = "neutral"
ER = r"(?:more|less|(?!(?:over|ever|never|after)\b)[a-z]+er)"
_AGAIN = re.compile(rf"\b({ER}) and \1\b", re.I)  # "angrier and angrier"
GRADUALLY = re.compile(
    r"\b(?:gradual(?:ly)?|slowly|progressively|steadily|little by little|bit by bit|over time|increasingly"
    rf"|ever {ER})\b",
    re.I,
)
_TURNS = (
    r"\b(?:becom(?:e|es|ing)|gets?|getting|turn(?:s|ing)?|grow(?:s|ing)?|go(?:es|ing)?|fad(?:e|es|ing)"
    r"|shift(?:s|ing)?|chang(?:e|es|ing)|morph(?:s|ing)?|melt(?:s|ing)?|eas(?:e|es|ing)|drift(?:s|ing)?"
    r"|transition(?:s|ing)?|ramp(?:s|ing)?(?: up)?|build(?:s|ing)?(?: up)?|mov(?:e|es|ing))\b"
)
_OVER = re.compile(
    r"\b(?:over|within|in|during|for)\s+(?:the (?:course|space) of\s+)?(?:about\s+|around\s+)?"
    rf"(?P<many>{NUMBER})[\s-]*{UNIT}",
    re.I,
)
_FROM = re.compile(r"\bfrom\b.+\b(?:in)?to(?:wards?)?\b", re.I)
_CHANGES = re.compile(rf"{_TURNS}.*\b(?:from\b.+\bto|into)\b|\b(?:ramp|build)s?(?:ing)? up\b", re.I)
_TAKES = re.compile(_TURNS, re.I)
_FADES = re.compile(
    r"\b(?:fad(?:e|es|ing)|subsid\w+|wan(?:es|ing)|lessen\w*|ebb\w*|ever less|di(?:e|es) down|calm\w*|cool\w*)\b",
    re.I,
)
_GROWS = re.compile(rf"\b(?:becom|get|grow)\w*\b|{_FADES.pattern}", re.I)  # verbs that are no actions of a face
_ALREADY = re.compile(  # it is felt at the start
    r"\b(?:from|ever|increasingly|more|further|even|still|(?:happi|sadd|angri|madd|calm|gloomi|scari|sleepi|tens)er)\b",
    re.I,
)
_LESS = re.compile(r"\b(?:from|less|lesser|weaker|calmer|down)\b", re.I)
_SUDDENLY = re.compile(
    r"\b(?:sudden(?:ly)?|abruptly|instant(?:ly)?|immediately|quick(?:ly)?|all at once|explod\w+|erupt\w*|snaps?"
    r"|bursts?)\b",
    re.I,
)
_INTO = re.compile(r"\b(?:in)?to\b", re.I)


def is_gradual(clause: str) -> bool:
    """Whether the words say that something changes as time goes by."""
    if GRADUALLY.search(clause) or (_CHANGES.search(clause) and not _SUDDENLY.search(clause)):
        return True
    said = _OVER.search(clause)
    if said is None or said[0].lower().startswith("for"):  # "get angry for 3 seconds" is no change
        return False
    return (_TAKES.search(clause) or _FROM.search(clause)) is not None


def ever(text: str) -> str:
    """"Angrier and angrier" in words that no clause ends within: "ever angrier"."""
    return _AGAIN.sub(r"ever \1", text)


def lasting(clause: str) -> float | None:
    """Seconds over which something is to change, where a clause says them."""
    said = _OVER.search(clause)
    return value(said["many"]) if said else None


def parts_of(text: str) -> Iterator[tuple[str, str]]:
    """Clauses of an instruction, each with what comes after it; "over five seconds, become sad" is one."""
    text = ever(in_seconds(text))
    parts = spans(text)
    for (start, stop), after in zip(parts, [*parts[1:], None], strict=True):
        if after and _OVER.fullmatch(text[start:stop]):
            stop = after[1]
        yield text[start:stop], text[stop:]


def gradual(score: Score, read: Callable[[str], Score], seconds: float | None = None) -> Score:
    """The score with straight lines where its words want a feeling to change as time goes by.

    Args:
        read: what a clause means.
        seconds: of the clip; None = as long as it takes, longer by the seconds that are said.

    Raises:
        UserError: longer than a score can be.
    """
    if not score.emotions:
        return score
    for clause, rest in parts_of(score.text):
        if not is_gradual(clause) or denies(clause):
            continue
        part = read(clause)
        names = [f.name for f in part.emotions]
        if not names and _FADES.search(clause):  # "slowly calm down" alone is an action
            names = [NEUTRAL]
        elif not names or (part.events and not _GROWS.search(clause)):
            continue
        if seconds is not None and score.length < seconds <= MAX_SECONDS:
            score = held(score, seconds)
        score = _changed(score, names, clause, rest, seconds is not None)
    return score


def _changed(score: Score, names: Sequence[str], clause: str, after: str, fixed: bool) -> Score:
    """The feelings that a clause names, `names`, change as it says; what comes suddenly `after` that stays a step."""
    felt = sorted(score.emotions, key=_begin)
    runs = [list(run) for named, run in groupby(felt, key=lambda f: f.name in names) if named]
    steps = [] if not runs else runs[0] if re.search(r"\w", after) else runs[-1]
    if len(steps) > 1 and _SUDDENLY.search(after) and steps[-1] is felt[-1]:
        steps.pop()
    if not steps or any(f.to is not None for f in felt):
        return score
    begin, stop = steps[0].start, max(f.end for f in steps)
    before = [f for f in felt if f.start < begin and f.name not in (steps[0].name, NEUTRAL)]
    said = lasting(clause)
    clock = named_seconds(clause)[0]
    if len(clock) == 2 and clock[0] < min(clock[1], stop):  # "from 2 to 8 seconds"
        begin, said = clock[0], clock[1] - clock[0]
    until = begin + said if said else begin + min(SHARE * (stop - begin), max(stop - begin - HELD, 0.1))
    if not said and not fixed:
        until = max(until, begin + SHORTEST)
    by = 0.0 if fixed else max(until + (REST if said else HELD) - stop, 0.0)
    length, stop = round(score.length + by, 3), stop + by
    check_length(score.text, length)
    until = min(until, stop)
    lines = [replace(f, start=begin, end=until, to=to) for f, to in _lines(steps, before[-1:], clause)]
    rest = [replace(f, intensity=f.to, start=until, end=stop, to=None) for f in lines
            if f.to and f.to > FAINT and until < stop]  # fmt: skip
    others = [replace(f, end=min(f.end, begin)) if f.start < begin
              else _later(replace(f, start=max(f.start, stop - by)), by)
              for f in felt if f not in steps and (f.start < begin or f.end > stop - by)]  # fmt: skip
    events = tuple(replace(e, start=e.start + by) if e.start >= stop - by else e for e in score.events)
    return replace(score, length=length, events=events, emotions=tuple(sorted([*others, *lines, *rest], key=_begin)))


def _begin(f: Emotion) -> float:
    return f.start


def _later(f: Emotion, by: float) -> Emotion:
    return replace(f, start=f.start + by, end=f.end + by)


def _lines(steps: Sequence[Emotion], before: Sequence[Emotion], clause: str) -> list[tuple[Emotion, float]]:
    """Feelings with their strength at first, and what it comes to."""
    first, last = steps[0], steps[-1]
    real = [f for f in steps if f.name != NEUTRAL]
    gone = [(f, FAINT) for f in before]
    if not real:  # "then slowly calm down"
        return gone
    if len(real) > 1 and len({f.start for f in real}) == 1:  # felt together
        return [*gone, *((replace(f, intensity=FAINT), f.intensity) for f in real)]
    if first.name != last.name and NEUTRAL not in (first.name, last.name):  # from one to another
        return [*gone, (first, FAINT), (replace(last, intensity=FAINT), last.intensity)]
    strengths = [f.intensity for f in real]
    most, named = max(strengths), real[0]
    fades = last.name == NEUTRAL or (_FADES.search(clause) and not _INTO.search(clause))
    falls = strengths[-1] < strengths[0] and strengths == sorted(strengths, reverse=True)
    less = falls and last.name != NEUTRAL and _LESS.search(clause) is not None
    if fades or less:
        return [(replace(named, intensity=most), strengths[-1] if less else FAINT)]
    grows = strengths == sorted(strengths) and strengths[0] < most and first.name != NEUTRAL
    rises = grows and not gone and _ALREADY.search(clause) is not None
    return [*gone, (replace(named, intensity=strengths[0] if rises else FAINT), most)]
