"""Orders that say where: "insert a kick between the walk and the wave", "move the jump to the front". Rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.language.chat import slots
from avatargpt.language.chat.heard import Heard
from avatargpt.language.chat.pointing import Target, target
from instruct_data.dialogue.acts import LEAST_SECONDS, MOST_SECONDS, Act
from instruct_data.dialogue.turns import ORDINALS
from vqvae.errors import UserError

_POLITE = re.compile(
    r"^(?:(?:please|pls|ok(?:ay)?|now|and|but|so|hmm+|no|oh|can you|could you|would you|also|actually|what if|"
    r"let'?s)\b[\s,]*)+|[\s,]+(?:please|pls|thanks|thx|now|instead)$"
)
_NEXT_TO = (
    r"(?:in )?(?:(?<!the )right |just |directly |straight )?"
    r"(?:before|ahead of|in front of|after|behind|following|between)"
)
_OF_IT = r"(?: of (?:it(?: all)?|everything|the (?:whole )?(?:thing|motion|timeline)))?"
_THERE = rf"(?:first|last|in between|halfway|{_NEXT_TO} .+)"
_END = rf"(?:at|in|on) the (?:very )?(?:front|beginning|start|top|end|middle){_OF_IT}"
_TO = rf"(?:(?:in|at|to|on|into) )?the (?:very )?(?:front|beginning|start|top|end|back|middle){_OF_IT}"
_NTH = "|".join(ORDINALS[1:])
_PLACES = (
    r"(?:(?:to|at|in) (?:place|position|slot|number)? ?\d{1,2}"
    rf"|(?:(?:to|at|in|as) )?(?:the )?(?:{_NTH})(?: (?:place|position|spot|slot|one))?)"
)
_MOVE = re.compile(
    rf"(?:move|put|bring|shift|place|make) (?P<what>.+?)(?: (?:come|go))? (?P<where>{_THERE}|{_TO}|{_PLACES})"
)
_COMES = re.compile(
    rf"(?P<what>.+?) (?:(?:should|has to|must|could) )?(?:comes?|go|goes|be|moves?) (?P<where>{_THERE}|{_TO}|{_PLACES})"
)
_INSERT = re.compile(
    rf"(?:(?:insert|add|put|place|include|squeeze in)(?: in)?:? (?P<what>.+?)[\s,]+(?P<where>{_THERE}|{_END})"
    rf"|(?:have|let|make) (?P<who>.+?) (?P<when>first|at the (?:very )?(?:beginning|start|end){_OF_IT}|{_NEXT_TO} .+))"
)
_SWAP = re.compile(r"(?:swap|exchange|switch) (.+?) (?:and|with|&) (.+?)(?: around)?")
_DEFINITE = re.compile(r"(?:the|that|this|it|them|segment|part|step|number)\b")
_SAID_FIRST = re.compile(r"(?:right |just )?(?P<where>(?:before|after|between) (?!(?:it|him|her|them)\b).+)")
_SAID_LAST = re.compile(
    r"(?P<what>.+?)[\s,]+(?P<where>(?:(?<!the )right |just )?(?:before|after|between) (?!(?:it|him|her|them)\b).+)"
)


def placed(text: str, heard: Heard) -> list[Act]:
    """The act of an order that names a place among the segments; empty = it is none.

    Raises:
        UserError: a place that is not clear.
    """
    last = ""
    if re.match(r"(?:and )?(?:then|next|finally|after that)\b", text):
        return []
    while text != last:
        last, text = text, _POLITE.sub("", text.strip(" .,!;"))
    length = next((s for s in slots.lengths(text) if LEAST_SECONDS <= s <= MOST_SECONDS), None)
    plain = slots.without_lengths(text).strip(" ,")
    plain = re.sub(r"\s+(?:for|of|lasting),?$|,(?=,)", "", plain)
    if m := _SWAP.fullmatch(plain):
        return _swapped([target(t, heard.captions) for t in m.groups()])
    for pattern in (_MOVE, _COMES) if length is None else ():
        if (m := pattern.fullmatch(plain)) and (acts := _move(m, pattern is _MOVE, heard.captions)):
            return acts
    if m := _INSERT.fullmatch(plain):
        what, gap = m["what"] or m["who"], _gap(m["where"] or m["when"], heard.captions)
        if gap is not None and not _DEFINITE.match(what):
            return _inserted(what, gap, length, heard)
    if m := _SAID_FIRST.fullmatch(plain):
        words = m["where"].split()
        for n in range(min(len(words) - 1, 9), 1, -1):  # the longest place that is one
            gap = _gap(" ".join(words[:n]).rstrip(","), heard.captions)
            if gap is not None:
                return _inserted(" ".join(words[n:]), gap, length, heard)
    if (m := _SAID_LAST.fullmatch(plain)) and (gap := _gap(m["where"], heard.captions)) is not None:
        return _inserted(m["what"], gap, length, heard)
    return []


def _move(said: re.Match[str], it: bool, captions: Sequence[str]) -> list[Act]:
    """A segment to another place.

    Args:
        it: whether a pronoun means the last one.
    """
    what = target(said["what"], captions, clause=it)
    if what is None and " " not in said["what"]:
        what = target(f"the {said['what']}", captions)  # "put jump first"
    if what is None or what.whole or not (what.segment or it):
        return []
    gap, segment = _gap(said["where"], captions), what.segment or len(captions)
    if gap is None:
        return []
    numbered = re.fullmatch(_PLACES, said["where"])
    return [Act("move", segment=segment, to=gap if gap >= segment and not numbered else gap + 1)]


def _swapped(ends: Sequence[Target | None]) -> list[Act]:
    """Two segments in each other's place."""
    first, last = sorted(t.segment or 0 for t in ends if t) if all(ends) else (0, 0)
    if not 0 < first < last:
        return []
    there = [Act("move", segment=last, to=first)]
    return there if last == first + 1 else [*there, Act("move", segment=first + 1, to=last)]


def _inserted(what: str, gap: int, length: float | None, heard: Heard) -> list[Act]:
    text = slots.movement(what)
    if gap == len(heard.captions):
        return [Act("then", seconds=length, text=text)]
    return [Act("before", segment=gap + 1, seconds=length, text=text)]


def _gap(where: str, captions: Sequence[str]) -> int | None:
    """How many segments come before a place; None: no such place.

    Raises:
        UserError: between or in the middle of what leaves more than one place, or none.
    """
    count = len(captions)
    where = re.sub(r"^(?:in )?(?:right|just|directly|straight) ", "", where.strip())
    if m := re.fullmatch(rf"({_NEXT_TO}) (.+)", where):
        return _next_to(m.group(1), m.group(2), captions)
    if re.search(r"\b(?:middle|halfway|in between)\b", where):
        if count == 1:
            raise UserError("there is 1 segment and nothing between; accepted: before it, or after it")
        if "between" in where and count > 2:
            raise UserError(f"between which of the {count} segments? e.g. between segments 1 and 2")
        return count // 2
    if re.search(r"\b(?:front|beginning|start|top|first)\b", where):
        return 0
    if re.search(r"\b(?:end|back|last)\b", where):
        return count
    nth = re.search(rf"\b(?:{_NTH})\b", where)
    n = ORDINALS.index(nth[0]) + 1 if nth else int(re.sub(r"\D", "", where) or 0)
    return n - 1 if 1 <= n <= count else None


def _next_to(where: str, of: str, captions: Sequence[str]) -> int | None:
    if "between" in where:
        if len(captions) == 2 and re.fullmatch(r"them|those|these|the two|both|those two|the two of them", of):
            return 1
        pair = re.fullmatch(r"(?:segments |parts |steps )?(.+?) (?:and|&|n) (.+)", of)
        both = [target(t, captions, clause=True) for t in pair.groups()] if pair else []
        ends = [t.segment for t in both if t and t.segment]
        if len(ends) != 2:
            return None
        if abs(ends[0] - ends[1]) != 1:
            raise UserError(f"segments {min(ends)} and {max(ends)} are not neighbours; say before or after which one")
        return max(ends) - 1
    at = None if of == "all" else target(of, captions, clause=True)  # "after all"
    if at is None:
        return None
    after = re.search(r"after|behind|following", where) is not None
    if at.whole:
        return len(captions) if after else 0
    return (at.segment or len(captions)) - (not after)
