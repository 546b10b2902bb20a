"""A language model small enough to test every path of it in milliseconds."""

from collections.abc import Callable

import pytest
import torch

from avatargpt.lm.generate import EncodedPrompt, Generator
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel

MODALITIES = {
    "body": {"codebook_size": 24, "levels": 3, "code_dim": 6},
    "face": {"codebook_size": 10, "levels": 1, "code_dim": 4},
}


def make_config(**more: object) -> AvatarGPTConfig:
    small = {
        "vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
        "refiner_dim": 16, "refiner_layers": 1, "refiner_heads": 2, "grounding_dim": 12, "modalities": MODALITIES,
    }  # fmt: skip
    return AvatarGPTConfig(**{**small, **more})


def make_model(seed: int = 0, **more: object) -> AvatarGPTModel:
    torch.manual_seed(seed)
    model = AvatarGPTModel(make_config(**more))
    model.set_codebooks("body", torch.randn(3, 24, 6) * 5, "body-print")
    model.set_codebooks("face", torch.randn(1, 10, 4), "face-print")
    return model.eval()


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., AvatarGPTConfig]:
    """Makes configurations; keywords replace fields."""
    return make_config


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., AvatarGPTModel]:
    """Makes models as they are before training: (seed, fields)."""
    return make_model


@pytest.fixture(scope="session")
def model() -> AvatarGPTModel:
    """Do not change it."""
    made = make_model()
    with torch.no_grad():  # decided answers of different lengths: sharper heads, an end that gets its turn
        for head in (made.heads["body"], made.heads["face"], made.lm_head):
            head.weight.mul_(2)
        made.heads["body"].bias[-1] = 2.5
        made.heads["face"].bias[-1] = 1.5
    return made


@pytest.fixture(scope="session")
def ids() -> torch.Tensor:
    """Five prompts of text and body codes, of different lengths (padding 0)."""
    generator = torch.Generator().manual_seed(1)
    made = torch.randint(2, 60, (5, 17), generator=generator)
    made[1:3, 4:9] = torch.randint(60, 84, (2, 5), generator=generator)
    made[0, 9:] = 0
    made[3, 2:] = 0
    return made


@pytest.fixture(scope="session")
def generator(model: AvatarGPTModel) -> Generator:
    return Generator(model)


@pytest.fixture(scope="session")
def prompt(generator: Generator, ids: torch.Tensor) -> EncodedPrompt:
    return generator.encode(ids)
