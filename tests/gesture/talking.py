"""A gesture network of the real layout with random weights, quick enough to talk in tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch

from avatargpt.gesture.config import GestureConfig
from avatargpt.gesture.driver import GestureDriver
from avatargpt.gesture.features import WIDTH
from avatargpt.gesture.network import GestureNetwork
from avatargpt.gesture.pipeline import GesturePipeline
from tests.gesture.conftest import Spelling
from vqvae import rotations as rot
from vqvae.features import STANDING, GestureFeatures
from vqvae.motion import Motion
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer


@cache
def driver(words: str = Spelling.name, word_width: int = Spelling.width) -> GestureDriver:
    torch.manual_seed(0)
    spec = GestureFeatures()
    network = GestureNetwork(GestureConfig(
        audio="prosody", words=words, audio_width=WIDTH, word_width=word_width, features=spec.dim, levels=2,
        codebook_size=16, downsample=4, rotations=[[0, 258]], positions=[[258, 264]], speakers=["anna", "bert"],
        tokenizer=tokenizer().fingerprint, width=32, heads=2, hidden=48, layers=1, joint=1, reach=16, look_ahead=1,
    ))  # fmt: skip
    still = Motion(rot.identity((1, 22)), STANDING[None], 30.0, "gesture")
    with torch.no_grad():
        for layer in (*network.logits, network.out):
            layer.weight.normal_(std=0.5)
        network.codes.weight.normal_(std=1.0)
        network.read.weight.normal_(std=0.5)
        network.style.weight.normal_(std=0.5)
        network.mean.copy_(torch.from_numpy(spec.encode(still)[0]))
        network.std.fill_(0.1)
    return GestureDriver(network, tokenizer=tokenizer())


@cache
def tokenizer() -> MotionTokenizer:
    """Random weights about somebody who stands."""
    torch.manual_seed(1)
    made = MotionTokenizer(TokenizerConfig(modality="gesture", levels=2, codebook_size=16, code_dim=8, width=16,
                                           fine_width=8, downsample=4))  # fmt: skip
    for layer in made.vq.layers:
        layer._codebook.embed.data.normal_()
        layer._codebook.initted.fill_(True)
    still = Motion(rot.identity((1, 22)), STANDING[None], 30.0, "gesture")
    made.mean.copy_(torch.from_numpy(GestureFeatures().encode(still)[0]))
    made.std.fill_(0.1)
    return made.eval()


def performer() -> GesturePipeline:
    return GesturePipeline(driver(), Spelling())


def folder(root: Path) -> Path:
    """A model folder with it."""
    driver().save(root / "gesture")
    tokenizer().save(root / "gesture")
    return root


def same(a: Motion, b: Motion) -> bool:
    """To the bit."""
    assert a.fingers is not None and b.fingers is not None
    pairs = ((a.rotations, b.rotations), (a.root, b.root), (a.fingers, b.fingers))
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in pairs)
