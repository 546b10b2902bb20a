"""Words and numbers of a text, and the units behind them."""

from __future__ import annotations

import re
from collections.abc import Sequence

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
MULTIPLES = {"twice": 2, "double": 2, "thrice": 3, "triple": 3}
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMERAL = rf"\d+(?:[.,:]\d+)*|{'|'.join([*ONES, *TENS, *MULTIPLES, 'hundred', 'half'])}"
_NUMERAL = re.compile(NUMERAL)


def is_numeral(word: str) -> bool:
    """Whether a word is a number, or a part of one, that can be copied."""
    return bool(_NUMERAL.fullmatch(word))


def value_of(numerals: Sequence[str]) -> float | None:
    """What numerals in a row mean: "twenty five", "2.5", "two hundred", "one half"; None for what is no number."""
    total, valid = 0.0, False
    for word in numerals:
        if word in ONES or word in TENS:
            total += ONES.index(word) if word in ONES else 10 * (TENS.index(word) + 2)
        elif word in MULTIPLES:
            total += MULTIPLES[word]
        elif word == "half":  # "two and a half"
            total += 0.5
        elif word == "hundred":
            total = 100 * (total or 1)
        else:
            try:
                minutes, _, seconds = word.replace(",", ".").rpartition(":")
                total += float(seconds) + 60 * float(minutes or 0)
            except ValueError:
                return None
        valid = True
    return total if valid else None


# units that stand behind a number: factors of seconds and metres
SECONDS = {"ms": 0.001, "millisecond": 0.001, "milliseconds": 0.001, "min": 60.0, "mins": 60.0, "minute": 60.0,
           "minutes": 60.0, "hour": 3600.0, "hours": 3600.0, "h": 3600.0, "m": 60.0}  # fmt: skip
METRES = {"cm": 0.01, "centimetres": 0.01, "centimeters": 0.01, "feet": 0.3048, "foot": 0.3048, "ft": 0.3048,
          "yard": 0.9144, "yards": 0.9144, "yd": 0.9144, "inch": 0.0254, "inches": 0.0254, "km": 1000.0,
          "kilometre": 1000.0, "kilometres": 1000.0}  # fmt: skip
WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]|_")


def words_of(text: str) -> list[str]:
    """Words, numbers and signs of a text, lower case; places in a target count these."""
    return [w[0] for w in find_words_in(text)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `words_of` stand: the first character of each, and the one behind it."""
    return [m.span() for m in find_words_in(text)]


def find_words_in(text: str) -> list[re.Match[str]]:
    """The words of `words_of` as matches in the text in lower case."""
    return list(WORD.finditer(text.lower().replace("’", "'").replace("\n", ";")))
