"""Networks for use against the libraries that they are trained with: the same results to the bit."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avatargpt.lm.checkpoint import load_network, save_model, save_small
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.text_encoder import SentenceEncoder
from avatargpt.resources import sentence_model_folder
from vqvae.errors import UserError
from vqvae.networks import FrozenVQ, TokenizerConfig, residual_vq


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

    bert = BertModel.from_pretrained(sentence_model_folder(), add_pooling_layer=False).eval()
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
