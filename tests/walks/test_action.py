""""Add a keyframed action" of CONTRIBUTING.md: clips of it, and what the suites and the request file say of them."""

from __future__ import annotations

import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from avatargpt import evaluation, resources
from avatargpt.evaluation import corpus
from avatargpt.evaluation import judges as suite_of_families
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics import checks as tables
from instruct_data.synth import actions, families
from instruct_data.text import everyday
from tests.walks.conftest import ROOT, Section

STEPS = Section("Add a keyframed action")
OTHERS = ("drink", "clap", "squat")


@pytest.fixture
def ring_bell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example beside the packaged families."""
    module = sys.modules[families.__module__]
    shutil.copytree(module.ACTIONS, tmp_path / "actions")
    shutil.copy(ROOT / "docs" / "examples" / "ring_bell.yaml", tmp_path / "actions")
    caches = (actions, families, tables.templates)
    monkeypatch.setattr(module, "ACTIONS", tmp_path / "actions")
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def with_row(folder: Path, name: str, key: str) -> Suite:
    """A packaged suite and the page's row in it."""
    data = yaml.safe_load((resources.suites() / f"{name}.yaml").read_text(encoding="utf-8"))
    data[key] += yaml.safe_load(STEPS.file(f"eval/suites/{name}.yaml"))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    return evaluation.read(folder / f"{name}.yaml")


def test_an_action_passes_the_suite(ring_bell: None, tmp_path: Path) -> None:
    assert "ring_bell" in corpus.action_names()
    suite = with_row(tmp_path, "families", "classes")
    clips = list(corpus.keyframed_clips(int(suite.options["per_family"]), only=["ring_bell", *OTHERS]))
    results = suite_of_families.score_families(suite, clips)["results"]
    assert results["own/ring_bell"]["mean"] >= suite.targets["own"]
    assert results["others/ring_bell"]["mean"] < 0.25  # some clap over their heads
    table = tables.read_families(suite.classes, suite.name)
    mine = [c for c in clips if c.action == "ring_bell"]
    assert all("ring_bell" in tables.families_named(table, t) for c in mine for t in c.captions)

    prompts = with_row(tmp_path, "prompts_everyday", "prompts")
    prompt = prompts.entries[-1].prompt
    assert table["ring_bell"].words.search(prompt)
    assert not tables.templates()["ring_bell"].fullmatch(prompt)


def test_its_requests_are_read() -> None:
    rows = STEPS.file("instruct_data/text/everyday.yaml").split("\n", 1)[1]
    text = everyday.REQUESTS.read_text(encoding="utf-8").replace("\nactions:\n", f"\nactions:\n  {rows}", 1)
    assert len(everyday.Everyday.read(yaml.safe_load(text), "everyday.yaml").requests("ring_bell")) == 4


def test_it_is_looked_at(ring_bell: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    words = STEPS.command("scripts/preview_synth.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["preview_synth.py", *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "scripts" / "preview_synth.py"), run_name="__main__")
    assert not end.value.code and (tmp_path / "sheet.png").is_file() and "ring_bell" in capsys.readouterr().out
