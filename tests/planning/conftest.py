"""A language model of planning small enough for a test, and a book of phrasings that counts words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.requests.phrase_index import PhraseIndex

LINES = [
    "a tired nurse finishes the night shift", "she washes her hands; she sits down and writes; she stands up",
    "he kneels in the garden; he digs with both hands; he wipes his brow", "the cook stirs a pot and tastes the soup",
    "a boy plays in the snow; he throws a ball with the right hand", "a person walks forward and waves",
] * 6  # fmt: skip
WORDS = ["walk", "wave", "bow", "sit", "kneel", "hand", "left", "right", "raise", "arm"]


class CountingGrounder:
    """Sentence vectors that count known words: near texts share words."""

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[*(float(w in t) for w in WORDS), 0.3] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def loaded() -> LoadedModel:
    """As it is before training: it never ends an answer by itself in time. Do not change it."""
    text = TextTokenizer.train(LINES, 400)
    torch.manual_seed(0)
    config = AvatarGPTConfig(
        vocab_size=text.size + 7, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, countdown_buckets=0
    )
    return LoadedModel(AvatarGPTModel(config).eval(), text, {}, source="tiny")


@pytest.fixture(scope="session")
def grounder() -> CountingGrounder:
    return CountingGrounder()


@pytest.fixture(scope="session")
def book(grounder: CountingGrounder) -> PhraseIndex:
    keys = ["a person walks", "raise the left arm", "a person raises their left arm", "a person bows", "sit down"]
    said = ["a person walks", "a person raises their left arm", "a person raises their left arm", "a person bows",
            "someone sits down"]  # fmt: skip
    classes = ["walk", "raise", "raise", "bow", "sit"]
    sides = ["", "left", "left", "", ""]
    return PhraseIndex(keys, [{"": s} for s in said], classes, sides, {}, {}, grounder.sentence(keys))
