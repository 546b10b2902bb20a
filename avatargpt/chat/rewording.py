"""What a change comes to: another tempo or length, the other side, or a caption that says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.requests.lexical import lemmas
from instruct_data.requests.spec import TurnPart
from instruct_data.requests.wording import value_of
from instruct_data.text.english import mirror_text, side_of

TEMPO = {"faster": (1.4, 1.8), "slower": (0.7, 0.5)}  # times as fast; the second where it is said with "much"
LENGTH = {"longer": (1.3, 1.8), "shorter": (0.75, 0.5)}  # times as long
LIMBS = frozenset("hand arm leg foot side way direction fist knee elbow shoulder".split())
_PART = re.compile(r"\b(left|right)[ -](hand|arm|leg|foot|knee|fist|elbow|shoulder)\b")
_BOTH = re.compile(r"\bboth (hand|arm|leg|feet|knee|fist)s?\b")


@dataclass(frozen=True)
class Change:
    """What a change comes to.

    Attributes:
        caption: the new one.
        tempo: factor of speed, 1 = none. length: factor of length, likewise. seconds: longer, negative = shorter.
        mirror: the same movement with its sides exchanged is what is asked for. remake: whether the movement
        has to be made again.
    """

    caption: str
    tempo: float = 1.0
    mirror: bool = False
    remake: bool = True
    length: float = 1.0
    seconds: float = 0.0


def changed(caption: str, change: str, parts: Sequence[TurnPart] = ()) -> Change:
    """Apply a change in words to a caption.

    Args:
        parts: how the reader of turns reads the change.
    """
    change = " ".join(change.lower().split()).rstrip(" .!")
    one = parts[0] if len(parts) == 1 else _degree(change)
    much = one is not None and one.much
    if one is not None and one.act in TEMPO:
        return Change(caption, one.factor or TEMPO[one.act][much], remake=False)
    if one is not None and one.act in LENGTH:
        if one.seconds is not None:
            sign = 1 if one.act == "longer" else -1
            return Change(caption, remake=False, seconds=sign * one.seconds)
        return Change(caption, remake=False, length=LENGTH[one.act][much])
    words = change.split()
    if any(a == "other" and b.rstrip("s") in LIMBS for a, b in zip(words, words[1:], strict=False)):
        return Change(mirror_text(caption), mirror=True, remake=False)
    wanted = side_of(change)
    opposite = {"left": "right", "right": "left"}.get(wanted or "")
    limb = set(lemmas(change)) - {"left", "right", "use", "with", "other"}
    if opposite and side_of(caption) == opposite and limb <= LIMBS:
        return Change(mirror_text(caption), mirror=True, remake=False)
    return Change(_said(caption, change))


def _degree(change: str) -> TurnPart | None:
    """A degree as acts write it: "slower", "much longer", "3 seconds longer"."""
    *before, last = change.split() or [""]
    if last not in (*TEMPO, *LENGTH):
        return None
    if len(before) == 2 and before[1].startswith("second") and (number := value_of(before[:1])):
        return TurnPart(act=last, seconds=number)
    return TurnPart(act=last, size="large" if before == ["much"] else None) if before in ([], ["much"]) else None


def _said(caption: str, change: str) -> str:
    """The caption with a side put in where it names that part of the body, else with the change behind it."""
    for pattern in (_PART, _BOTH):
        if found := pattern.search(change):
            limb = {"feet": "foot"}.get(found[found.lastindex or 1], found[found.lastindex or 1])
            named = rf"\b(?:(?:the|his|her) )?(?:left|right|one|the|his|her|both|a)\s+{limb}s?\b"
            said = f"the {found[0]}" if pattern is _PART else found[0]
            new, count = re.subn(named, said, caption, count=1)
            if count:
                return new
    return caption if change in caption else f"{caption} {change}"
