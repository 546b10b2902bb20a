"""Numbers as they are spoken: 1,250 -> one thousand two hundred fifty, 1995 -> nineteen ninety five, 2nd, $3.50."""

from __future__ import annotations

import re

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_GROUPS = ("", "thousand", "million", "billion", "trillion")
_ORDINAL = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_MONEY = {"$": ("dollar", "dollars", "cents"), "£": ("pound", "pounds", "pence"), "€": ("euro", "euros", "cents")}
_NUMBER = re.compile(
    r"(?P<minus>(?<!\w)[-\u2212])?(?P<money>[$£€])?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)"
    r"(?:(?P<colon>:)(?P<minutes>[0-5]\d)|\.(?P<part>\d+))?(?P<after>%|(?:st|nd|rd|th|s)\b)?",
    re.I,
)
_LONGEST = 15  # digits that are a number; longer ones are said one by one


def read_numbers(token: str) -> str:
    """A token with every number in it as words, spaces around them; other characters stay."""
    return _NUMBER.sub(lambda m: f" {_said(m)} ", token)


def _said(m: re.Match[str]) -> str:
    digits = m["whole"].replace(",", "")
    after = (m["after"] or "").lower()
    plain = "," not in m["whole"] and not m["part"] and not m["money"] and not m["minus"]
    if m["colon"]:
        minutes = "" if m["minutes"] == "00" else ("oh " if m["minutes"] < "10" else "") + cardinal(int(m["minutes"]))
        said = f"{cardinal(int(digits))} {minutes or 'hundred' * (int(digits) > 12)}".strip()
        return said
    if len(digits) > _LONGEST or (plain and len(digits) > 1 and digits.startswith("0")):
        said = " ".join(_ONES[int(d)] for d in digits)
    elif plain and len(digits) == 4 and ("1100" <= digits < "2000" or "2010" <= digits < "2100"):
        said = _year(digits)
    else:
        said = cardinal(int(digits))
    if m["money"]:
        one, many, small = _MONEY[m["money"]]
        said = f"{said} {one if int(digits) == 1 else many}"
        if m["part"] and int(m["part"]):
            said += f" {cardinal(int(m['part'][:2].ljust(2, '0')))} {small}"
    elif m["part"]:
        said += " point " + " ".join(_ONES[int(d)] for d in m["part"])
    if after in ("st", "nd", "rd", "th"):
        said = _ordinal(said)
    elif after == "s":
        said = said[:-1] + "ies" if said.endswith("y") else said + ("es" if said.endswith("x") else "s")
    return ("minus " if m["minus"] else "") + said + (" percent" if after == "%" else "")


def _year(digits: str) -> str:
    first, last = int(digits[:2]), int(digits[2:])
    end = "hundred" if last == 0 else ("oh " if last < 10 else "") + cardinal(last)
    return f"{cardinal(first)} {end}"


def _ordinal(said: str) -> str:
    head, _, last = said.rpartition(" ")
    last = _ORDINAL.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return f"{head} {last}".strip()


def cardinal(number: int) -> str:
    """A whole number from 0 to 10^15 - 1 in words, as Americans say it."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f" {_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{_ONES[number // 100]} hundred" + (f" {cardinal(number % 100)}" if number % 100 else "")
    groups: list[str] = []
    for name in _GROUPS:
        number, group = divmod(number, 1000)
        if group:
            groups.insert(0, f"{cardinal(group)} {name}".strip())
        if not number:
            break
    return " ".join(groups)
