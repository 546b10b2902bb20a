"""The loop's own encoder pass, both ways of cross-attention and the matrix maps, against the plain formulas."""

from collections.abc import Callable

import pytest
import torch

from avatargpt.lm import encoder
from avatargpt.lm.encoder import Encoder, make_added_map, make_map
from avatargpt.lm.engine import SHARED_ROWS, CrossHeads, CrossStates, CrossWeights
from avatargpt.lm.generate import Generator
from avatargpt.lm.model import AvatarGPTModel


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 40, 10_000])
@pytest.mark.parametrize("projection", ["gated-relu", "relu", "gated-gelu"])
def test_states_equal_the_models_own(tiny_model: Callable[..., AvatarGPTModel], ids: torch.Tensor,
                                     monkeypatch: pytest.MonkeyPatch, projection: str, rows: int) -> None:  # fmt: skip
    monkeypatch.setattr(encoder, "ROWS", rows)
    model = tiny_model(feed_forward_proj=projection)
    mask = ids.ne(0)
    mask[4, 6:8] = False  # a gap is no end
    extra = [(torch.randn(5, 4, 12), torch.arange(4)[None] < torch.tensor([4, 2, 3, 0, 1])[:, None], "grounding")]
    for more in (None, extra):
        wanted, full = model.encode(ids, mask, None, more)
        states = Encoder(model)(*model.inputs(ids, mask, None, more))
        torch.testing.assert_close(states[full.bool()], wanted[full.bool()], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_inputs_are_left_as_they_are(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    vectors, mask = model.inputs(ids)
    before = vectors.clone()
    Encoder(model)(vectors, mask)
    assert torch.equal(vectors, before)


def test_both_cross_attentions_are_attention() -> None:
    torch.manual_seed(0)
    layers, prompts, heads, width, length, d = 2, 3, 2, 4, 5, 6
    pairs = [(torch.randn(heads * width, d), torch.randn(heads * width, d)) for _ in range(layers)]
    states, mask = torch.randn(prompts, length, d), torch.tensor([[1] * 5, [1, 1, 0, 0, 0], [1, 0, 1, 1, 0]])
    weights = CrossWeights(pairs, heads, torch.float32)
    for seen in (mask, torch.ones_like(mask)):
        for repeat in (1, 2):
            q = torch.randn(prompts * repeat, heads * width)
            made = [CrossHeads(weights, lambda s: s.softmax(-1), states, seen, repeat)]
            if repeat == 1:
                made.append(CrossStates(weights, lambda s: s.softmax(-1), states, seen))
            for layer, (k, v) in enumerate(pairs):
                rows = states.repeat_interleave(repeat, 0)
                keys, values = ((rows @ w.T).view(len(q), length, heads, width) for w in (k, v))
                scores = torch.einsum("nhw,nshw->nhs", q.view(-1, heads, width), keys)
                open_ = seen.repeat_interleave(repeat, 0)[:, None] != 0
                p = scores.masked_fill(~open_, float("-inf")).softmax(-1)
                wanted = torch.einsum("nhs,nshw->nhw", p, values).flatten(1)
                for one in made:
                    torch.testing.assert_close(one(layer, q), wanted, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_many_rows_answer_as_few_do(
    model: AvatarGPTModel, generator: Generator, ids: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = generator.encode(ids.repeat(4, 1))
    assert len(prompt) >= SHARED_ROWS
    many = generator.decode(prompt, "body", length=[12] * 20, temperature=0.9, top_k=8, seed=list(range(20)))
    monkeypatch.setattr("avatargpt.lm.engine.SHARED_ROWS", 10_000)
    few = generator.decode(prompt, "body", length=[12] * 20, temperature=0.9, top_k=8, seed=list(range(20)))
    assert torch.equal(many.ids, few.ids)


@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize("rows", [1, 7])
def test_maps_multiply(monkeypatch: pytest.MonkeyPatch, capability: str, rows: int) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    torch.manual_seed(0)
    for out, inner in ((1024, 16), (16, 24), (24, 16)):
        weight, x, y = torch.randn(out, inner), torch.randn(rows, inner), torch.randn(rows, out)
        wanted = x @ weight.T
        torch.testing.assert_close(make_map(weight, rows > 1, torch.float32)(x), wanted, atol=1e-4, rtol=1e-4)
        added = make_added_map(weight, rows > 1, torch.float32)(y.clone(), x)
        torch.testing.assert_close(added, y + wanted, atol=1e-4, rtol=1e-4)
