"""Feelings that change over one action of a body: "walks, starting sad and slowly cheering up"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from avatargpt.face.instructions.scores import FAINT
from instruct_data.face.score import Emotion, Score

MIN_GROWTH = 0.2  # of a strength, from which a feeling that stays the same changes


def mood_of(score: Score, gradual: bool) -> Score | None:
    """The feelings of a score one after another, without its actions; None where they do not change.

    Args:
        gradual: each crosses over into the next; otherwise they change where the score says, and one that only grows
            or fades does so all the time.
    """
    runs = sorted(score.emotions, key=lambda f: f.start)
    at_once = any(a.start == b.start for a, b in zip(runs, runs[1:], strict=False))
    strengths = [f.strongest for f in runs]
    if at_once or not (has_several(score) or max(strengths, default=0) - min(strengths, default=0) >= MIN_GROWTH):
        return None
    ends = [f.start for f in runs[1:]] + [score.length]
    runs = [replace(f, end=end) for f, end in zip(runs, ends, strict=True)]
    return replace(
        score, events=(), emotions=tuple(_cross_feelings(runs) if gradual or not has_several(score) else runs)
    )


def has_several(score: Score) -> bool:
    """Whether a score has different feelings."""
    return len({f.name for f in score.emotions}) > 1


def _cross_feelings(runs: Sequence[Emotion]) -> list[Emotion]:
    """Feelings that cross over from the middle of each to the middle of the next, the first and last held outside."""
    middles = [runs[0].start, *((f.start + f.end) / 2 for f in runs[1:-1]), runs[-1].end]
    out: list[Emotion] = []
    for a, b, start, end in zip(runs, runs[1:], middles, middles[1:], strict=False):
        if a.name == b.name:
            out.append(replace(a, start=start, end=end, to=b.intensity))
        else:
            out.append(replace(a, start=start, end=end, to=FAINT))
            out.append(replace(b, start=start, end=end, intensity=FAINT, to=b.intensity))
    return out
