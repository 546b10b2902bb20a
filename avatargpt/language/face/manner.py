"""What is done with a feeling, and was read as the feeling alone: "look around nervously" only looked nervous.

A rule: the instruction without the adverb is read once more, and what is done by that reading is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from avatargpt.language.numbers import VERBS
from instruct_data.face.score import Score

_HOW = re.compile(
    r"\b(?:nervous|anxious|fearful|timid|happi|cheerful|joyful|merri|sad|gloomi|miserab|bitter|angri|furious|suspicious"
    r"|sceptical|skeptical|doubtful|confused|curious|sheepish|sh[yi]|guilti|proud|loving|tender|weari|tired|sleepi|excited"
    r"|eager|contemptuous|disgusted|worried|hopeful|impatient|dreami|longing|fond)ly\b\s*",
    re.I,
)
_DONE = re.compile(rf"(?:{VERBS}|glance|stare|gaze|peer|swallow|whistle)(?:e?s)?\b\s+\w", re.I)
IDLE = "return_to_neutral"


def in_manner(score: Score, read: Callable[[str], Score]) -> Score:
    """The score with what its text does in that manner, where it does nothing.

    Args:
        read: what other words mean.
    """
    if score.events or not score.emotions or not _HOW.search(score.text):
        return score
    bare = _HOW.sub("", score.text).strip()
    if not _DONE.match(bare):
        return score
    plain = read(bare)
    events = tuple(e for e in plain.events if e.action != IDLE and e.start < score.length)
    last = max((e.end for e in events), default=0.0)
    if not last:
        return score
    length = max(score.length, plain.length)
    felt = (replace(f, end=length) if f.end >= score.length else f for f in score.emotions)
    return replace(score, length=length, events=events, emotions=tuple(felt))
