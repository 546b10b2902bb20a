"""A change in words applied to a segment: another tempo or length, the other side, or another caption."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.requests.english import lemmas
from instruct_data.requests.spec import TurnPart
from instruct_data.requests.wording import value_of
from instruct_data.text.english import mirror_text, side_of

# times as fast; the second where it is said with "much"
TEMPO = {"faster": (1.4, 1.8), "slower": (0.7, 0.5)}
LENGTH = {"longer": (1.3, 1.8), "shorter": (0.75, 0.5)}  # times as long
LIMBS = frozenset("hand arm leg foot side way direction fist knee elbow shoulder".split())
_PART = re.compile(r"\b(left|right)[ -](hand|arm|leg|foot|knee|fist|elbow|shoulder)\b")
_BOTH = re.compile(r"\bboth (hand|arm|leg|feet|knee|fist)s?\b")


@dataclass(frozen=True)
class Change:
    """A change of a caption.

    Attributes:
        caption: the new one. tempo, length: factors, 1 = none. seconds: longer, negative = shorter.
        mirror: the same movement with its sides exchanged. remake: the movement has to be generated again.
    """

    caption: str
    tempo: float = 1.0
    mirror: bool = False
    remake: bool = True
    length: float = 1.0
    seconds: float = 0.0


def changed(caption: str, change: str, parts: Sequence[TurnPart] = ()) -> Change:
    """Apply a change in words to a caption; `parts`: of the reader of turns for the change."""
    change = " ".join(change.lower().split()).rstrip(" .!")
    part = parts[0] if len(parts) == 1 else _degree(change)
    much = part is not None and part.much
    if part is not None and part.act in TEMPO:
        return Change(caption, part.factor or TEMPO[part.act][much], remake=False)
    if part is not None and part.act in LENGTH:
        if part.seconds is not None:
            sign = 1 if part.act == "longer" else -1
            return Change(caption, remake=False, seconds=sign * part.seconds)
        return Change(caption, remake=False, length=LENGTH[part.act][much])
    words = change.split()
    if any(a == "other" and b.rstrip("s") in LIMBS for a, b in zip(words, words[1:], strict=False)):
        return Change(mirror_text(caption), mirror=True, remake=False)
    side = side_of(change)
    opposite = {"left": "right", "right": "left"}.get(side or "")
    limb = set(lemmas(change)) - {"left", "right", "use", "with", "other"}
    if opposite and side_of(caption) == opposite and limb <= LIMBS:
        return Change(mirror_text(caption), mirror=True, remake=False)
    return Change(_with_words(caption, change))


def _degree(change: str) -> TurnPart | None:
    """A degree as acts write it: "slower", "much longer", "3 seconds longer"."""
    *before, last = change.split() or [""]
    if last not in (*TEMPO, *LENGTH):
        return None
    if len(before) == 2 and before[1].startswith("second") and (number := value_of(before[:1])):
        return TurnPart(act=last, seconds=number)
    return TurnPart(act=last, size="large" if before == ["much"] else None) if before in ([], ["much"]) else None


def _with_words(caption: str, change: str) -> str:
    """The caption with a side put in where it names that part of the body, else with the change behind it."""
    for pattern in (_PART, _BOTH):
        if match := pattern.search(change):
            limb = {"feet": "foot"}.get(match[match.lastindex or 1], match[match.lastindex or 1])
            named = rf"\b(?:(?:the|his|her) )?(?:left|right|one|the|his|her|both|a)\s+{limb}s?\b"
            limb_words = f"the {match[0]}" if pattern is _PART else match[0]
            new, count = re.subn(named, limb_words, caption, count=1)
            if count:
                return new
    return caption if change in caption else f"{caption} {change}"
