"""Small drivers and made-up speech for the tests."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.visemes import STYLE, viseme_curves
from avatargpt.speech.audio import RATE, frames_in
from avatargpt.speech.features import extract
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.corpus import SpeechClip

PHONES = [
    Phone("M", 0.30, 0.40), Phone("AA", 0.40, 0.60), Phone("P", 0.60, 0.70), Phone("IY", 0.70, 0.86),
    Phone("F", 0.86, 0.96), Phone("UW", 0.96, 1.20), Phone("S", 1.20, 1.32), Phone("AE", 1.32, 1.52),
]  # fmt: skip


def together(motion: object) -> np.ndarray:
    """(T, 55) weights and head."""
    return np.concatenate([motion.weights, motion.head], 1)  # type: ignore[attr-defined]


def voice(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A buzz with syllables and a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12)) * (1 + np.sin(2 * np.pi * 4 * t)) * 0.05
    return np.asarray(wave + 0.002 * rng.standard_normal(len(t)), np.float32)


@cache
def clip(split: str = "train", kind: str = "taught", seed: int = 0) -> SpeechClip:
    sound = voice(2.0, seed=seed)
    taught = viseme_curves(PHONES, frames_in(len(sound), RATE))
    times = [[p.name, p.start, p.end] for p in PHONES]
    return SpeechClip(
        extract(sound, RATE), taught.curves, taught.phones, np.zeros(len(STYLE), np.float32), kind, split,
        f"{'pairs' if kind == 'paired' else 'made'}/{seed}", times,
    )  # fmt: skip


class Words:
    """A grounder without a network: each word is a fixed random vector."""

    def states(self, texts: list[str]) -> list[np.ndarray]:
        return [np.stack([self._vector(w) for w in t.split()]) for t in texts]

    def sentence(self, texts: list[str]) -> np.ndarray:
        pooled = np.stack([s.mean(0) for s in self.states(texts)])
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def _vector(self, word: str) -> np.ndarray:
        return np.random.default_rng([ord(c) for c in word]).standard_normal(384).astype(np.float32)


@pytest.fixture
def driver() -> Driver:
    """Random weights with open gates, so that every part has a say."""
    torch.manual_seed(0)
    shape = DriverConfig(width=24, hidden=32, dilations=[1, 2, 4], text_width=16, inject=2, gates="open")
    network = DriverNetwork(shape)
    with torch.no_grad():
        for head in (network.curves, network.paired):
            head.weight.normal_(std=0.3)
            head.bias.fill_(0.3)
    return Driver(network)
