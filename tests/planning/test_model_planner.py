"""A language model as planner: well-formed whatever it says, retried under a rule, or a clear error."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from avatargpt.lm.loaded import LoadedModel
from avatargpt.planning import model_planner
from avatargpt.planning.listing import Listing
from avatargpt.planning.model_planner import ModelPlanner
from avatargpt.planning.parse import alike, check_sentence, check_steps
from avatargpt.planning.types import Activity
from instruct_data.planning import PLANNING_TASKS, STEP_TASKS
from instruct_data.registry import get_task
from vqvae.errors import UserError

SCENE = "A tired nurse finishes the night shift."
SLOTS = {"scene": SCENE, "activity": "She washes her hands", "steps": "she sits down; she stands up"}


class Told(ModelPlanner):
    """A planner whose model says what it is told to say, try after try."""

    def __init__(self, loaded: LoadedModel, *tries: list[Any]) -> None:
        super().__init__(loaded)
        self.tries = list(tries)
        self.constrained: list[bool] = []

    def _said(self, task: str, asked: Any, temperature: float, seed: int, constrained: bool, samples: int) -> Any:
        self.constrained.append(constrained)
        return [[(t, -1.0, True) if isinstance(t, str) else t for t in self.tries.pop(0)]]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """The untrained model rambles: stop its free answers early."""
    monkeypatch.setattr(model_planner, "TOKENS", 12)


def test_an_untrained_model_still_makes_well_formed_plans(loaded: LoadedModel) -> None:
    planner = ModelPlanner(loaded, 4)
    plan = planner.plan(SCENE, 3, 0.9, 4)
    assert len(plan.activities) == 3 and plan.planner == "model"
    assert len({alike(a.task) for a in plan.activities}) == 3
    for a in plan.activities:
        assert check_sentence(a.task) and check_steps(a.steps) == a.steps and len(a.steps) >= 2
    assert planner.plan(SCENE, 3, 0.9, 4) == plan
    assert planner.plan(SCENE, 3, 0.9, 5) != plan


def test_every_direction(loaded: LoadedModel) -> None:
    planner = ModelPlanner(loaded, 2)
    for name in PLANNING_TASKS:
        wanted = {k: SLOTS[k] for k in get_task(name).slots}
        said = planner.answer(name, wanted, 0.9, 1)
        assert said and (len(said) >= 2) == (name in STEP_TASKS), name


def test_free_answers_first_then_the_rule(loaded: LoadedModel) -> None:
    slots = {"activity": SLOTS["activity"]}
    planner = Told(loaded, ["she walks; she walks", ("she bows", -1.0, False), ""], ["she kneels; she bows"])
    assert planner.answer("activity_to_steps", slots) == ["she kneels", "she bows"]
    assert planner.constrained == [False, True]
    planner = Told(loaded, ["she kneels; she bows"])
    assert planner.answer("activity_to_steps", slots) == ["she kneels", "she bows"]
    assert planner.constrained == [False]


def test_even_the_likeliest_answer_of_all_may_be_there_already(loaded: LoadedModel) -> None:
    """Temperature 0 always says the same; the last try samples."""
    planner = ModelPlanner(loaded, 2)
    tasks = [planner.plan(SCENE, 2, 0.0).activities[k].task for k in (0, 1)]
    assert alike(tasks[0]) != alike(tasks[1])


def test_an_error_instead_of_an_empty_plan(loaded: LoadedModel) -> None:
    bad = ["", ";;", "she walks and walks and walks and walks and walks", ("she bows; she sits", -1.0, False)]
    with pytest.raises(UserError, match="no well-formed answer to activity_to_steps .*did not end"):
        Told(loaded, bad, bad, bad).answer("activity_to_steps", {"activity": "waiting"})


def test_the_likelier_answer_wins(loaded: LoadedModel) -> None:
    planner = Told(loaded, [("she sits; she bows", -9.0, True), ("she kneels; she bows", -0.1, True)])
    planner._back = lambda task, slots, answers: [0.0] * len(answers)  # type: ignore[method-assign]
    assert planner.answer("activity_to_steps", {"activity": "prayer"}) == ["she kneels", "she bows"]
    planner = Told(loaded, [("she sits; she bows", -1.0, True), ("she kneels; she bows", -1.0, True)])
    planner._back = lambda task, slots, answers: [0.0 if "sits" in a else -5.0 for a in answers]  # type: ignore[method-assign]
    assert planner.answer("activity_to_steps", {"activity": "prayer"}) == ["she sits", "she bows"]


def test_what_was_done_is_not_done_again(loaded: LoadedModel) -> None:
    done = [Activity("She sits down", ("she bends her knees", "she sits"))]
    steps = ["she bends her knees; she sits", "she rises; she turns"]
    planner = Told(loaded, ["she sits down.", "she stands up"], steps)
    assert planner.next_activity(SCENE, done) == Activity("She stands up", ("she rises", "she turns"))


def test_bad_questions(loaded: LoadedModel) -> None:
    planner = ModelPlanner(loaded)
    for call, why in (
        (lambda: planner.plan("", 1), "no words"), (lambda: planner.plan(SCENE, 0), "accepted 1 to"),
        (lambda: planner.answer("activity_to_stops", {}), "did you mean"),
        (lambda: planner.answer("activity_to_steps", {}), "activity is needed"),
        (lambda: planner.next_activity("\x07 nurse", []), "control"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=why):
            call()


@pytest.mark.parametrize(("least", "most"), [(1, 1), (2, 4), (3, 3)])
def test_the_rule_keeps_its_promise(least: int, most: int) -> None:
    """Random logits, followed greedily: between `least` and `most` items of the wanted length, then the end."""
    mark, end, never = 3, 1, (0, 2)
    rule = Listing(mark, end, least, most, 2, 5, never)
    noise = torch.Generator().manual_seed(0)
    said = torch.zeros(40, 0, dtype=torch.long)
    for _ in range(rule.tokens + 1):
        logits = rule(torch.randn(40, 12, generator=noise), said)
        said = torch.cat([said, logits.argmax(-1, keepdim=True)], 1)
    for row in said.tolist():
        assert end in row
        text = row[: row.index(end)]
        items = " ".join(map(str, text)).split(f" {mark} ")
        assert least <= len(items) <= most
        assert all(2 <= len(i.split()) <= 5 for i in items) and not set(text) & set(never)


def test_a_rule_that_the_loop_guard_leaves_no_way() -> None:
    rule = Listing(3, 1, 1, 2, 1, 2)
    logits = torch.zeros(1, 6)
    logits[:, [1, 3]] = float("-inf")
    assert int(rule(logits, torch.tensor([[4, 5]])).argmax()) == 3
    assert int(rule(logits, torch.tensor([[4, 3, 5, 4]])).argmax()) == 1
