"""What is to be done every so many seconds: "blink every 2 seconds", "every 3 to 5 seconds nod, until second 20".

A rule. The clause that says so is read once more alone, and what it names is done again and again; all else stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from avatargpt.language.face.parts import clauses, spans
from avatargpt.language.face.scores import held
from avatargpt.language.numbers import NUMBER, UNIT, in_seconds, value
from instruct_data.face.score import MAX_SECONDS, Score
from vqvae.errors import UserError

TIMES = 3  # that something comes again in a clip of no given length
MOST = 0.6  # of the period that it takes
SHORTEST = 0.2  # s of the clip that are left for something
LEAST = 0.3  # s between two
_UNIT = rf"[ -]*{UNIT}"
_EVERY = re.compile(
    rf"\b(?:once )?every (?:(?P<many>{NUMBER})(?:\s*(?:to|or|-|\u2013)\s*(?P<most>{NUMBER}))?{_UNIT}"
    r"|(?P<word>other|couple of|few)? ?seconds?\b)(?: or so\b)?",
    re.I,
)
_PERIODS = {None: 1.0, "other": 2.0, "couple of": 2.0, "few": 3.0}  # s
_LIMITS = re.compile(
    rf",?\s*\b(?:for (?P<lasts>{NUMBER}){_UNIT}|(?:until|till|up to) (?:second )?(?P<until>{NUMBER})(?:{_UNIT})?"
    rf"|(?:from|starting (?:at|from)|beginning at|after) (?:second )?(?P<since>{NUMBER})(?:{_UNIT})?"
    rf"(?:\s*(?:to|until|till|-|\u2013)\s*(?:second )?(?P<to>{NUMBER})(?:{_UNIT})?)?)",
    re.I,
)


def says_every(text: str) -> bool:
    """Whether something is to be done every so many seconds."""
    return _EVERY.search(text) is not None


def regular(score: Score, seconds: float | None, read: Callable[[str], Score]) -> Score:
    """The score with what its text wants every so many seconds; `TIMES` times where no length is given.

    Of "every 3 to 5 seconds" each time is drawn, always alike.

    Args:
        seconds: of the clip.
        read: what a clause means.

    Raises:
        UserError: more often than can be shown.
    """
    text = in_seconds(score.text)
    found = _EVERY.search(text)
    if found is None:
        return score
    least = value(found["many"]) if found["many"] else _PERIODS[found["word"] and found["word"].lower()]
    since, until, bare = _limits(text, found, least)
    part = [read(clause) for clause in clauses(bare, _EVERY)][:1]
    if not part or not part[0].events:
        return score
    most = max(value(found["most"]), least) if found["most"] else least
    if least < LEAST:
        raise UserError(f"{score.text[:40]!r}: every {least:g} s; accepted {LEAST:g} s or more")
    first, named = part[0].events[0].start, {e.action for e in part[0].events}
    begin = least if since is None else since
    if until is None:
        until = seconds or max(score.length if since is None else 0.0, begin + (TIMES - 1) * most + part[0].length)
    until = min(until, seconds or MAX_SECONDS)
    draw = np.random.default_rng(0)
    again = []
    while begin < until - SHORTEST:
        for e in part[0].events:
            if begin + min(e.end - first, least) <= until:
                starts = round(begin + e.start - first, 3)
                again.append(replace(e, start=starts, duration=min(e.duration, MOST * least)))
        begin += float(draw.uniform(least, most))
    if not again:
        return score
    kept = [e for e in score.events if e.action not in named]
    length = seconds or max([until, *(e.end for e in (*kept, *again))])
    return replace(held(score, length), events=tuple(sorted((*kept, *again), key=lambda e: e.start)))


def _limits(text: str, every: re.Match[str], least: float) -> tuple[float | None, float | None, str]:
    """From which second to which it is done, where its clause, or one that says nothing else, says so; and the text
    without that. How long each time lasts ("smile for 1 second") is no limit."""
    since = until = None
    bare, at = "", 0
    for m in _LIMITS.finditer(text):
        if m.start() < every.end() and m.end() > every.start():
            continue
        begin = m.end() - len(m[0].lstrip(", "))
        first, last = next(s for s in spans(text) if s[0] <= begin <= s[1])
        alone = not re.search(r"\w", text[first:begin] + text[m.end() : last])
        if not (first <= every.start() < last or alone) or (m["lasts"] and value(m["lasts"]) <= least):
            continue
        since = value(m["since"]) if m["since"] else since
        ends = m["until"] or m["to"]
        until = value(ends) if ends else until
        if m["lasts"]:
            until = (since or 0.0) + value(m["lasts"])
        bare, at = bare + text[at:begin], m.end()
    return since, until, bare + text[at:]
