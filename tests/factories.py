"""Small models of random weights, and stand-ins that several tests share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from avatargpt.llm.model import Completion
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from vqvae.tokenizer import MotionTokenizer, TokenizerConfig

LEVELS, CODES, WIDTH = 3, 24, 6


def body_tokenizer(seed: int = 0, std: float = 0.3) -> MotionTokenizer:
    """A tokenizer of bodies with random codebooks; `std`: of its features."""
    torch.manual_seed(seed)
    config = TokenizerConfig(code_dim=WIDTH, codebook_size=CODES, levels=LEVELS, width=16, fine_width=8)
    tokenizer = MotionTokenizer(config)
    for layer in tokenizer.vq.layers:
        layer._codebook.embed.data.normal_()
        layer._codebook.initted.fill_(True)
    tokenizer.std.fill_(std)
    return tokenizer.eval()


def body_model(text: TextTokenizer, tokenizer: MotionTokenizer) -> AvatarGPTModel:
    """A language model of one layer for texts and the tokenizer's motions."""
    config = AvatarGPTConfig(
        vocab_size=text.size, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, refiner_dim=16, refiner_layers=1,
        refiner_heads=2, modalities={"body": {"codebook_size": CODES, "levels": LEVELS, "code_dim": WIDTH}},
    )  # fmt: skip
    torch.manual_seed(1)
    model = AvatarGPTModel(config)
    model.set_codebooks("body", tokenizer.codebooks, tokenizer.fingerprint)
    return model.eval()


class RecordedModel:
    """A back end of language models: answers in turn, the last one for good; an exception is raised."""

    name, fingerprint = "recorded", "recorded"

    def __init__(self, *answers: Any, local: bool = False) -> None:
        self.answers, self.local, self.loaded = list(answers), local, 0
        self.questions: list[Any] = []

    def ready(self) -> None:
        self.loaded += 1

    def complete(self, messages: Any, schema: Any, temperature: float, seed: int, tokens: int, stop: Any) -> Completion:
        self.questions.append(messages)
        answer = self.answers[min(len(self.questions), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return Completion(answer if isinstance(answer, str) else json.dumps(answer))


class CountingGrounder:
    """Sentence vectors that count known words, with a constant: near texts share words."""

    def __init__(self, words: str, constant: float) -> None:
        self.words, self.constant = words.split(), constant

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[*(float(w in t) for w in self.words), self.constant] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)
