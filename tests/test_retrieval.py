"""Generation with examples, on a model of random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.api import AvatarGPT
from avatargpt.body.sampling import text_prompts
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.requests.exemplars import Entry, ExemplarBank
from instruct_data.prompts import CodesSegment, Prompt
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer, TokenizerConfig

LEVELS, CODES, WIDTH = 3, 24, 6
CAPTIONS = {"drink": "a person drinks", "wave": "a person waves", "clap": "a person claps"}
LINES = [*CAPTIONS.values(), "a person walks forward then example: generate a motion for this description"]


class Grounder:
    """Sees known words only; states are one row per word."""

    width = 4

    def states(self, texts: Sequence[str], bf16: bool = False) -> list[np.ndarray]:
        return [np.array([[float(w in t) for w in CAPTIONS] + [0.01]], np.float32) for t in texts]

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.concatenate(self.states(texts))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> AvatarGPT:
    torch.manual_seed(0)
    shape = TokenizerConfig(code_dim=WIDTH, codebook_size=CODES, levels=LEVELS, width=16, fine_width=8)
    tokenizer = MotionTokenizer(shape)
    for layer in tokenizer.vq.layers:
        layer._codebook.embed.data.normal_()
        layer._codebook.initted.fill_(True)
    text = TextTokenizer.train(LINES * 5, 300)
    config = AvatarGPTConfig(
        vocab_size=text.size, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, refiner_dim=16, refiner_layers=1,
        refiner_heads=2, grounding_dim=4,
        modalities={"body": {"codebook_size": CODES, "levels": LEVELS, "code_dim": WIDTH}},
    )  # fmt: skip
    model = AvatarGPTModel(config)
    model.set_codebooks("body", tokenizer.codebooks, tokenizer.fingerprint)
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    entries = [
        Entry(name, rng.integers(0, CODES, (8, LEVELS)).astype(np.uint16), (caption,), "ours")
        for name, caption in CAPTIONS.items()
    ]
    vectors = dict(zip(CAPTIONS.values(), Grounder().sentence(list(CAPTIONS.values())), strict=True))
    ExemplarBank(entries, vectors, tokenizer.fingerprint).save(folder)
    made = AvatarGPT(model.eval(), text, {"body": tokenizer.eval()}, source=str(folder))
    made.grounder = Grounder()  # type: ignore[assignment]
    return made


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No library of the user who runs the tests."""
    monkeypatch.setenv("AVATARGPT_HOME", str(tmp_path / "home"))


def codes(prompt: Prompt) -> list[np.ndarray]:
    return [s.codes for s in prompt.segments if isinstance(s, CodesSegment)]


def clip(gpt: AvatarGPT, name: str) -> np.ndarray:
    return next(e.codes for e in gpt.exemplars.entries if e.name == name)


def same(a: Motion, b: Motion) -> bool:
    return len(a) == len(b) and bool(np.abs(a.joints - b.joints).max() < 1e-3)


def test_prompts_show_the_nearest_clips(gpt: AvatarGPT) -> None:
    (drink, nothing), bare = text_prompts(gpt.body.model, [("drink up", 5, 0), ("juggle", -1, 0)], 1)
    (shown,) = codes(drink)
    np.testing.assert_array_equal(shown, clip(gpt, "drink"))
    assert codes(nothing) == [] and bare is not None and [codes(p) for p in bare] == [[], []]
    assert "1.0 seconds" in drink.text and "1.0 seconds" in bare[0].text
    assert text_prompts(gpt.body.model, [("drink up", 5, 0)], 0)[1] is None


def test_clauses_get_their_clips_in_order(gpt: AvatarGPT) -> None:
    (prompt,), _ = text_prompts(gpt.body.model, [("wave, then juggle, then clap", 5, 0)], 1)
    assert len(codes(prompt)) == 1  # of the first two clauses the library knows one
    (prompt,), _ = text_prompts(gpt.body.model, [("wave and then drink", 5, 0)], 2)
    for got, name in zip(codes(prompt), ("wave", "drink"), strict=True):
        np.testing.assert_array_equal(got, clip(gpt, name))


def test_generation_sees_the_examples(gpt: AvatarGPT) -> None:
    plain, shown = (gpt.generate("a person drinks", 2.0, best_of=2, retrieval=n)[0] for n in (0, 1))
    assert len(plain) == len(shown) == 40 and not same(plain, shown)
    assert same(plain, gpt.generate("a person drinks", 2.0, best_of=2)[0])  # off is the default
    far = [gpt.generate("a person juggles", 2.0, best_of=2, retrieval=n)[0] for n in (0, 1)]
    assert same(*far)  # nothing near: as without


def test_same_seed_alone_and_in_a_batch(gpt: AvatarGPT) -> None:
    texts = ["a person drinks", "a person juggles", "wave and then drink"]
    batch = gpt.generate(texts, 1.6, seed=4, best_of=2, retrieval=2)
    for text, got in zip(texts, batch, strict=True):
        assert same(gpt.generate(text, 1.6, seed=4, best_of=2, retrieval=2)[0], got)


def test_refusals(gpt: AvatarGPT, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="accepted 0 to 2"):
        gpt.generate("a person drinks", retrieval=3)
    bare = AvatarGPT(gpt.model, gpt.text, gpt.tokenizers, source=str(tmp_path))
    bare.grounder = None
    with pytest.raises(UserError, match="without a sentence encoder"):
        bare.generate("a person drinks", 1.0, retrieval=1)
    bare.grounder = Grounder()  # type: ignore[assignment]
    with pytest.raises(UserError, match="nothing to retrieve"):
        bare.generate("a person drinks", 1.0, retrieval=1)
