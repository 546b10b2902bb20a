"""Written plans: scenes with activities and steps, their training pairs, and the packaged kinds of scenes.

A kind (``plans/kinds/*.yaml``) has wordings of its scene, persons, places and moments, and activities that may be
first, in the middle or last. All parts of one kind fit together; nothing is drawn across kinds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_yaml

SEPARATOR = "; "  # between the steps of one prompt or answer
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

    Raises:
        UserError: the file cannot be read, holds nothing, or a line has another form; names file and line.
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


def planning_pairs(folder: str | os.PathLike[str]) -> dict[str, list[Pair]]:
    """Task name -> (slots, answer) pairs of ``train.jsonl`` in `folder`; steps are joined by semicolons."""
    return scene_pairs(read_scenes(Path(folder) / "train.jsonl"))


FIRST, MIDDLE, LAST = 1, 2, 3
MARK = re.compile(r"\{(\w+)\}")
PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself"),
            "they": ("they", "them", "their", "themselves")}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """The actor of a scene: ``a young baker``, and ``he``, ``she`` or ``they``."""

    name: str
    gender: str


@dataclass(frozen=True)
class KindActivity:
    """An activity of a kind, with ``{he}`` marks; `at`: which of `FIRST`, `MIDDLE`, `LAST` it may be."""

    task: str
    steps: tuple[str, ...]
    at: frozenset[int]


@dataclass(frozen=True)
class Kind:
    """A kind of scene, see the module."""

    name: str
    scenes: tuple[str, ...]
    persons: tuple[Person, ...]
    places: tuple[str, ...]
    moments: tuple[str, ...]
    activities: tuple[KindActivity, ...]


@cache
def kinds() -> dict[str, Kind]:
    """The packaged kinds by name, files in order."""
    kinds_by_name = {}
    for path in sorted((Path(__file__).parent / "plans" / "kinds").glob("*.yaml")):
        for name, row in read_yaml(path).items():
            scenes, places, moments = (tuple(row[key]) for key in ("scenes", "place", "when"))
            persons = tuple(Person(*text.split("|")) for text in row["who"])
            parts = tuple(KindActivity(a["task"], tuple(a["steps"]), frozenset(a["at"])) for a in row["activities"])
            kinds_by_name[name] = Kind(name, scenes, persons, places, moments, parts)
    return kinds_by_name


def scene(kind: Kind, template: int, rng: np.random.Generator) -> tuple[str, Person]:
    """A wording of the kind with a random person, place and moment."""
    person = kind.persons[int(rng.integers(len(kind.persons)))]
    place, moment = (options[int(rng.integers(len(options)))] for options in (kind.places, kind.moments))
    words = dict(zip(("he", "him", "his", "himself"), PRONOUNS[person.gender], strict=True))
    words |= {"who": person.name, "place": place, "when": moment}

    def fill(mark: re.Match[str]) -> str:
        word = words[mark[1].lower()]
        return word[:1].upper() + word[1:] if mark[1][0].isupper() else word

    text = MARK.sub(fill, kind.scenes[template])
    return " ".join(text.split()).replace(" .", ".").replace(" ,", ","), person
