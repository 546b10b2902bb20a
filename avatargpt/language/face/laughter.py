"""Laughter that is asked for and was read as a feeling alone: "be surprised, then burst out laughing".

A rule. Of 785 instructions to learn from that say so in such words, 774 have a laugh; where a reading shows only
amusement, it laughs as long as it is amused.
"""

from __future__ import annotations

import re
from dataclasses import replace

from instruct_data.face.score import Event, Score

START, TAIL, LONGEST = 0.1, 0.3, 2.5  # s from the feeling's start, before its end, and of a laugh at most
SHORTEST = 0.6  # s of amusement in which somebody laughs
_LAUGH = re.compile(
    r"(?:^|[,;.:]|\bthen|\band)\s*(?:start |begin |break into |burst (?:out |into )?)?"
    r"(?:laugh(?:s|ing|ter)?|giggl(?:e|es|ing)|chuckles?|cackles?)"
    r"(?: (?:out loud|hard|loudly|heartily|softly|quietly|a little|aloud|again))?\s*(?=[,.;!]|$|\bthen\b|\band\b)",
    re.I,
)


def laughing(score: Score) -> Score:
    """The score with the laugh that its text asks for, where it has none but is amused."""
    amused = [f for f in score.emotions if f.name == "amused"]
    if not amused or not _LAUGH.search(score.text) or any(e.action == "laugh" for e in score.events):
        return score
    felt = amused[-1]
    lasts = min(min(felt.end, score.length) - TAIL - felt.start - START, LONGEST)
    if lasts < SHORTEST:
        return score
    laugh = Event("laugh", round(felt.start + START, 3), round(lasts, 3), felt.intensity)
    return replace(score, events=tuple(sorted((*score.events, laugh), key=lambda e: e.start)))
