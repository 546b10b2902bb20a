"""What a phrasing says beside what is done: sides, ways and places."""

from __future__ import annotations

import re

BACK = re.compile(
    r"(?<!facing )(?<!faces )(?<!looking )(?<!looks )\b(?:backwards?|backing|backs|backpedal\w*|retreat\w*|revers\w*)\b"
    r"|\b(?:walk|step|go|goes|going|mov|run|jump|hop|skip)\w* (?:straight )?back\b(?! (?:and|up|to|on))"
)
BACKFLIP = re.compile(r"\bback(?:ward)?s?[ -]?(?:flips?|somersaults?|handsprings?|tucks?)\b|\bflic.?flac")
# no "up" and "down" of stand up and sit down
PLACE = re.compile(
    r"\b(above|overhead|behind|sideways|diagonally|backward|high|low|(?:up|down)(?= (?:and to|at|and forward)\b))s?\b"
)
UP_DOWN = re.compile(r"\b(up|down)(?:wards?|stairs|hill)?\b")
_BOTH_SIDES = re.compile(
    r"\b(?:left (?:and|then|or) (?:then )?(?:to the )?right|right (?:and|then|or) (?:then )?(?:to the )?left)\b"
)

# Loading a model asks these of every phrasing it knows; most hold nothing of the kind, which plain search tells sooner.
_SIDE = re.compile(r"\b(left|right)\b")


def first_side(text: str) -> str:
    """The side named first, ``left``, ``right`` or empty."""
    found = _SIDE.search(text) if "left" in text or "right" in text else None
    return found.group(1) if found else ""


def goes_back(text: str) -> bool:
    """Whether something is done backward (`BACK`)."""
    return ("back" in text or "retreat" in text or "revers" in text) and bool(BACK.search(text))


def flips_back(text: str) -> bool:
    """Whether it is a flip backward (`BACKFLIP`)."""
    return ("back" in text or "flic" in text) and bool(BACKFLIP.search(text))


def ups_and_downs(text: str) -> set[str]:
    """Which of ``up`` and ``down`` a text names."""
    return {*UP_DOWN.findall(text)} if "up" in text or "down" in text else set()


def side_asked(text: str) -> str:
    """The side that a request names first, empty where it names both in a row ("look left and right")."""
    return "" if _BOTH_SIDES.search(text) else first_side(text)
