"""The planner that is built in, on a small library."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt.planning import measures as measures
from avatargpt.planning.compose import of_others, retold, sided, statement
from avatargpt.planning.library import FILE, PlanLibrary
from avatargpt.planning.persons import Person
from avatargpt.planning.retrieval_planner import MEMORY, RetrievalPlanner
from avatargpt.planning.types import Activity, Plan, planning_task
from instruct_data.planning import PLANNING_TASKS, STEP_TASKS
from vqvae.errors import UserError

SCENE = "A tired gardener is at work in the sun."


def test_a_library_survives_its_file(library: PlanLibrary, tmp_path: Path) -> None:
    library.save(tmp_path)
    again = PlanLibrary.load(tmp_path)
    assert (again.scenes, again.tasks, again.steps) == (library.scenes, library.tasks, library.steps)
    assert np.abs((again.step_vectors * library.step_vectors).sum(1) - 1).max() < 0.01
    assert again.figures == library.figures
    assert (again.kinds.names, again.kinds.parts) == (library.kinds.names, library.kinds.parts)
    assert again.kinds.persons == [("a young baker", "she"), ("a young pilot", "she")]
    assert (again.kinds.vectors * library.kinds.vectors).sum(1).min() > 0.99
    assert again.fingerprint == PlanLibrary.load(tmp_path).fingerprint
    again.tasks[0] += " twice"
    del again.__dict__["fingerprint"]
    assert again.fingerprint != PlanLibrary.load(tmp_path).fingerprint


def test_missing_and_damaged_libraries(library: PlanLibrary, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        PlanLibrary.load(tmp_path)
    data = library.save(tmp_path).read_bytes()
    for broken in (b"", data[:200], data[: len(data) // 2]):
        (tmp_path / FILE).write_bytes(broken)
        with pytest.raises(UserError, match="not a readable planning library"):
            PlanLibrary.load(tmp_path)


def test_plans_are_well_formed_and_reproducible(planner: RetrievalPlanner) -> None:
    for count in (1, 3, 5):
        plan = planner.plan(SCENE, count, seed=3)
        assert measures.well_formed(plan, count)
        assert measures.order_violations(plan) == []
        assert measures.loops(plan) == 0
        assert plan == planner.plan(SCENE, count, seed=3)
    assert len({planner.plan(SCENE, 2, 1.0, s).activities for s in range(6)}) > 1
    assert len({planner.plan(SCENE, 2, 0.0, s).activities for s in range(3)}) == 1


def test_the_actor_is_the_one_of_the_scene(planner: RetrievalPlanner) -> None:
    plan = planner.plan("A tired gardener finishes her work.", 3)
    said = " ".join(s for a in plan.activities for s in (a.task, *a.steps))
    assert said.count("a tired gardener") == 1
    assert " he " not in said.lower() and " his " not in said.lower()
    assert "wearily" in said


def test_nobody_waves_himself_on() -> None:
    assert of_others("{he} smiles and waves {him} toward the door") == "{he} smiles and waves someone toward the door"
    assert of_others("{he} looks behind {him}") == "{he} looks behind {him}"


def test_one_hand() -> None:
    assert sided("he waves with the left hand", "right") == "he waves with the right hand"
    assert sided("he leans left and waves with the left hand", "right") == "he leans left and waves with the right hand"
    assert sided("he claps the left hand on the right arm", "right") == "he claps the left hand on the right arm"
    assert sided("he waves with the left hand", "") == "he waves with the left hand"


@pytest.mark.parametrize(("task", "told"), [
    ("Scrape and stack the plates", "{^he} scrapes and stacks the plates."),
    ("Taking the boxes out, one by one.", "{^he} takes the boxes out, one by one."),
    ("Grab the flag and flee", "{^he} grabs the flag and flees."),
    ("Build a wall of snow.", "{^he} builds a wall of snow."),
    ("Checking every hoof for a stone", "{^he} checks every hoof for a stone."),
    ("Hide when the others come.", "{^he} hides when the others come."),
    ("Crossing the street takes forever.", "Crossing the street takes forever."),
    ("Back to work on time.", "Back to work on time."),
    ("Rest when the water falls.", "{^he} rests when the water falls."),
    ("Laughing and out of breath at the railing", "Laughing and out of breath at the railing"),
    ("Water break with tired knees.", "Water break with tired knees."),
    ("Getting out is another matter.", "Getting out is another matter."),
    ("Heal a wounded fighter.", "{^he} heals a wounded fighter."), ("Hand in hand.", "Hand in hand."),
    ("{^he} digs a hole.", "{^he} digs a hole."),
])  # fmt: skip
def test_tasks_are_told_as_statements(task: str, told: str) -> None:
    assert statement(task) == told


def test_the_mood_is_said_where_no_manner_is() -> None:
    person = Person("she", "a tired cook", "wearily")
    steps = ["{he} slowly turns", "{he} lifts {his} arms", "{he} bows"]
    assert retold(steps, person, True, True) == ["a tired cook slowly turns", "she wearily lifts her arms", "she bows"]
    assert retold(steps[1:], person, False, False) == ["she lifts her arms", "she bows"]


def test_it_never_repeats_within_its_memory(planner: RetrievalPlanner) -> None:
    done: list[Activity] = []
    for _ in range(7):
        done.append(planner.next_activity(SCENE, done[-MEMORY:]))
    assert len({a.task for a in done}) == len(done)
    assert measures.loops(Plan(SCENE, tuple(done))) == 0
    assert measures.order_violations(Plan(SCENE, tuple(done))) == []


@pytest.mark.parametrize("task", PLANNING_TASKS)
def test_every_direction_answers(planner: RetrievalPlanner, task: str) -> None:
    steps = "she digs a hole with both hands; she turns around"
    given = {"scene": SCENE, "activity": "She digs a hole.", "steps": steps}
    slots = {k: given[k] for k in planning_task(task).slots}
    said = planner.answer(task, slots)
    assert said and all(s.strip() for s in said)
    assert len(said) >= 2 if task in STEP_TASKS else len(said) == 1
    assert said == planner.answer(task, slots)
    if task == "activity_to_steps":
        assert "digs a hole" in said[0]
    if task == "steps_to_activity":
        assert any(said[0].endswith(f" {w}.") for w in ("rakes the leaves", "digs a hole", "plants a tree"))
    if task.endswith("to_scene"):
        assert "gardener" in said[0]


def test_wrong_questions(planner: RetrievalPlanner) -> None:
    with pytest.raises(UserError, match="activities: 0"):
        planner.plan(SCENE, 0)
    with pytest.raises(UserError, match="no words"):
        planner.plan("...")
    with pytest.raises(UserError, match="unknown planning task"):
        planner.answer("scene_to_plan", {"scene": SCENE})
    with pytest.raises(UserError, match="steps is needed"):
        planner.answer("steps_to_activity", {})


def test_figures_of_plans() -> None:
    assert measures.roc_auc(np.array([1.0, 2.0]), np.array([0.0, 0.5])) == 1.0
    assert measures.roc_auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert measures.roc_auc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
    assert measures.key("He waves.", ["he waves his hand"]) == measures.key("She waves", ["she waves her hand"])
    one = Plan("a", (Activity("He waves.", ("he waves", "he bows")), Activity("He goes.", ("he waves", "he goes"))))
    last = Activity("She sits.", ("she sits", "she rests"))
    two = Plan("b", (Activity("She waves.", ("she nods", "she bows")), last))
    assert measures.loops(one) == 1
    three = Plan("c", (Activity("She is tired.", ("she sits", "she rests")), Activity("He hops.", ("he hops",))))
    assert measures.same_activity_rates([one, two]) == {"task": 0.5, "steps": 0.0, "whole": 0.0, "either": 0.5}
    rates = measures.same_activity_rates([one, two, three])
    assert rates == pytest.approx({"task": 2 / 6, "steps": 2 / 6, "whole": 0.0, "either": 4 / 6})
    assert measures.same_activity_rates([two, Plan("d", two.activities)])["whole"] == 1.0
    assert measures.same_activity_rates([two, Plan("d", (last, last))])["whole"] == 0.75
    nods = Activity("He nods.", ("he nods", "he bows", "he waves"))
    assert measures.shared_steps_rate([two, Plan("c", (nods, Activity("He jumps.", ("he jumps", "he nods"))))]) == 0.75
    assert measures.copied([one], frozenset({measures.key("He waves.", ["he waves", "he bows"])})) == {
        "activities": 0.5, "steps": 0.75,
    }  # fmt: skip
