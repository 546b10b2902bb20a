"""How a word that no dictionary has is spoken, from its letters: a table that `scripts/letters.py` learns."""

from __future__ import annotations

import lzma
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).with_name("letters.txt.xz")
CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4))
"""Letters before and after, from the narrowest context to the widest."""
_EDGE = "#"


@lru_cache(maxsize=1)
def rules() -> dict[str, str]:
    """Context, as `around` gives it -> phones of the letter, spaces between."""
    with lzma.open(FILE, "rt", encoding="utf-8") as file:
        rows = (line.rstrip("\n").partition(" ") for line in file)
        return {context: phones for context, _, phones in rows}


def around(word: str, k: int, size: int) -> str:
    """Letter k of a word with those before and after it in context `CONTEXTS[size]`."""
    before, after = CONTEXTS[size]
    padded = _EDGE * before + word + _EDGE * after
    return f"{padded[k : k + before]}|{word[k]}|{padded[k + before + 1 : k + before + 1 + after]}"


def spelled(word: str) -> tuple[str, ...]:
    """Phones of a word of the letters a to z, vowels with stress, exactly one of them with the primary one.

    A word whose letters say nothing at all gives no phones.
    """
    table, phones = rules(), []
    for k in range(len(word)):
        found = next((table[c] for s in range(len(CONTEXTS) - 1, -1, -1) if (c := around(word, k, s)) in table), "")
        phones += found.split()
    vowels = [k for k, p in enumerate(phones) if p[-1].isdigit()]
    first = next((k for k in vowels if phones[k].endswith("1")), vowels[0] if vowels else None)
    for k in vowels:
        if k == first:
            phones[k] = phones[k][:-1] + "1"
        elif phones[k].endswith("1"):
            phones[k] = phones[k][:-1] + "2"
    return tuple(phones)
