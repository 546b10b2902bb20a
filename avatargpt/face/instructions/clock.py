"""Seconds that an instruction names, as the instruction parser was taught to tell them in its tokens."""

from __future__ import annotations

import re

# Narrower than `numbers` and `seconds`, as in training; the trained parser to come takes all of them over.
_WORDS = "zero one two three four five six seven eight nine ten".split()
_NUMBER = rf"\d+(?:\.\d+)?|{'|'.join(_WORDS)}"
_CLOCKS = re.compile(
    r"(?:\b(?:at|from|after|by|until|till|til|to|between|and|second|mark|t)\b|[@=:\u2013-])\s*"
    rf"(?:about |around |exactly |the |second |sec |t ?)?[=:]?\s*({_NUMBER})\b"
    r"(?! thirds?| times| quarters?| ?percent| ?%)((?: seconds?)? and a half)?",
    re.I,
)
_BEFORE = re.compile(rf"\b({_NUMBER})\s*(?:s|sec|seconds)?\s*(?:[:\u2013-]|\b(?:to|till|until)\b)", re.I)
_SAYS = re.compile(
    rf"\b(?:{_NUMBER})(?: and a half)?[- ]?(?:s|secs?|seconds?)\b|\bsecond (?:{_NUMBER})\b|\bt ?= ?\d|@ ?\d"
    r"|\b\d+(?:\.\d+)?\s*(?:to|until|till|[-\u2013])\s*\d",
    re.I,
)
_WHEN = re.compile(
    r"\d|second|\b(?:one|two|three|four|five|six|half|first|last|end|until|till|while|whole|all|again|then)\b", re.I
)


def clock_times(text: str) -> list[float]:
    """Seconds that an instruction names by the clock ("at 2.5", "until second four", "from one to three")."""
    found = [(m[1], 0.5 if m[2] else 0.0) for m in _CLOCKS.finditer(text)]
    found += [(m[1], 0.0) for m in _BEFORE.finditer(text)]
    return [(float(_WORDS.index(n.lower())) if n.lower() in _WORDS else float(n)) + half for n, half in found]


def says_times(text: str) -> bool:
    """Whether an instruction says seconds: at which something is done, or for how long."""
    return _SAYS.search(text) is not None


def says_when(text: str) -> bool:
    """Whether an instruction tells times or places in time at all: numbers, "first", "until", "all the while"."""
    return _WHEN.search(text) is not None
