"""The suite `face_language`: five tasks of the face's language model, and the tokenizer itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.face_instructions import RISE, STEPS, followed, instruction_sources
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.metrics.face import emotions_shown, events_kept, f1, read_emotions
from avatargpt.metrics.face_events import check_score
from instruct_data.face.described import described, feelings_described, parse_description
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Score
from vqvae.face import FaceMotion

RENDERING = 7_000_000  # seeds of renderings here; training draws its own from another sequence
FEELING_SECONDS = 3.0
GAP = 1.0  # seconds cut out of a clip for the in-between


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's model."""
    methods = ("face", "describe_face", "feeling", "emotion_face", "face_in_between")
    return score(run.suite, run.cache.wrap_model(run.model, *methods), run.data)


def score(suite: Suite, model: Any, data: Path | None) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``face_language``.
        model: with the face methods of `avatargpt.AvatarGPT`.
        data: folder with val.jsonl of the instruction corpus; without one the suite's own instructions alone.
    """
    longest = float(suite.options["longest"])
    results: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for name, instructions in instruction_sources(suite, data).items():
        if name == "everyday":
            continue
        scores = [s for s in instructions if s.length <= longest]
        rendered = [render(s, RENDERING + i) for i, s in enumerate(scores)]
        faces = model.face([s.text for s in scores], [s.length for s in scores], seed=suite.seeds[0])
        results |= followed(name, faces, scores)
        descriptions = model.describe_face(rendered)
        results |= {f"{k}/{name}": plain(v) for k, v in reading(descriptions, scores).items()}
        results |= {f"{k}/{name}": plain(v) for k, v in tokens(model, rendered, scores).items()}
        results |= {f"{k}/{name}": v for k, v in between(model, rendered).items()}
        samples += [{"instruction": s.text, "shown": described(s), "described": t}
                    for s, t in list(zip(scores, descriptions, strict=True))[:20]]  # fmt: skip
    return {"results": results | feelings(model, suite.seeds[0]), "samples": samples}


def reading(descriptions: Sequence[str], scores: Sequence[Score]) -> dict[str, float]:
    """How well descriptions name what was rendered: F1 of actions and feelings, exact sequences, right counts."""
    from collections import Counter

    read, targets = [parse_description(t) for t in descriptions], [parse_description(described(s)) for s in scores]
    actions = [(Counter(a for a, _ in r.actions), Counter(a for a, _ in w.actions))
               for r, w in zip(read, targets, strict=True)]  # fmt: skip
    feeling_pairs = [(Counter(set(r.feelings)), Counter(set(w.feelings))) for r, w in zip(read, targets, strict=True)]
    same = [[a for a, _ in r.actions] == [a for a, _ in w.actions]
            for r, w in zip(read, targets, strict=True) if w.actions]  # fmt: skip
    counts = [right for r, w in zip(read, targets, strict=True) for right in _counts(r.actions, w.actions)]
    return {
        "described_actions": f1(actions), "described_feelings": f1(feeling_pairs),
        "described_sequences": float(np.mean(same)) if same else float("nan"),
        "described_counts": float(np.mean(counts)) if counts else float("nan"),
    }


# Whether the count of every named target action is right; several of one name are matched in order.
def _counts(read: Sequence[tuple[str, int]], targets: Sequence[tuple[str, int]]) -> list[bool]:
    counts = {a: [n for b, n in read if b == a] for a, _ in read}
    return [counts[a].pop(0) == n for a, n in targets if counts.get(a)]


def feelings(model: Any, seed: int) -> dict[str, Any]:
    """Feelings read from rendered faces, shown on generated ones, and rising with the requested number."""
    names = [n for n in emotion_names() if n != "neutral"]
    targets = [Score(FEELING_SECONDS, (), (Emotion(n, s, 0.0, FEELING_SECONDS),)) for n in names for s in STEPS]
    read = model.feeling([render(s, RENDERING + 5_000 + i) for i, s in enumerate(targets)])
    right = [s.emotions[0].name in parse_description(r).feelings[:1] for r, s in zip(read, targets, strict=True)]
    strength = [r.strip() == feelings_described(s) for r, s in zip(read, targets, strict=True)]
    faces = [model.emotion_face(names, s, FEELING_SECONDS, seed=seed) for s in STEPS]
    rows = [[faces[k][i] for k in range(len(STEPS))] for i in range(len(names))]
    shown_right = [x for i, row in enumerate(rows) for k, m in enumerate(row)
                   for x in emotions_shown(m, targets[i * len(STEPS) + k])]  # fmt: skip
    levels = [[read_emotions(m, 1.0)[n] for m in row] for n, row in zip(names, rows, strict=True)]
    rising = [float(b > a + RISE) for row in levels for a, b in zip(row, row[1:], strict=False)]
    return {
        "face_to_emotion": figure([float(x) for x in right]),
        "face_to_emotion_degree": figure([float(x) for x in strength]),
        "emotion_to_face": figure([float(x) for x in shown_right]), "emotion_to_face_rising": figure(rising),
    }  # fmt: skip


def tokens(model: Any, faces: Sequence[FaceMotion], scores: Sequence[Score]) -> dict[str, float]:
    """Faces through the tokenizer and back: mean error of the weights, of the head in degrees, and the shares of blinks
    and events that remain: the ceiling of any answer in tokens."""
    tokenizer = model.facial.tokenizers["face"]
    before = [tokenizer.spec.encode(f) for f in faces]
    after = [tokenizer.decode_features(tokenizer.encode_features(x))[: len(x)] for x in before]
    error = np.abs(np.concatenate(after) - np.concatenate(before))
    remaining = events_kept(before, after)
    rebuilt = [tokenizer.spec.decode(x) for x in after]
    seen_events = [r.passed for m, s in zip(rebuilt, scores, strict=True) for r in check_score(m, s)]
    return {
        "tokenizer_events": float(np.mean(seen_events)) if seen_events else float("nan"),
        "tokenizer_weights": float(error[:, :52].mean()), "tokenizer_head": float(np.degrees(error[:, 52:].mean())),
        "tokenizer_blinks": remaining.get("blinks", float("nan")),
    }  # fmt: skip


def between(model: Any, faces: Sequence[FaceMotion]) -> dict[str, Any]:
    """The middle second of clips, generated from both sides: mean error of the weights, beside a straight line's.

    ``between_change``: how much the generated middle moves, over how much the real one does (mean change from frame to
    frame); a straight line hardly moves.
    """
    errors, lines, moves = [], [], []
    for face in faces:
        n, gap = len(face), round(GAP * face.fps)
        if n < 3 * gap:
            continue
        a = (n - gap) // 2
        start, middle, end = face.slice(0, a), face.slice(a, a + gap), face.slice(a + gap, n)
        generated = model.face_in_between(start, end, GAP, seed=0).slice(a, a + gap)
        t = (np.arange(gap) + 1)[:, None] / (gap + 1)
        line = start.weights[-1] * (1 - t) + end.weights[0] * t
        errors.append(float(np.abs(generated.weights - middle.weights).mean()))
        lines.append(float(np.abs(line - middle.weights).mean()))
        moves.append([np.abs(np.diff(m.weights, axis=0)).mean() for m in (generated, middle)])
    if not errors:
        return {}
    generated_moves, real_moves = np.array(moves).sum(0)
    return {"between_error": figure(errors), "between_error_line": figure(lines),
            "between_change": plain(float(generated_moves / real_moves))}  # fmt: skip
