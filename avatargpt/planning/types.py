"""Plans, and the protocol of planners with its checks."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from avatargpt.requests.english import check_words, looks_english
from instruct_data import registry
from instruct_data.planning import PLANNING_TASKS, SEPARATOR, join_steps
from instruct_data.requests.script import read_script
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.loaded import LoadedModel
    from avatargpt.requests.phrase_index import PhraseIndex

MAX_STEP_SECONDS = 20.0  # that a planner may ask for
DEFAULT_ACTIVITIES, MAX_ACTIVITIES = 3, 50
MIN_SECONDS, MAX_SECONDS = 1.0, 14_400.0  # of a plan
MAX_STEPS = 12  # of one activity


@dataclass(frozen=True)
class Activity:
    """An activity of a person: the middle of the three levels scene -> activity -> step."""

    task: str  # the activity in a short sentence
    steps: tuple[str, ...]  # the visible movements, in order; at least one
    seconds: tuple[float, ...] = ()  # of each step, where the planner gives them; else empty
    reason: str = ""  # what was seen that it answers; empty = it goes on with the scene

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"task": self.task, "steps": list(self.steps)}
        out |= {"seconds": list(self.seconds)} if self.seconds else {}
        return out | ({"reason": self.reason} if self.reason else {})

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Activity:
        """From what `to_json` gave; lengths are taken where there is one for every step.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        steps = tuple(str(s).strip() for s in row["steps"])
        seconds = tuple(float(s) for s in row.get("seconds", ()))
        if seconds and (len(seconds) != len(steps) or not all(0 < s <= MAX_STEP_SECONDS for s in seconds)):
            raise ValueError(
                f"{len(seconds)} lengths for {len(steps)} steps, each above 0 and at most {MAX_STEP_SECONDS:g} s"
            )
        return cls(str(row["task"]).strip(), steps, seconds)


@dataclass(frozen=True)
class Plan:
    """A scene with its activities."""

    scene: str  # as it was asked
    activities: tuple[Activity, ...]  # in order
    planner: str = ""  # which planner answered
    notes: tuple[str, ...] = field(default=())  # what was replaced or asked again, one sentence each

    def to_json(self) -> dict[str, Any]:
        """The form of the ``--json`` contract, with `planner` and, where there are any, `notes`."""
        out: dict[str, Any] = {"scene": self.scene, "activities": [a.to_json() for a in self.activities]}
        out["planner"] = self.planner
        if self.notes:
            out["notes"] = list(self.notes)
        return out


def plan_script(scene: str) -> Plan | None:
    """The plan that a script is (`instruct_data.requests.script`), None for other texts: one activity, whose steps take
    the times of its parts.

    Raises:
        UserError: a damaged script, or a time that no plan lasts.
    """
    script = read_script(scene)
    if not script:
        return None
    if script[-1].end > MAX_SECONDS:
        raise UserError(f"script of {script[-1].end:g} s; accepted: at most {MAX_SECONDS:g}")
    steps: list[str] = []
    seconds: list[float] = []
    for part in script:
        count = math.ceil(part.seconds / MAX_STEP_SECONDS)
        steps += [part.step] * count
        seconds += [part.seconds / count] * count
    return Plan(scene, (Activity("as in the script", tuple(steps), tuple(seconds)),), "script")


class MotionSide(Protocol):
    """The part of a model that a planner uses."""

    @property
    def loaded(self) -> LoadedModel:
        """The network with its tokenizers."""
        ...

    @property
    def phrase_index(self) -> PhraseIndex | None:
        """The known movements; None = steps are not checked."""
        ...


class StepScores(Protocol):
    """What the motion side knows of steps."""

    def plain(self, texts: Sequence[str]) -> list[float]:
        """A score for every movement, about 0 to 1.2."""
        ...

    def showable(self, steps: Sequence[str]) -> list[bool]:
        """Whether each step is shown by captions that say what it does."""
        ...

    def seconds(self, steps: Sequence[str]) -> list[float]:
        """The usual time of each step, 0 where none is known."""
        ...


class Planner(Protocol):
    """Anything that plans. Every answer is well-formed or a `UserError`; the same seed gives the same answer."""

    @property
    def name(self) -> str:
        """Of the planner, for people."""
        ...

    def plan(
        self, scene: str, activities: int | None = None, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        """Scene -> activities with their steps.

        Args:
            activities: number of them; None = one for each event that the scene names, or three. No event is lost.
            seconds: of all steps together, within a tenth, with `Activity.seconds` set; None = as they take.
        """
        ...

    def next_activity(
        self, scene: str, past: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0,
        posture: str = "",
    ) -> Activity:  # fmt: skip
        """The activity after `past`, in an endless scene.

        Args:
            described: what the last motion showed, in words; the activity depends on it, and deals with what happened
                instead of the last steps (`avatargpt.planning.consequences`).
            posture: measured at the motion's end, one of `instruct_data.attributes.POSTURES`; empty = of the words.
        """
        ...

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """Any planning direction by the name of its task, e.g. ``activity_to_steps``: steps, or one sentence."""
        ...


@runtime_checkable
class LazyPlanner(Protocol):
    """A planner whose first activity is known before the others."""

    def plan_lazily(self, scene: str, temperature: float = 0.7, seed: int = 0) -> Iterator[Activity]:
        """The activities of `Planner.plan`, each once it is asked for; of a scene without a length."""
        ...


def plan_activities(planner: Planner, scene: str, temperature: float, seed: int) -> Iterator[Activity]:
    """The activities of `Planner.plan`, one by one where the planner can."""
    if isinstance(planner, LazyPlanner):
        return planner.plan_lazily(scene, temperature, seed)
    return iter(planner.plan(scene, None, temperature, seed).activities)


def check_scene(scene: str) -> str:
    """A scene to plan in: `check_words` and in English, see `looks_english`."""
    line = check_words(scene)
    if not looks_english(line):
        raise UserError(f"scene: {line[:60]!r} does not look like English; accepted English text")
    return line


def check_plan(scene: str, activities: int | None = None, seconds: float | None = None) -> str:
    """The scene, once it, the number of activities and the seconds are accepted."""
    if activities is not None and not 1 <= activities <= MAX_ACTIVITIES:
        raise UserError(f"activities: {activities}; accepted 1 to {MAX_ACTIVITIES}")
    if seconds is not None and not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise UserError(f"seconds: {seconds:g}; accepted {MIN_SECONDS:g} to {MAX_SECONDS:g}")
    return check_scene(scene)


def check_slots(task: str, slots: Mapping[str, str]) -> dict[str, str]:
    """Slots of a planning task, tidied; steps joined by semicolons."""
    task_slots = get_planning_task(task).slots
    if unknown := sorted(slots.keys() - task_slots.keys()):
        raise UserError(f"task {task}: does not take {unknown[0]}; accepted: {', '.join(task_slots)}")
    if missing := [name for name in task_slots if not str(slots.get(name) or "").strip()]:
        raise UserError(f"task {task}: {missing[0]} is needed; accepted: {', '.join(task_slots)}")
    out = {}
    for name in task_slots:
        line = check_words(slots[name], name)
        if name == "steps":
            steps = line.split(SEPARATOR.strip())
            if len([s for s in steps if s.strip()]) > 2 * MAX_STEPS:
                raise UserError(f"steps: {len(steps)} of them; accepted at most {2 * MAX_STEPS}")
            line = join_steps(steps)
        elif not looks_english(line):
            raise UserError(f"{name}: {line[:60]!r} does not look like English; accepted English text")
        out[name] = line
    return out


def get_planning_task(name: str) -> registry.Task:
    """A task among the planning directions."""
    if name in PLANNING_TASKS:
        return registry.get_task(name)
    close = difflib.get_close_matches(name, PLANNING_TASKS, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"unknown planning task {name!r}; {hint}available: {', '.join(PLANNING_TASKS)}")
