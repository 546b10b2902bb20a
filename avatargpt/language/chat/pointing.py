"""Which segment a phrase of nothing else points at: "the first one", "the second jump", "his wave", "it". Rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.language.chat import slots
from avatargpt.language.lexical import lemmas
from instruct_data.dialogue.turns import NUMBERS, ORDINALS
from vqvae.errors import UserError

_IT = re.compile(
    r"(?:it|him|her|them|he|she|they|that|this|one|that one|this one|"
    r"(?:the )?(?:person|man|woman|boy|girl|guy|character|avatar|motion|movement|animation|clip))?"
)
_WHOLE = re.compile(
    r"(?:everything|every (?:segment|part|step)|all|all of (?:it|them|this|that)|it all|overall|the lot|"
    r"(?:the |of )?(?:whole|entire) (?:thing|motion|movement|animation|clip|timeline|sequence|film)|the whole|"
    r"all (?:the )?(?:segments|parts|steps))"
)
_KIND = r"(?:one|segment|seg|part|step|piece|movement|motion|clip)"
_NUMBERED = re.compile(
    rf"(?:the )?(?:(?:segment|seg|part|step|piece|number|nr|no\.?) ?#?|#)?(\d{{1,2}}|{'|'.join(NUMBERS[1:])})"
)
_NTH = re.compile(
    rf"(?:(?:the|his|her|its) )?(?:very )?({'|'.join(ORDINALS)}|last|final|latest|middle|\d{{1,2}}(?:st|nd|rd|th))"
    r"(?: (.+))?"
)
_NAMED = re.compile(r"(?:the|his|her|their|that|this|him|its) (.+)")
_DOES = re.compile(r"(?:the|his|her|their|that|this|him|its|he|she|they|the (?:person|man|woman|boy|girl)) (.+)")


@dataclass(frozen=True)
class Target:
    """What is meant.

    Attributes:
        segment: from 1, or None = not said which. whole: all of it.
    """

    segment: int | None = None
    whole: bool = False


def target(text: str, captions: Sequence[str], clause: bool = False) -> Target | None:
    """What a phrase points at, or None: it names nothing that is there.

    Args:
        clause: whether "he jumps" names the jump.

    Raises:
        UserError: it names several alike; says which numbers they have.
    """
    text = " ".join(text.split()).strip(" .,!?;:")
    if _IT.fullmatch(text):
        return Target()
    if _WHOLE.fullmatch(text):
        return Target(whole=True)
    if (m := _NUMBERED.fullmatch(text)) and text != "one":
        n = int(slots.number(m.group(1)))
        return Target(n) if 1 <= n <= len(captions) else None
    if m := _NTH.fullmatch(text):
        return _nth(m.group(1), m.group(2) or "one", captions)
    if m := (_DOES if clause else _NAMED).fullmatch(text):
        found = _named(re.sub(rf" {_KIND}$", "", m.group(1)), captions)
        if len(found) > 1:
            numbers = " and ".join(map(str, found)) if len(found) < 4 else f"{found[0]} to {found[-1]}, and more"
            raise UserError(f"which one? {text!r} may be segments {numbers}; name one, e.g. segment {found[0]}")
        return Target(found[0]) if found else None
    return None


def _nth(place: str, of: str, captions: Sequence[str]) -> Target | None:
    """ "second jump", "last one" """
    some = list(range(1, len(captions) + 1)) if re.fullmatch(_KIND, of) else _named(of, captions)
    if place == "middle":
        return Target(some[len(some) // 2]) if len(some) % 2 else None
    at = -1 if place in ("last", "final", "latest") else (
        ORDINALS.index(place) if place in ORDINALS else int(re.sub(r"\D", "", place)) - 1
    )  # fmt: skip
    return Target(some[at]) if some and at < len(some) else None


def _named(words: str, captions: Sequence[str]) -> list[int]:
    """Segments whose caption has all these words."""
    wanted = lemmas(words)
    return [n for n, c in enumerate(captions, 1) if wanted and set(wanted) <= set(lemmas(c))]
