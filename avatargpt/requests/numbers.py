"""Numbers below zero in what people write: "-5 seconds", "minus two times"."""

from __future__ import annotations

import re

from instruct_data.requests.wording import NUMERAL

_COUNTABLE = r"(?:s|secs?|seconds?|minutes?|mins?|hours?|hrs?|ms|times|x)\b"
_BELOW_ZERO = re.compile(
    rf"(?<![\w.,)-])(?<!\d )(?:[-\u2212]|minus\s+)(?:{NUMERAL})[\s-]*(?:{_COUNTABLE}|(?P<share>per ?cent\b|%))", re.I
)


def below_zero(text: str, shares: bool = True) -> str:
    """The first time, count or, with `shares`, per cent in a text that is below zero, as it stands there: "-5 seconds";
    empty = none is."""
    found = (m[0] for m in _BELOW_ZERO.finditer(text) if shares or not m["share"])
    return next(found, "")
