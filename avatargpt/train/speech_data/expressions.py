"""Clips of facial expression with the words for them: what the text branches learn from.

A renderer makes the curves from a score; this is the form in which they come: emotion keyframes and clauses with their
times, as in `avatargpt.face.audio_model.conditioning`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.face.audio_model.conditioning import Clause, Feeling
from avatargpt.face.audio_model.visemes import WIDTH
from avatargpt.metrics.lip_sync import MOUTH
from avatargpt.speech.audio import FPS
from vqvae.arkit import INDEX, NAMES, expand
from vqvae.errors import UserError
from vqvae.io.guard import understanding
from vqvae.motion import atomic_write

FILE = "expressions.safetensors"


@dataclass
class ExpressionClip:
    """A silent clip.

    Attributes:
        curves: (T, 55) at 30 fps.
        feelings, clauses: what it was asked for.
        split: ``train`` or ``val``.
        name: where it came from.
    """

    curves: np.ndarray
    feelings: list[Feeling]
    clauses: list[Clause]
    split: str = "train"
    name: str = ""

    def told(self, word_by_word: bool = False) -> tuple[list[Feeling], list[Clause]]:
        """Feelings and clauses; word by word, feelings become clauses until the next one."""
        if not word_by_word or not self.feelings:
            return self.feelings, self.clauses
        ends = [*(f.second for f in self.feelings[1:]), len(self.curves) / FPS]
        spans = [
            Clause(f"feel {f.words}", f.second, end, f.most)
            for f, end in zip(self.feelings, ends, strict=True)
            if f.most > 0 and end > f.second
        ]
        return [], [*self.clauses, *spans]


def save(clips: Iterable[ExpressionClip], folder: str | os.PathLike[str]) -> Path:
    """Write a cache of float16 curves.

    Raises:
        UserError: no clips, curves of another width, or the folder cannot be written.
    """
    from safetensors.numpy import save_file

    found = list(clips)
    if not found or any(c.curves.ndim != 2 or c.curves.shape[1] != WIDTH for c in found):
        raise UserError(f"{folder}: accepted: at least one clip of curves (T, {WIDTH})")
    arrays = {
        "curves": np.concatenate([c.curves.astype(np.float16) for c in found]),
        "lengths": np.array([len(c.curves) for c in found], np.int64),
    }
    rows = []
    for c in found:
        clauses = [[x.text, x.start, x.end, x.strength, x.repeat, x.action] for x in c.clauses]
        rows.append([[[f.second, f.text, f.strength, f.beside] for f in c.feelings], clauses, c.split, c.name])
    return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, {"clips": json.dumps(rows)}))


def load(folder: str | os.PathLike[str]) -> list[ExpressionClip]:
    """All clips of a cache.

    Raises:
        UserError: missing or damaged.
    """
    from safetensors import safe_open

    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {FILE} in it; a cache of expression clips is needed")
    with understanding(path, "a whole cache of clips", "build it again"):
        with safe_open(path, "np") as file:
            curves, lengths = file.get_tensor("curves"), file.get_tensor("lengths")
            rows = json.loads(file.metadata()["clips"])
        ends = np.cumsum(lengths)
        clips = []
        for (feelings, clauses, split, name), n, end in zip(rows, lengths, ends, strict=True):
            told = [_feeling(*f) for f in feelings], [Clause(*c) for c in clauses]
            clips.append(ExpressionClip(curves[end - n : end], *told, split, name))
        return clips


def _feeling(second: float, text: str, strength: float, beside: Sequence[Sequence[Any]] = ()) -> Feeling:
    return Feeling(second, text, strength, tuple((str(t), float(s)) for t, s in beside))


_PARTING = ("mouthLowerDown", "mouthUpperUp", "mouthStretch", "mouthFunnel", "mouthShrugLower")
_LIPS = [INDEX[n] for s in _PARTING for n in expand(s)]
_JAW = INDEX["jawOpen"]
_PRESS = INDEX["mouthPressLeft"]


def compose(speech: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Speech and expression at once, (T, 55) each: what the face does when both are asked for.

    Eyes, brows, cheeks, nose and head add up. In the mouth the expression takes the room that speech leaves: its jaw
    and lip-parting give way to the mouth's own movement and vanish where p, b, m close the lips or f, v touch; smiles
    and frowns stay.
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
