"""A small gesture network, and rows and words to feed it with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from avatargpt.gesture.config import GestureConfig
from avatargpt.gesture.driver import GestureDriver
from avatargpt.gesture.network import GestureNetwork

MATERIAL = {
    "audio": "prosody", "words": "sentence", "audio_width": 12, "word_width": 8, "features": 15, "levels": 2,
    "codebook_size": 16, "downsample": 4, "rotations": [[0, 12]], "positions": [[12, 15]],
    "speakers": ["anna", "bert"],
}  # fmt: skip
SHAPE = {**MATERIAL, "width": 32, "heads": 2, "hidden": 48, "layers": 1, "joint": 1, "reach": 16, "look_ahead": 1}


@dataclass(frozen=True)
class Word:
    text: str
    start: float
    end: float


class Spelling:
    """An encoder of words without a network: each word is a fixed random vector."""

    name, width = "spelling", 8

    def __init__(self) -> None:
        self.read: list[list[str]] = []

    def states(self, words: list[str]) -> np.ndarray:
        self.read.append(list(words))
        return np.stack([np.random.default_rng([9, *map(ord, w)]).standard_normal(8) for w in words]).astype(np.float32)


def network(**changed: object) -> GestureNetwork:
    """Random weights, large enough at the heads that every part has a say."""
    torch.manual_seed(0)
    made = GestureNetwork(GestureConfig(**{**SHAPE, **changed}))
    with torch.no_grad():
        for layer in (*made.logits, made.out):
            layer.weight.normal_(std=0.5)
        made.codes.weight.normal_(std=1.0)
    return made.eval()


def rows(frames: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, width]).standard_normal((frames, width)).astype(np.float32)


class Decoder:
    """A tokenizer without networks: each frame is a fixed sum over its token's codes and those of its neighbours."""

    def __init__(self, features: int = 15, downsample: int = 4, levels: int = 2, codebook_size: int = 16) -> None:
        rng, self._n = np.random.default_rng(8), downsample
        self._table = rng.standard_normal((levels, codebook_size, downsample * features)).astype(np.float32)

    def decode_features(self, codes: np.ndarray) -> np.ndarray:
        own = self._table[np.arange(codes.shape[1]), codes].sum(1)
        near = np.pad(own, ((2, 2), (0, 0)))
        both = sum(near[k : k + len(own)] for k in range(5))
        return np.asarray(both, np.float32).reshape(len(own) * self._n, -1)


@pytest.fixture
def driver() -> GestureDriver:
    return GestureDriver(network(), tokenizer=Decoder())
