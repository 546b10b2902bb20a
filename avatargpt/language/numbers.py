"""Numbers and times as people write them: "twenty-five", "a dozen", "two minutes", "1m20s", "0:05", "1500 ms"."""

from __future__ import annotations

import re

_ONES = "zero one two three four five six seven eight nine ten eleven twelve".split()
_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = {word: 10.0 * k for k, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)}
_VALUES = {**{word: float(k) for k, word in enumerate([*_ONES, *_TEENS])}, **_TENS}
_VALUES |= {"a dozen": 12.0, "half a dozen": 6.0, "two dozen": 24.0, "a hundred": 100.0, "one hundred": 100.0}
_VALUES |= {f"{ten}-{one}": _TENS[ten] + k for ten in _TENS for k, one in enumerate(_ONES[1:10], 1)}
_WORDS = "|".join(w.replace("-", "[- ]") for w in sorted(_VALUES, key=len, reverse=True))
NUMBER = rf"(?:\d+(?:\.\d+)?|\b(?:{_WORDS})\b)(?: and a half)?"
UNIT = r"(?:s|secs?|seconds?)\b"
VERBS = (
    "be|bite|blink|blow|chew|close|frown|gasp|grin|laugh|lean|lift|look|lower|nod|open|pout|press|puff|pucker|raise"
    "|relax|roll|shake|show|sigh|smile|smirk|sneer|squint|stick|suck|tilt|turn|widen|wink|wrinkle|yawn"
)
_COMMA = re.compile(
    rf"(?<![\d,.])(\d+),(\d{{1,2}})(?=\s*{UNIT}|\s*(?:to|until|till|[-\u2013])\s*\d+,\d)", re.I
)
_COUNTABLE = rf"(?:{UNIT}|(?:minutes?|mins?|hours?|hrs?|ms|times|x)\b)"
_THOUSANDS = re.compile(rf"(?<![\d,.])(\d{{1,3}}(?:,\d{{3}})+)(?=\s*{_COUNTABLE})", re.I)
_BELOW_ZERO = re.compile(
    rf"(?<![\w.,)-])(?<!\d )(?:[-\u2212]|minus\s+){NUMBER}[\s-]*(?:{_COUNTABLE}|(?P<share>per ?cent\b|%))", re.I
)
_MILLI = re.compile(r"\b(\d+(?:\.\d+)?)[\s-]*(?:ms|msecs?|milliseconds?)\b", re.I)
_BOTH = re.compile(r"\b(\d+)\s*m(?:ins?|inutes?)?\s*(?:and\s+)?(\d+(?:\.\d+)?)\s*s(?:ecs?|econds?)?\b", re.I)
_BEFORE = r"\b(?P<before>for|after|at|from|to|until|till|by|every|wait|pause|lasting|than)\s+(?:about\s+|around\s+)?"
_MINUTES = re.compile(
    rf"{_BEFORE}(?P<many>half an?|an?(?: (?:whole|full|entire))?|{NUMBER})[\s-]+"
    r"(?P<unit>minutes?|mins?|hours?|hrs?)\b(?! of\b)"
    rf"(?P<half> and a half)?(?:,?\s+(?:and\s+)?(?P<more>{NUMBER})\s*{UNIT})?",
    re.I,
)
_ASKED = re.compile(
    rf"(?:{VERBS}|angry|calm|cry|do|gaze|glare|happy|hold|keep|make|neutral|pause|remain|sad|stare|stay|wait)\b", re.I
)
_BEEN = re.compile(r"\b(?:as if|as though|like|ha(?:ve|s|d)|been|who|that|after)\b", re.I)
_BEGUN = re.compile(r"[,;:.!/]\s*|\b(?:and|then|please)\s+", re.I)
_STAMP = r"\d{1,2}:[0-5]\d(?:\.\d+)?"
_STAMPED = re.compile(
    rf"(?P<range>(?:\b(?:from|between)\s+)?(?<![\d:])(?P<a>{_STAMP})\s*(?:to|until|till|and|[-\u2013])\s*(?P<b>{_STAMP}))(?![\d:])"
    rf"|(?P<told>\b(?:at|from|to|until|till|by|after|before)\s+)?(?<![\d:])(?P<one>{_STAMP})(?![\d:])"
    r"(?!\s*(?:[ap]\.?m\b|o'clock|in the (?:morning|afternoon|evening)))",
    re.I,
)
_CLOCK = re.compile(
    r"(?<![\d:])00?:[0-5]\d|\b(?:at|from|until|till)\s+\d:[0-5]\d\b(?!\s*(?:[ap]\.?m\b|o'clock|in the))", re.I
)


def value(number: str) -> float:
    """What a match of `NUMBER` means."""
    bare = re.sub(r" and a half$", "", number.lower())
    word = bare if bare in _VALUES else re.sub(r"(?<=ty) ", "-", bare)
    return (_VALUES[word] if word in _VALUES else float(bare)) + (0.5 if bare != number.lower() else 0.0)


def below_zero(text: str, shares: bool = True) -> str:
    """The first time, count or, with `shares`, per cent in a text that is below zero, as it stands there: "-5 seconds";
    empty = none is."""
    found = (m[0] for m in _BELOW_ZERO.finditer(text) if shares or not m["share"])
    return next(found, "")


def in_seconds(text: str) -> str:
    """The text with hours, minutes, milliseconds and times such as 0:05 told in seconds; what is so already stays.

    Hours and minutes count where something is to be done for so long, not where somebody has waited so long.
    """
    text = _COMMA.sub(r"\1.\2", _THOUSANDS.sub(lambda m: m[1].replace(",", ""), text))
    text = _MILLI.sub(lambda m: f"{float(m[1]) / 1000:g} seconds", text)
    text = _BOTH.sub(lambda m: f"{60 * int(m[1]) + float(m[2]):g} seconds", text)
    text = _MINUTES.sub(_minutes, text)
    return _STAMPED.sub(_stamped, text) if _CLOCK.search(text) else text


def _minutes(m: re.Match[str]) -> str:
    start = max([0, *(b.end() for b in _BEGUN.finditer(m.string, 0, m.start()))])
    clause, rest = m.string[start : m.start()].strip(), m.string[m.end() :].lstrip(" ,")
    if m["before"].lower() in ("wait", "pause"):
        waits = m["many"].lower() not in ("a", "an") or re.match(r"(?:and|then|before)\b", rest) is not None
    else:
        waits = _BEEN.search(clause) is None and _ASKED.match(clause or rest) is not None
    if not waits:
        return m[0]  # "you have been on hold for forty minutes"
    many = m["many"].lower()
    whole = many if many in _VALUES else re.sub(r"^an?(?: (?:whole|full|entire))?$", "1", many)
    many_of = (0.5 if whole in ("half a", "half an") else value(whole)) + (0.5 if m["half"] else 0.0)
    seconds = (3600 if m["unit"].lower().startswith("h") else 60) * many_of + (value(m["more"]) if m["more"] else 0.0)
    return f"{m['before']} {seconds:g} seconds"


def _stamped(m: re.Match[str]) -> str:
    if m["range"]:
        return f"from {_of(m['a'])} to {_of(m['b'])} seconds"
    return f"{m['told'] or 'at '}{_of(m['one'])} seconds"


def _of(stamp: str) -> str:
    minutes, seconds = stamp.split(":")
    return f"{60 * int(minutes) + float(seconds):g}"
