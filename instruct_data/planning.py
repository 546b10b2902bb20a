"""Written plans: scenes with activities and steps, and their training pairs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

SEPARATOR = "; "  # between the steps of one prompt or answer
# Every task asks from some parts of a plan for another.
PLANNING_TASKS = (
    "scene_to_activity", "activity_to_next_activity", "scene_steps_to_next_steps", "scene_activity_to_next_steps",
    "scene_steps_to_next_activity", "activity_to_steps", "steps_to_activity", "steps_to_next_steps",
    "activity_to_activity", "activity_to_scene", "steps_to_scene",
)  # fmt: skip
STEP_TASKS = frozenset(n for n in PLANNING_TASKS if n.endswith("_steps"))  # these answer a list of steps

Pair = tuple[dict[str, str], str]


@dataclass(frozen=True)
class PlannedActivity:
    """An activity (`task`, one sentence) and its visible movements (`steps`, in order, at least one)."""

    task: str
    steps: tuple[str, ...]

    @property
    def steps_text(self) -> str:
        """The steps as one text."""
        return join_steps(self.steps)


@dataclass(frozen=True)
class PlannedScene:
    """A situation in a sentence or two, and at least one activity in order."""

    scene: str
    activities: tuple[PlannedActivity, ...]


def join_steps(steps: Iterable[str]) -> str:
    """Steps as they stand in prompts and answers: tidied, without final stops, separated by semicolons."""
    return SEPARATOR.join(filter(None, (tidy(s) for s in steps)))


def tidy(text: str) -> str:
    """One line without surrounding space and final full stop."""
    return " ".join(text.split()).rstrip(". ")


def _sentence(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} is {value!r}; a sentence is needed")
    return " ".join(value.split())


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{what}: a list with at least one entry is needed")
    return value


def _scene(row: Any) -> PlannedScene:
    if not isinstance(row, dict):
        raise ValueError("an object with scene and activities is needed")
    activities = []
    for i, a in enumerate(_list(row.get("activities"), "activities")):
        if not isinstance(a, dict):
            raise ValueError(f"activity {i}: an object with task and steps is needed")
        steps = _list(a.get("steps"), f"activity {i}: steps")
        sentences = [_sentence(s, f"activity {i}: step {k}") for k, s in enumerate(steps)]
        if any(";" in s for s in sentences):
            raise ValueError(f"activity {i}: a semicolon in a step; it separates steps")
        activities.append(PlannedActivity(_sentence(a.get("task"), f"activity {i}: task"), tuple(sentences)))
    return PlannedScene(_sentence(row.get("scene"), "scene"), tuple(activities))


def read_scenes(path: str | os.PathLike[str]) -> list[PlannedScene]:
    """Read JSON lines ``{"scene": TEXT, "activities": [{"task": TEXT, "steps": [TEXT, ...]}, ...]}``.
    """
    scenes = []
    for n, row in json_rows(path):
        try:
            scenes.append(_scene(row))
        except ValueError as e:
            raise UserError(f"{path}: line {n}: {e}") from None
    if not scenes:
        raise UserError(f"{path}: no scenes in it")
    return scenes


def scene_pairs(scenes: Sequence[PlannedScene]) -> dict[str, list[Pair]]:
    """Every planning task's (slots, answer) pairs, in the order of the scenes."""
    pairs: dict[str, list[Pair]] = {name: [] for name in PLANNING_TASKS}
    for s in scenes:
        scene, tasks = {"scene": s.scene}, [tidy(a.task) for a in s.activities]
        pairs["scene_to_activity"].append((scene, tasks[0]))
        for i, a in enumerate(s.activities):
            activity, steps = {"activity": a.task}, {"steps": a.steps_text}
            pairs["activity_to_steps"].append((activity, a.steps_text))
            pairs["steps_to_activity"].append((steps, tasks[i]))
            pairs["activity_to_scene"].append((activity, tidy(s.scene)))
            pairs["steps_to_scene"].append((steps, tidy(s.scene)))
            if i + 1 == len(s.activities):
                continue
            next_task, next_steps = tasks[i + 1], s.activities[i + 1].steps_text
            pairs["activity_to_next_activity"].append((scene | activity, next_task))
            pairs["scene_steps_to_next_steps"].append((scene | steps, next_steps))
            pairs["scene_activity_to_next_steps"].append((scene | activity, next_steps))
            pairs["scene_steps_to_next_activity"].append((scene | steps, next_task))
            pairs["steps_to_next_steps"].append((steps, next_steps))
            pairs["activity_to_activity"].append((activity, next_task))
    return pairs


def read_planning_pairs(folder: str | os.PathLike[str]) -> dict[str, list[Pair]]:
    """Task name -> (slots, answer) pairs of ``train.jsonl`` in `folder`; steps are joined by semicolons."""
    return scene_pairs(read_scenes(Path(folder) / "train.jsonl"))
