"""docs/huggingface.md: its blocks are run, in order, with folders made here in place of the words in capitals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.model.test_card import check_card
from tests.train.conftest import Mini, write_t5

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
