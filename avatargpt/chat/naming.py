"""A turn's own words as a caption, and as the name of a file."""

from __future__ import annotations

from collections.abc import Sequence

from instruct_data.dialogue.acts import FORMATS
from instruct_data.text.english import GERUND, THIRD, third_of

MOST_NAMING = 4  # words of a name that is several
_BASES = frozenset(THIRD.values())
_GLUE = frozenset("a an the and as or it file".split())
_WHO = frozenset("he she it they him her them someone somebody".split())


def as_caption(text: str) -> str:
    """In the form of captions: ``he waves``, ``wave`` and ``waving`` become ``a person waves``."""
    words = text.split()
    if len(words) > 1 and words[0] in _WHO:
        words = words[1:]
    first = words[0]
    if first in THIRD:
        return " ".join(["a person", *words])
    base = GERUND.get(first) or (first if first in _BASES else "")
    return " ".join(["a person", third_of(base), *words[1:]]) if base else " ".join(words)


def file_name(said: str, formats: Sequence[str] = ()) -> str:
    """What a file is called: ``my walk`` -> ``my_walk``; empty: a format alone, or too many words.

    Args:
        formats: that stand in the turn; no name.
    """
    plain = said.replace(" . ", ".").lower()
    for one in formats:  # "mp 4": letters and digits are words of their own
        letters = one.rstrip("0123456789")
        plain = plain.replace(f"{letters} {one.removeprefix(letters)}".strip(), "")
    words = ["".join(c for c in w if c.isalnum() or c in "._~/-") for w in plain.split()]
    kept = [w for w in words if w and w not in FORMATS and w != "."]
    return "_".join(kept) if set(kept) - _GLUE and len(kept) <= MOST_NAMING else ""
