"""A planner with another one behind it, for when the first cannot answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from avatargpt.llm.failures import LlmFailed
from avatargpt.planning.types import Activity, Plan, Planner

T = TypeVar("T")
Tell = Callable[[str], None]
"""Takes one line for the user."""


class Fallback:
    """Asks a language model, and without an answer of it the planner there is without one.

    That is told once; a model that will most likely fail again (nobody there, bounds used up) is not asked again.

    Args:
        first: may raise `LlmFailed`. second: makes the other planner when it is first needed. tell: where it is said.
    """

    def __init__(self, first: Planner, second: Callable[[], Planner], tell: Tell) -> None:
        self.first, self._second, self._tell = first, second, tell
        self.name = first.name
        self._told = self._over = False

    @cached_property
    def second(self) -> Planner:
        """Who answers instead."""
        return self._second()

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """See `avatargpt.planning.types.Planner.plan`; `Plan.planner` says who answered, a note why."""
        why: list[str] = []
        found = self._either(lambda p: p.plan(scene, activities, temperature, seed), why)
        return replace(found, notes=(*found.notes, *why))

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """See `avatargpt.planning.types.Planner.next_activity`."""
        return self._either(lambda p: p.next_activity(scene, done, described, temperature, seed), [])

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`."""
        return self._either(lambda p: p.answer(task, slots, temperature, seed), [])

    def _either(self, ask: Callable[[Planner], T], why: list[str]) -> T:
        if not self._over:
            try:
                return ask(self.first)
            except LlmFailed as e:
                self._over = e.lasting
                if not self._told:
                    self._tell(f"{e}; {self.second.name} plans instead")
                    self._told = True
        if self._over:
            self.name = self.second.name
        why.append(f"{self.first.name} gave no answer; {self.second.name} planned.")
        return ask(self.second)
