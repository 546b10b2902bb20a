"""A score (`instruct_data.face.score`) as the driver is told it: one clause per action, feelings as keyframes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatargpt.face.audio_model.conditioning import TOGETHER, Clause, Feeling
from instruct_data.face.actions import actions
from instruct_data.face.emotions import one_sided
from instruct_data.face.score import Emotion, Score

BOUT = 5.0  # s that somebody laughs in one go
FADE = 0.4  # s over which a feeling's keyframe is reached
SHORT = 1e-6
ON_ONE_SIDE = {f"{a}_{s}": s for a in ("smirk", "sneer") for s in ("left", "right")}
ON_ONE_SIDE |= {f"raise_{s}_brow": s for s in ("left", "right")}
OF_THE_MOUTH = ("amused", "ashamed", "contempt", "pained")


def clauses_of(score: Score) -> list[Clause]:
    """Each event by name and in plain words, with its own times, strength and count.

    What has a rhythm of its own (laughing, chewing) is told how often it comes in that time, in bouts of up to `BOUT`
    seconds: only a count makes the driver keep a rhythm.
    """
    out = []
    for e in score.events:
        action = actions()[e.action]
        own = action.form == "cycle" and not action.counted and e.repeat == 1
        bouts = max(1, int(np.ceil(e.duration / BOUT - SHORT))) if own else 1
        lasts = e.duration / bouts
        count = max(1, round(action.rate * lasts)) if own else e.repeat
        for k in range(bouts):
            start = e.start + k * lasts
            told = Clause(e.action.replace("_", " "), start, start + lasts, e.intensity, count, e.action)
            out.append(replace(told, rise=e.rise * e.duration) if bouts == 1 else told)
    return out


def side_of(score: Score, feeling: str = "") -> str:
    """The side that feelings take that take one (contempt, doubt): ``right`` where that alone does something by itself,
    else ``left``. Where the mouth does so on one side and the brows on the other, a feeling of the mouth follows it."""
    parts: dict[bool, set[str]] = {True: set(), False: set()}
    for e in score.events:
        if e.action in ON_ONE_SIDE:
            parts[not e.action.endswith("_brow")].add(ON_ONE_SIDE[e.action])
    sides = parts[feeling in OF_THE_MOUTH] or parts[feeling not in OF_THE_MOUTH]
    return "right" if sides == {"right"} else "left"


def feelings_of(score: Score) -> list[Feeling]:
    """Feelings as keyframes: at every change those that are felt, up to `TOGETHER`, each with its own intensity; of
    those that grow or fade the first and the last strength, between which lies a straight line.

    Those that take one side of the face say so where it is the right one (`side_of`): ``contempt, right``.
    """
    length, felt = score.length, score.emotions
    if not felt:
        return []
    edges = sorted({0.0, *(e.start for e in felt), *(e.end for e in felt if e.end < length)})
    out: list[Feeling] = []
    for start, end in zip(edges, [*edges[1:], length], strict=True):
        here = [e for e in felt if e.start <= start + SHORT < e.end and e.name != "neutral"]
        changes = any(e.to is not None for e in here)  # as time goes on
        reached = start + min(FADE, 0.9 * max(length - start, 0.02)) if out and start > 0 else start
        if out and start > 0 and start - out[-1].second > FADE:  # hold the one before until the change begins
            out.append(replace(out[-1], second=start - 0.01))
        if not changes or reached < end:
            out.append(_keyframe(score, here, reached))
        if changes:
            out.append(_keyframe(score, here, end))
    kept = sorted({f.second: f for f in out}.values(), key=lambda f: f.second)
    return [f for f in kept if f.second <= length]


def _keyframe(score: Score, felt: Sequence[Emotion], second: float) -> Feeling:
    """What is felt at a second: the strongest first."""
    here: dict[str, float] = {}
    for e in felt:
        here[e.name] = max(here.get(e.name, 0.0), e.at(second))
    strongest = sorted(here.items(), key=lambda one: -one[1])[:TOGETHER]
    ordered = [(f"{n}, right" if n in one_sided() and side_of(score, n) == "right" else n, i) for n, i in strongest]
    (name, most), beside = (ordered or [("neutral", 0.0)])[0], tuple(ordered[1:])
    return Feeling(second, name, most, beside)
