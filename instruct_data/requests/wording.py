"""Forms of verbs and numbers as words, for requests."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instruct_data.text.english import gerund_of, third_of

_PAST = {
    "go": "went", "run": "ran", "stand": "stood", "sit": "sat", "swing": "swung", "bend": "bent", "throw": "threw",
    "hold": "held", "take": "took", "come": "came", "lie": "lay", "rise": "rose", "fall": "fell", "get": "got",
    "make": "made", "keep": "kept", "leap": "leapt", "kneel": "knelt", "creep": "crept", "swim": "swam",
    "spin": "spun", "shake": "shook", "lead": "led", "put": "put", "hit": "hit", "fling": "flung", "stride": "strode",
    "blow": "blew", "strike": "struck", "catch": "caught", "bring": "brought", "drive": "drove", "ride": "rode",
    "dive": "dived", "do": "did", "be": "was", "have": "had", "give": "gave", "eat": "ate", "drink": "drank",
    "sleep": "slept", "read": "read", "write": "wrote", "draw": "drew", "cut": "cut", "dig": "dug", "wind": "wound",
    "tear": "tore", "sweep": "swept", "weep": "wept", "say": "said", "sing": "sang", "shoot": "shot",
    "build": "built", "buy": "bought", "fight": "fought", "find": "found", "fly": "flew", "grow": "grew",
    "hang": "hung", "hide": "hid", "lay": "laid", "light": "lit", "let": "let", "pay": "paid", "ring": "rang",
    "set": "set", "shut": "shut", "sink": "sank", "slide": "slid", "speak": "spoke", "spit": "spat", "split": "split",
    "spread": "spread", "stick": "stuck", "sting": "stung", "swear": "swore", "tell": "told", "think": "thought",
    "wake": "woke", "wear": "wore", "wring": "wrung", "feed": "fed", "feel": "felt", "freeze": "froze",
    "grind": "ground", "lean": "leaned", "beat": "beat", "bind": "bound", "bite": "bit", "bleed": "bled",
    "break": "broke", "breastfeed": "breastfed", "cast": "cast", "deal": "dealt", "forget": "forgot", "hear": "heard",
    "meet": "met", "sew": "sewed", "shear": "sheared", "sling": "slung", "speed": "sped", "steal": "stole",
    "string": "strung", "thrust": "thrust", "tread": "trod", "undo": "undid", "weave": "wove", "see": "saw",
    "forgive": "forgave", "burst": "burst", "bet": "bet", "cling": "clung", "wed": "wed", "win": "won",
    "withdraw": "withdrew", "seek": "sought", "sell": "sold", "send": "sent", "slay": "slew", "spring": "sprang",
    "stink": "stank", "teach": "taught", "understand": "understood", "lose": "lost", "leave": "left", "know": "knew",
    "hurt": "hurt", "choose": "chose", "begin": "began", "become": "became", "lend": "lent",
}  # fmt: skip
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_ONES += "seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def inflected(action: str, form: str) -> str:
    """A verb phrase in base form as ``does``, ``doing`` or ``did``."""
    verb, _, tail = action.partition(" ")
    if form == "does":
        verb = third_of(verb)
    elif form == "doing":
        verb = gerund_of(verb)
    elif form == "did":
        verb = _PAST.get(verb) or _regular(verb)
    return f"{verb} {tail}".strip()


def _regular(verb: str) -> str:
    if verb.endswith("e"):
        return f"{verb}d"
    return f"{verb[:-1]}ied" if verb[-1:] == "y" and verb[-2:-1] not in "aeou" else gerund_of(verb)[:-3] + "ed"


def plural_of(noun: str) -> str:
    """A noun phrase in the plural."""
    return third_of(noun)


def in_words(number: int, joint: str = " ", link: str = " and ") -> str:
    """A whole number below 1000 in words. `joint`: between tens and ones. `link`: behind hundreds."""
    if number < 20:
        return _ONES[number]
    if number >= 100:
        hundreds, remainder = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (link + in_words(remainder, joint) if remainder else "")
    ten, ones = divmod(number, 10)
    return _TENS[ten - 2] + (joint + _ONES[ones] if ones else "")


NUMERAL = rf"\d+(?:[.,:]\d+)*|{'|'.join([*_ONES, *_TENS, 'hundred', 'half'])}"
_NUMERAL = re.compile(NUMERAL)


def is_numeral(word: str) -> bool:
    """Whether a word is a number, or a part of one, that can be copied."""
    return bool(_NUMERAL.fullmatch(word))


def value_of(numerals: Sequence[str]) -> float | None:
    """What numerals in a row mean: "twenty five", "2.5", "two hundred", "one half"; None for what is no number."""
    total, valid = 0.0, False
    for word in numerals:
        if word in _ONES or word in _TENS:
            total += _ONES.index(word) if word in _ONES else 10 * (_TENS.index(word) + 2)
        elif word == "half":  # "two and a half"
            total += 0.5
        elif word == "hundred":
            total = 100 * (total or 1)
        else:
            try:
                minutes, _, seconds = word.replace(",", ".").rpartition(":")
                total += float(seconds) + 60 * float(minutes or 0)
            except ValueError:
                return None
        valid = True
    return total if valid else None
