"""Waiting, as an instruction asks for it: "wait 5 seconds, then smile", "nod. Ten seconds later, wink".

A rule: readers write the usual pause whatever the words say. So what stands before and after is read apart, and the
second begins so many seconds after the first has ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from avatargpt.language.face.scores import check_length
from avatargpt.language.face.seconds import named_seconds
from avatargpt.language.numbers import NUMBER, UNIT, in_seconds, value
from instruct_data.face.score import Score
from vqvae.errors import UserError

SHORTEST = 2.0  # s that are left to the reader
_UNIT = rf"[\s-]*{UNIT}"
_ABOUT = r"(?:\s+(?:about|around|exactly|at least|another))?"
_WAIT = re.compile(
    r"(?:^|[,;.!]\s*|(?<!n't)(?<!n\u2019t)(?<!not)(?<!\bto)\s+)(?:and\s+)?(?:then,?\s+)?(?:"
    rf"(?:wait|pause)(?:\s+for)?{_ABOUT}\s+(?P<wait>{NUMBER})(?:\s+more)?{_UNIT}|(?P<later>{NUMBER}){_UNIT}\s+later)"
    r"(?!\s+(?:while|with|without|as|more|than|\w+ing)\b)"
    r"\s*[,;.:]?\s*(?:and\s+|before\s+)?(?:then,?\s+)?(?!\s*between\b)",
    re.I,
)


def parted(text: str) -> tuple[str, float, str] | None:
    """What comes before a wait, its seconds, and what comes after; None where nobody waits, or only for a moment.

    An instruction that also tells seconds by the clock is read as a whole.
    """
    plain = in_seconds(text)
    found = _WAIT.search(plain)
    if found is None or named_seconds(plain)[0]:
        return None
    before, after = plain[: found.start()].strip(), plain[found.end() :].strip()
    seconds = value(found["wait"] or found["later"])
    return (before, seconds, after) if re.search(r"\w", after) and seconds > SHORTEST else None


def waited(text: str, read: Callable[[str, float | None], Score], seconds: float | None = None) -> Score | None:
    """The score of an instruction that waits; None of others.

    Args:
        read: what a part of it means, in a clip of so many seconds, None = as it takes.
        seconds: of the clip.

    Raises:
        UserError: longer than a score can be, or the wait is over after the clip's end.
    """
    parts = parted(text)
    if parts is None:
        return None
    before, wait, after = parts
    first = read(before, None) if before else Score(SHORTEST)
    told = bool(named_seconds(before)[1])  # else nobody says how long a feeling takes
    ends = max((e.end for e in first.events), default=first.length if first.emotions and told else 0.0)
    if seconds is not None and ends + wait >= seconds:
        raise UserError(f"{text[:60]!r}: waits until {ends + wait:g} s; accepted before {round(seconds, 2):g}, the end "
                        "of the clip")  # fmt: skip
    second = read(after, None if seconds is None else seconds - ends - wait)
    starts = [*(e.start for e in second.events), *(f.start for f in second.emotions)]
    later = ends + wait - min(starts, default=0.0)
    length = round(later + second.length, 3)
    check_length(text, length)
    until = ends + wait if second.emotions else length
    felt = (replace(f, end=until) if f.end >= first.length - 0.5 else f for f in first.emotions)
    return Score(
        length,
        (*first.events, *(replace(e, start=e.start + later) for e in second.events)),
        (*felt, *(replace(f, start=f.start + later, end=f.end + later) for f in second.emotions)),
        text,
    )
