"""Figures that compare trainings of the driver: instructions told by their true score, silent and over speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.evaluation.face.face_instructions import MOUTH, OWN, followed
from avatargpt.evaluation.report import figure
from avatargpt.face.audio_model.conditioning import Direction, Grounder
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.features import silence
from avatargpt.face.audio_model.network import DriverNetwork
from avatargpt.face.audio_model.visemes import WIDTH
from avatargpt.face.instructions.fitting import fitted
from avatargpt.face.instructions.scores import clauses_of, feelings_of, side_of
from avatargpt.metrics.face_events import check_score
from avatargpt.metrics.lip_sync import MOUTH as MOUTH_CHANNELS
from avatargpt.metrics.lip_sync import SETTLE, Lips
from avatargpt.resources import suites
from avatargpt.speech.audio import FPS
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.batches import Sampling, stand_in
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.expressions import ExpressionClip, compose, median_curves
from avatargpt.train.speech_data.validation import predict
from instruct_data.face.score import Emotion, Score, read_instructions
from vqvae.arkit import COUNT
from vqvae.face import FaceMotion

CPU = torch.device("cpu")
TIMES = 2  # that each voice speaks, with another instruction each time
FEELINGS = ("happy", "sad", "angry")  # of a score without one, over speech


@dataclass
class Material:
    """What every training is asked, the same for all.

    Attributes:
        scores: of held-out instructions.
        voices: held-out clear voices.
    """

    scores: Sequence[Score]
    voices: Sequence[SpeechClip]
    grounder: Grounder
    _directions: dict[tuple[int, bool], Direction] = field(default_factory=dict)

    @classmethod
    def load(cls, texts: Path | None, clips: Sequence[SpeechClip], grounder: Grounder) -> Material:
        """The instructions of the suite `face_instructions`, and val.jsonl of folder `texts`; voices among `clips`."""
        paths = [suites() / OWN, *([texts / "val.jsonl"] if texts else [])]
        voices = [c for c in clips if c.split == "val" and c.kind == "taught" and c.source == "clean"]
        return cls([one.score for path in paths for one in read_instructions(path)], voices, grounder)

    @cached_property
    def curves(self) -> list[np.ndarray]:
        """(T, 55) what is right for each score."""
        return [median_curves(s, i, side_of(s)) for i, s in enumerate(self.scores)]

    @cached_property
    def spoken(self) -> list[tuple[SpeechClip, Score, np.ndarray]]:
        """Voice, what its face is told meanwhile, and the (T, 55) that are right for both at once."""
        acted = [s for s in self.scores if s.events]
        rows = []
        for i, clip in enumerate([*self.voices] * TIMES if acted else []):
            score = acted[(7 * i) % len(acted)]  # neighbours in the file are alike
            if not score.emotions:
                score = replace(score, emotions=(Emotion(FEELINGS[i % 3], 0.6, 0.0, score.length),))
            seconds = max(score.length, len(clip) / FPS)
            score = replace(fitted(score, seconds), length=seconds)  # felt to the end of the sound
            shown = median_curves(score, i, side_of(score))[: len(clip)]
            padded = np.zeros((len(clip), WIDTH), np.float32)
            padded[: len(shown)] = shown
            rows.append((clip, score, compose(clip.curves.astype(np.float32), padded)))
        return rows

    def direction(self, score: Score, word_by_word: bool) -> Direction:
        """A score as a driver is told it in training, with feelings pooled or word by word."""
        key = id(score), word_by_word  # the scores live as long as this
        if key not in self._directions:
            clip = ExpressionClip(np.zeros((round(score.length * FPS), WIDTH)), feelings_of(score), clauses_of(score))
            self._directions[key] = Direction.make(*clip.told(word_by_word), self.grounder)
        return self._directions[key]


def directed(driver: Driver, material: Material, sampling: Sampling) -> dict[str, Any]:
    """Every instruction without speech, and half of them over speech.

    Figures ending in ``own`` are of the stand-in for sound that the driver was trained with, those ending in
    ``silence`` of real silence, as a microphone gives it.
    """
    words = sampling.emotion == "tokens"
    out: dict[str, Any] = {}
    for name, kind in {"own": sampling.silent, "silence": "silence"}.items():
        if name == "silence" and kind == sampling.silent:
            out |= {k.replace("/own", "/silence"): v for k, v in out.items()}
            continue
        made = [_unspoken(driver.network, kind, s.length, material.direction(s, words)) for s in material.scores]
        out |= followed(name, [_motion(m) for m in made], material.scores)
        acted: dict[bool, list[float]] = {True: [], False: []}
        for score, curves, right in zip(material.scores, made, material.curves, strict=True):
            acted[bool(score.events)].append(_rms(curves, right))
        out |= {f"error_events/{name}": figure(acted[True]), f"error_feelings/{name}": figure(acted[False])}
        rest = _unspoken(driver.network, kind, 10.0, None)[round(SETTLE * FPS) :]
        out[f"rest/{name}"] = figure([float(rest[:, MOUTH_CHANNELS].max())])
    return out | _over_speech(driver.network, material, words)


def _over_speech(network: DriverNetwork, material: Material, words: bool) -> dict[str, Any]:
    alone, both = Lips(), Lips()
    kept: list[float] = []
    errors: list[float] = []
    for clip, score, right in material.spoken:
        phones = [Phone(*p) for p in clip.phone_times]
        alone.add(predict(network, clip.features, CPU), phones)
        curves = predict(network, clip.features, CPU, direction=material.direction(score, words))
        both.add(curves, phones)
        errors.append(_rms(curves, right))
        inside = replace(score, events=tuple(e for e in score.events if e.end <= len(clip) / FPS))
        seen = zip(check_score(_motion(curves), inside), inside.events, strict=True) if inside.events else ()
        kept += [float(r.done) for r, e in seen if not any(part in e.action for part in MOUTH)]
    out = {"speech_events": figure(kept), "speech_error": figure(errors)} if errors else {}
    for name, lips in (("alone", alone), ("directed", both)):
        if lips.closure:
            out[f"speech_closure/{name}"] = figure(lips.closure)
            out[f"speech_false_closure/{name}"] = figure(lips.closure_vowel)
    return out


def _unspoken(network: DriverNetwork, kind: str, seconds: float, direction: Direction | None) -> np.ndarray:
    """(T, 55) where nobody speaks, and `kind` of `Silent` is heard."""
    frames = round(seconds * FPS)
    quiet = torch.from_numpy(silence(30)[-1:].astype(np.float32)).expand(frames + network.config.look_ahead, -1)
    heard = stand_in(kind, quiet, np.random.default_rng(0))
    return predict(network, heard.numpy(), CPU, direction=direction)[:frames]


def _motion(curves: np.ndarray) -> FaceMotion:
    return FaceMotion.from_curves(curves, float(FPS))


def _rms(curves: np.ndarray, right: np.ndarray) -> float:
    n = min(len(curves), len(right))
    return float(np.sqrt(((curves[:n, :COUNT] - right[:n, :COUNT]) ** 2).mean()))
