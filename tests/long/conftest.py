"""A model of random weights, small enough to act out minutes in seconds, and planners whose answers are known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.api import AvatarGPT
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.planning.types import Activity
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

sys.path.insert(0, str(Path(__file__).parent))

from loop_planner import ListPlanner

LEVELS, CODES, WIDTH = 3, 24, 6


def make_tokenizer() -> MotionTokenizer:
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(
        TokenizerConfig(code_dim=WIDTH, codebook_size=CODES, levels=LEVELS, width=16, fine_width=8)
    )
    for layer in tokenizer.vq.layers:
        layer._codebook.embed.data.normal_()
        layer._codebook.initted.fill_(True)
    tokenizer.std.fill_(0.05)
    tokenizer.mean[0] = 0.9  # the root's usual height
    return tokenizer.eval()


@pytest.fixture(scope="session")
def tokenizer() -> MotionTokenizer:
    return make_tokenizer()


@pytest.fixture(scope="session")
def gpt(tokenizer: MotionTokenizer) -> AvatarGPT:
    text = TextTokenizer.train(["a person walks forward", "someone waves", "a man turns left and sits down"] * 5, 300)
    config = AvatarGPTConfig(
        vocab_size=text.size, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, refiner_dim=16, refiner_layers=1,
        refiner_heads=2, modalities={"body": {"codebook_size": CODES, "levels": LEVELS, "code_dim": WIDTH}},
    )  # fmt: skip
    torch.manual_seed(1)
    model = AvatarGPTModel(config)
    model.set_codebooks("body", tokenizer.codebooks, tokenizer.fingerprint)
    return AvatarGPT(LoadedModel(model.eval(), text, {"body": tokenizer}))


@pytest.fixture
def planner() -> ListPlanner:
    return ListPlanner([
        Activity("sweep the floor", ("he sweeps", "he wipes his brow")),
        Activity("water flowers", ("he lifts a can", "he walks along", "he pours")),
        Activity("rest on a bench", ("he sits down",)),
    ])  # fmt: skip


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, CODES, (150, LEVELS))
