"""Orders that their words settle, read before the classifier is asked: tempo, lengths by difference, the other side,
places, what is undone or repeated as a whole, what is saved of it. Rules; a turn that is anything else is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.language.chat.degrees import Degree, degree
from avatargpt.language.chat.heard import ASKS, Heard
from avatargpt.language.chat.placing import placed
from avatargpt.language.chat.pointing import Target, target
from avatargpt.language.chat.rewording import MANNERS, OTHER
from avatargpt.language.chat.slots import lengths, movement, with_length
from avatargpt.language.chat.storing import stored
from instruct_data.dialogue.acts import Act
from instruct_data.text.english import GERUND, PEOPLE, THIRD
from instruct_data.text.mirror import side_of
from vqvae.errors import UserError

ALL_STEPS = 99  # of undo: as many as there are
_OTHER = re.compile(
    r"(?:(?:no|not that|but|please|make it|do it|use|with|using|on|to|in|same|and|rather|instead|it should be|his|her|"
    rf"make (?:him|her) use)\b[\s,]*)*(?:the )?(?P<other>{OTHER})(?: a?round)?(?: (?:please|instead|for|in|on|of))*"
    r"\s*(?P<what>.*)"
)
_OTHER_OF = re.compile(
    rf"(?P<what>.+?)(?: should be| goes| to be)?(?: (?:with|on|to|in|using))? the (?P<other>{OTHER})"
)
_UNDO = re.compile(
    r"(?:please )?(undo|redo)(?: (?:it|that))? (?:everything|all(?: (?:of (?:it|that|them|this)|the steps|changes))?|"
    r"the (?:lot|whole thing)|all (?:of )?(?:my|the) changes)(?: please| again)?"
)
_LOOP = re.compile(
    r"(?:please |now |can you |could you )*(?:loop|repeat)(?: (?:it|this|that|everything|all|all of it|the whole thing|"
    r"the motion|the animation))?(?: please| now)?|(?:play|make|put) (?:it|this|that|everything) (?:in a |on )?"
    r"(?:loop|repeat)(?:ing)?"
)
_NO_LOOP = re.compile(
    r"(?:please )?(?:(?:don'?t|do not|never) (?:loop|repeat)(?: (?:it|this|that|everything))?|"
    r"(?:stop|end|no|without|remove the|undo the) (?:loop(?:ing|s)?|repeat(?:ing|s)?|repetitions?)"
    r"(?: (?:it|this|that))?|unloop(?: it)?|(?:loop|play|repeat) (?:it |this |that )?(?:only |just )?once)(?: please)?"
)
_GO_ON = re.compile(r"\b(?:extend|prolong)\b")  # it: more motion, not slower motion
_EACH = re.compile(r"\s*(?:,|\band\b|&)\s*(?:and )?")


def order(heard: Heard) -> list[Act]:
    """The acts of a turn whose words settle what is meant; empty = the classifier has to be asked.

    Raises:
        UserError: an order that leaves open what it is about; says what is accepted.
    """
    text = heard.request.strip(" .,!;")
    if m := _UNDO.fullmatch(text):
        return [Act(m.group(1), steps=ALL_STEPS)]
    if not heard.captions:
        return [] if heard.files else _asked(text)
    if _NO_LOOP.fullmatch(text):
        return [Act("loop", times=1)]
    if _LOOP.fullmatch(text):
        raise UserError("how often? e.g. loop it 3 times")
    if ASKS.fullmatch(heard.request):
        return []
    for read in (stored, _other, _degrees, placed, _manner):
        if acts := read(text, heard):
            return acts
    return []


def _other(text: str, heard: Heard) -> list[Act]:
    for pattern in (_OTHER, _OTHER_OF):
        if (m := pattern.fullmatch(text)) and (at := target(_bare(m["what"]), heard.captions)):
            if at.whole:
                return [Act("mirror")]
            return [Act("edit", segment=at.segment or _sided(heard.captions), change=f"the {m['other']}")]
    return []


def _sided(captions: Sequence[str]) -> int | None:
    """The one segment whose caption names a side, where the last one names none."""
    found = [n for n, c in enumerate(captions, 1) if side_of(c)]
    return found[0] if len(found) == 1 else None


def _bare(text: str) -> str:
    return re.sub(r"^(?:make|do|let|have|put|for)\s+", "", text.strip(" .,!"))


def _degrees(text: str, heard: Heard) -> list[Act]:
    """Tempo and length; of several segments where all of the turn is such orders."""
    if acts := _degree(text, heard):
        return acts
    parts = _EACH.split(text)
    if len(parts) < 2:
        return []
    each = [_degree(p, heard) or _lasting(p, heard) for p in parts]
    return [a for some in each for a in some] if all(each) else []


def _degree(text: str, heard: Heard) -> list[Act]:
    found = degree(text)
    at = target(found.rest, heard.captions) if found else None
    if not found or not at or (_GO_ON.search(text) and not (at.segment or at.whole)):
        return []
    if found.to:
        return [Act("retime", segment=at.segment, seconds=found.to) if at.segment else Act("total", seconds=found.to)]
    if found.tempo != 1:
        if found.said or at.whole:
            return [Act("speed", segment=at.segment, factor=round(found.tempo, 4))]
        return [Act("edit", segment=at.segment, change=found.words)]
    return _whole(found, heard) if at.whole else [Act("edit", segment=at.segment, change=found.words)]


def _whole(found: Degree, heard: Heard) -> list[Act]:
    if not found.seconds:
        return [Act("speed", factor=round(1 / found.length, 4))]
    seconds = heard.seconds + found.seconds
    if not heard.seconds or seconds < 0.2:
        return []
    return [Act("total", seconds=round(seconds, 3))]


_LASTS = re.compile(
    r"(?:make |let |have |set |and )*(?P<what>.+?)(?: should)?(?: (?:to|be|last|lasts|for|at|is|take))* <n>"
)


def _lasting(text: str, heard: Heard) -> list[Act]:
    """ "the walk 3 s", a length for one segment """
    found = lengths(text)
    m = _LASTS.fullmatch(with_length(text, "<n>"))
    at: Target | None = target(m["what"], heard.captions) if m and len(found) == 1 else None
    return [Act("retime", segment=at.segment, seconds=found[0])] if at and at.segment else []


_MANNER = re.compile(
    r"(?:(?:make|let|have|do)\s+)*(?P<what>(?:the|his|her|segment) .+?) (?:(?:should|needs to|must) )?(?:(?:be|is) )?"
    r"(?P<how>(?:(?:much|a bit|a little|a lot|more|less|very|even) )*"
    rf"(?:\w{{2,}}(?<!und)(?<!ov)(?<!aft)er|{'|'.join(MANNERS)}))"
)


def _manner(text: str, heard: Heard) -> list[Act]:
    """ "the jump higher", how one segment is done """
    m = _MANNER.fullmatch(text)
    at = target(m["what"], heard.captions) if m else None
    return [Act("edit", segment=at.segment, change=m["how"])] if m and at and at.segment else []


_SOMEONE = (
    rf"(?:him|her|someone|somebody|(?:an?|the) (?:\w+ ){{0,2}}?(?:{'|'.join(PEOPLE)}))"
)
_MAKE = re.compile(
    rf"(?:(?:please|ok(?:ay)?|can you|could you|would you|i want you to|i'd like you to|now)\b[\s,]*)*"
    r"(?:make|let|have|get|show|show me|animate|i want|i'd like|i would like|i need)(?: to see)?"
    rf" {_SOMEONE}(?: to)?"
    r" (?P<verb>(?!(?:say|go on|back|do (?:it|that))\b)[a-z]+)\b.*"
)


def _asked(text: str) -> list[Act]:
    """The movement of "make him wave", where there is nothing that it could change."""
    m = _MAKE.fullmatch(text)
    if not m or not (m["verb"] in THIRD.values() or m["verb"] in GERUND or m["verb"] in THIRD):
        return []
    length = next(iter(lengths(text)), None)
    return [Act("make", seconds=length, text=movement(text))]
