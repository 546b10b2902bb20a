"""``avatargpt plan`` in front of a planner of known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatargpt import planning
from avatargpt.planning import Activity, Plan

SCENE = "A tired nurse finishes the night shift."


class Known:
    """Numbers its activities; tells how it was asked."""

    name = "known"
    notes = ("One step was reworded.",)
    asked: list[Any] = []

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        self.asked.append((scene, activities, temperature, seed))
        made = tuple(Activity(f"Task {i}", (f"she does {i}", "she rests")) for i in range(activities))
        return Plan(scene, made, self.name, self.notes)

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        self.asked.append((task, slots, temperature, seed))
        return ["she kneels", "she digs"] if task.endswith("steps") else ["She works in the garden"]


@pytest.fixture
def known(fake: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    Known.asked.clear()
    monkeypatch.setattr(planning, "load_planner", lambda *given: Known())
    return Known.asked


def test_json_is_the_contract(cli: Any, known: list[Any]) -> None:
    result = cli("plan", SCENE, "--activities", 2, "--json", "--seed", 4, "--temperature", 0.2)
    assert result.code == 0 and result.err == ""
    assert json.loads(result.out) == {
        "scene": SCENE, "planner": "known", "notes": ["One step was reworded."],
        "activities": [{"task": f"Task {i}", "steps": [f"she does {i}", "she rests"]} for i in range(2)],
    }  # fmt: skip
    assert known == [(SCENE, 2, 0.2, 4)]


def test_text(cli: Any, known: list[Any]) -> None:
    result = cli("plan", SCENE, "--activities", 1)
    assert result.lines == [
        SCENE, "1. Task 0", "   1. she does 0", "   2. she rests", "planner: known", "note: One step was reworded."
    ]  # fmt: skip
    cli("plan", SCENE)
    assert known[-1] == (SCENE, 3, 0.7, 0)


def test_a_file_of_scenes(cli: Any, known: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "scenes.txt"
    path.write_text(f"{SCENE}\n\nA boy plays in the snow\n", encoding="utf-8")
    found = json.loads(cli("plan", f"@{path}", "--json").out)["results"]
    assert [p["scene"] for p in found] == [SCENE, "A boy plays in the snow"]
    assert cli("plan", f"@{path}").out.count("planner: known") == 2


def test_other_directions(cli: Any, known: list[Any]) -> None:
    result = cli("plan", "--task", "scene_activity_to_next_steps", "--scene", SCENE, "--activity", "washing hands")
    assert result.lines[:3] == ["1. she kneels", "2. she digs", "planner: known"]
    assert known[-1] == ("scene_activity_to_next_steps", {"scene": SCENE, "activity": "washing hands"}, 0.7, 0)
    steps = ["--steps", "she kneels; she digs", "--steps", "she rises"]
    result = cli("plan", "--task", "steps_to_activity", *steps, "--json")
    assert json.loads(result.out) == {
        "task": "steps_to_activity", "slots": {"steps": "she kneels; she digs; she rises"},
        "answer": ["She works in the garden"], "planner": "known", "notes": ["One step was reworded."],
    }  # fmt: skip
    assert cli("plan", SCENE, "--task", "scene_to_activity").lines[0] == "She works in the garden"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["SCENE is missing", "accepted"]),
        ([""], ["empty text"]),
        ([" \t "], ["empty text"]),
        (["word " * 5000], ["characters", "accepted at most"]),
        (["a nurse \x1b[2J rests"], ["control characters"]),
        (["Eine müde Krankenschwester beendet ihre Schicht"], ["accepted English"]),
        (["男孩在雪地里玩耍"], ["accepted English"]),
        ([SCENE, "--activities", "0"], ["activities: 0", "1 to 50"]),
        ([SCENE, "--activities", "many"], ["--activities"]),
        ([SCENE, "--temperature", "-1"], ["--temperature -1", "0 to 2"]),
        ([SCENE, "--temperature", "nan"], ["--temperature nan"]),
        ([SCENE, "--planner", "gpt"], ["'gpt'", "accepted: retrieval"]),
        ([SCENE, "--activity", "resting"], ["--activity goes with --task"]),
        ([SCENE, "--task", "steps_to_activities"], ["did you mean 'steps_to_activity'"]),
        (["--task", "steps_to_activity"], ["steps is needed"]),
        (["--task", "steps_to_activity", "--steps", ";"], ["no words"]),
        (["--task", "steps_to_activity", "--steps", "she sits", "--activities", "2"], ["--activities goes with"]),
        (["--task", "steps_to_activity", "--steps", "she sits", "--scene", SCENE], ["does not take scene"]),
        ([SCENE, "--task", "scene_to_activity", "--scene", SCENE], ["accepted one of them"]),
        (["@nowhere.txt"], ["nowhere.txt"]),
    ],
)
def test_mistakes(cli: Any, known: list[Any], fake: Any, arguments: list[str], words: list[str]) -> None:
    result = cli("plan", *arguments)
    assert result.code == 2 and result.out == "", result
    assert len(result.err.splitlines()) == 1 and result.err.startswith("error: "), result.err
    assert all(w in result.err for w in words), result.err
    assert fake.loads == [] and known == []  # nobody waits for a model to learn of a mistake


def test_a_bad_line_of_a_file_is_named(cli: Any, known: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "scenes.txt"
    path.write_text(f"{SCENE}\nUn garçon joue dans la neige\n", encoding="utf-8")
    assert "scenes.txt, scene 2: " in cli("plan", f"@{path}").err


def test_a_language_model_that_nobody_runs(cli: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--llm` names is asked first; one line on stderr says that it did not answer."""
    from avatargpt.planning.language_planner import Fallback, LanguagePlanner

    monkeypatch.setenv("AVATARGPT_LLM_MODEL", "small-1")
    monkeypatch.setattr(
        planning, "load_planner",
        lambda spec, model, llm, tell: Fallback(LanguagePlanner(llm), Known, tell) if llm and not spec else Known(),
    )  # fmt: skip
    nobody = ("--llm", "http://127.0.0.1:1/v1", "--llm-limits", "seconds=0.5")
    result = cli("plan", SCENE, *nobody)
    assert result.code == 0 and "planner: known" in result.lines and "small-1 at http" in result.lines[-1]
    assert result.err.count("\n") == 1 and result.err.startswith("warning: ") and "known plans instead" in result.err
    monkeypatch.setenv("AVATARGPT_LLM", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("AVATARGPT_LLM_LIMITS", "seconds=0.5")
    assert "warning" in cli("plan", SCENE).err and cli("plan", SCENE, "--planner", "retrieval").err == ""
    for bad, why in ((("--llm", "gpt"), "gguf:FILE"), (("--llm-limits", "second=1"), "did you mean 'seconds'")):
        result = cli("plan", SCENE, *bad)
        assert result.code == 2 and why in result.err and result.err.count("\n") == 1 and not result.out
