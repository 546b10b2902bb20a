""""Add a task" of CONTRIBUTING.md: a YAML file that loads, renders and is trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from avatargpt.config import resolve
from instruct_data import registry
from tests.train.conftest import Mini
from tests.walks.conftest import ROOT, Section, Walk

STEPS = Section("Add a task")


def test_a_task(walk: Walk, small: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(registry.TASKS, tasks)
    shutil.copy(ROOT / "docs" / "examples" / "tasks" / "count_steps.yaml", tasks)
    monkeypatch.setattr(registry, "TASKS", tasks)
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])
    assert "count_steps" in registry.list_tasks()

    names: dict[str, registry.Prompt] = {}
    exec(STEPS.of("python")[0], names)
    assert names["prompt"].head == "text" and "three steps forward" in capsys.readouterr().out

    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "count_steps.jsonl").write_text(STEPS.of("json")[0])
    config = resolve(f"{ROOT / 'configs' / 'language' / 'debug.yaml'}:text")
    config["train"] |= yaml.safe_load(STEPS.file("configs/language/count_steps.yaml"))
    config["model"] = {**(config.get("model") or {}), "grounding_dim": 0}
    path = tmp_path / "count_steps.yaml"
    path.write_text(yaml.safe_dump(config))
    words = STEPS.command("scripts/train.py", TEXTS=small.texts, DIR=pairs, OUT=tmp_path / "out")
    walk.train([str(path) if w == "configs/language/count_steps.yaml" else w for w in words])
    assert len(small.rows(tmp_path / "out", "ce_text")) == 2
