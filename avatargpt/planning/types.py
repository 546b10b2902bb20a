"""What a plan is and what a planner can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from avatargpt.lm.loaded import LoadedModel
    from avatargpt.requests.phrase_index import PhraseIndex

LONGEST = 20.0  # s that a step may be wished to take


@dataclass(frozen=True)
class Activity:
    """One thing that a person does, and how: the middle of the three levels scene -> activity -> step.

    Attributes:
        task: the activity in a short sentence.
        steps: what one would see, in order; at least one.
        seconds: how long each step takes, where the planner says so; else empty.
    """

    task: str
    steps: tuple[str, ...]
    seconds: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"task": self.task, "steps": list(self.steps)}
        return out | ({"seconds": list(self.seconds)} if self.seconds else {})

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Activity:
        """From what `to_json` gave; lengths are taken where there is one for every step.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        steps = tuple(str(s).strip() for s in row["steps"])
        seconds = tuple(float(s) for s in row.get("seconds", ()))
        if seconds and (len(seconds) != len(steps) or not all(0 < s <= LONGEST for s in seconds)):
            raise ValueError(f"{len(seconds)} lengths for {len(steps)} steps, each above 0 and at most {LONGEST:g} s")
        return cls(str(row["task"]).strip(), steps, seconds)


@dataclass(frozen=True)
class Plan:
    """A scene with its activities.

    Attributes:
        scene: as it was asked.
        activities: in order.
        planner: which planner answered.
        notes: what was replaced or asked again, one sentence each.
    """

    scene: str
    activities: tuple[Activity, ...]
    planner: str = ""
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The form of the ``--json`` contract, with `planner` and, where there are any, `notes`."""
        out: dict[str, Any] = {"scene": self.scene, "activities": [a.to_json() for a in self.activities]}
        out["planner"] = self.planner
        if self.notes:
            out["notes"] = list(self.notes)
        return out


class MotionSide(Protocol):
    """What a planner needs of the model whose motions it plans."""

    @property
    def loaded(self) -> LoadedModel:
        """The network with its tokenizers."""
        ...

    @property
    def phrase_index(self) -> PhraseIndex | None:
        """Knows which steps can be shown; None = nothing is checked."""
        ...


class Planner(Protocol):
    """Anything that plans. Every answer is well-formed or a `UserError`; the same seed gives the same answer."""

    @property
    def name(self) -> str:
        """Who plans, for people."""
        ...

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """Scene -> activities with their steps."""
        ...

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """What comes after `done` in a scene that need never end.

        Args:
            done: the last activities (a bounded memory), oldest first; may be empty.
            described: what the motion made last looks like in words, may be empty.
        """
        ...

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """Any planning direction by the name of its task, e.g. ``activity_to_steps``: steps, or one sentence."""
        ...
