"""Planners by name, the planner behind a language model, the check of steps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt.llm import load_llm
from avatargpt.llm.endpoint import KEY, MODEL, URL
from avatargpt.llm.model import IllFormed, LlmFailed
from avatargpt.planning import check_spec, describe_planners, load_planner
from avatargpt.planning.language_planner import CheckedPlanner, Fallback, LanguagePlanner, StepChecker
from avatargpt.planning.library import PlanLibrary
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.types import Activity, Plan
from avatargpt.reading.reader import Names
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError

SCENE = "A tired nurse finishes the night shift."


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, MODEL, KEY):
        monkeypatch.delenv(name, raising=False)


def test_names_of_planners() -> None:
    specs = [None, "", "retrieval", "endpoint", "https://x.example/v1"]
    assert [check_spec(s) for s in specs] == ["retrieval"] * 3 + ["endpoint", "url"]
    for wrong in ("retrival", "model", "/tmp"):
        with pytest.raises(UserError, match="accepted: retrieval, endpoint"):
            check_spec(wrong)


def test_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = SimpleNamespace(loaded=SimpleNamespace(grounder=None, source="tiny"), phrase_index=None)
    with pytest.raises(UserError, match=f"set {URL}"):
        load_planner("endpoint", model)
    monkeypatch.setenv(MODEL, "m")
    assert isinstance(load_planner("https://x.example/v1", model), LanguagePlanner)  # fails where it cannot answer
    llm = load_llm("https://x.example/v1", cached=False)
    assert isinstance(load_planner("", model, llm), Fallback)  # goes on with retrieval
    for name, helper in ((None, None), ("retrieval", llm)):
        with pytest.raises(UserError, match="sentence encoder"):
            load_planner(name, model, helper)


def test_steps_are_checked_where_the_motion_side_can_tell(
    phrases: PhraseIndex, library: PlanLibrary, encoder: Any, tmp_path: Path
) -> None:
    library.save(tmp_path)
    encoder.load = lambda: None
    loaded: Any = SimpleNamespace(grounder=encoder, source=tmp_path)
    planner = load_planner("retrieval", SimpleNamespace(loaded=loaded, phrase_index=phrases))
    assert isinstance(planner, CheckedPlanner) and isinstance(planner.planner, RetrievalPlanner)
    assert planner.name == "retrieval" and planner.planner.showable is not None
    assert isinstance(load_planner("", SimpleNamespace(loaded=loaded, phrase_index=None)), RetrievalPlanner)


def test_planners_of_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe_planners(tmp_path)["retrieval"].startswith("none") and describe_planners(tmp_path)[
        "endpoint"
    ].startswith("none")
    (tmp_path / "planning.safetensors").touch()
    for name, value in ((URL, "https://x.example/v1"), (MODEL, "m"), (KEY, "secret")):
        monkeypatch.setenv(name, value)
    planners = describe_planners(tmp_path)
    assert planners["retrieval"].startswith("the default") and planners["endpoint"] == "m at https://x.example/v1"
    assert "secret" not in str(planners)


class Planner:
    """Answers, or fails in the order of `failures`."""

    def __init__(self, name: str, *failures: Exception | None) -> None:
        self.name, self.failures, self.calls = name, list(failures), 0

    def _answer(self, value: Any) -> Any:
        self.calls += 1
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        return value

    def plan(self, scene: str, *options: Any) -> Plan:
        activity = Activity("She rests", ("she sits down",))
        return self._answer(Plan(scene, (activity,), self.name, ("a note",)))  # type: ignore[no-any-return]

    def next_activity(self, *options: Any) -> Activity:
        return self._answer(Activity(self.name, ("she sits down",)))  # type: ignore[no-any-return]

    def answer(self, *options: Any) -> list[str]:
        return self._answer([self.name])  # type: ignore[no-any-return]


def fallback(*failures: Exception | None) -> tuple[Fallback, Planner, list[str], list[Planner]]:
    """The planner, its first one, what users read, and each planner that was loaded to take over."""
    lines: list[str] = []
    loaded: list[Planner] = []
    first = Planner("small-1", *failures)

    def second() -> Planner:
        loaded.append(Planner("retrieval"))
        return loaded[-1]

    return Fallback(first, second, lines.append), first, lines, loaded


def test_nothing_is_loaded_that_is_not_needed() -> None:
    planner, _, lines, loaded = fallback()
    assert planner.plan(SCENE).planner == planner.name == "small-1" and planner.answer("", {}) == ["small-1"]
    assert planner.next_activity(SCENE, []).task == "small-1" and not lines and not loaded


def test_a_failure_is_reported_once() -> None:
    planner, first, lines, loaded = fallback(*[LlmFailed("nobody there")] * 3)
    assert planner.next_activity(SCENE, []).task == "retrieval"
    plan = planner.plan(SCENE)
    assert plan.planner == "retrieval" and plan.notes == ("a note", "small-1 gave no answer; retrieval planned.")
    assert planner.answer("", {}) == ["retrieval"] and planner.name == "retrieval"
    assert lines == ["nobody there; retrieval plans instead"] and first.calls == 3 and len(loaded) == 1


def test_after_nonsense_the_model_is_tried_again() -> None:
    nonsense = IllFormed("no plan")
    planner, first, lines, _ = fallback(nonsense, None, nonsense)
    assert [planner.plan(SCENE).planner for _ in range(4)] == ["retrieval", "small-1", "retrieval", "small-1"]
    assert len(lines) == 2 and first.calls == 4  # it had answered in between


def test_mistakes_of_users_are_errors() -> None:
    planner, _, lines, loaded = fallback(UserError("scene: no words in it"))
    with pytest.raises(UserError, match="no words"):
        planner.plan("")
    assert not lines and not loaded


class Reads:
    """Takes "and" for a joint of clauses, and knows an action by a word of it."""

    WORDS = ("walk", "walk"), ("arm", "raise"), ("bow", "bow"), ("sit", "sit")

    def read(self, text: str) -> MotionRequest:
        return MotionRequest(clauses=[Clause(action=part) for part in text.split(" and ")], text=text)

    def names(self, texts: list[str]) -> list[Names]:
        known = [next((name for word, name in self.WORDS if word in text), None) for text in texts]
        return [((None, 0.9), ("walk", 0.1)) if name is None else ((name, 0.9), (None, 0.1)) for name in known]


@pytest.fixture
def checker(phrases: PhraseIndex, grounder: Any, monkeypatch: pytest.MonkeyPatch) -> StepChecker:
    monkeypatch.setattr(phrases, "reads", Reads())
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
    assert checker.showable(steps) == [True, True, False]
    notes = checker.notes(steps)
    assert len(notes) == 2 and "known is 'he walks' (1.0" in notes[0] and notes[0].startswith(repr(steps[1]))
    assert "nothing like it is known" in notes[1] and checker.notes(steps[:1]) == ()


GO = Activity("Go", ("he bows", "he walks over the very long bridge"))


def test_any_planner_can_be_checked(checker: StepChecker) -> None:
    """The plan stays as it is written."""
    fixed: Any = SimpleNamespace(
        name="fixed", plan=lambda scene, *_, **__: Plan(scene, (GO,), "fixed", ("Thought twice.",)),
        next_activity=lambda *_, **__: GO,
        answer=lambda task, *_, **__: list(GO.steps) if task.endswith("steps") else ["Over the long bridge"],
    )  # fmt: skip
    checked = CheckedPlanner(fixed, checker)
    plan = checked.plan("A man.", 1)
    assert checked.name == plan.planner == "fixed" and plan.activities == (GO,)
    assert plan.notes[0] == "Thought twice." and "may not look as it reads" in plan.notes[1]
    assert plan.to_json()["notes"] == list(plan.notes)
    assert checked.next_activity("A man.", []) == GO and len(checked.notes) == 1
    assert checked.answer("activity_to_steps", {"activity": "Go"}) == list(GO.steps) and len(checked.notes) == 1
    assert checked.answer("steps_to_activity", {"steps": "he bows"}) == ["Over the long bridge"] and checked.notes == ()
