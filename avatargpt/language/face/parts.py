"""Clauses of an instruction that say something of their own time, to be read once more alone."""

from __future__ import annotations

import re

_CLAUSES = re.compile(r"\s*[;.!](?:\s+|$)|\s*,\s*(?:and\s+)?(?:then\s+)?|\s+(?:and then|and|then|while|but)\s+", re.I)
_NOT = re.compile(r"\b(?:not|(?:do|must|should|ca|wo)n['\u2019]?t|no|never|nor|without|except|stop)\b", re.I)

THEN, AND = ", then ", " and "  # between the actions of a description


def listed(acts: str) -> list[str]:
    """The actions of a description (`instruct_data.face.described`), and between two of them what joins these."""
    return re.split(f"({THEN}|{AND})", acts)


def denies(clause: str) -> bool:
    """Whether a clause says that something is not to be done: "don't blink", "without smiling"."""
    return _NOT.search(clause) is not None


def spans(text: str) -> list[tuple[int, int]]:
    """Where the clauses of an instruction begin and end."""
    cuts = [0, *(at for m in _CLAUSES.finditer(text) for at in m.span()), len(text)]
    return list(zip(cuts[::2], cuts[1::2], strict=True))


def clauses(text: str, phrase: re.Pattern[str]) -> list[str]:
    """Clauses that say the phrase, without it; the clause before, or after, where nothing else is left of one.

    Those that deny something stay out.
    """
    parts = [p for p in _CLAUSES.split(phrase.sub(" \0 ", text)) if p.strip()]
    bare = [" ".join(p.replace("\0", " ").split()) for p in parts]
    out = []
    for k, part in enumerate(parts):
        if "\0" in part:
            out.append(bare[k] or (bare[k - 1] if k else "") or "".join(bare[k + 1 : k + 2]))
    return [clause for clause in out if clause and not denies(clause)]
