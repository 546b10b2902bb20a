"""Expression clips with their words, for the text branches of the driver: makers, cache, composition."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from avatargpt.face.audio_model.conditioning import Clause, Feeling
from avatargpt.face.audio_model.visemes import WIDTH
from avatargpt.face.instructions.scores import ON_ONE_SIDE, clauses_of, feelings_of, side_of
from avatargpt.metrics.face import MOUTH
from avatargpt.speech.audio import FPS
from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, read_instructions
from instruct_data.factory.face.compose import compose_scores
from vqvae.arkit import INDEX, NAMES, expand
from vqvae.errors import UserError
from vqvae.io.files import parsing
from vqvae.motion import atomic_write

FILE = "expressions.safetensors"
_PARTING = ("mouthLowerDown", "mouthUpperUp", "mouthStretch", "mouthFunnel", "mouthShrugLower")
_LIPS = [INDEX[n] for s in _PARTING for n in expand(s)]
_JAW = INDEX["jawOpen"]
_PRESS = INDEX["mouthPressLeft"]
# Actions that are often requested by number; those that are hardest to count stand twice.
COUNTED_ACTIONS = ("blink", "wink_left", "wink_right", "nod", "chew", "laugh", "wink_left", "wink_right")
_RENDERINGS = 3  # of each score; their median has no random blinks and glances


@dataclass
class ExpressionClip:
    """A silent clip."""

    curves: np.ndarray  # (T, 55) at 30 fps
    # feelings, clauses: emotion keyframes and clauses with times, as in `face.audio_model.conditioning`
    feelings: list[Feeling]
    clauses: list[Clause]
    split: str = "train"  # ``train`` or ``val``
    name: str = ""  # its source and number


def save(clips: Iterable[ExpressionClip], folder: str | os.PathLike[str]) -> Path:
    """Write a cache of float16 curves."""
    items = list(clips)
    if not items or any(c.curves.ndim != 2 or c.curves.shape[1] != WIDTH for c in items):
        raise UserError(f"{folder}: accepted: at least one clip of curves (T, {WIDTH})")
    arrays = {
        "curves": np.concatenate([c.curves.astype(np.float16) for c in items]),
        "lengths": np.array([len(c.curves) for c in items], np.int64),
    }
    rows = []
    for c in items:
        clauses = [[x.text, x.start, x.end, x.strength, x.repeat, x.action] for x in c.clauses]
        rows.append([[[f.second, f.text, f.strength, f.secondary] for f in c.feelings], clauses, c.split, c.name])
    return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, {"clips": json.dumps(rows)}))


def load(folder: str | os.PathLike[str]) -> list[ExpressionClip]:
    """All clips of a cache."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {FILE} in it; a cache of expression clips is needed")
    with parsing(path, "a whole cache of clips", "build it again"):
        with safe_open(path, "np") as file:
            curves, lengths = file.get_tensor("curves"), file.get_tensor("lengths")
            rows = json.loads(file.metadata()["clips"])
        ends = np.cumsum(lengths)
        clips = []
        for (feelings, clauses, split, name), n, end in zip(rows, lengths, ends, strict=True):
            keyframes, spans = [_feeling(*f) for f in feelings], [Clause(*c) for c in clauses]
            clips.append(ExpressionClip(curves[end - n : end], keyframes, spans, split, name))
        return clips


def _feeling(second: float, text: str, strength: float, beside: Sequence[Sequence[Any]] = ()) -> Feeling:
    return Feeling(second, text, strength, tuple((str(t), float(s)) for t, s in beside))


def compose(speech: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Combine the curves of speech and expression, (T, 55) each.

    Eyes, brows, cheeks, nose and head add up. In the mouth, the expression's jaw and lip-parting are reduced while the
    mouth speaks, and vanish where p, b, m close the lips or f, v touch; smiles and frowns stay.
    """
    busy = np.clip(speech[:, list(MOUTH)].max(1, keepdims=True) / 0.15, 0, 1)
    shut = np.clip(np.maximum(speech[:, [_PRESS]], speech[:, [INDEX["mouthRollLower"]]]) / 0.3, 0, 1)
    room = np.ones_like(expression)
    room[:, _LIPS] = (1 - 0.5 * busy) * (1 - shut)
    room[:, [_JAW]] = (1 - 0.75 * busy) * (1 - shut)
    room[:, [INDEX["mouthClose"], INDEX["tongueOut"]]] = (1 - busy) * (1 - shut)
    room[:, [INDEX["mouthPressLeft"], INDEX["mouthPressRight"]]] = 1 - 0.8 * busy
    out = speech + expression * room
    out[:, : len(NAMES)] = np.clip(out[:, : len(NAMES)], 0, 1)
    return np.asarray(out, np.float32)


def median_curves(score: Score, seed: int, side: str) -> np.ndarray:
    """(T, 55) median of several renderings of a score; `side` is that of feelings on one side of the face."""
    rows = [render(score, seed * _RENDERINGS + k, float(FPS), side).curves for k in range(_RENDERINGS)]
    return np.asarray(np.median(rows, 0), np.float32)


def corpus_clips(path: Path, split: str, seed: int = 0) -> Iterator[ExpressionClip]:
    """Each score of a corpus file, with clauses and named feelings; feelings alone also in the text's words."""
    for i, instruction in enumerate(read_instructions(path)):
        score = instruction.score
        clip = _clip_of(score, seed + i, split, f"text/{instruction.id}")
        yield clip
        if not score.events:
            yield ExpressionClip(clip.curves, [Feeling(0.0, score.text, 1.0)], [], split, f"felt/{instruction.id}")


def _clip_of(score: Score, seed: int, split: str, name: str) -> ExpressionClip:
    curves = median_curves(score, seed, side_of(score))
    return ExpressionClip(curves, feelings_of(score), clauses_of(score), split, name)


def compose_expression_clips(count: int, seed: int, split: str) -> Iterator[ExpressionClip]:
    """Scores of composed instructions (`instruct_data.factory.face.compose`), half of them with random strengths."""
    for i, score in enumerate(compose_scores(count, seed)):
        rng = np.random.default_rng([seed, i, 1])
        if i % 2:
            events = tuple(replace(e, intensity=float(rng.uniform(0.2, 1))) for e in score.events)
            score = replace(score, events=events)
        yield _clip_of(score, seed + i, split, f"composed/{i}")


def make_counted_clips(count: int, seed: int, split: str) -> Iterator[ExpressionClip]:
    """One action two to six times, slowly or fast; alone, with a second action, or with a feeling."""
    for i in range(count):
        rng = np.random.default_rng([seed, i, 2])
        action = str(rng.choice(COUNTED_ACTIONS if i % 4 else action_names()))
        times = int(rng.integers(2, 7))
        lasts = min(times * float(rng.uniform(0.4, 0.65) if i % 2 else rng.uniform(0.5, 1.1)), 6.0)
        start, strength = float(rng.uniform(0.1, 1.0)), float(rng.uniform(0.3, 1))
        events = [Event(action, round(start, 2), round(lasts, 2), strength, times)]
        length = round(start + lasts + float(rng.uniform(0.3, 1.2)), 1)
        if i % 3 == 1:
            begins = float(rng.uniform(0, start + lasts))
            second = str(rng.choice(action_names()))
            events.append(Event(second, round(begins, 2), round(float(rng.uniform(0.5, 3.0)), 2), 0.7))
        feelings = (Emotion(str(rng.choice(emotion_names())), float(rng.uniform(0.3, 1)), 0.0, length),)
        score = Score(length, tuple(sorted(events, key=lambda e: e.start)), feelings if i % 3 == 2 else ())
        yield _clip_of(score, seed + i, split, f"counted/{i}")


def draw_action_clips(count: int, seed: int, split: str) -> Iterator[ExpressionClip]:
    """Random actions at random times, also overlapping, with random strengths and counts, and random feelings."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        length = round(float(rng.uniform(3, 8)), 1)
        events: list[Event] = []
        now = float(rng.uniform(0, 1))
        while now < length - 0.6 and len(events) < 5 and i % 5:
            count_of = int(rng.integers(2, 6)) if rng.random() < 0.25 else 1
            lasts = float(rng.uniform(0.3, 2.8)) if count_of == 1 else count_of * float(rng.uniform(0.45, 1.1))
            action = str(rng.choice(action_names()))
            events.append(Event(action, round(now, 2), round(lasts, 2), float(rng.uniform(0.2, 1)), count_of))
            now += (0.0 if rng.random() < 0.25 else lasts) + float(rng.uniform(-0.2, 1.2))
            now = max(now, 0.0)
        emotions: list[Emotion] = []
        start = 0.0
        while (i % 5 == 0 or rng.random() < 0.4) and start < length - 1.5 and len(emotions) < 3:
            end = start + float(rng.uniform(1.5, 4))
            name, strength = str(rng.choice(emotion_names())), float(rng.uniform(0.2, 1))
            emotions.append(Emotion(name, strength, start, min(end, length)))
            start = end
        if events or emotions:
            score = Score(length, tuple(events), tuple(emotions))
            yield _clip_of(score, seed + i, split, f"drawn/{i}")


def draw_feeling_clips(count: int, seed: int, split: str) -> Iterator[ExpressionClip]:
    """One, two or three uniformly drawn feelings at a time with random strengths; every third clip has a one-sided
    action, which determines the side of the feelings."""
    names = [n for n in emotion_names() if n != "neutral"]
    for i in range(count):
        rng = np.random.default_rng([seed, i, 3])
        length = round(float(rng.uniform(3, 8)), 1)
        emotions: list[Emotion] = []
        start = 0.0
        while start < length - 1.0:
            end = min(start + float(rng.uniform(1.5, 6)), length)
            several = 1 + int(rng.random() < 0.6) + int(rng.random() < 0.2)
            for name in rng.choice(names, several, replace=False):
                emotions.append(Emotion(str(name), float(rng.uniform(0.1, 1)), start, end))
            start = end + (float(rng.uniform(0.5, 1.5)) if rng.random() < 0.2 else 0.0)
        events: list[Event] = []
        if i % 3 == 0:
            action, begins = str(rng.choice(list(ON_ONE_SIDE))), float(rng.uniform(0, length - 1.0))
            lasts, strength = min(float(rng.uniform(0.6, 2.5)), length - begins), float(rng.uniform(0.3, 1))
            events.append(Event(action, round(begins, 2), round(lasts, 2), strength))
        yield _clip_of(Score(length, tuple(events), tuple(emotions)), seed + i, split, f"feelings/{i}")


def all_clips(folder: Path, count: int) -> list[ExpressionClip]:
    """The clips of the instruction files in a folder, and `count` of each generated kind, with validation clips."""
    clips = [*corpus_clips(folder / "train.jsonl", "train"), *corpus_clips(folder / "val.jsonl", "val", 100_000)]
    for generate, seed in (
        (draw_action_clips, 1),
        (compose_expression_clips, 3),
        (make_counted_clips, 5),
        (draw_feeling_clips, 7),
    ):
        clips += [*generate(count, seed, "train"), *generate(count // 20 + 1, seed + 1, "val")]
    return clips
