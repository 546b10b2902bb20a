"""Of several readings of one instruction the one that the others agree with most: minimum Bayes-risk decoding (Kumar
and Byrne, HLT-NAACL 2004, eq. 2) with the likeness of two scores for the gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low

import numpy as np

from instruct_data.face.score import Score

NEAR = 0.4  # s between two starts that count as the same
LASTING = 0.5  # s between two durations that do
NAME, START, COUNT, DURATION = 0.4, 0.3, 0.15, 0.15  # what makes two actions alike


def likeness(a: Score, b: Score) -> float:
    """0 to 1: F1 of actions and feelings; an action of the same name counts by its start, count and duration, too."""
    free, same = list(a.events), 0.0
    for e in b.events:
        best, at = 0.0, -1
        for k, o in enumerate(free):
            if o.action == e.action:
                alike = NAME + START * (abs(o.start - e.start) <= NEAR) + COUNT * (o.repeat == e.repeat)
                alike += DURATION * (abs(o.duration - e.duration) <= LASTING)
                best, at = max((best, at), (alike, k))
        if at >= 0:
            same += best
            free.pop(at)
    felt, other = {f.name for f in a.emotions}, {f.name for f in b.emotions}
    total = len(a.events) + len(b.events) + len(felt) + len(other)
    return 2 * (same + len(felt & other)) / total if total else 1.0


def agreed(readings: Sequence[Score]) -> Score:
    """The reading most like all of them, of equals the first; as strong as they usually say."""
    gains = [np.mean([likeness(a, b) for b in readings]) for a in readings]
    return _usual(readings[int(np.argmax(np.round(gains, 9)))], readings)


def agreement(chosen: Score, readings: Sequence[Score]) -> float:
    """0 to 1: how alike the readings are to the chosen one."""
    return float(np.mean([likeness(chosen, b) for b in readings]))


def _usual(chosen: Score, readings: Sequence[Score]) -> Score:
    """With the median strength that all readings give each action at about this time, and each feeling.

    The median has the least expected absolute error; of an even number of strengths it is the lower middle one, which
    some reading said.
    """

    def usual(own: float, said: list[tuple[str, float, float]], name: str, start: float) -> float:
        return median_low([i for n, at, i in said if n == name and abs(at - start) <= NEAR] or [own])

    acts = [(o.action, o.start, o.intensity) for r in readings for o in r.events]
    felt = [(o.name, o.start, o.intensity) for r in readings for o in r.emotions]
    events = (replace(e, intensity=usual(e.intensity, acts, e.action, e.start)) for e in chosen.events)
    feelings = (replace(f, intensity=usual(f.intensity, felt, f.name, f.start)) for f in chosen.emotions)
    return replace(chosen, events=tuple(events), emotions=tuple(feelings))
