"""What a request says beside what is done: sides, ways, places, and what is not done."""

from __future__ import annotations

import re

from avatargpt.language.clauses import WHO
from avatargpt.language.lexical import times
from instruct_data.text.mirror import mirror_text

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
# what is not done says little of what is: "walk back without turning round"; but "without leaving the spot" does
_NOT = re.compile(
    r",?\s*\b(?:(?:never|without(?: ever)?|not)\s+(?!leaving|moving|going|travelling|advancing|\w*thing)\w+ing\b"
    r"|(?:and|but) (?:do|does)(?: not|n't) \w+)"
    r"(?:(?! and )[^,;])*"
)
# a walk bends for somebody who says so, not for everything that is near to a bend ("walk to the table")
TURNS = re.compile(r"\b(?:turn|bend|pivot|corner|curv|veer|swerv|wheel|rotat|\w*clockwise|starboard|port\b|larboard)")
_STILL = re.compile(
    rf"^(?:{WHO} |a \w+ )?(?:stands?|(?:do|does)(?: not|n't) (?:move|budge|stir)(?: at all)?"
    r"|(?:freeze|halt|stop|pause)s?|(?:keep|hold|remain|stay)s? (?:completely |very )?still)$"
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


def without_denials(text: str) -> str:
    """A clause without what is not done; one that stops or stands is one that stands still."""
    return _NOT.sub("", _STILL.sub("stands still", text)).strip(" ,") or text


def with_side(caption: str, side: str, count: int) -> str:
    """A caption of the side and the number that are asked for; empty and 0 = as it is."""
    told = first_side(caption)
    out = mirror_text(caption) if side and told not in ("", side) else caption
    said = f"{out} on the {side} side" if side and not told else out
    often = {1: "once", 2: "twice"}.get(count, f"{count} times")
    return said if not count or times(said)[0] == count else f"{said} {often}"
