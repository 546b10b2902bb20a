"""How many times as fast a turn wants something: multiples, percentages and parts. Rules."""

from __future__ import annotations

import re

_FACTORS = [
    (re.compile(r"\bquarter (?:of the )?speed\b|\bquarter as fast\b|\bfour times as slow\b|slow.?mo.*quarter"), 0.25),
    (re.compile(r"\bquarter faster\b"), 1.25),
    (re.compile(r"\b(?:three|3)[- ]quarter"), 0.75),
    (re.compile(r"\bhalf again\b"), 1.5),
    (re.compile(r"\bhalf (?:the |its |his |her )?(?:speed|tempo|length|duration)\b|\bhalf as (?:fast|long)\b"), 0.5),
    (re.compile(r"\b(?:twice|two times) as slow\b"), 0.5),
    (re.compile(r"\b(?:twice|two times|double|doubled)\b"), 2.0),
    (re.compile(r"\b(?:triple|three times)\b"), 3.0),
    (re.compile(r"\b(?:quadruple|four times)\b"), 4.0),
]
_FACTOR = re.compile(
    r"(\d+(?:\.\d+)?|\.\d+)\s*(x|%|per ?cent|times|-fold)|\bx\s*(\d+(?:\.\d+)?)|\b(?:to|at|of|by) (\d*\.\d+)\b(?! ?s)"
)
_PARTS = {"half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4, "fifth": 1 / 5, "tenth": 1 / 10}
_SHARE = re.compile(
    r"(?<!\bto )(?<!\bat )(?<!\bof )(?<![\d.])(\d+(?:\.\d+)?)\s*(?:%|per ?cent)"
    rf"|\bby (?:an? )?({'|'.join(_PARTS)})\b|\b(?:an? )?({'|'.join(_PARTS)}) (?=faster|slower|quicker|longer|shorter)"
)
_LESS = re.compile(r"\b(?:slower|slow(?:ed)?\b.*\bdown|shorter|shorten(?:ed)?|less|cut|trim)\b")
_ADDED = re.compile(r"\b(?:faster|quicker|(?:speed|sped)\b.*\bup|longer|lengthen(?:ed)?|prolong|stretch|extend)\b")
_ABOUT_LENGTH = re.compile(
    r"\b(?:longer|shorter|as long|as short|lengthen(?:ed)?|shorten(?:ed)?|prolong|stretch|length|duration)\b"
)
_QUANTITY = re.compile(
    r"\b(?:(?P<more>increase|raise)|decrease|reduce|lower) (?:the |its |his |her )?"
    r"(?:(?P<tempo>speed|tempo|pace)|length|duration)\b(?: of\b)?"
)


def plain(text: str) -> str:
    """With "increase the speed of" as "speed up", "reduce the length of" as "shorten" and so on."""

    def verb(m: re.Match[str]) -> str:
        return ("speed up" if m["more"] else "slow down") if m["tempo"] else ("lengthen" if m["more"] else "shorten")

    return _QUANTITY.sub(verb, text)


def factor(text: str) -> float | None:
    """How many times as fast; a length that is said as a multiple ("twice as long") is turned round."""
    text = plain(text)
    value = _share(text)
    if value is None and (m := _FACTOR.search(text)):
        value = float(m.group(1) or m.group(3) or m.group(4)) / (100 if (m.group(2) or "")[:1] in ("%", "p") else 1)
    elif value is None:
        value = next((value for pattern, value in _FACTORS if pattern.search(text)), None)
    if value is None or value <= 0:
        return None
    if _LESS.search(text) and value > 1:  # "two times slower"
        value = 1 / value
    value = 1 / value if _ABOUT_LENGTH.search(text) else value
    return value if 0.1 <= value <= 10 else None


def _share(text: str) -> float | None:
    """What a part more or less comes to: "20% faster" -> 1.2, "a third shorter" -> 2 / 3."""
    if not (m := _SHARE.search(text)) or not (_LESS.search(text) or _ADDED.search(text)):
        return None
    part = float(m.group(1)) / 100 if m.group(1) else _PARTS[m.group(2) or m.group(3)]
    return 1 - part if _LESS.search(text) else 1 + part
