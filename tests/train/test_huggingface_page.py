"""docs/huggingface.md: its blocks are run, in order, with folders made here in place of the words in capitals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.lm.text_encoder import TextTokenizer
from tests.model.test_card import check_card
from tests.train.conftest import Mini

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "huggingface.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def places(mini: Mini, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A language run, one with LoRA that goes on from it, both packed, and a T5 of a few thousand weights."""
    from transformers import T5Config, T5ForConditionalGeneration

    root = tmp_path_factory.mktemp("page")

    def short(data: dict) -> None:
        mini.no_grounding(data)
        data["train"].update(steps=2, val_every=2)

    def low_rank(data: dict) -> None:
        short(data)
        data["lora"] = {"r": 2, "alpha": 4}

    base, tuned, packed = root / "base", root / "tuned", root / "packed"
    mini.run(*mini.language(mini.config("language", short, "base"), base))
    mini.run(*mini.language(mini.config("language", low_rank, "tuned"), tuned, "--start", base))
    mini.run("pack", "--language", base, "--tokenizer", mini.tokenizer, "-o", packed)
    torch.manual_seed(0)
    small = T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    T5ForConditionalGeneration(small).save_pretrained(root / "t5")
    lines = [f"a person {word} and {other}" for word in ("walks", "waves", "bows") for other in ("jumps", "sits")]
    TextTokenizer.train(lines * 3, 300, root / "t5")
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
    assert len(losses) == 3 and all(0 < loss < 20 for loss in losses)
    assert type(names["merged"]).__name__ == "AvatarGPTModel"
    check_card(places["COPY"])


def test_a_packed_folder_has_a_whole_card(places: dict[str, Path]) -> None:
    check_card(places["FOLDER"])
    text = (places["FOLDER"] / "README.md").read_text(encoding="utf-8")
    assert "base: val_text_to_motion" in text and "deepmimic" in text
    assert text.startswith("---\nlicense: ")
