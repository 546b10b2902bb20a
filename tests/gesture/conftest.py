"""Small gesture networks with random weights, a tokenizer and an encoder of words without networks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.gesture.features import WIDTH
from avatargpt.gesture.network import GestureConfig, GestureDriver, GestureNetwork
from avatargpt.gesture.pipeline import GesturePipeline
from tests.factories import random_tokenizer
from vqvae import rotations as rot
from vqvae.features import STANDING, GestureFeatures
from vqvae.motion import Motion, concatenate
from vqvae.tokenizer import MotionTokenizer

MATERIAL = {
    "audio": "prosody", "words": "sentence", "audio_width": 12, "word_width": 8, "features": 15, "levels": 2,
    "codebook_size": 16, "downsample": 4, "rotations": [[0, 12]], "positions": [[12, 15]],
    "speakers": ["anna", "bert"], "classes": ["size", "negation"],
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
        self.calls: list[list[str]] = []

    def states(self, words: list[str]) -> np.ndarray:
        self.calls.append(list(words))
        return np.stack([np.random.default_rng([9, *map(ord, w)]).standard_normal(8) for w in words]).astype(np.float32)


def network(**changes: object) -> GestureNetwork:
    """Random weights, large enough at the heads that every input has an effect."""
    torch.manual_seed(0)
    net = GestureNetwork(GestureConfig(**{**SHAPE, **changes}))
    with torch.no_grad():
        for layer in (*net.logits, net.out):
            layer.weight.normal_(std=0.5)
        net.codes.weight.normal_(std=1.0)
    return net.eval()


def rows(frames: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, width]).standard_normal((frames, width)).astype(np.float32)


class Decoder:
    """A tokenizer without networks: each frame is a fixed sum over its token's codes and those of its neighbours."""

    def __init__(self, features: int = 15, downsample: int = 4, levels: int = 2, codebook_size: int = 16) -> None:
        rng, self._n = np.random.default_rng(8), downsample
        self._table = rng.standard_normal((levels, codebook_size, downsample * features)).astype(np.float32)

    def encode_features(self, features: np.ndarray) -> np.ndarray:
        return np.zeros((-(-len(features) // self._n), len(self._table)), np.int64)

    def decode_features(self, codes: np.ndarray) -> np.ndarray:
        if codes.ndim == 3:
            return np.stack([self.decode_features(c) for c in codes])
        frames = self._table[np.arange(codes.shape[1]), codes].sum(1)
        padded = np.pad(frames, ((2, 2), (0, 0)))
        total = sum(padded[k : k + len(frames)] for k in range(5))
        return np.asarray(total, np.float32).reshape(len(frames) * self._n, -1)


@pytest.fixture
def driver() -> GestureDriver:
    return GestureDriver(network(), tokenizer=Decoder())


def standing_features() -> np.ndarray:
    return GestureFeatures().encode(Motion(rot.identity((1, 22)), STANDING[None], 30.0, "gesture"))[0]


@cache
def body_tokenizer() -> MotionTokenizer:
    """Random weights around a standing body."""
    tokenizer = random_tokenizer("gesture", 1, 0.1, levels=2, codebook_size=16, code_dim=8, downsample=4)
    tokenizer.mean.copy_(torch.from_numpy(standing_features()))
    return tokenizer


@cache
def body_driver(
    words: str = Spelling.name, word_width: int = Spelling.width, audio: str = "prosody", audio_width: int = WIDTH
) -> GestureDriver:
    """A network of the real layout, quick enough for tests."""
    net = network(
        words=words, audio=audio, audio_width=audio_width, word_width=word_width, features=GestureFeatures.dim,
        rotations=[[0, 258]], positions=[[258, 264]], tokenizer=body_tokenizer().fingerprint,
    )  # fmt: skip
    with torch.no_grad():
        net.read.weight.normal_(std=0.5)
        net.style.weight.normal_(std=0.5)
        net.mean.copy_(torch.from_numpy(standing_features()))
        net.rest.copy_(torch.from_numpy(standing_features()))
        net.std.fill_(0.1)
    return GestureDriver(net, tokenizer=body_tokenizer())


def pipeline() -> GesturePipeline:
    return GesturePipeline(body_driver(), Spelling())


def model_folder(root: Path) -> Path:
    body_driver().save(root / "gesture")
    body_tokenizer().save(root / "gesture")
    return root


def joined(pieces: Iterable[Motion | None]) -> Motion:
    return concatenate([p for p in pieces if p is not None])


def same(a: Motion, b: Motion) -> bool:
    """To the bit."""
    assert a.fingers is not None and b.fingers is not None
    pairs = ((a.rotations, b.rotations), (a.root, b.root), (a.fingers, b.fingers))
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in pairs)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model of transformers, random, 16 wide."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(["we went there"] * 9, trainers.BpeTrainer(initial_alphabet=alphabet, vocab_size=270))
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=pieces.get_vocab_size(), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    PreTrainedTokenizerFast(tokenizer_object=pieces).save_pretrained(folder)
    LlamaModel(shape).save_pretrained(folder)
    return folder
