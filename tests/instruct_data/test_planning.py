"""Written plans: the file, the pairs, the tasks that learn from them."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import instruct_data
from instruct_data.planning import (
    PLANNING_TASKS,
    STEP_TASKS,
    PlannedActivity,
    PlannedScene,
    read_planning_pairs,
    read_scenes,
    scene_pairs,
)
from instruct_data.registry import get_task, list_tasks
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml

SCENE = {
    "scene": "A diver at dawn.",
    "activities": [
        {"task": "He climbs the tower.", "steps": ["a man climbs a ladder", "he stands still"]},
        {"task": "Dive", "steps": [" he jumps  up.", "he falls head first"]},
        {"task": "Getting out", "steps": ["he pulls himself up"]},
    ],
}


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "train.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
    return path


def test_pairs_of_a_scene(tmp_path: Path) -> None:
    write(tmp_path, SCENE, "")
    pairs = read_planning_pairs(tmp_path)
    assert set(pairs) == set(PLANNING_TASKS)
    scene = {"scene": "A diver at dawn."}
    first, second = "a man climbs a ladder; he stands still", "he jumps up; he falls head first"
    third = "he pulls himself up"
    assert pairs["scene_to_activity"] == [(scene, "He climbs the tower")]
    assert pairs["activity_to_next_activity"] == [
        (scene | {"activity": "He climbs the tower."}, "Dive"), (scene | {"activity": "Dive"}, "Getting out"),
    ]  # fmt: skip
    assert pairs["scene_steps_to_next_steps"] == [
        (scene | {"steps": first}, second), (scene | {"steps": second}, third)
    ]  # fmt: skip
    assert pairs["scene_activity_to_next_steps"][0] == (scene | {"activity": "He climbs the tower."}, second)
    assert pairs["scene_steps_to_next_activity"][1] == (scene | {"steps": second}, "Getting out")
    assert pairs["activity_to_steps"][2] == ({"activity": "Getting out"}, third)
    assert pairs["steps_to_activity"][0] == ({"steps": first}, "He climbs the tower")
    assert pairs["steps_to_next_steps"][0] == ({"steps": first}, second)
    assert pairs["activity_to_activity"][1] == ({"activity": "Dive"}, "Getting out")
    assert pairs["activity_to_scene"][1] == ({"activity": "Dive"}, "A diver at dawn")
    assert pairs["steps_to_scene"][2] == ({"steps": third}, "A diver at dawn")
    assert [len(v) for v in pairs.values()] == [1, 2, 2, 2, 2, 3, 3, 2, 2, 3, 3]


def test_every_pair_fits_its_task(tmp_path: Path) -> None:
    write(tmp_path, SCENE)
    for name, pairs in read_planning_pairs(tmp_path).items():
        task = get_task(name)
        assert task.output == "text"
        for slots, answer in pairs:
            prompts = {task.render(slots, template=k).text for k in task.eligible(set(slots))}
            assert len(prompts) == len(task.templates) >= 20
            assert all(all(v in p for v in slots.values()) for p in prompts)
            assert answer == answer.strip() and not answer.endswith(".")


def test_scenes_without_a_second_activity_have_no_next() -> None:
    pairs = scene_pairs([PlannedScene("A man.", (PlannedActivity("Wait", ("he waits",)),))])
    assert {k for k, v in pairs.items() if v} == {
        "scene_to_activity", "activity_to_steps", "steps_to_activity", "activity_to_scene", "steps_to_scene"
    }  # fmt: skip


def test_wordings_are_no_near_copies() -> None:
    """Words that two templates share, as a part of all they have: questions about another thing may sound alike."""
    names = [*PLANNING_TASKS, "steps_to_motion", "motion_to_steps"]
    assert set(names) <= set(list_tasks()) and set(PLANNING_TASKS) >= STEP_TASKS
    wordings = [(n, t, set(t.lower().strip('."?').split())) for n in names for t in get_task(n).templates]
    for (a, x, left), (b, y, right) in combinations(wordings, 2):
        assert len(left & right) < 0.75 * len(left | right), f"{a}: {x!r} and {b}: {y!r}"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "line 2"),
        ("[]", "object with scene"),
        ("3", "object with scene"),
        ({"scene": "x"}, "activities: a list"),
        ({"scene": "x", "activities": []}, "activities: a list"),
        ({"scene": "", "activities": SCENE["activities"]}, "scene is ''"),
        ({"scene": "x", "activities": [3]}, "activity 0: an object"),
        ({"scene": "x", "activities": [{"task": "t"}]}, "steps: a list"),
        ({"scene": "x", "activities": [{"task": "t", "steps": ["a", " "]}]}, "step 1 is ' '"),
        ({"scene": "x", "activities": [{"task": None, "steps": ["a"]}]}, "task is None"),
        ({"scene": "x", "activities": [{"task": "t", "steps": ["a; b"]}]}, "semicolon"),
    ],
)
def test_damaged_files(tmp_path: Path, row: Any, why: str) -> None:
    path = write(tmp_path, SCENE, row)
    with pytest.raises(UserError, match=why) as e:
        read_scenes(path)
    assert f"{path}: line 2" in str(e.value) and "\n" not in str(e.value)


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_planning_pairs(tmp_path)
    with pytest.raises(UserError, match="no scenes"):
        read_scenes(write(tmp_path, ""))
    (tmp_path / "train.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="not UTF-8"):
        read_planning_pairs(tmp_path)


def test_the_packaged_kinds_are_complete_and_their_marks_are_known() -> None:
    pronouns, mark = {"he", "him", "his", "himself"}, re.compile(r"\{(\w+)\}")
    for path in (Path(instruct_data.__file__).parent / "plans" / "kinds").glob("*.yaml"):
        for name, kind in read_yaml(path).items():
            assert all(kind[key] for key in ("scenes", "who", "place", "when")), name
            assert {w.split("|")[1] for w in kind["who"]} <= {"he", "she", "they"}, name
            scene_marks = {m.lower() for t in kind["scenes"] for m in mark.findall(t)}
            assert scene_marks <= pronouns | {"who", "place", "when"}, name
            texts = [t for a in kind["activities"] for t in (a["task"], *a["steps"])]
            assert not any(";" in t for t in texts) and all(a["steps"] for a in kind["activities"]), name
            assert all(sum(place in a["at"] for a in kind["activities"]) >= 2 for place in (1, 2, 3)), name
            assert {m.lower() for t in texts for m in mark.findall(t)} <= pronouns, name
