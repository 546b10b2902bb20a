"""A tokenizer as shipped: without the sums that only training needs, and ready for more training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vqvae.networks import TokenizerConfig, begin_direct
from vqvae.tokenizer import WEIGHTS, MotionTokenizer

SMALL = {"code_dim": 8, "codebook_size": 16, "levels": 2, "width": 16, "fine_width": 8}
FACE = {**SMALL, "modality": "face", "downsample": 3, "direct": True}


def test_packed_tokenizer_has_the_same_codes_and_trains_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig(**SMALL)).train()
    features = torch.randn(8, 32, tokenizer.spec.dim)
    for _ in range(3):
        tokenizer(features)
    tokenizer.eval().save(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / WEIGHTS, "pt") as saved:
        assert not [k for k in saved.keys() if k.endswith("embed_avg")]  # noqa: SIM118
    again = MotionTokenizer.load(tmp_path, trainable=True)
    assert again.fingerprint == tokenizer.fingerprint
    before, after = tokenizer.state_dict(), again.state_dict()
    for key in [k for k in before if k.endswith("embed_avg")]:
        np.testing.assert_allclose(after[key], before[key], rtol=0.05, atol=0.05)
    again.train()(features)
    moved = (again.codebooks - tokenizer.codebooks).abs().max()
    assert 0 < float(moved) < float(tokenizer.codebooks.abs().max())


def test_settled_code_vectors_need_half_the_room(tmp_path: Path) -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(**SMALL)).train()
    tokenizer.vq.quantize_dropout = False
    tokenizer(torch.randn(8, 32, tokenizer.spec.dim))
    before = tokenizer.codebooks
    tokenizer.eval().round_codebooks()
    assert 0 < float((tokenizer.codebooks - before).abs().max()) < 0.01 * float(before.abs().max())
    tokenizer.save(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / WEIGHTS, "pt") as saved:
        books = [saved.get_tensor(k) for k in saved.keys() if k.endswith("_codebook.embed")]  # noqa: SIM118
    assert len(books) == 2 and all(b.dtype == torch.bfloat16 for b in books)
    assert MotionTokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint


def test_a_direct_path_begins_as_principal_components() -> None:
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig(**{**FACE, "code_dim": 20})).eval()
    hidden = torch.randn(400, 3, 20) @ torch.randn(20, 165 // 3)  # of rank 60, three frames a token
    begin_direct(tokenizer.encoder, tokenizer.decoder, hidden)
    flat = hidden.reshape(400, -1)
    _, sizes, axes = torch.linalg.svd(flat, full_matrices=False)
    best = flat @ axes[:20].T @ axes[:20]
    latents = tokenizer.encoder(hidden.reshape(1, 1200, 55).transpose(1, 2))
    rebuilt = tokenizer.decoder(latents).transpose(1, 2).reshape(400, -1)
    torch.testing.assert_close(rebuilt, best, rtol=1e-3, atol=1e-3)
    assert float(sizes[20]) > 0.1  # something was left out, so the comparison says something
    plain = MotionTokenizer(TokenizerConfig(**SMALL))
    with pytest.raises(ValueError, match="without a direct path"):
        begin_direct(plain.encoder, plain.decoder, torch.randn(10, 4, plain.spec.dim))


def test_a_direct_path_is_saved(tmp_path: Path) -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(**FACE)).eval()
    features = np.random.default_rng(0).normal(size=(30, 55)).astype(np.float32)
    tokenizer.vq.quantize_dropout = False
    tokenizer.train()(torch.randn(16, 60, 55))
    tokenizer.eval().save(tmp_path)
    again = MotionTokenizer.load(tmp_path)
    codes = tokenizer.encode_features(features)
    assert np.array_equal(again.encode_features(features), codes)
    assert np.array_equal(again.decode_features(codes), tokenizer.decode_features(codes))


def test_several_of_one_length_decode_together() -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(**SMALL)).eval()
    codes = np.random.default_rng(0).integers(tokenizer.config.codebook_size, size=(3, 21, tokenizer.config.levels))
    together = tokenizer.decode_features(codes, chunk=8)
    assert together.shape == (3, 21 * tokenizer.downsample, tokenizer.spec.dim)
    for one, alone in zip(together, codes, strict=True):
        np.testing.assert_allclose(one, tokenizer.decode_features(alone), atol=1e-4)
