"""What a clause or a phrasing does: its verb, and the part of the body that it does it with."""

from __future__ import annotations

import re
from functools import lru_cache

from instruct_data.text.english import GERUND, THIRD

# say little of what is done: "does a bow", "begins to run"
_LIGHT = frozenset(
    """do make take get go have be start begin try use give perform keep continue show let put come move hold practice
    imitate mime demonstrate set help stop""".split()
)
_STATES = frozenset("sitting standing lying kneeling being".split())  # of such a text the verb says half
_BASES = {*THIRD.values()} - {*"slow clean open dry warm calm".split()}  # these are as often adjectives
_PARTS = {
    "hand": "arms?|hands?|fists?|palms?", "finger": "fingers?|fingertips?|thumbs?", "leg": "legs?|thighs?|calf|calves",
    "foot": "foot|feet|toes?|heels?", "knee": "knees?", "head": "heads?", "shoulder": "shoulders?",
    "hip": "hips?|waist", "wrist": "wrists?", "elbow": "elbows?|forearms?", "neck": "neck|throat",
    "nose": "nose", "ear": "ears?", "hair": "hair", "mouth": "chin|cheeks?|mouth|lips",
    "face": "face|forehead|brow|eyes?", "belly": "belly|stomach|chest",
}  # fmt: skip
HAND = "hand"
_OBJECT = re.compile(
    r"(?: (?:up|down|out))? (?:(?:his|her|their|your|my|its|the|both|one|a|an|left|right|two) )*"
    r"(?:(?!(?:with|in|on|to|of|at|and|by|over|under|into|from) )[a-z]+ ){0,2}"
    rf"(?:{'|'.join(f'(?P<{name}>{form})' for name, form in _PARTS.items())})\b"
)
_WORD = re.compile(r"[a-z]+")


@lru_cache(1 << 15)  # the same phrasings are looked at request after request
def doing(text: str) -> tuple[str, str]:
    """The verb (its base) of a text, and the part of the body that is its object ("rolls the shoulders"); each may be
    empty."""
    said = _WORD.findall(text.lower())
    first = 2 if said[:1] and said[0] in ("a", "an", "the") else 0  # "a guard": a verb by its form alone
    for i, word in enumerate(said[first:], first):
        base = THIRD.get(word) or GERUND.get(word) or (word if word in _BASES else "")
        if word in _STATES:
            break
        if base and base not in _LIGHT:
            part = _OBJECT.match(" " + " ".join(said[i + 1 :]).replace("head over heels", ""))
            return base, (part.lastgroup or "") if part else ""
    return "", ""
