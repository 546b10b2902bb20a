"""Beginning from a T5 checkpoint, in full and with low-rank adapters; the page about Hugging Face."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from avatargpt.config import resolve
from avatargpt.lm.adapters import Adapter
from avatargpt.lm.checkpoint import load_model, load_network
from avatargpt.lm.text_encoder import TextTokenizer
from tests.model.test_checkpoint import check_card
from tests.train.conftest import CONFIGS, DEBUG, Mini, Refused, write_t5
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = ["a person walks", "someone bows deeply", "wave the right hand", "squat down and rise"] * 5
    return write_t5(tmp_path_factory.mktemp("t5"), lines, layers=2, spare=5)


def command(mini: Mini, out: Path, t5: Path, *more: object, steps: int, **sections: Any) -> list[str]:
    """The debug configuration without what the checkpoint brings."""
    model = resolve(CONFIGS / DEBUG["language"])["model"]
    ours = ("modalities", "refiner_dim", "refiner_layers", "refiner_heads")
    change = {"model": {k: v for k, v in model.items() if k in ours}, **sections}
    train = {"steps": steps, "val_every": 100, "save_every": 100, "log_every": 1}
    return mini.language(out, "--start", t5, *more, change=change, **train)


def test_lora_leaves_t5_alone_and_merges(mini: Mini, t5: Path, tmp_path: Path) -> None:
    lora = {"r": 2, "alpha": 4, "targets": ["q", "v", "wi_0"]}
    mini.assert_resumes(lambda out: command(mini, out, t5, steps=4, lora=lora), tmp_path, 2)
    raw = mini.weights(tmp_path / "whole")
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
    network, expected = load_network(tmp_path / "whole"), load_network(tmp_path / "whole").state_dict()
    with torch.no_grad():
        network.get_parameter(f"{place}.q.weight").copy_(source[f"{place}.q.weight"])
        network.get_parameter(f"{place}.v.weight").copy_(source[f"{place}.v.weight"])
        network.get_parameter("heads.body.weight").zero_()
        for key in (k for k in raw if "lora_A" in k and not k.startswith(place)):
            name = f"{key.partition('.lora_A')[0]}.weight"
            network.get_parameter(name).copy_(source[name])
    Adapter.load(tmp_path / "whole" / "adapter").add(network)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    with pytest.raises(UserError, match="no adapter_config.json there"):
        Adapter.load(tmp_path)


def test_full_fine_tuning(mini: Mini, t5: Path, tmp_path: Path) -> None:
    mini.run(*command(mini, tmp_path, t5, steps=2))
    model = load_model(tmp_path)
    assert model.config.feed_forward_proj == "gated-gelu" and model.config.vocab_size == TextTokenizer.load(t5).size + 5


def test_shape_comes_from_the_checkpoint(mini: Mini, t5: Path, tmp_path: Path, refused: Refused) -> None:
    assert "leave it out" in refused(*mini.language(tmp_path, "--start", t5))


def test_no_such_matrix(mini: Mini, t5: Path, tmp_path: Path, refused: Refused) -> None:
    line = refused(*command(mini, tmp_path, t5, steps=1, lora={"targets": ["query"]}))
    assert line.startswith("error: lora: ")


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "huggingface.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def places(mini: Mini, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A language run, one with LoRA that goes on from it, both packed, and a T5 of a few thousand weights."""
    root = tmp_path_factory.mktemp("page")
    base, tuned, packed = root / "base", root / "tuned", root / "packed"
    mini.run(*mini.language(base, steps=2, val_every=2))
    mini.run(*mini.language(tuned, "--start", base, change={"lora": {"r": 2, "alpha": 4}}, steps=2, val_every=2))
    mini.run("pack", "--language", base, "--tokenizer", mini.tokenizer, "-o", packed)
    lines = [f"a person {a} and {b}" for a in ("walks", "waves", "bows") for b in ("jumps", "sits")]
    write_t5(root / "t5", lines * 3)
    return {
        "FOLDER": packed, "BASE": base, "ADAPTER": tuned / "adapter", "TOKENIZER": mini.tokenizer, "CODES": mini.codes,
        "T5": root / "t5", "OUT": root / "out", "COPY": root / "copy",
    }  # fmt: skip


def test_the_blocks_of_the_page_run(places: dict[str, Path]) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("accelerate")
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(BLOCKS):
        for word, place in places.items():
            block = block.replace(f'"{word}"', repr(str(place))).replace(f'"{word}/', f'"{place}/')
        exec(compile(block, f"block {number}", "exec"), names)
    assert names["model"].config.fingerprints["body"] == names["body"].fingerprint
    losses = [row["loss"] for row in names["trainer"].state.log_history if "loss" in row]
    assert len(losses) == 3 and all(0 < loss < 50 for loss in losses)
    assert type(names["merged"]).__name__ == "AvatarGPTModel"
    check_card(places["COPY"])


def test_a_packed_folder_has_a_whole_card(places: dict[str, Path]) -> None:
    check_card(places["FOLDER"])
    text = (places["FOLDER"] / "README.md").read_text(encoding="utf-8")
    assert "base: val_text_to_motion" in text and "deepmimic" in text
    assert text.startswith("---\nlicense: ")
