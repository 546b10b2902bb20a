"""The face_language suite: the face's tokens through the language model, five tasks and the tokenizer itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.face.face_instructions import OWN, RISE, STEPS, followed, instructions_of
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics.face import emotions_shown, events_kept, f1, read_emotions
from avatargpt.metrics.face_events import check_score
from avatargpt.resources import suites
from instruct_data.face.described import described, feelings_described, parse_description
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Score, read_instructions
from vqvae.face import FaceMotion

RENDERING = 7_000_000  # seeds of renderings here; training draws its own from another sequence
FELT = 3.0  # seconds of a single feeling
GAP = 1.0  # seconds cut out of a clip for the in-between


def score(suite: Suite, model: Any, data: Path | None) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``face_language``.
        model: with the face methods of `avatargpt.AvatarGPT`.
        data: folder with val.jsonl of the instruction corpus; without one the suite's own instructions alone.
    """
    longest = float(suite.options["longest"])
    sources = {"own": suites() / OWN}
    if data is not None:
        sources["corpus"] = instructions_of(data)
    results: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for name, path in sources.items():
        scores = [one.score for one in read_instructions(path) if one.score.length <= longest]
        shown = [render(s, RENDERING + i) for i, s in enumerate(scores)]
        made = model.face([s.text for s in scores], [s.length for s in scores], seed=suite.seeds[0])
        results |= followed(name, made, scores)
        told = model.describe_face(shown)
        results |= {f"{k}/{name}": plain(v) for k, v in reading(told, scores).items()}
        results |= {f"{k}/{name}": plain(v) for k, v in tokens(model, shown, scores).items()}
        results |= {f"{k}/{name}": v for k, v in between(model, shown).items()}
        samples += [{"instruction": s.text, "shown": described(s), "described": t}
                    for s, t in list(zip(scores, told, strict=True))[:20]]  # fmt: skip
    return {"results": results | feelings(model, suite.seeds[0]), "samples": samples}


def reading(told: Sequence[str], scores: Sequence[Score]) -> dict[str, float]:
    """How well descriptions name what was rendered: F1 of actions and feelings, exact sequences, right counts."""
    from collections import Counter

    read, wanted = [parse_description(t) for t in told], [parse_description(described(s)) for s in scores]
    actions = [(Counter(a for a, _ in r.actions), Counter(a for a, _ in w.actions))
               for r, w in zip(read, wanted, strict=True)]  # fmt: skip
    felt = [(Counter(set(r.feelings)), Counter(set(w.feelings))) for r, w in zip(read, wanted, strict=True)]
    same = [[a for a, _ in r.actions] == [a for a, _ in w.actions]
            for r, w in zip(read, wanted, strict=True) if w.actions]  # fmt: skip
    counts = [right for r, w in zip(read, wanted, strict=True) for right in _counts(r.actions, w.actions)]
    return {
        "described_actions": f1(actions), "described_feelings": f1(felt),
        "described_sequences": float(np.mean(same)) if same else float("nan"),
        "described_counts": float(np.mean(counts)) if counts else float("nan"),
    }


def _counts(read: Sequence[tuple[str, int]], wanted: Sequence[tuple[str, int]]) -> list[bool]:
    """Of every wanted action that is named: is its count right? Several of one name are matched in order."""
    left = {a: [n for b, n in read if b == a] for a, _ in read}
    return [left[a].pop(0) == n for a, n in wanted if left.get(a)]


def feelings(model: Any, seed: int) -> dict[str, Any]:
    """Feelings read from rendered faces, shown on generated ones, and rising with the number that is asked for."""
    names = [n for n in emotion_names() if n != "neutral"]
    wanted = [Score(FELT, (), (Emotion(n, s, 0.0, FELT),)) for n in names for s in STEPS]
    read = model.feeling([render(s, RENDERING + 5_000 + i) for i, s in enumerate(wanted)])
    right = [s.emotions[0].name in parse_description(r).feelings[:1] for r, s in zip(read, wanted, strict=True)]
    strength = [r.strip() == feelings_described(s) for r, s in zip(read, wanted, strict=True)]
    made = [model.emotion_face(names, s, FELT, seed=seed) for s in STEPS]
    rows = [[made[k][i] for k in range(len(STEPS))] for i in range(len(names))]
    shown = [x for i, row in enumerate(rows) for k, m in enumerate(row)
             for x in emotions_shown(m, wanted[i * len(STEPS) + k])]  # fmt: skip
    levels = [[read_emotions(m, 1.0)[n] for m in row] for n, row in zip(names, rows, strict=True)]
    rising = [float(b > a + RISE) for row in levels for a, b in zip(row, row[1:], strict=False)]
    return {
        "face_to_emotion": figure([float(x) for x in right]),
        "face_to_emotion_degree": figure([float(x) for x in strength]),
        "emotion_to_face": figure([float(x) for x in shown]), "emotion_to_face_rising": figure(rising),
    }  # fmt: skip


def tokens(model: Any, faces: Sequence[FaceMotion], scores: Sequence[Score]) -> dict[str, float]:
    """Faces through the tokenizer and back: mean error of the weights, of the head in degrees, blinks and events that
    are still there (what no answer in tokens can pass)."""
    tokenizer = model.facial.tokenizers["face"]
    before = [tokenizer.spec.encode(f) for f in faces]
    after = [tokenizer.decode_features(tokenizer.encode_features(x))[: len(x)] for x in before]
    error = np.abs(np.concatenate(after) - np.concatenate(before))
    stays = events_kept(before, after)
    done = [r.done for x, s in zip(after, scores, strict=True) for r in check_score(tokenizer.spec.decode(x), s)]
    return {
        "tokenizer_events": float(np.mean(done)) if done else float("nan"),
        "tokenizer_weights": float(error[:, :52].mean()), "tokenizer_head": float(np.degrees(error[:, 52:].mean())),
        "tokenizer_blinks": stays.get("blinks", float("nan")),
    }  # fmt: skip


def between(model: Any, faces: Sequence[FaceMotion]) -> dict[str, Any]:
    """The middle second of clips, made again from both sides: mean error of the weights, beside a straight line's.

    ``between_change``: how much the made middle moves, over how much the real one does (mean change from frame to
    frame); a straight line hardly moves.
    """
    errors, lines, moves = [], [], []
    for face in faces:
        n, gap = len(face), round(GAP * face.fps)
        if n < 3 * gap:
            continue
        a = (n - gap) // 2
        start, middle, end = face.slice(0, a), face.slice(a, a + gap), face.slice(a + gap, n)
        made = model.face_in_between(start, end, GAP, seed=0).slice(a, a + gap)
        t = (np.arange(gap) + 1)[:, None] / (gap + 1)
        line = start.weights[-1] * (1 - t) + end.weights[0] * t
        errors.append(float(np.abs(made.weights - middle.weights).mean()))
        lines.append(float(np.abs(line - middle.weights).mean()))
        moves.append((np.abs(np.diff(made.weights, axis=0)).mean(), np.abs(np.diff(middle.weights, axis=0)).mean()))
    if not errors:
        return {}
    made_moves, real_moves = np.array(moves).sum(0)
    return {"between_error": figure(errors), "between_error_line": figure(lines),
            "between_change": plain(float(made_moves / real_moves))}  # fmt: skip
