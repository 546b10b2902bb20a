"""Who answers when a language model does not, and how often that is said."""

from __future__ import annotations

from typing import Any

import pytest

from avatargpt.llm.failures import LlmFailed
from avatargpt.planning.fallback import Fallback
from avatargpt.planning.types import Activity, Plan
from tests.llm.conftest import SCENE
from vqvae.errors import UserError


class Planner:
    """Answers, or fails as it is told to."""

    def __init__(self, name: str, *failures: Exception | None) -> None:
        self.name, self.failures, self.asked = name, list(failures), 0

    def _failing(self) -> None:
        self.asked += 1
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure

    def plan(self, scene: str, *given: Any) -> Plan:
        self._failing()
        return Plan(scene, (Activity("She rests", ("she sits down",)),), self.name, ("a note",))

    def next_activity(self, *given: Any) -> Activity:
        self._failing()
        return Activity(self.name, ("she sits down",))

    def answer(self, *given: Any) -> list[str]:
        self._failing()
        return [self.name]


def both(*failures: Exception | None) -> tuple[Fallback, Planner, list[str], list[int]]:
    lines: list[str] = []
    made: list[int] = []
    first = Planner("small-1", *failures)

    def second() -> Planner:
        made.append(1)
        return Planner("retrieval")

    return Fallback(first, second, lines.append), first, lines, made


def test_nothing_is_loaded_that_is_not_needed() -> None:
    planner, _, lines, made = both()
    assert planner.plan(SCENE).planner == planner.name == "small-1" and planner.answer("", {}) == ["small-1"]
    assert planner.next_activity(SCENE, []).task == "small-1" and not lines and not made


def test_a_lasting_failure_is_told_once_and_not_waited_for_again() -> None:
    planner, first, lines, made = both(LlmFailed("nobody there"))
    assert planner.next_activity(SCENE, []).task == "retrieval"
    found = planner.plan(SCENE)
    assert found.planner == "retrieval" and found.notes == ("a note", "small-1 gave no answer; retrieval planned.")
    assert planner.answer("", {}) == ["retrieval"] and planner.name == "retrieval"
    assert lines == ["nobody there; retrieval plans instead"] and first.asked == 1 and len(made) == 1


def test_after_nonsense_it_is_asked_again() -> None:
    nonsense = LlmFailed("no plan", lasting=False)
    planner, first, lines, _ = both(nonsense, None, nonsense)
    assert [planner.plan(SCENE).planner for _ in range(4)] == ["retrieval", "small-1", "retrieval", "small-1"]
    assert len(lines) == 1 and first.asked == 4


def test_what_the_user_can_mend_is_an_error() -> None:
    planner, _, lines, made = both(UserError("scene: no words in it"))
    with pytest.raises(UserError, match="no words"):
        planner.plan("")
    assert not lines and not made
