"""The check of steps: scores, and notes on the nearest known movement."""

from __future__ import annotations

from typing import Any

import pytest

from avatargpt.planning import Activity, Plan
from avatargpt.planning.executable import CheckedPlanner, StepChecker
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.requests.spec import Clause, MotionRequest


class Reads:
    """Takes "and" for a joint of clauses."""

    def read(self, text: str) -> MotionRequest:
        return MotionRequest(clauses=[Clause(action=part) for part in text.split(" and ")], text=text)


@pytest.fixture
def checker(phrases: PhraseIndex, grounder: Any) -> StepChecker:
    phrases.reader = Reads()  # type: ignore[assignment]
    return StepChecker(phrases, grounder, 1.1)


def test_scores(checker: StepChecker) -> None:
    good, both, bad, half = checker.can_do(
        ["a person walks", "he walks and bows", "he ponders the meaning of it", "he walks and kneels"]
    )
    assert good > 1.1 and abs(both - good) < 1e-6 and bad < 0.5 and half < 0.8 * good
    scores = checker.can_do(["he ponders the meaning of it", "a person walks", "a person walks"])
    assert scores == [bad, good, good] and checker.can_do([]) == []


def test_the_nearest_movement_keeps_the_person(checker: StepChecker) -> None:
    assert checker.nearest_movement("she lets her left arm rise, raised by a balloon") == "she raises her left arm"
    assert checker.nearest_movement("an old man walks over the bridge") == "an old man walks"
    assert checker.nearest_movement("a person walks") == ""


def test_weak_steps_are_noted(checker: StepChecker) -> None:
    steps = ["he walks", "he walks over the very long bridge", "he ponders the meaning of it"]
    assert checker.weak(steps) == 2
    notes = checker.notes(steps)
    assert len(notes) == 2 and "known is 'he walks' (1.0" in notes[0] and notes[0].startswith(repr(steps[1]))
    assert "nothing like it is known" in notes[1] and checker.notes(steps[:1]) == ()


GO = Activity("Go", ("he bows", "he walks over the very long bridge"))


class Fixed:
    """Plans the same whatever is asked."""

    name = "fixed"

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        return Plan(scene, (GO,), "fixed", ("Thought twice.",))

    def next_activity(
        self, scene: str, past: Any, described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        return GO

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        return list(GO.steps) if task.endswith("steps") else ["Over the long bridge"]


def test_any_planner_can_be_checked(checker: StepChecker) -> None:
    """The plan stays as it is written."""
    checked = CheckedPlanner(Fixed(), checker)
    plan = checked.plan("A man.", 1)
    assert checked.name == plan.planner == "fixed" and plan.activities == (GO,)
    assert plan.notes[0] == "Thought twice." and "may not look as it reads" in plan.notes[1]
    assert plan.to_json()["notes"] == list(plan.notes)
    assert checked.next_activity("A man.", []) == GO and len(checked.notes) == 1
    assert checked.answer("activity_to_steps", {"activity": "Go"}) == list(GO.steps) and len(checked.notes) == 1
    assert checked.answer("steps_to_activity", {"steps": "he bows"}) == ["Over the long bridge"] and checked.notes == ()
