"""Written plans: scenes with activities and steps, their training pairs, and whole plans composed of kinds of scenes.

A kind (``plans/kinds/*.yaml``) has wordings of its scene, persons, places and moments, and activities that may be
first, in the middle or last. Whatever is drawn of one kind fits together; nothing is drawn across kinds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_yaml
from vqvae.strict import Strict

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
    """What is done (`task`, one sentence) and what one sees of it (`steps`, in order, at least one)."""

    task: str
    steps: tuple[str, ...]

    @property
    def joined(self) -> str:
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


def _words(value: Any, what: str) -> str:
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
        said = [_words(s, f"activity {i}: step {k}") for k, s in enumerate(steps)]
        if any(";" in s for s in said):
            raise ValueError(f"activity {i}: a semicolon in a step; it separates steps")
        activities.append(PlannedActivity(_words(a.get("task"), f"activity {i}: task"), tuple(said)))
    return PlannedScene(_words(row.get("scene"), "scene"), tuple(activities))


def read_scenes(path: str | os.PathLike[str]) -> list[PlannedScene]:
    """Read JSON lines ``{"scene": TEXT, "activities": [{"task": TEXT, "steps": [TEXT, ...]}, ...]}``.

    Raises:
        UserError: the file cannot be read, holds nothing, or a line has another form; names file and line.
    """
    out = []
    for n, row in json_rows(path):
        try:
            out.append(_scene(row))
        except ValueError as e:
            raise UserError(f"{path}: line {n}: {e}") from None
    if not out:
        raise UserError(f"{path}: no scenes in it")
    return out


def scene_pairs(scenes: Sequence[PlannedScene]) -> dict[str, list[Pair]]:
    """Every planning task's (slots, answer) pairs, in the order of the scenes."""
    out: dict[str, list[Pair]] = {name: [] for name in PLANNING_TASKS}
    for s in scenes:
        scene, tasks = {"scene": s.scene}, [tidy(a.task) for a in s.activities]
        out["scene_to_activity"].append((scene, tasks[0]))
        for i, a in enumerate(s.activities):
            activity, steps = {"activity": a.task}, {"steps": a.joined}
            out["activity_to_steps"].append((activity, a.joined))
            out["steps_to_activity"].append((steps, tasks[i]))
            out["activity_to_scene"].append((activity, tidy(s.scene)))
            out["steps_to_scene"].append((steps, tidy(s.scene)))
            if i + 1 == len(s.activities):
                continue
            next_task, next_steps = tasks[i + 1], s.activities[i + 1].joined
            out["activity_to_next_activity"].append((scene | activity, next_task))
            out["scene_steps_to_next_steps"].append((scene | steps, next_steps))
            out["scene_activity_to_next_steps"].append((scene | activity, next_steps))
            out["scene_steps_to_next_activity"].append((scene | steps, next_task))
            out["steps_to_next_steps"].append((steps, next_steps))
            out["activity_to_activity"].append((activity, next_task))
    return out


def planning_pairs(folder: str | os.PathLike[str]) -> dict[str, list[Pair]]:
    """Task name -> (slots, answer) pairs of ``train.jsonl`` in `folder`; steps are joined by semicolons.

    Raises:
        UserError: see `read_scenes`.
    """
    return scene_pairs(read_scenes(Path(folder) / "train.jsonl"))


FOLDER = Path(__file__).parent / "plans" / "kinds"
FIRST, MIDDLE, LAST = 1, 2, 3
LEAST = 2  # activities that may stand in each of these
MARK = re.compile(r"\{(\w+)\}")
OF_SCENES = frozenset({"Who", "who", "place", "when", "he", "He", "him", "his", "himself"})
OF_STEPS = frozenset({"he", "He", "him", "his", "himself"})
WORDS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself"),
         "they": ("they", "them", "their", "themselves")}  # fmt: skip


class _Activity(Strict):
    task: str
    at: list[int]
    steps: list[str]


class _Kind(Strict):
    scenes: list[str]
    who: list[str]
    place: list[str]
    when: list[str]
    activities: list[_Activity]


@dataclass(frozen=True)
class Person:
    """Who a scene is about: ``a young baker``, and ``he`` or ``she``."""

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

    def at(self, place: int) -> list[KindActivity]:
        """Activities that may stand first, in the middle or last."""
        return [a for a in self.activities if place in a.at]


def fill(text: str, gender: str, **given: str) -> str:
    """Words for the marks: pronouns of `gender`, and what is given by name (``who``, ``place``, ``when``)."""
    he, him, his, himself = WORDS[gender]
    words = {"he": he, "him": him, "his": his, "himself": himself, **given}
    out = MARK.sub(lambda m: _as(m.group(1), words), text)
    return " ".join(out.split()).replace(" .", ".").replace(" ,", ",")


def _as(mark: str, words: dict[str, str]) -> str:
    said = words[mark.lower()]
    return said[:1].upper() + said[1:] if mark[0].isupper() else said


def _checked(name: str, read: _Kind, where: str) -> Kind:
    persons = []
    for text in read.who:
        who, _, gender = text.partition("|")
        if gender not in WORDS or not who.strip():
            raise UserError(f"{where}: who: {text!r}; accepted: a person, a bar and he, she or they")
        persons.append(Person(who.strip(), gender))
    told = [t for a in read.activities for t in (a.task, *a.steps)]
    for texts, marks in ((read.scenes, OF_SCENES), (told, OF_STEPS)):
        for text in texts:
            if unknown := sorted(set(MARK.findall(text)) - marks):
                raise UserError(f"{where}: {text!r}: {', '.join(unknown)}; accepted: {', '.join(sorted(marks))}")
            if ";" in text and marks is OF_STEPS:
                raise UserError(f"{where}: {text!r}: a semicolon; it separates steps")
    activities = tuple(KindActivity(a.task, tuple(a.steps), frozenset(a.at)) for a in read.activities)
    for a in activities:
        if not a.steps or not a.at or not a.at <= {FIRST, MIDDLE, LAST}:
            raise UserError(f"{where}: {a.task!r}: accepted: at least one step, and at: some of 1, 2, 3")
    kind = Kind(name, tuple(read.scenes), tuple(persons), tuple(read.place), tuple(read.when), activities)
    for place in (FIRST, MIDDLE, LAST):
        if len(kind.at(place)) < LEAST:
            raise UserError(f"{where}: {len(kind.at(place))} activities at {place}; accepted: at least {LEAST}")
    if not (kind.scenes and kind.persons and kind.places and kind.moments):
        raise UserError(f"{where}: scenes, who, place and when need an entry each")
    return kind


def read_kinds(folder: Path = FOLDER) -> dict[str, Kind]:
    """All kinds of a folder by name, files in order.

    Raises:
        UserError: no such folder, a file or a kind that cannot be understood, or a name twice.
    """
    out: dict[str, Kind] = {}
    for path in sorted(folder.glob("*.yaml")):
        data: Any = read_yaml(path)
        if not isinstance(data, dict):
            raise UserError(f"{path}: accepted: a mapping from names to kinds of scenes")
        for name, values in data.items():
            where = f"{path.name}: {name}"
            if name in out:
                raise UserError(f"{where}: the name is there already")
            out[str(name)] = _checked(str(name), _Kind.read(values, where), where)
    if not out:
        raise UserError(f"{folder}: no kinds of scenes in it; accepted: a folder with .yaml files")
    return out


@cache
def kinds() -> dict[str, Kind]:
    """The packaged ones."""
    return read_kinds()


def scene(kind: Kind, template: int, rng: np.random.Generator) -> tuple[str, Person]:
    """A wording with a person, a place and a moment that are drawn."""
    person = kind.persons[int(rng.integers(len(kind.persons)))]
    place, moment = (some[int(rng.integers(len(some)))] for some in (kind.places, kind.moments))
    return fill(kind.scenes[template], person.gender, who=person.name, place=place, when=moment), person


def told(activities: Sequence[KindActivity], person: Person) -> tuple[PlannedActivity, ...]:
    """Activities in words; the very first step names the person."""
    out = []
    for number, activity in enumerate(activities):
        steps = [fill(s, person.gender) for s in activity.steps]
        if number == 0 and activity.steps[0].startswith("{he} "):
            steps[0] = f"{person.name} {fill(activity.steps[0][5:], person.gender)}"
        out.append(PlannedActivity(fill(activity.task, person.gender), tuple(steps)))
    return tuple(out)


def composed(some: Sequence[Kind], each: int, seed: int = 0) -> Iterator[PlannedScene]:
    """Different whole plans, `each` of a kind: first, middle, last."""
    for number, kind in enumerate(some):
        rng = np.random.default_rng([seed, 71, number])
        seen: set[str] = set()
        for k in range(4 * each):
            said, person = scene(kind, k % len(kind.scenes), rng)
            if said in seen:
                continue
            seen.add(said)
            chosen: list[KindActivity] = []
            for place in (FIRST, MIDDLE, LAST):
                free = [a for a in kind.at(place) if a not in chosen]
                chosen.append(free[int(rng.integers(len(free)))])
            yield PlannedScene(said, told(chosen, person))
            if len(seen) == each:
                break
