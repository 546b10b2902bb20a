"""Beginning from a T5 checkpoint, in full and with low-rank adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.lm.checkpoint import add_adapter, load_model, load_network
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.command import main
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Flan-T5 (gated GELU, own head) with a sentencepiece model."""
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    words = ["a person walks", "someone bows deeply", "wave the right hand", "squat down and rise"] * 5
    text = TextTokenizer.train(words, 320, folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=text.size + 5, d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def configure(mini: Any, name: str, steps: int, **more: Any) -> Path:
    """The debug configuration without what the checkpoint brings."""

    def change(data: dict) -> None:
        ours = ("modalities", "refiner_dim", "refiner_layers", "refiner_heads")
        data["model"] = {k: v for k, v in data["model"].items() if k in ours}
        data["train"].update(steps=steps, val_every=100, save_every=100, log_every=1)
        data.update(more)

    return mini.config("language", change, name)


def test_lora_leaves_t5_alone_and_merges(mini: Any, t5: Path, tmp_path: Path) -> None:
    lora = {"r": 2, "alpha": 4, "targets": ["q", "v", "wi_0"]}
    config = configure(mini, "lora", 4, lora=lora)
    mini.run(*mini.language(config, tmp_path / "parts", "--start", t5, "--until", 2))
    mini.run(*mini.language(config, tmp_path / "parts", "--start", t5))
    mini.run(*mini.language(config, tmp_path / "whole", "--start", t5))
    raw = mini.weights(tmp_path / "whole")
    mini.assert_same(raw, mini.weights(tmp_path / "parts"))

    from safetensors.torch import load_file

    source = load_file(t5 / "model.safetensors")
    place = "encoder.block.0.layer.0.SelfAttention"
    assert torch.equal(raw[f"{place}.q.base_layer.weight"], source[f"{place}.q.weight"])
    assert torch.equal(raw[f"{place}.k.weight"], source[f"{place}.k.weight"])
    assert torch.equal(raw["shared.weight"], source["shared.weight"])
    assert not torch.equal(raw["lm_head.weight"], source["shared.weight"])  # where the text head came from
    assert not [k for k in raw if "lora_" in k and not k.startswith(("encoder.", "decoder."))]

    merged = load_model(tmp_path / "whole").state_dict()
    update = raw[f"{place}.q.lora_B.default.weight"] @ raw[f"{place}.q.lora_A.default.weight"] * 4 / 2
    assert update.abs().max() > 0
    torch.testing.assert_close(merged[f"{place}.q.weight"], source[f"{place}.q.weight"] + update)
    torch.testing.assert_close(merged["heads.body.weight"], raw["heads.body.weight"])

    # the adapter alone, added to the model that it was learnt on, gives the merged one
    network = load_network(tmp_path / "whole")
    with torch.no_grad():
        network.get_parameter(f"{place}.q.weight").copy_(source[f"{place}.q.weight"])
        network.get_parameter(f"{place}.v.weight").copy_(source[f"{place}.v.weight"])
        network.get_parameter("heads.body.weight").zero_()
    others = load_network(tmp_path / "whole").state_dict()
    updated = {k for k in raw if "lora_A" in k and not k.startswith(place)}
    with torch.no_grad():
        for key in updated:
            name = f"{key.partition('.lora_A')[0]}.weight"
            network.get_parameter(name).copy_(source[name])
    add_adapter(network, tmp_path / "whole" / "adapter")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, others[name])
    with pytest.raises(UserError, match="no adapter_config.json there"):
        add_adapter(network, tmp_path)


def test_full_fine_tuning(mini: Any, t5: Path, tmp_path: Path) -> None:
    config = configure(mini, "full", 2)
    mini.run(*mini.language(config, tmp_path / "lm", "--start", t5))
    model = load_model(tmp_path / "lm")
    assert model.config.feed_forward_proj == "gated-gelu" and model.config.vocab_size == TextTokenizer.load(t5).size + 5


def test_shape_comes_from_the_checkpoint(
    mini: Any, t5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = mini.config("language", mini.no_grounding, "shape")
    assert main(mini.language(config, tmp_path, "--start", t5)) == 2
    assert "leave it out" in capsys.readouterr().err


def test_no_such_matrix(mini: Any, t5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(mini, "target", 1, lora={"targets": ["query"]})
    assert main(mini.language(config, tmp_path, "--start", t5)) == 2
    assert capsys.readouterr().err.startswith("error: lora: ")
