"""A request cut into what is done one after the other: sentences, clauses, lists of verbs, "after" and "before"."""

from __future__ import annotations

import re

from avatargpt.language.turns import turn_asked
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
_RESTING = {"being", "lying", "standing"}  # what somebody is in, not what is done first
WHO = r"(?:(?:he|she|they|it|i|you)|the \w+)"
_DONE = rf"(?P<a>(?:{WHO} )?(?P<verb>\w+)\b.*?)"
_FORMS = rf"^WORD {_DONE},\s*(?P<b>.+)$", rf"^WORD {_DONE} (?P<b>{WHO} \w+.*)$", rf"^(?P<b>.+?),? WORD {_DONE}$"
_AFTER = tuple(
    (re.compile(form.replace("WORD", word)), *order)
    for form in _FORMS
    for word, order in (("after", ("a", "b")), ("before", ("b", "a")))
)
_AND = re.compile(r"(,?\s+and\s+|,\s+)")
_PARTICLES = {"up", "down", "back", "again", "on", "off", "forward", "backward", "left", "right", "away", "together"}
_OPENING = re.compile(
    r"^(?:please\s+|now\s+|first(?:ly)?,?\s+|to (?:start|begin)(?: with)?,?\s+|at first,?\s+|start (?:with|by)\s+)+"
)
_OPPOSITE = {"left": "right", "right": "left"}
_OTHER = re.compile(
    r"^(?:\w+ly )?(?:with |to )?(?:the |his |her |their |your )?(?P<side>left|right)"
    r"(?: (?:one|hand|arm|leg|foot|fist))?$"
)
_GOING = r"(?:walk|run|jog|march|stroll|pace|stride|sprint|hop|skip|crawl|sneak|tiptoe)(?:s|ing|ning|ping)?"
_ONWARD = re.compile(r"(?:carry|carries|keep|keeps|go|goes|continue|continues) on\b")  # with what is done already
_FORTH = re.compile(rf"\b(?P<verb>{_GOING}) (?:back and forth|forth and back|to and fro)\b")
_BACK = re.compile(rf"\b({_GOING}|goes|go|comes|come|moves|move|heads|head) (?:straight )?back\b(?! (?:and|up))")


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


def _ordered(part: str) -> list[str]:
    """ "after sitting down he waves", "waves after sitting down", "sits down before waving" -> sitting down, waves."""
    for pattern, first, second in _AFTER:
        found = pattern.match(part)
        if found and found["verb"] in VERBS - _RESTING:
            return [found[first], found[second]]
    return [part]


def completed(parts: list[str]) -> list[str]:
    """Clauses that lean on the one before, or stand for several, made whole.

    "kicks with the left leg", "the right leg" -> ..., "kicks with the right leg"; "turns around", "walks back" ->
    ..., "walks"; "walks back and forth" -> "walks", "turns around", "walks".
    """
    out: list[str] = []
    for part in parts:
        before = out[-1] if out else ""
        turn = turn_asked(before) if before else None
        if (side := _OTHER.match(part)) and re.search(rf"\b{_OPPOSITE[side['side']]}\b", before):
            out.append(re.sub(rf"\b{_OPPOSITE[side['side']]}\b", side["side"], before))
        elif found := _FORTH.search(part):
            out += [part[: found.start()] + found["verb"] + part[found.end() :], "turns around", found["verb"]]
        elif turn is not None and turn.degrees > 120:
            out.append(_BACK.sub(r"\1", part))
        else:
            out.append(part)
    return out


def verb_phrases(part: str) -> list[str]:
    """A clause cut where a verb follows an "and", or a comma in a list of verbs: "walks ahead, bows and waves" ->
    "walks ahead", "bows", "waves"; what is told the other way round in the order in which it happens: "waves after
    sitting down" -> "sitting down", "waves"."""
    if len(turned := _ordered(part)) > 1:
        return turned
    listed = {w.strip(",") for w in _SUBJECT.sub("", part).split()[:1]} <= FINITE
    whole = _AND.split(part)
    out = whole[:1]
    for joint, piece in zip(whole[1::2], whole[2::2], strict=True):
        verbs = VERBS if "and" in joint else FINITE if listed else set()
        if {*piece.split()[:1]} & verbs and not _ONWARD.match(piece):
            out.append(piece)
        else:
            out[-1] += joint + piece
    return out
