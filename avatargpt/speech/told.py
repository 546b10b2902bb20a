"""Expression clips from instruction scores: the corpus' own texts, and single actions and feelings with exact times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import FPS
from avatargpt.speech.direction import Clause, Feeling
from avatargpt.speech.expressions import ExpressionClip
from instruct_data.face.score import Emotion, Event, Score

_RENDERINGS = 3  # of each score; their median has no chance blinks and glances, which no text asks for
_STRENGTHS = (("slightly", 0.3), ("", 0.7), ("very much", 0.85), ("extremely", 1.0))
_HEAD_FADE = 0.4  # s over which a feeling's keyframe is reached


def median_curves(score: Score, seed: int) -> np.ndarray:
    """(T, 55) what every rendering of the score has in common."""
    from instruct_data.face.render import render

    rows = []
    for k in range(_RENDERINGS):
        motion = render(score, seed * _RENDERINGS + k, float(FPS))
        rows.append(np.concatenate([motion.weights, motion.head], 1))
    return np.asarray(np.median(rows, 0), np.float32)


def feelings_of(emotions: tuple[Emotion, ...], length: float) -> list[Feeling]:
    """Overlapping feelings -> keyframes: at every change the strongest one, named, with its intensity."""
    edges = sorted({0.0, *(e.start for e in emotions), *(e.end for e in emotions if e.end < length)})
    out: list[Feeling] = []
    for start in edges:
        here = [e for e in emotions if e.start <= start + 1e-6 < e.end]
        most = max(here, key=lambda e: e.intensity, default=Emotion("neutral", 0.0, 0.0, length))
        name, strength = most.name, most.intensity
        if out and start > 0:
            last = out[-1]
            if start - last.second > _HEAD_FADE:  # hold the one before until the change begins
                out.append(Feeling(start - 0.01, last.text, last.strength))
            out.append(Feeling(start + min(_HEAD_FADE, 0.9 * max(length - start, 0.02)), name, strength))
        else:
            out.append(Feeling(start, name, strength))
    ordered = sorted({f.second: f for f in out}.values(), key=lambda f: f.second)
    return [f for f in ordered if f.second <= length]


def corpus_clips(path: Path, split: str, seed: int = 0) -> Iterator[ExpressionClip]:
    """Each instruction of a corpus file: its text as one clause, its feelings by name; pure feelings also in words."""
    from instruct_data.face.score import read_instructions

    for i, one in enumerate(read_instructions(path)):
        score = one.score
        curves = median_curves(score, seed + i)
        named = feelings_of(score.emotions, score.length) if score.emotions else []
        if score.events:
            yield ExpressionClip(curves, named, [Clause(score.text, 0.0, score.length)], split, f"text/{one.id}")
        else:
            yield ExpressionClip(curves, named, [], split, f"named/{one.id}")
            yield ExpressionClip(curves, [Feeling(0.0, score.text, 1.0)], [], split, f"felt/{one.id}")


def drawn_clips(count: int, seed: int, split: str) -> Iterator[ExpressionClip]:
    """Random actions at random times, one clause each, over random feelings; texts say the strength in words."""
    from instruct_data.face.actions import action_names
    from instruct_data.face.emotions import emotion_names

    for i in range(count):
        rng = np.random.default_rng([seed, i])
        length = float(rng.uniform(4, 8))
        events: list[Event] = []
        clauses: list[Clause] = []
        now = float(rng.uniform(0, 1))
        while now < length - 1 and len(events) < 3 and i % 4:
            action = str(rng.choice(action_names()))
            word, strength = _STRENGTHS[int(rng.integers(len(_STRENGTHS)))]
            lasts = float(rng.uniform(0.6, 2.5))
            events.append(Event(action, now, lasts, strength))
            clauses.append(Clause(f"{action.replace('_', ' ')} {word}".strip(), now, now + lasts))
            now += lasts + float(rng.uniform(-0.2, 1.2))
        emotions: list[Emotion] = []
        start = 0.0
        while (i % 4 == 0 or rng.random() < 0.4) and start < length - 1.5 and len(emotions) < 3:
            end = start + float(rng.uniform(1.5, 4))
            name, strength = str(rng.choice(emotion_names())), float(rng.uniform(0.2, 1))
            emotions.append(Emotion(name, strength, start, min(end, length)))
            start = end
        score = Score(length, tuple(events), tuple(emotions))
        feelings = feelings_of(score.emotions, length) if emotions else []
        yield ExpressionClip(median_curves(score, seed + i), feelings, clauses, split, f"drawn/{i}")
