"""Long times in instructions: more seconds than those that the reader has learnt.

A rule. Instructions to learn from take a few seconds, and networks told "for 20 seconds" write 5. So such an
instruction is read with all its seconds divided by one number, and what the reading takes from them (a second by the
clock, how long, how long after) is multiplied again, so that the words' own numbers come out. What the words do not
tell, such as how long a wink takes, stays as it is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.speech.score_tokens import ScoreTokens
from instruct_data.face.score import MAX_SECONDS
from vqvae.errors import UserError

KNOWN = 6.0  # s that are read as they are
DIVISORS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0)
MOST_BARE = 30  # s that an instruction tells without the word
NEAR = 0.15  # s by which a reading may miss a time that it was told
_ONES = "zero one two three four five six seven eight nine ten eleven twelve".split()
_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = {"twenty": 20.0, "thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "ninety": 90.0}
_VALUES = {**{word: float(k) for k, word in enumerate([*_ONES, *_TEENS])}, **_TENS}
_WORDS = "|".join(sorted(_VALUES, key=len, reverse=True))
NUMBER = rf"(?:\d+(?:\.\d+)?|\b(?:{_WORDS})\b)(?: and a half)?"
_LIST = rf"{NUMBER}(?:\s*s)?(?:\s*(?:,|,?\s*\b(?:and|or|to|until|till)\b|[-\u2013])\s*{NUMBER}(?:\s*s)?\b)*"
_UNIT = r"[\s-]*(?:(?<![5-9]0)s|secs?|seconds?)\b"  # not "the 80s"
_DONE = (
    "and|be|bite|blink|blow|chew|close|frown|gasp|grin|laugh|lean|lift|look|lower|nod|on|onwards?|open|pout|press|puff|pucker|raise"
    "|relax|roll|shake|show|sigh|smile|smirk|sneer|squint|start|stick|stop|suck|then|tilt|turn|widen|wink|wrinkle|yawn"
)
_SECONDS = re.compile(
    # "at 2, 4 and 8 seconds", "from 5 to 12 s"; without a unit where that is all: "at 10, wink"
    rf"\b(?:at|from|between|until|till)\s+(?:about\s+|around\s+|exactly\s+)?(?:second\s+|t\s*=\s*)?(?:(?P<at>{_LIST})"
    rf"(?={_UNIT})|(?P<bare>{_LIST})(?=\s*[,;)]|\s*:(?!\d)|\s*\.?$|\s+(?:{_DONE})\b))"
    rf"|(?:\bsecond\s+|\bt\s*=\s*|@\s*)(?P<second>{_LIST})\b"
    rf"|(?P<range>{NUMBER}\s*s?\s*(?:\bto\b|\buntil\b|[-\u2013])\s*{NUMBER})(?={_UNIT})"
    rf"|(?P<lasting>(?<![\w.])(?:{NUMBER}))(?={_UNIT})",
    re.I,
)
_RANGE = re.compile(r"\b(?:to|until|till)\b|[-\u2013]", re.I)
_MINUTES = re.compile(r"\bfor (half a|an?(?: (?:whole|full|entire))?|one) minute\b(?! of\b)", re.I)
_EACH = re.compile(NUMBER, re.I)


@dataclass(frozen=True)
class Shortened:
    """An instruction as it is read.

    Attributes:
        text: with seconds divided by `by`.
        by: 1 where all of them are known.
        clock: seconds that the instruction names by the clock.
        lasting: how long it says that something takes, or comes after.
    """

    text: str
    by: float = 1.0
    clock: tuple[float, ...] = ()
    lasting: tuple[float, ...] = ()


def value(number: str) -> float:
    bare = re.sub(r" and a half$", "", number.lower())
    return (_VALUES[bare] if bare in _VALUES else float(bare)) + (0.5 if bare != number.lower() else 0.0)


def in_seconds(text: str) -> str:
    """The text with a minute told in seconds: "for half a minute"."""
    return _MINUTES.sub(lambda m: f"for {30 if m[1].lower() == 'half a' else 60} seconds", text)


def named_seconds(text: str) -> tuple[list[float], list[float]]:
    """Seconds that an instruction names by the clock, and how long it says that something takes, or comes after."""
    clock, lasting = list[float](), list[float]()
    for m in _SECONDS.finditer(in_seconds(text)):
        kind, words = next((k, v) for k, v in m.groupdict().items() if v)
        numbers = [value(n) for n in _EACH.findall(words)]
        if kind == "bare" and max(numbers) > MOST_BARE:  # a year, a share
            continue
        (lasting if kind == "lasting" else clock).extend(numbers)
        if len(numbers) == 2 and _RANGE.search(words) and numbers[1] > numbers[0]:
            lasting.append(numbers[1] - numbers[0])
    return clock, lasting


def shortened(text: str) -> Shortened:
    """The instruction with seconds that the reader knows.

    Raises:
        UserError: more seconds than a score can take.
    """
    plain, (clock, lasting) = in_seconds(text), named_seconds(text)
    most = max([*clock, *lasting, 0.0])
    if most <= KNOWN:
        return Shortened(text)
    if most > MAX_SECONDS:
        raise UserError(f"facial instruction {text[:40]!r}: {most:g} seconds; accepted up to {MAX_SECONDS:g}")
    fit = [d for d in DIVISORS if most / d <= KNOWN]
    even = [d for d in fit if all((2 * n / d) % 1 == 0 for n in (*clock, *lasting))]
    by = (even or fit)[0]

    def divided(m: re.Match[str]) -> str:
        start, stop = next((m.start(k), m.end(k)) for k, v in m.groupdict().items() if v)
        small = _EACH.sub(lambda n: f"{round(value(n[0]) / by, 1):g}", plain[start:stop])
        return plain[m.start() : start] + small + plain[stop : m.end()]

    return Shortened(_SECONDS.sub(divided, plain), by, tuple(clock), tuple(lasting))


class LongTokens(ScoreTokens):
    """What a reading of a shortened instruction says of the instruction itself."""

    def __init__(self, short: Shortened) -> None:
        super().__init__()
        self._short = short

    def value(self, token: int) -> float | str:
        value, kind, short = super().value(token), self.kind[token], self._short
        if not isinstance(value, float) or short.by == 1:
            return value
        if kind in ("at", "until"):
            return _nearest(value * short.by, short.clock, NEAR * short.by, value * short.by)
        if kind in ("after", "since", "duration"):
            return _nearest(value * short.by, short.lasting, NEAR * short.by, value)
        return value * short.by if kind == "length" else value


def _nearest(time: float, named: Sequence[float], within: float, otherwise: float) -> float:
    """The named time that is nearest, where one is near."""
    best = min(named, key=lambda n: abs(n - time), default=float("inf"))
    return best if abs(best - time) <= within else otherwise
