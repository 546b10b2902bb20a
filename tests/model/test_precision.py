"""bfloat16 where it pays, and nothing broken where it does not."""

import pytest
import torch

from avatargpt.lm import devices, encoder
from avatargpt.lm.loaded import LoadedModel
from avatargpt.train.runtime import Runtime


@pytest.mark.parametrize("packs", [True, False])
def test_maps_without_packed_bfloat16(monkeypatch: pytest.MonkeyPatch, packs: bool) -> None:
    if packs and not devices.packs_bfloat16():
        pytest.skip("this processor takes no weights packed for bfloat16")
    monkeypatch.setattr(encoder, "packs_bfloat16", lambda: packs)
    torch.manual_seed(0)
    weight, x = torch.randn(24, 16), torch.randn(8, 16)
    made = encoder.make_map(weight, True, torch.bfloat16)(x)
    assert torch.allclose(made.float(), x @ weight.T, atol=0.15)


@pytest.mark.parametrize("fast", [True, False])
def test_training_follows_the_processor(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr("avatargpt.train.runtime.fast_bfloat16", lambda device: fast)
    runtime = Runtime.start(device="cpu")
    assert runtime.bf16 is fast
    with runtime.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if fast else torch.float32)


@pytest.mark.parametrize("fast", [True, False])
def test_slow_bfloat16_is_said(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder, fast: bool) -> None:
    monkeypatch.setattr("avatargpt.lm.loaded.fast_bfloat16", lambda device: fast)
    LoadedModel.from_pretrained(dtype="bfloat16", device="cpu")
    assert any("slower than float32" in str(w.message) for w in recwarn) is not fast
