"""Whole plans: what of a kind or of a written scene is told, and in which order."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.planning.compose import ActivityChooser, State, stumbles, tell, violations
from avatargpt.planning.library import FIRST, LAST, MIDDLE, KindTable, Part, PlanLibrary, Story
from avatargpt.planning.persons import Person, who
from avatargpt.planning.retrieval_planner import MIN_ABOUT, RetrievalPlanner
from avatargpt.planning.scorer import Scorer
from avatargpt.planning.types import Activity
from vqvae.errors import UserError

BAKER = "A young baker is at work here at dawn."
HE = Person("he", "a man")


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
    assert far.activities and far.notes[0].startswith("No stored plan is about such a scene; the nearest one is of ")


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
    parts = tuple(Part(f"{{^he}} {t}.", (f"{{he}} {s}", "{he} nods " + t), frozenset((MIDDLE,))) for t, s in (
        ("leaps", "leaps with joy"), ("walks", "walks on"), ("walks on", "walks away"), ("waits", "shakes {his} head"),
    ))  # fmt: skip
    vectors = np.eye(4, 384, dtype=np.float32)
    vectors[2] = vectors[1]
    story = Story("waiting", -1, parts, vectors, 1.0, np.array([0.2, 0.2, 0.19, 0.15]))

    def order(person: Person, pose: str) -> list[str]:
        state = State.fresh()
        tell(Part("{^he} rests.", (pose, "{he} sighs"), frozenset()), HE, state)
        chooser = ActivityChooser(story, person, np.random.default_rng(0), 0.0)
        return [a.task for a in (chooser._best({MIDDLE}, state) for _ in range(4)) if a is not None]

    assert order(HE, "{he} looks up") == ["He leaps.", "He walks.", "He waits."]
    assert order(replace(HE, mood="sadly"), "{he} looks up") == ["He walks.", "He waits.", "He leaps."]
    assert order(replace(HE, mood="sadly"), "{he} sits down")[0] == "He waits."


def test_steps_come_in_physical_order() -> None:
    state = State.fresh()
    tell(Part("{^he} rests.", ("{he} sits down", "{he} yawns"), frozenset()), HE, state)
    assert stumbles(["{he} walks away", "{he} stands up"], state.pose) == 2
    made = tell(Part("{^he} leaves.", ("{he} walks away", "{he} waves"), frozenset()), HE, state)
    assert made == Activity("He leaves.", ("he gets up", "he walks away", "he waves"))
    assert state.knows(Part("{^he} leaves.", ("{he} hops",), frozenset()))
    assert tell(Part("{^he} stands.", ("{he} stands up", "{he} waves"), frozenset()), HE, state) is None


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
