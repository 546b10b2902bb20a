"""Our forward passes equal those of the libraries that trained the models."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from avatargpt.lm import encoder
from avatargpt.lm.checkpoint import load_network, save_model, save_small
from avatargpt.lm.encoder import T5Encoder, make_added_map, make_map
from avatargpt.lm.engine import FEW_PROMPTS, CrossFolded, CrossHeads, CrossWeights
from avatargpt.lm.generate import Generator
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.text_encoder import SentenceEncoder
from avatargpt.resources import sentence_model_file
from vqvae.errors import UserError
from vqvae.networks import FrozenVQ, TokenizerConfig, residual_vq


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
        states = T5Encoder(model)(*model.inputs(ids, mask, None, more))
        torch.testing.assert_close(states[full.bool()], wanted[full.bool()], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_inputs_are_left_as_they_are(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    vectors, mask = model.inputs(ids)
    before = vectors.clone()
    T5Encoder(model)(vectors, mask)
    assert torch.equal(vectors, before)


def test_both_cross_attentions_are_attention() -> None:
    torch.manual_seed(0)
    layers, heads, width, length, d = 2, 2, 4, 5, 6
    inner = heads * width
    shapes = ((inner, d), (inner, d), (inner, d), (d, inner))  # of queries, keys, values, outputs
    weights = [tuple(torch.randn(s) for s in shapes) for _ in range(layers)]
    every = torch.tensor([[1] * 5, [1, 1, 0, 0, 0], [1, 0, 1, 1, 0]])
    for prompts, repeat, seen in ((3, 1, every), (3, 2, torch.ones_like(every)), (1, 3, every[2:])):
        states = torch.randn(prompts, length, d)
        x, y = torch.randn(2, prompts * repeat, d).unbind(0)
        maps = [
            SimpleNamespace(query=make_map(q, True, torch.float32), cross_out=make_added_map(o, True, torch.float32))
            for q, _, _, o in weights
        ]
        cross, softmax = CrossWeights(weights, heads, torch.float32), partial(torch.softmax, dim=-1)
        both = CrossHeads(cross, softmax, states, seen, repeat, maps), CrossFolded(cross, softmax, states, seen, repeat)
        for layer, (q, k, v, o) in enumerate(weights):
            rows = states.repeat_interleave(repeat, 0)
            keys, values = ((rows @ w.T).view(len(y), length, heads, width) for w in (k, v))
            scores = torch.einsum("nhw,nshw->nhs", (y @ q.T).view(-1, heads, width), keys)
            blocked = seen.repeat_interleave(repeat, 0)[:, None] == 0
            p = scores.masked_fill(blocked, float("-inf")).softmax(-1)
            expected = x + torch.einsum("nhs,nshw->nhw", p, values).flatten(1) @ o.T
            for attention in both:
                total = x.clone()
                attention(layer, total, y)
                torch.testing.assert_close(total, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_many_prompts_answer_as_few_do(
    generator: Generator, ids: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = generator.encode(ids)
    assert len(prompt) > FEW_PROMPTS
    many = generator.decode(prompt, "body", length=[12] * 5, temperature=0.9, top_k=8, seed=list(range(5)))
    monkeypatch.setattr("avatargpt.lm.engine.FEW_PROMPTS", 10_000)
    few = generator.decode(prompt, "body", length=[12] * 5, temperature=0.9, top_k=8, seed=list(range(5)))
    assert torch.equal(many.ids, few.ids)


def test_maps_multiply() -> None:
    torch.manual_seed(0)
    for out, inner in ((1024, 16), (16, 24), (24, 16)):
        weight, x, y = torch.randn(out, inner), torch.randn(7, inner), torch.randn(7, out)
        expected = x @ weight.T
        torch.testing.assert_close(make_map(weight, True, torch.float32)(x), expected, atol=1e-4, rtol=1e-4)
        added = make_added_map(weight, True, torch.float32)(y.clone(), x)
        torch.testing.assert_close(added, y + expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("projection", ["gated-relu", "relu", "gated-gelu"])
def test_states_and_likelihoods_are_the_trained_models(
    tiny_model: Callable[..., AvatarGPTModel], ids: torch.Tensor, tmp_path: Path, projection: str
) -> None:
    model = tiny_model(feed_forward_proj=projection)
    save_model(model, tmp_path)
    network = load_network(tmp_path)
    mask = ids.ne(0)
    (ours, seen), (theirs, _) = network.encode(ids, mask), model.encode(ids, mask)
    assert torch.equal(ours[seen.bool()], theirs[seen.bool()])
    labels = torch.randint(60, 84, (5, 7), generator=torch.Generator().manual_seed(0))
    labels[1, 4:] = -100
    expected = model(encoder_outputs=(theirs,), attention_mask=seen, labels=labels, head="body")
    assert torch.equal(network.likelihood(theirs, seen, labels, "body"), expected.token_loss)


def test_a_folder_of_either_kind_is_read(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path, "30KB")
    state = model.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in load_network(tmp_path).state_dict().items())
    save_small(model, tmp_path)
    small = load_network(tmp_path)
    assert small.config.fingerprints == model.config.fingerprints and not small.training
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"num_layers": 2', '"num_layers": 3'))
    with pytest.raises(UserError, match="weights do not fit config.json"):
        load_network(tmp_path)


@torch.inference_mode()
def test_the_sentence_encoder_is_bert() -> None:
    from transformers import BertModel

    bert = BertModel.from_pretrained(sentence_model_file("model.safetensors").parent, add_pooling_layer=False).eval()
    ids = torch.randint(1000, 20000, (3, 9), generator=torch.Generator().manual_seed(0))
    for rows in (ids, ids[:1]):
        mask = torch.ones_like(rows)
        mask[1:, 6:] = 0
        wanted = bert(input_ids=rows, attention_mask=mask, output_hidden_states=True).hidden_states
        for ours, theirs in zip(SentenceEncoder(6)(rows, mask), wanted, strict=True):
            assert torch.equal(ours, theirs)


@torch.inference_mode()
def test_frozen_codebooks_quantise_as_the_library_does() -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(code_dim=8, levels=3, codebook_size=16, ema_decay=0.9)
    trained, frozen = residual_vq(config), FrozenVQ(config)
    trained.quantize_dropout = False  # every level gets its k-means start
    trained(torch.randn(4, 50, 8))
    frozen.load_state_dict(trained.state_dict())
    trained.eval(), frozen.eval()
    x = torch.randn(2, 33, 8)
    for ours, theirs in zip(frozen(x)[:2], trained(x)[:2], strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(RuntimeError, match="trainable=True"):
        frozen.train()(x)


def test_loading_a_model_imports_none_of_the_libraries() -> None:
    code = (
        "import sys, avatargpt; avatargpt.AvatarGPT.from_pretrained().grounder.load(); "
        "print({'transformers', 'peft', 'scipy', 'vector_quantize_pytorch', 'torch._dynamo'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_another_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dtype int4: accepted float32, bfloat16"):
        LoadedModel.from_pretrained(tmp_path, dtype="int4")
