"""Cards of model folders: front matter, sections, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from avatargpt.lm.checkpoint import save_small
from avatargpt.lm.hub import (
    CARD,
    DATA,
    FILES,
    MEASURED,
    USE,
    HubCalls,
    Origin,
    front_matter,
    shipped,
    split_card,
    write_card,  # fmt: skip
)
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


def front_of(folder: Path) -> dict:
    front, _ = split_card((folder / CARD).read_text(encoding="utf-8"))
    assert front is not None
    return yaml.safe_load(front)


def check_card(folder: Path) -> None:
    """Front matter with every key, every section, every file of the folder."""
    front, body = split_card((folder / CARD).read_text(encoding="utf-8"))
    assert front is not None
    assert all(yaml.safe_load(front)[k] for k in front_matter(folder, body))
    assert all(f"\n{title}\n" in body for title in (USE, FILES, DATA, MEASURED))
    assert all(f"`{f.as_posix()}`" in body for f in shipped(folder))


def test_a_new_card_says_where_a_model_comes_from(folder: Path) -> None:
    write_card(folder, Origin(BOUND, {"lm: val_text_to_motion": 1.25}))
    check_card(folder)
    front = front_of(folder)
    assert front["license"] == "cc-by-nc-4.0" and front["datasets"] == ["mine", "theirs"]
    assert front["pipeline_tag"] == "text-to-3d" and {"body", "face"} <= set(front["tags"])
    assert "prompt_suite" in front["metrics"]
    text = (folder / CARD).read_text(encoding="utf-8")
    assert "| lm: val_text_to_motion | 1.25 |" in text and "`body/tokenizer.json`" in text


def test_the_licence_follows_the_sources(folder: Path) -> None:
    write_card(folder, Origin(FREE, {"val": 1.0}))
    assert front_of(folder)["license"] == "other"
    write_card(folder, Origin({}, {"val": 1.0}))  # nothing recorded: the strictest
    assert front_of(folder)["license"] == "cc-by-nc-4.0"


def test_a_card_that_is_there_keeps_its_text(folder: Path) -> None:
    write_card(folder, Origin(FREE, {"val": 1.0}))
    text = (folder / CARD).read_text(encoding="utf-8")
    (folder / CARD).write_text(text + "\n## Notes\nMine.\n", encoding="utf-8")
    (folder / "more.safetensors").write_bytes(b"x")
    write_card(folder)
    check_card(folder)
    now = (folder / CARD).read_text(encoding="utf-8")
    assert now.count("## Files") == 1 and "`more.safetensors`" in now and "Mine." in now


def test_the_packaged_model_is_saved_with_a_whole_card(tmp_path: Path) -> None:
    class Packaged(HubCalls):
        source = str(weights())

    saved = Packaged().save_pretrained(tmp_path / "copy")
    check_card(saved)
    front = front_of(saved)
    assert front["license"] == "cc-by-nc-4.0" and front["datasets"][0].startswith("bandai-namco")
    assert front == front_matter(saved, split_card((saved / CARD).read_text(encoding="utf-8"))[1])
