"""Which planner a name stands for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt.llm import load_llm
from avatargpt.llm.endpoint import FORMER, KEY, MODEL, URL
from avatargpt.lm.loaded import LoadedModel
from avatargpt.planning import described, load_planner
from avatargpt.planning.executable import Checked
from avatargpt.planning.fallback import Fallback
from avatargpt.planning.language_planner import LanguagePlanner
from avatargpt.planning.model_planner import ModelPlanner
from avatargpt.requests.phrase_index import PhraseIndex
from vqvae.errors import UserError


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, MODEL, KEY):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.replace("AVATARGPT_LLM_", FORMER), raising=False)


def test_by_name(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimpleNamespace(loaded=loaded, phrase_index=None)
    assert isinstance(load_planner("model", model), ModelPlanner)
    with pytest.raises(UserError, match=f"set {URL}"):
        load_planner("endpoint", model)
    monkeypatch.setenv(MODEL, "m")
    assert isinstance(load_planner("https://x.example/v1", model), LanguagePlanner)  # fails where it cannot answer
    llm = load_llm("https://x.example/v1", cached=False)
    assert isinstance(load_planner("", model, llm), Fallback)  # goes on with retrieval
    assert isinstance(load_planner("model", model, llm), ModelPlanner)
    with pytest.raises(UserError, match="sentence encoder"):
        load_planner(None, model)
    with pytest.raises(UserError, match="accepted: retrieval"):
        load_planner("retrival", model)


def test_steps_are_checked_where_the_motion_side_can_tell(
    loaded: LoadedModel, book: PhraseIndex, grounder: Any
) -> None:
    knowing: Any = SimpleNamespace(**vars(loaded) | {"grounder": grounder})
    found = load_planner("model", SimpleNamespace(loaded=knowing, phrase_index=book))
    assert isinstance(found, Checked) and isinstance(found.planner, ModelPlanner) and found.name == "model"


def test_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert described(tmp_path)["retrieval"].startswith("none") and described(tmp_path)["endpoint"].startswith("none")
    (tmp_path / "planning.safetensors").touch()
    monkeypatch.setenv(URL, "https://x.example/v1")
    monkeypatch.setenv(MODEL, "m")
    monkeypatch.setenv(KEY, "secret")
    found = described(tmp_path)
    assert found["retrieval"].startswith("the default") and found["endpoint"] == "m at https://x.example/v1"
    assert "secret" not in str(found)
