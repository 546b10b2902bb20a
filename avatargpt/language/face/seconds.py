"""Long times in instructions: more seconds than those that the reader has learnt.

A rule. Instructions to learn from take a few seconds, and networks told "for 20 seconds" write 5. So such an
instruction is read with all its seconds divided by one number, and what the reading takes from them (a second by the
clock, how long, how long after) is put back, so that the words' own numbers come out. Where no number divides them well
("20 seconds, then 1 second", "from 2 to 45 seconds"), others stand for those that are too long. What the words do not
tell, such as how long a wink takes, stays as it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from avatargpt.language.numbers import NUMBER, VERBS, in_seconds, value
from instruct_data.face.score import MAX_SECONDS
from vqvae.errors import UserError

KNOWN = 5.0  # s that are read as they are; 6 are read wrongly half of the time
DIVISORS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0)
MOST_BARE = 30  # s that an instruction tells without the word
MISSED = 0.15  # s by which a reading may miss a time that it was told
FITS = 0.2  # s by which divided times may miss whole ones
STAND_INS = (5.0, 4.0, 3.0, 2.0)  # s that stand for longer ones where dividing does not fit
_DASH = r"(?:\s+-\s+|\s*\u2013\s*|(?<=[\ds])-(?=\d))"  # not in "twenty-five"
_LIST = rf"{NUMBER}(?:\s*s)?(?:(?:\s*,\s*|\s*,?\s*\b(?:and|or|to|until|till)\b\s*|{_DASH}){NUMBER}(?:\s*s)?\b)*"
_WHOSE = "".join(rf"(?<!\b{w} [1-9]0)" for w in ("the", "his", "her", "my", "our", "your", "their"))
# Not `numbers.UNIT`: "the 80s" are no seconds; the trained parser to come takes both over.
_ERA = _WHOSE + r"(?<!\b1[6-9]\d0)(?<!\b20\d0)s(?!\s+(?:kid|mov|music|pop|rock|style|hair|film|disco))"
_UNIT = rf"[\s-]*(?:{_ERA}|secs?|seconds?)\b"
_SPAN = rf"{NUMBER}(?:\s*s)?(?:\s*\b(?:to|until)\b\s*|{_DASH}){NUMBER}"
_DONE = rf"{VERBS}|and|on|onwards?|start|stop|then"
_SECONDS = re.compile(
    # "at 2, 4 and 8 seconds", "from 5 to 12 s"; without a unit where that is all: "at 10, wink"
    rf"\b(?:for|lasting|lasts?)\s+(?:about\s+|around\s+)?(?P<either>{_SPAN})(?={_UNIT})"  # "for 8 to 10 seconds"
    rf"|\b(?:at|from|between|until|till)\s+(?:about\s+|around\s+|exactly\s+)?(?P<mark>second\s+|t\s*=\s*)?(?:(?P<at>{_LIST})"
    rf"(?={_UNIT})|(?P<bare>{_LIST})(?=\s*[,;)]|\s*:(?!\d)|\s*\.?$|\s+(?:{_DONE})\b))"
    rf"|(?:\bsecond\s+|\bt\s*=\s*|@\s*)(?P<second>{_LIST})\b"
    rf"|(?P<range>{_SPAN})(?={_UNIT})"
    rf"|(?P<lasting>(?<![\w.])(?:{NUMBER}))(?={_UNIT})",
    re.I,
)
_RANGE = re.compile(r"\b(?:to|until|till)\b|[-\u2013]", re.I)
_EACH = re.compile(NUMBER, re.I)


@dataclass(frozen=True)
class Shortened:
    """An instruction as it is read.

    Attributes:
        text: with seconds that the reader knows.
        by: what all of them were divided by; 1 where none were.
        clock: (as it stands in `text`, what is meant) of seconds that the instruction names by the clock.
        lasting: likewise of how long it says that something takes, or comes after.
    """

    text: str
    by: float = 1.0
    clock: tuple[tuple[float, float], ...] = ()
    lasting: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class _Said:
    """Numbers of seconds that stand together, at characters `start` to `stop` of the text."""

    kind: str  # lasting, either ("for 8 to 10 seconds"), else by the clock
    start: int
    stop: int
    numbers: tuple[float, ...]
    span: bool  # from one to the other

    def times(self, read: Callable[[float], float] = float) -> tuple[list[float], list[float]]:
        """By the clock, and how long; of numbers as they are read."""
        numbers = [read(n) for n in self.numbers]
        if self.kind == "either":
            return [], [*numbers, sum(numbers) / len(numbers)]
        if self.kind == "lasting":
            return [], numbers
        return numbers, [numbers[1] - numbers[0]] if self.span else []


@lru_cache(256)
def _read(text: str) -> tuple[str, tuple[_Said, ...]]:
    """The text as it is read, and the seconds in it: minutes and the like count where they are more than is known."""
    plain = in_seconds(text)
    said = _said(plain)
    clock, lasting = _times(said)
    return (plain, said) if max([*clock, *lasting, 0.0]) > KNOWN else (text, _said(text))


def _said(plain: str) -> tuple[_Said, ...]:
    found = []
    for m in _SECONDS.finditer(plain):
        kind = next(k for k, v in m.groupdict().items() if v and k != "mark")
        numbers = tuple(value(n) for n in _EACH.findall(m[kind]))
        if kind == "bare" and not m["mark"] and max(numbers) > MOST_BARE:  # a year, a share
            continue
        span = len(numbers) == 2 and numbers[1] > numbers[0] and _RANGE.search(m[kind]) is not None
        found.append(_Said(kind, *m.span(kind), numbers, span))
    return tuple(found)


def _times(said: Sequence[_Said], read: Callable[[float], float] = float) -> tuple[list[float], list[float]]:
    both = [one.times(read) for one in said]
    return [n for clock, _ in both for n in clock], [n for _, lasting in both for n in lasting]


def in_long_seconds(text: str) -> str:
    """The text with minutes and the like in seconds, where these are more than the reader knows; else as it is."""
    return _read(text)[0]


def named_seconds(text: str) -> tuple[list[float], list[float]]:
    """Seconds that an instruction names by the clock, and how long it says that something takes, or comes after."""
    return _times(_read(text)[1])


def without_seconds(text: str) -> str:
    """The text without the numbers of seconds that it names."""
    out, at = "", 0
    for one in _said(text):
        out, at = out + text[at : one.start], one.stop
    return out + text[at:]


def shortened(text: str) -> Shortened:
    """The instruction with seconds that the reader knows, and nearly whole ones: others it reads less well.

    Raises:
        UserError: more seconds than a score can take.
    """
    plain, said = _read(text)
    clock, lasting = _times(said)
    named = [*clock, *lasting]
    most = max([*named, 0.0])
    if most <= KNOWN:
        return Shortened(plain)
    if most > MAX_SECONDS:
        raise UserError(f"facial instruction {text[:40]!r}: {most:g} seconds; accepted up to {MAX_SECONDS:g}")

    def off(by: float) -> tuple[bool, float]:
        alike = len({round(n / by) for n in named}) < len(set(named))
        return alike, round(max(MISSED, *(abs(n / by - max(1, round(n / by))) for n in named if n)), 3)

    divisors = [*(d for d in DIVISORS if most / d <= KNOWN), *(most / k for k in (5, 4, 3, 2))]
    by = min(sorted(divisors), key=off)
    alone = dict[float, float]() if off(by) <= (False, FITS) else _alone(clock, lasting)

    def read(number: float) -> float:
        if alone:
            return alone.get(number, number)
        whole = round(number / by)
        return float(whole) if abs(whole - number / by) <= MISSED and (whole or not number) else \
            max(0.5, round(2 * number / by) / 2)  # fmt: skip

    out, at = "", 0
    for one in said:
        out += plain[at : one.start] + _EACH.sub(lambda n: f"{read(value(n[0])):g}", plain[one.start : one.stop])
        at = one.stop
    pairs = [tuple(zip(a, b, strict=True)) for a, b in zip(_times(said, read), (clock, lasting), strict=True)]
    return Shortened(out + plain[at:], 1.0 if alone else by, *pairs)


def _alone(clock: Sequence[float], lasting: Sequence[float]) -> dict[float, float]:
    """For each time that is too long another one that no other stands for; none where these do not suffice.

    By the clock what comes later stays later.
    """
    long = sorted({n for n in (*clock, *lasting) if n > KNOWN})
    before = max((n for n in clock if n <= KNOWN), default=0.0)
    free = [k for k in STAND_INS if k not in lasting and k > before][: len(long)]
    return dict(zip(long, sorted(free), strict=True)) if len(free) == len(long) else {}
