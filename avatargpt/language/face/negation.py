"""What an instruction says is not to be done: "don't smile", "stare without blinking".

A rule: told to leave one thing, and nothing else, readers show the thing. Who is only told what not to do does nothing,
who is not to blink does not, and who is not to move keeps still. Longer denials ("don't smile until you have nodded",
"without letting go of the grin") are the reader's.
"""

from __future__ import annotations

import re
from dataclasses import replace

from avatargpt.language.face.seconds import named_seconds
from instruct_data.face.score import Score

_VERBS = r"blink|wink|smil|grin|laugh|giggl|frown|nod|yawn|sigh|squint|scowl|smirk|sneer|pout|gasp"
_ACTS = (
    rf"(?:{_VERBS})(?:n|k|d)?(?:e|ing)?|mov(?:e|ing)(?: (?:your|the|its) head)?|look(?:ing)? away"
    r"|cry(?:ing)?|(?:open|clos)(?:e|ing)? (?:your|the) (?:mouth|eyes|lips)|stick(?:ing)? (?:out )?your tongue(?: out)?"
    r"|(?:look|be|seem|get|feel|act)(?:ing)? (?:so |too )?\w+"
    r"|shak(?:e|ing) (?:your|the) head|(?:rais|lower|furrow)(?:e|ing)? (?:your|the) (?:eye)?brows?"
)
_MORE = r"at all|the (?:whole|entire) time|throughout|for (?:\d[\d.]*|[\w-]+) ?(?:s|secs?|seconds?)|please"
_END = rf"(?=\s*(?:[,;.!]|$)(?!\s*(?:until|till|before|yet)\b)|\s+(?:and|but|just|only|{_MORE})\b)"
_DENIED = re.compile(
    r"(?:(?:^|(?<=[,;.!:])|\b(?:and|but|please|just))\s*(?:do not|don['\u2019]?t|never)|\bwithout)\s+"
    rf"(?:you\s+|ever\s+|even\s+)?(?P<done>(?:{_ACTS})(?:(?:,\s*(?:or\s+)?|\s+or\s+)(?:{_ACTS}))*){_END}"
    rf"|(?:^|(?<=[,;.!:])|\band)\s*no\s+(?P<none>blink(?:s|ing)|smiling|nodding|winking|frowning|moving){_END}",
    re.I,
)
_MUTE = re.compile(rf"\b(?:{_MORE})\b", re.I)
_BLINKS, _MOVES = re.compile(r"\bblink", re.I), re.compile(r"^mov", re.I)
_STILL = re.compile(
    r"\b(?:(?:keep|hold|stay|remain)(?:ing)?(?: your| the)?(?: head)?(?: \w+ly)? still"
    r"|(?:stay|stand|freeze) in place)\b",
    re.I,
)


def denials(text: str) -> list[str]:
    """What is not to be done, in the text's own words."""
    return [m["done"] or m["none"] for m in _DENIED.finditer(text)]


def denies_blinks(text: str) -> bool:
    """Whether eyes are to stay open."""
    return any(_BLINKS.search(what) for what in denials(text))


def denies_moving(text: str) -> bool:
    """Whether the head is to be still."""
    return _STILL.search(text) is not None or any(_MOVES.search(what) for what in denials(text))


def allowed(score: Score) -> Score:
    """The score without what its text denies: everything where it says nothing else, blinks where it has no others."""
    if not denials(score.text):
        return score
    rest = _MUTE.sub(" ", _DENIED.sub(" ", score.text))
    if not re.search(r"\w", rest):
        return replace(score, length=max([score.length, *named_seconds(score.text)[1]]), events=(), emotions=())
    if denies_blinks(score.text) and not _BLINKS.search(rest):
        return replace(score, events=tuple(e for e in score.events if e.action != "blink"))
    return score
