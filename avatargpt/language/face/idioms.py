"""Ways to put things that the reader takes for something else, in words that it knows: rules, before any network."""

from __future__ import annotations

import re

MOST_PLAIN = 60  # characters of an instruction that says no more than that something is kept back
# Narrower than `extent._OF`; the trained parser to come takes both over.
_CLIP = r"(?: of (?:it|(?:the|this) (?:clip|speech|video|sentence)))?"
_MIDDLE = re.compile(rf"^\s*(?:in|at|around) the middle{_CLIP},", re.I)  # a time, not the inner brows
_AROUND = re.compile(  # turns the head; told a length, readers are bored
    r"\b(?:looks?|looking|glanc(?:e|es|ing)|gaz(?:e|es|ing))(?P<how>(?: \w+ly)?) (?:all )?around"
    r"(?: the (?:room|place|scene)| you(?:rself)?)?(?=\s*(?:[.,;!?]|$|and\b|then\b|for \d|\w+ly\b))",
    re.I,
)
_STOPS = re.compile(r"\b(?:stop|quit|without|not|never|n't|n\u2019t)\b", re.I)
_RAPID = re.compile(  # more than once
    r"\bblink(?:s|ing)?\s+(?:very\s+|really\s+|super\s+)?(?:rapidly|fast|quickly|a lot|repeatedly)\b"
    r"|\b(?:rapid|fast|quick)(?:ly)? blinking\b|\b(?:rapidly|quickly) blinks?\b",
    re.I,
)
# Other words than `counts._COUNTED`; the trained parser to come takes both over.
_COUNTED = re.compile(
    r"\d|\b(?:once|twice|thrice|times|double|triple|several|few|couple|every|dozen"
    r"|one|two|three|four|five|six|seven|eight|nine|ten)\b",
    re.I,
)
_KEPT_BACK = re.compile(
    r"(?<!n't )(?<!n\u2019t )(?<!not )(?<!never )(?<!without )(?<!stop )\b(?:(?:try|tries|trying)"
    r"(?: (?:very |really )?hard| your best| desperately)? (?:not to|to not)"
    r"|(?:(?:hold|fight|keep)(?:s|ing)? back|suppress(?:es|ing)?|stifl(?:e|es|ing)) (?:a|the|your))"
    r" (?P<what>laugh|giggle|chuckle|smile|grin)s?(?=\s*(?:[.!]?\s*$|,|and then\b|then\b|for\b))",
    re.I,
)
_KEEPS = {
    "laugh": "press your lips together, cheeks raised, amused",
    "smile": "press your lips together, slightly amused",
}


def known(text: str) -> str:
    """The instruction in words that the reader knows.

    "In the middle, ..." is a time, who looks around turns the head, who blinks rapidly does so several times, and who
    tries not to laugh presses the lips together.
    """
    text = _MIDDLE.sub("Halfway through,", text)
    if not _STOPS.search(text):
        text = _AROUND.sub(r"turn the head left, then right\g<how>", text)
    if not _COUNTED.search(text):
        text = _RAPID.sub(r"\g<0> five times", text)
    if len(text) <= MOST_PLAIN:
        text = _KEPT_BACK.sub(_kept, text)
    return text


def _kept(found: re.Match[str]) -> str:
    return _KEEPS["smile" if found["what"].lower() in ("smile", "grin") else "laugh"]
