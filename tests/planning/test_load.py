"""Which planner a name stands for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt.body.speaker import Speaker
from avatargpt.planning import described, load_planner
from avatargpt.planning.executable import Checked
from avatargpt.planning.model_planner import ModelPlanner
from avatargpt.planning.remote import KEY, MODEL, URL, RemotePlanner
from avatargpt.retrieval.phrases import PhraseIndex
from vqvae.errors import UserError


def test_by_name(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, MODEL, KEY):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(load_planner("model", speaker), ModelPlanner)
    with pytest.raises(UserError, match=f"set {URL}"):
        load_planner("endpoint", speaker)
    monkeypatch.setenv(MODEL, "m")
    assert isinstance(load_planner("https://x.example/v1", speaker), RemotePlanner)
    with pytest.raises(UserError, match="sentence encoder"):
        load_planner(None, speaker)
    with pytest.raises(UserError, match="accepted: retrieval"):
        load_planner("retrival", speaker)


def test_steps_are_checked_where_the_motion_side_can_tell(speaker: Speaker, book: PhraseIndex, grounder: Any) -> None:
    model: Any = SimpleNamespace(**vars(speaker) | {"phrase_index": book, "grounder": grounder})
    found = load_planner("model", model)
    assert isinstance(found, Checked) and isinstance(found.planner, ModelPlanner) and found.name == "model"


def test_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    assert described(tmp_path)["retrieval"].startswith("none") and described(tmp_path)["endpoint"].startswith("none")
    (tmp_path / "planning.safetensors").touch()
    monkeypatch.setenv(URL, "https://x.example/v1")
    monkeypatch.setenv(MODEL, "m")
    monkeypatch.setenv(KEY, "secret")
    found = described(tmp_path)
    assert found["retrieval"].startswith("the default") and found["endpoint"] == "m at https://x.example/v1"
    assert "secret" not in str(found)
