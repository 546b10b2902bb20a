"""A text of steps cut into what is done one after the other: at sentences, semicolons and every "then"."""

from __future__ import annotations

import re

from instruct_data.text.english import GERUND, THIRD

_THEN = re.compile(
    r"\s*(?:[,;.]\s*)?(?:\band\s+|\bbut\s+)?\b(?:then|afterwards?|after that|after which|next|finally|lastly|later|"
    r"at the end|in the end|followed by)\b\s*,?\s*"
)
# what follows says how the same action is done: "raise one hand and let the other hang"
_CARRIED = {"let", "lets", "letting", "keep", "keeps", "keeping", "stay", "stays", "staying"}
VERBS = {*THIRD, *THIRD.values(), *GERUND} - _CARRIED
FINITE = {*THIRD, *THIRD.values()} - _CARRIED - {"be", "is", "like", "likes"}
_PERSON = r"(?:person|man|woman|figure|human|guy|lady|boy|girl|child|kid|dancer|character|player|actor|avatar)"
_SUBJECT = re.compile(
    rf"^(?:he|she|they|it|i|you|we|someone|somebody|(?:the|this|that|a|an) (?:\w+ )?{_PERSON}) (?=\w)"
)
_PARTICLES = {"up", "down", "back", "again", "on", "off", "forward", "backward", "left", "right", "away", "together"}
_OPENING = re.compile(
    r"^(?:please\s+|now\s+|first(?:ly)?,?\s+|to (?:start|begin)(?: with)?,?\s+|at first,?\s+|start (?:with|by)\s+)+"
)


def clauses(text: str) -> list[str]:
    """Parts of a request that follow one another in time: at every "then" and semicolon, and at every sentence that
    says what somebody does next."""
    lowered = _OPENING.sub("", " ".join(text.lower().split()).rstrip(" .!"))
    said = [p for sentence in _sentences(lowered) for p in _THEN.split(sentence)]
    parts = [_OPENING.sub("", p.strip(" ,;.!?")) for p in said]
    out: list[str] = []
    for part in filter(None, parts):
        if out and part in _PARTICLES:  # "up and then down" is one action
            out[-1] += f" then {part}"
        else:
            out.append(part)
    return out or [lowered]


def _sentences(text: str) -> list[str]:
    """Sentences and what semicolons part, where both begin with a verb; others say more of what is done, or why ("Where
    is the toilet? Show me.")."""
    out: list[str] = []
    acts = False
    for piece in re.split(r"(?<=[a-z])(?:[.!]+\s+|\s*;\s*)", text):
        first = _SUBJECT.sub("", piece.rstrip(".!?")).split()
        verb = bool(first) and (first[0].strip(",") in FINITE or bool(_THEN.match(piece)))
        if out and not (acts and verb):
            out[-1] += f", {piece}"
        else:
            out.append(piece)
        acts = acts or verb or (bool(first) and first[0] in VERBS)
    return out
