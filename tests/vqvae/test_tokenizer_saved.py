"""A tokenizer as shipped: without the sums that only training needs, and ready for more training."""

from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from vqvae.tokenizer import WEIGHTS, MotionTokenizer, TokenizerConfig


def test_packed_tokenizer_has_the_same_codes_and_trains_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(code_dim=8, codebook_size=16, levels=2, width=16, fine_width=8)
    tokenizer = MotionTokenizer(config).train()
    features = torch.randn(8, 32, tokenizer.spec.dim)
    for _ in range(3):
        tokenizer(features)
    tokenizer.eval().save(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / WEIGHTS, "pt") as saved:
        assert not [k for k in saved.keys() if k.endswith("embed_avg")]  # noqa: SIM118
    again = MotionTokenizer.load(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    before, after = tokenizer.state_dict(), again.state_dict()
    for key in [k for k in before if k.endswith("embed_avg")]:
        np.testing.assert_allclose(after[key], before[key], rtol=0.05, atol=0.05)
    again.train()(features)
    moved = (again.codebooks - tokenizer.codebooks).abs().max()
    assert 0 < float(moved) < float(tokenizer.codebooks.abs().max())
