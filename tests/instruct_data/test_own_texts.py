"""The texts that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatargpt.train.command import main, parsed
from instruct_data.dialogue.dialogues import read_dialogues
from instruct_data.face.score import read_instructions
from instruct_data.text.captions import CaptionBank
from instruct_data.texts import NAMES, unpacked


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_they_are_read_as_the_stages_read_them() -> None:
    assert len(CaptionBank(unpacked("text") / "body_captions.json").actions) > 80
    assert len(read_dialogues(unpacked("chat") / "train.jsonl")) > 100
    assert sum(1 for _ in read_instructions(unpacked("face_text"))) > 1000
    assert (unpacked("planning") / "val.jsonl").is_file()


def test_a_folder_is_unpacked_once() -> None:
    first = unpacked("chat")
    before = (first / "val.jsonl").stat().st_mtime_ns
    assert unpacked("chat") == first and (first / "val.jsonl").stat().st_mtime_ns == before


def test_options_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--tokenizer", "t", "--codes", "c", "--texts", "package:text", "-o", "out"]
    args = parsed(["language", "--config", "x.yaml", *folders])
    assert (Path(args.texts) / "rewrites_train.jsonl").is_file()
    assert main(["ground", "--store", "s", "--texts", "package:nothing", "-o", "out"]) == 2
    assert f"accepted: {', '.join(f'package:{n}' for n in NAMES)}" in capsys.readouterr().err
