"""A planner whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avatargpt.planning.types import Activity, Plan


class ListPlanner:
    """Goes through a list of activities, over and over; remembers what it was asked."""

    name = "list"

    def __init__(self, activities: Sequence[Activity]) -> None:
        self.activities, self.asked = list(activities), []
        self.at = 0
        self.planned: list[Activity] = []

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        self.asked.append({"scene": scene, "done": list(done), "described": described, "temperature": temperature,
                           "seed": seed})  # fmt: skip
        self.at += 1
        return self.activities[(self.at - 1) % len(self.activities)]

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """Nothing: all activities come one after the other, unless `planned` holds some."""
        return Plan(scene, tuple(self.planned), self.name)

    def answer(self, *args: Any, **more: Any) -> Any:
        raise AssertionError("the loop asks for activities only")
