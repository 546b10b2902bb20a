"""The planner by retrieval: libraries, plans of a kind, every direction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt.evaluation import plans as measures
from avatargpt.metrics.statistics import roc_auc
from avatargpt.planning.compose import (
    ActivityChooser,
    PlanState,
    add_side,
    of_others,
    retold,
    statement,
    stumbles,
    tell,
    violations,
)
from avatargpt.planning.library import (
    FILE,
    FIRST,
    LAST,
    MIDDLE,
    Basis,
    KindTable,
    PlanLibrary,
    ScenePerson,
    Story,
    StoryPart,
    who,
)
from avatargpt.planning.retrieval_planner import MEMORY, RetrievalPlanner
from avatargpt.planning.retriever import MIN_ABOUT
from avatargpt.planning.scorer import Scorer
from avatargpt.planning.types import Activity, Plan, get_planning_task
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


def test_vectors_are_reduced_about_their_mean() -> None:
    basis = Basis.fit(np.random.default_rng(0).normal(1.0, 1.0, (60, 384)), 8)
    np.testing.assert_allclose(basis.reduce(basis.mean + 3 * basis.axes.T[1:2], 4), np.eye(4)[1:2], atol=1e-3)


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
    assert add_side("he waves with the left hand", "right") == "he waves with the right hand"
    assert (
        add_side("he leans left and waves with the left hand", "right") == "he leans left and waves with the right hand"
    )
    assert add_side("he claps the left hand on the right arm", "right") == "he claps the left hand on the right arm"
    assert add_side("he waves with the left hand", "") == "he waves with the left hand"


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
    person = ScenePerson("she", "a tired cook", "wearily")
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
    slots = {k: given[k] for k in get_planning_task(task).slots}
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
    assert roc_auc(np.array([1.0, 2.0]), np.array([0.0, 0.5])) == 1.0
    assert roc_auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert roc_auc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5
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
    assert measures.rate_shared_steps([two, Plan("c", (nods, Activity("He jumps.", ("he jumps", "he nods"))))]) == 0.75
    assert measures.measure_copying([one], frozenset({measures.key("He waves.", ["he waves", "he bows"])})) == {
        "activities": 0.5, "steps": 0.75,
    }  # fmt: skip


BAKER = "A young baker is at work here at dawn."
HE = ScenePerson("he", "a man")


def _places(planner: RetrievalPlanner, activities: tuple[Activity, ...]) -> list[set[int]]:
    at = {p.task: set(p.at) for row in planner.library.kinds.parts for p in row}
    return [at["{^he} " + a.task.split(" ", 1)[1]] for a in activities]


def test_a_plan_of_a_kind_has_a_beginning_a_middle_and_an_end(planner: RetrievalPlanner) -> None:
    for seed in range(4):
        plan = planner.plan(BAKER, 4, seed=seed)
        assert _places(planner, plan.activities) == [{FIRST}, {MIDDLE}, {MIDDLE}, {LAST}]
        assert {a.task.split(" ", 1)[1] for a in plan.activities} <= {
            p.task.split(" ", 1)[1] for p in planner.library.kinds.parts[0]
        }
        assert plan.activities[0].steps[0].startswith("a young baker ") and not plan.notes
    assert len({planner.plan(BAKER, 3, 1.5, seed).activities for seed in range(8)}) > 2
    assert _places(planner, planner.plan(BAKER, 1).activities)[0] <= {FIRST, MIDDLE}


def test_a_written_scene_is_told_whole_and_in_its_order(planner: RetrievalPlanner) -> None:
    library = planner.library
    steps = [[library.steps[i] for t in library.tasks_of(s) for i in library.steps_of(t)] for s in range(18)]
    row = next(s for s, texts in enumerate(steps) if len(set(texts)) == len(texts) and not violations(texts))
    plan = planner.plan(library.scenes[row], 3, 0.0)
    tasks = [library.tasks[i].split(" ", 1)[1] for i in library.tasks_of(row)]
    assert [a.task.split(" ", 1)[1] for a in plan.activities] == tasks
    two = planner.plan(library.scenes[row], 2, 0.0)
    assert [a.task.split(" ", 1)[1] for a in two.activities] == [tasks[0], tasks[-1]]


def test_what_cannot_be_given_is_said(planner: RetrievalPlanner) -> None:
    plan = planner.plan(BAKER, 50)
    assert 5 <= len(plan.activities) < 50
    assert plan.notes == (f"{len(plan.activities)} activities instead of 50: the stored plans have no more that fit.",)
    far = planner.plan("Quantum chess tournament.", 2)
    assert far.activities and far.notes[0].startswith("No stored plan is about such a scene; ")


def test_an_endless_scene_stays_with_its_kind_and_goes_on_with_neighbours(planner: RetrievalPlanner) -> None:
    done: list[Activity] = []
    for seed in range(12):
        done.append(planner.next_activity(BAKER, done, seed=seed))
    assert len({a.task for a in done}) == 12
    baker = {p.task.split(" ", 1)[1] for p in planner.library.kinds.parts[0]}
    of_kind = [a.task.split(" ", 1)[1] in baker for a in done]
    assert all(of_kind[:5]) and not all(of_kind)
    for seed in range(40):
        one = planner.next_activity(BAKER, done[-12:], seed=seed)
        assert one.task not in {a.task for a in done[-12:]}
        done.append(one)


def test_what_follows_in_a_written_scene(planner: RetrievalPlanner) -> None:
    library = planner.library
    first, second = (library.tasks[i].replace("{^he}", "She") for i in list(library.tasks_of(4))[:2])
    done = [Activity(first, ("she smiles",))]
    assert planner.next_activity(library.scenes[4], done).task.split(" ")[1:] == second.split(" ")[1:]


def test_chosen_activities_suit_the_mood_the_pose_and_one_another() -> None:
    parts = tuple(StoryPart(f"{{^he}} {t}.", (f"{{he}} {s}", "{he} nods " + t), frozenset((MIDDLE,))) for t, s in (
        ("leaps", "leaps with joy"), ("walks", "walks on"), ("walks on", "walks away"), ("waits", "shakes {his} head"),
    ))  # fmt: skip
    vectors = np.eye(4, 384, dtype=np.float32)
    vectors[2] = vectors[1]
    story = Story("waiting", -1, parts, vectors, 1.0, np.array([0.2, 0.2, 0.19, 0.15]))

    def order(person: ScenePerson, pose: str) -> list[str]:
        state = PlanState.fresh()
        tell(StoryPart("{^he} rests.", (pose, "{he} sighs"), frozenset()), HE, state)
        chooser = ActivityChooser(story, person, np.random.default_rng(0), 0.0)
        return [a.task for a in (chooser._best({MIDDLE}, state) for _ in range(4)) if a is not None]

    assert order(HE, "{he} looks up") == ["He leaps.", "He walks.", "He waits."]
    assert order(replace(HE, mood="sadly"), "{he} looks up") == ["He walks.", "He waits.", "He leaps."]
    assert order(replace(HE, mood="sadly"), "{he} sits down")[0] == "He waits."


def test_steps_come_in_physical_order() -> None:
    state = PlanState.fresh()
    tell(StoryPart("{^he} rests.", ("{he} sits down", "{he} yawns"), frozenset()), HE, state)
    assert stumbles(["{he} walks away", "{he} stands up"], state.pose) == 2
    made = tell(StoryPart("{^he} leaves.", ("{he} walks away", "{he} waves"), frozenset()), HE, state)
    assert made == Activity("He leaves.", ("he gets up", "he walks away", "he waves"))
    assert state.knows(StoryPart("{^he} leaves.", ("{he} hops",), frozenset()))
    assert tell(StoryPart("{^he} stands.", ("{he} stands up", "{he} waves"), frozenset()), HE, state) is None


def test_damaged_kinds(library: PlanLibrary) -> None:
    data = library.kinds.arrays()
    assert not KindTable.of({}).names
    for name in ("kind_keys", "kind_tasks", "keys_per_kind"):
        with pytest.raises(ValueError, match=r"kinds|activities"):
            KindTable.of({**data, name: data[name][:-1]})
    with pytest.raises(ValueError, match="float32"):
        KindTable.of({**data, "kind_keys": data["kind_keys"].astype(np.float32)})


def test_a_library_without_kinds_plans_by_its_scenes(library: PlanLibrary, planner: RetrievalPlanner) -> None:
    parts = {k: v for k, v in vars(library).items() if k in PlanLibrary.__dataclass_fields__}
    bare = RetrievalPlanner(PlanLibrary(**{**parts, "kinds": KindTable()}), planner.retriever.grounder)
    assert len(bare.plan(library.scenes[0], 3).activities) == 3
    assert all(s.ordered for s in bare.retriever.stories(BAKER))
    assert planner.retriever.stories(BAKER)[0].nearness > MIN_ABOUT


@pytest.mark.parametrize(("scene", "noun", "gender"), [
    ("A six-year-old plays pirate in the living room.", "a six-year-old", "he"),
    ("An eight-year-old girl runs.", "a girl", "she"), ("A cowgirl tames a horse.", "a cowgirl", "she"),
    ("A paramedic treats a cyclist.", "a paramedic", "he"),
])  # fmt: skip
def test_who_it_is(scene: str, noun: str, gender: str) -> None:
    person = who(scene, {})
    assert (person.noun, person.gender) == (noun, gender)


def test_the_actor_of_the_question_goes_on(planner: RetrievalPlanner) -> None:
    for actor, others in (("She", (" he ", " his ")), ("He", (" she ", " her "))):
        steps = f"{actor.lower()} digs a hole with both hands; {actor.lower()} picks it up"
        slots = {"scene": "A gardener is at work in the sun.", "activity": f"{actor} digs a hole.", "steps": steps}
        for task, names in (
            ("scene_activity_to_next_steps", ("scene", "activity")), ("steps_to_next_steps", ("steps",)),
            ("scene_steps_to_next_activity", ("scene", "steps")), ("activity_to_steps", ("activity",)),
        ):  # fmt: skip
            said = " ".join(planner.answer(task, {k: slots[k] for k in names})).lower()
            assert not any(word in f" {said} " for word in others)


def test_a_library_of_another_version(library: PlanLibrary) -> None:
    parts = {k: v for k, v in vars(library).items() if k in PlanLibrary.__dataclass_fields__}
    for scorer in ({}, {**library.scorer, "place": library.scorer["place"][:, :8]}):
        with pytest.raises(UserError, match="not a library of this version"):
            Scorer.of(PlanLibrary(**{**parts, "scorer": scorer}))
