"""Cards of model folders: what is written, and what the lint finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from avatargpt.lm.checkpoint import save_small
from avatargpt.lm.hub import CARD, HubCalls, Origin, faults, front_matter, parted, write_card
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.resources import weights

FREE = {"mine": {"clips": 3, "hours": 0.5, "licence": "CC0"}}
BOUND = {**FREE, "theirs, mirrored": {"clips": 2, "hours": 0.25, "licence": "CC BY-NC 4.0"}}


@pytest.fixture
def folder(tmp_path: Path, model: AvatarGPTModel) -> Path:
    save_small(model, tmp_path / "model")
    (tmp_path / "model" / "body").mkdir()
    (tmp_path / "model" / "body" / "tokenizer.json").write_text("{}")
    return tmp_path / "model"


def said(folder: Path) -> dict:
    front, _ = parted((folder / CARD).read_text(encoding="utf-8"))
    assert front is not None
    return yaml.safe_load(front)


def test_a_new_card_says_where_a_model_comes_from(folder: Path) -> None:
    write_card(folder, Origin(BOUND, {"lm: val_text_to_motion": 1.25}))
    assert faults(folder) == []
    front = said(folder)
    assert front["license"] == "cc-by-nc-4.0" and front["datasets"] == ["mine", "theirs"]
    assert front["pipeline_tag"] == "text-to-3d" and {"body", "face"} <= set(front["tags"])
    assert "prompt_suite" in front["metrics"]
    text = (folder / CARD).read_text(encoding="utf-8")
    assert "| lm: val_text_to_motion | 1.25 |" in text and "`body/tokenizer.json`" in text


def test_the_licence_follows_the_sources(folder: Path) -> None:
    write_card(folder, Origin(FREE, {"val": 1.0}))
    assert said(folder)["license"] == "other"
    write_card(folder, Origin({}, {"val": 1.0}))  # nothing recorded: the strictest
    assert said(folder)["license"] == "cc-by-nc-4.0"


def test_a_card_that_is_there_keeps_its_text(folder: Path) -> None:
    write_card(folder, Origin(FREE, {"val": 1.0}))
    text = (folder / CARD).read_text(encoding="utf-8")
    (folder / CARD).write_text(text + "\n## Notes\nMine.\n", encoding="utf-8")
    (folder / "more.safetensors").write_bytes(b"x")
    write_card(folder)
    assert faults(folder) == []
    now = (folder / CARD).read_text(encoding="utf-8")
    assert now.count("## Files") == 1 and "`more.safetensors`" in now and "Mine." in now


def test_the_lint_finds_what_is_missing(folder: Path) -> None:
    assert faults(folder) == [f"no {CARD}"]
    write_card(folder, Origin(FREE))
    assert faults(folder) == ["'## Measured': no figure"]
    (folder / "new.safetensors").write_bytes(b"x")
    assert "new.safetensors: not named" in faults(folder)
    text = (folder / CARD).read_text(encoding="utf-8")
    (folder / CARD).write_text(text.replace("metrics:", "metric:").replace("## Use", "## Usage"), encoding="utf-8")
    assert {"front matter: no metrics", "no section '## Use'"} <= set(faults(folder))
    (folder / CARD).write_text("---\na: [\n---\n\ntext", encoding="utf-8")
    assert faults(folder)[0].startswith("front matter: ")
    (folder / CARD).write_text("text", encoding="utf-8")
    assert faults(folder) == ["no front matter"]


def test_the_packaged_model_is_saved_with_a_whole_card(tmp_path: Path) -> None:
    class Packaged(HubCalls):
        source = str(weights())

    saved = Packaged().save_pretrained(tmp_path / "copy")
    assert faults(saved) == []
    front = said(saved)
    assert front["license"] == "cc-by-nc-4.0" and front["datasets"][0].startswith("bandai-namco")
    assert front == front_matter(saved, parted((saved / CARD).read_text(encoding="utf-8"))[1])
