"""Captions of motions and faces: their words, whom and how many they speak of, and the patterns that tables write."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vqvae.errors import UserError

Words = re.Pattern[str]
"""What words name something, as a table of the evaluation suites writes them: a regular expression."""
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[^\sa-z0-9]")
_COUNTED = re.compile(
    r"\b(?:once|twice|thrice|single|(?:two|three|four|five|six|seven|eight|\d+) "
    r"(?!hands|arms|legs|fists|feet|fingers|palms|drumsticks|sticks|people)\w+)\b"
)
_BOTH = re.compile(r"\b(?:both|hands|arms|legs|feet|fists)\b")
_ONE = re.compile(r"\b(?:hand|arm|leg|foot|fist)\b")
_PERSON = re.compile(r"(?:(?:can|would) you|you|he|she|someone|a person) ")
_SOMEBODY = re.compile(r"\b(?:someone|somebody|(?:a|the) (?:person|figure|man|woman))\b")


def pattern(words: str, where: str, any_case: bool = False) -> Words:
    """A table's words.

    Raises:
        UserError: no regular expression; `where` names the place.
    """
    try:
        return re.compile(words, re.IGNORECASE if any_case else 0)
    except re.error as e:
        raise UserError(f"{where}: words are no pattern ({e})") from None


def template(captions: Iterable[str]) -> Words:
    """What captions look like with any words in place of their ``{slots}``; lower case, without a final stop."""

    def one(text: str) -> str:
        return r"[\w' -]+?".join(re.escape(p) for p in re.split(r"\{\w+\}", text.lower().rstrip(".")))

    return re.compile("|".join(one(text) for text in captions))


def raw_tokens(sentence: str) -> list[str]:
    """Lower-cased words and punctuation marks."""
    return _TOKEN.findall(sentence.lower())


def words_of(text: str) -> frozenset[str]:
    """Lower-cased words."""
    return frozenset(re.findall(r"[a-z]+", text.lower()))


def bare(text: str) -> str:
    """A text without capitals, stops and double spaces."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def tells_count(caption: str) -> bool:
    """Whether a caption tells how often something is done."""
    return _COUNTED.search(caption.lower()) is not None


def both_against_one(one: str, other: str) -> bool:
    """Whether one text speaks of both hands (arms, legs, feet), the other of a single one."""
    both = [bool(_BOTH.search(t)) for t in (one, other)]
    return both[0] != both[1] and all(b or _ONE.search(t) for b, t in zip(both, (one, other), strict=True))


def of_anybody(text: str) -> str:
    """A caption whoever it is about: "a man waves" and "someone waves" are one."""
    return _SOMEBODY.sub("who", text)


def begins_with_person(request: str) -> bool:
    """Whether a request tells who does it: "he stands still", "can you stand still"."""
    return _PERSON.match(request) is not None
