"""``avatargpt plan`` in front of a planner of known answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from avatargpt import planning
from avatargpt.planning import Activity, Plan

SCENE = "A tired nurse finishes the night shift."


class Numbered:
    """Numbers its activities; keeps how it was called."""

    name = "known"
    notes = ("One step was reworded.",)
    calls: list[Any] = []

    def plan(
        self, scene: str, activities: int | None = None, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        self.calls.append((scene, activities, temperature, seed))
        times = (seconds / 2, seconds / 2) if seconds else ()
        steps = tuple(Activity(f"Task {i}", (f"she does {i}", "she rests"), times) for i in range(activities or 3))
        return Plan(scene, steps, self.name, self.notes)

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        self.calls.append((task, slots, temperature, seed))
        return ["she kneels", "she digs"] if task.endswith("steps") else ["She works in the garden"]


@pytest.fixture
def calls(fake: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    Numbered.calls.clear()
    monkeypatch.setattr(planning, "load_planner", lambda *_: Numbered())
    return Numbered.calls


def test_json_is_the_contract(cli: Any, calls: list[Any]) -> None:
    result = cli("plan", SCENE, "--activities", 2, "--json", "--seed", 4, "--temperature", 0.2)
    assert result.code == 0 and result.err == ""
    assert json.loads(result.out) == {
        "scene": SCENE, "planner": "known", "notes": ["One step was reworded."],
        "activities": [{"task": f"Task {i}", "steps": [f"she does {i}", "she rests"]} for i in range(2)],
    }  # fmt: skip
    assert calls == [(SCENE, 2, 0.2, 4)]


def test_text(cli: Any, calls: list[Any]) -> None:
    result = cli("plan", SCENE, "--activities", 1)
    assert result.lines == [
        SCENE, "1. Task 0", "   1. she does 0", "   2. she rests", "planner: known", "note: One step was reworded."
    ]  # fmt: skip
    cli("plan", SCENE)
    assert calls[-1] == (SCENE, None, 0.7, 0)
    timed = cli("plan", SCENE, "--activities", 1, "--seconds", 8)
    assert timed.lines[2] == "   1. she does 0 (4.0 s)"


def test_a_file_of_scenes(cli: Any, calls: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "scenes.txt"
    path.write_text(f"{SCENE}\n\nA boy plays in the snow\n", encoding="utf-8")
    plans = json.loads(cli("plan", f"@{path}", "--json").out)["results"]
    assert [p["scene"] for p in plans] == [SCENE, "A boy plays in the snow"]
    assert cli("plan", f"@{path}").out.count("planner: known") == 2


def test_other_directions(cli: Any, calls: list[Any]) -> None:
    result = cli("plan", "--task", "scene_activity_to_next_steps", "--scene", SCENE, "--activity", "washing hands")
    assert result.lines[:3] == ["1. she kneels", "2. she digs", "planner: known"]
    assert calls[-1] == ("scene_activity_to_next_steps", {"scene": SCENE, "activity": "washing hands"}, 0.7, 0)
    steps = ["--steps", "she kneels; she digs", "--steps", "she rises"]
    result = cli("plan", "--task", "steps_to_activity", *steps, "--json")
    assert json.loads(result.out) == {
        "task": "steps_to_activity", "slots": {"steps": "she kneels; she digs; she rises"},
        "answer": ["She works in the garden"], "planner": "known", "notes": ["One step was reworded."],
    }  # fmt: skip
    assert cli("plan", SCENE, "--task", "scene_to_activity").lines[0] == "She works in the garden"


def test_a_language_model_that_nobody_runs(cli: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--llm` names is asked first; one line on stderr says that it did not answer."""
    from avatargpt.planning.language_planner import Fallback, LanguagePlanner

    monkeypatch.setenv("AVATARGPT_LLM_MODEL", "small-1")

    def load_planner(spec: Any, model: Any, llm: Any, tell: Any) -> Any:
        return Fallback(LanguagePlanner(llm), Numbered, tell) if llm and not spec else Numbered()

    monkeypatch.setattr(planning, "load_planner", load_planner)
    server = ("--llm", "http://127.0.0.1:1/v1", "--llm-limits", "seconds=0.5")
    result = cli("plan", SCENE, *server)
    assert result.code == 0 and "planner: known" in result.lines and "small-1 at http" in result.lines[-1]
    assert result.err.count("\n") == 1 and result.err.startswith("warning: ") and "known plans instead" in result.err
    monkeypatch.setenv("AVATARGPT_LLM", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("AVATARGPT_LLM_LIMITS", "seconds=0.5")
    assert "warning" in cli("plan", SCENE).err and cli("plan", SCENE, "--planner", "retrieval").err == ""
