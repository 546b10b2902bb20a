"""Two things at once: "walk while waving", "jog with the hands on the hips", "sit down, then drink".

The network makes each of both by itself; a rule puts the arms or the head of the one on the steps of the other, or on
the body that sits or kneels, as in the layered clips of the training material (`synth.derived.layering`): pelvis,
legs and path stay what they were.
"""

from __future__ import annotations

import re

_MODAL = r"(?! (?:can|could|may|might|wants?|likes?|wish|please|would|should|had|were|was|is|are)\b(?! \w+ing\b))"
_WHILE = rf"(?:while|whilst|as (?:he|she|they|it|you|i){_MODAL}(?: is| are| am)?|at the same time as)"
_AT_ONCE = r"(?:at the same time|simultaneously|all at once|meanwhile)"
_HELD = "on|crossed|folded|behind|up|raised"
_ARMS = r"(?:hands?|arms?|palms?|fists?)"
_FORMS = tuple(map(re.compile, (
    rf"^{_WHILE} (?P<b>[^,]+), (?P<a>.+)$",
    rf"^(?P<a>.+?),? {_WHILE} (?P<b>.+)$",
    rf"^(?P<a>.+?),? and (?:{_AT_ONCE} )(?P<b>.+)$",
    rf"^(?P<a>.+?),? and (?P<b>.+?),? {_AT_ONCE}$",
    rf"^(?P<a>.+?) with (?P<b>(?:(?:both|his|her|the|left|right) )*{_ARMS} (?:{_HELD})\b.*)$",
    rf"^(?P<a>.+?) with (?P<b>(?:(?:both|his|her|the) )*(?:crossed|folded|raised) {_ARMS})$",
)))  # fmt: skip
STEPS = re.compile(r"\b(?:walk|run|jog|sprint|stroll|march|stride|hike|pace|step)\w*\b")


def halves(text: str) -> tuple[str, str] | None:
    """The two things that a clause asks for at once, or None."""
    lowered = " ".join(text.lower().split()).rstrip(" .!")
    for form in _FORMS:
        if found := form.match(lowered):
            return found["a"].strip(" ,"), found["b"].strip(" ,")
    return None


def is_above(action: str) -> bool:
    """Whether arms or the head alone do an action."""
    from instruct_data.synth.derived.layered import ARMS_ACT, HEAD_ACTS

    return action in ARMS_ACT or action in HEAD_ACTS


def gets_up(text: str) -> bool:
    """Whether somebody comes out of a rest."""
    return re.search(r"\bgets? up\b", text) is not None


def is_rest(action: str) -> bool:
    """Whether an action ends in a rest: sitting or kneeling."""
    from instruct_data.synth.derived.layered import RESTS

    return action in RESTS


def which_is_below(one: tuple[str, str], other: tuple[str, str]) -> int | None:
    """Of two (action, words) that which gives the legs: 0 or 1, or None where they do not go together.

    The other one has to be something that arms or the head do alone.
    """
    from instruct_data.synth.derived.layered import GAITS

    for i, (low, up) in enumerate(((one, other), (other, one))):
        steps = low[0] in GAITS or (not is_above(low[0]) and bool(STEPS.search(low[1])))
        if steps and is_above(up[0]):
            return i
    return None
