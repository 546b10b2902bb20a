"""Activities told in the words of their scene."""

import numpy as np
import pytest

from avatargpt.language.plans import props
from avatargpt.language.plans.persons import Person
from avatargpt.language.plans.references import of_another
from avatargpt.language.plans.setting import Setting, in_its_words, origins
from avatargpt.language.plans.telling import of_others
from avatargpt.planning import retrieve
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.retrieve import _crowd
from avatargpt.planning.scorer import Scorer
from avatargpt.planning.store import PlanLibrary
from vqvae.errors import UserError

HE = Person("he", "a man")
STEPS = ("{he} bends down", "{he} wipes {his} brow, smiling", "{he} turns around")


@pytest.mark.parametrize(("scene", "phrases"), [
    ("Two hours of queueing at the passport office.", ("at the passport office",)),
    ("Unpacking boxes in an empty flat.", ("in the empty flat",)),
    ("The night guard falls asleep at his desk before dawn.", ("at {his} desk", "before dawn")),
    ("A clown in a red suit sings in a good mood.", ()),
    ("She paints on a huge canvas before the crane arrives.", ()),
    ("A pirate cook finds a stowaway.", ()),
    ("A chef in a busy kitchen works fast.", ("in the busy kitchen",)),
])  # fmt: skip
def test_phrases_of_a_scene(scene: str, phrases: tuple[str, ...]) -> None:
    assert Setting.of(scene, HE).phrases == phrases


def test_an_activity_takes_the_scene_s_words_or_those_of_its_steps() -> None:
    place, nowhere = Setting(("at the fair",)), Setting()
    tired = Person("he", "a tired man", "wearily")
    assert in_its_words("{^he} carries balloons.", (), place, HE, (), 0.0) == (
        "{^he} carries balloons at the fair.", "at the fair",
    )  # fmt: skip
    said = "{^he} carries balloons."
    assert in_its_words(said, (), place, HE, {"at the fair"}, 0.0) == (said, "")
    assert in_its_words("{^he} carries balloons.", (), nowhere, tired, (), 0.9)[0] == "{^he} wearily carries balloons."
    plain = "{^he} plants a row."
    assert in_its_words(plain, STEPS, nowhere, HE, (), 0.0)[0] == "{^he} plants a row and wipes {his} brow."
    assert in_its_words(plain, STEPS, nowhere, HE, (), 0.99)[0] == "{^he} plants a row, wiping {his} brow."
    joined = in_its_words("{^he} digs and plants.", STEPS, nowhere, HE, (), 0.0)[0]
    assert joined == "{^he} digs, plants and wipes {his} brow."


@pytest.mark.parametrize(("step", "said"), [
    ("{he} walks with stiff, uneven steps", ""),
    ("{he} twists left and then to the right", ", twisting left"),
    ("{he} hops three times, waving", ", hopping three times"),
    ("{he} picks it up", ""),
])  # fmt: skip
def test_only_whole_clauses_stand_behind_an_activity(step: str, said: str) -> None:
    told = in_its_words("{^he} joins in.", ("{he} bows", step), Setting(), HE, (), 0.99)[0]
    assert told == f"{{^he}} joins in{said}."


def test_several_verbs_take_one_more() -> None:
    told = in_its_words("{^he} digs and rakes and plants.", STEPS, Setting(), HE, (), 0.0)[0]
    assert told == "{^he} digs and rakes and plants, wiping {his} brow."


def test_nobody_waves_himself_on() -> None:
    assert of_others("{he} smiles and waves {him} toward the door") == "{he} smiles and waves someone toward the door"
    assert of_others("{he} looks behind {him}") == "{he} looks behind {him}"


@pytest.mark.parametrize("task", ["Over the edge.", "{^he} waits: nobody comes.", "Is {he} early enough?"])
def test_what_is_no_statement_stays(task: str) -> None:
    assert in_its_words(task, STEPS, Setting(("at the fair",)), HE, (), 0.0) == (task, "")


@pytest.mark.parametrize("task", ["{^he} plants a row.", "{^he} digs and plants."])
@pytest.mark.parametrize("draw", [0.0, 0.4, 0.99])
def test_what_was_added_can_be_taken_off(task: str, draw: float) -> None:
    person = Person("he", "a tired man", "wearily")
    told = in_its_words(task, STEPS, Setting(("at the fair",)), person, (), draw)[0]
    assert told != task and task.rstrip(".") in origins(told, person.mood)


def test_what_is_near_to_everything_loses(planner: RetrievalPlanner) -> None:
    scenes, tasks = planner.retriever.hubs
    assert scenes.shape == (len(planner.library.scenes),) and tasks.shape == (len(planner.library.tasks),)
    assert abs(scenes.mean()) < 1e-5 and tasks.std() > 0
    everywhere = planner.library.scene_vectors @ planner.library.scene_vectors.mean(0)
    assert np.corrcoef(everywhere, scenes)[0, 1] > 0


def test_an_activity_s_own_scene_does_not_make_it_a_hub() -> None:
    scenes = np.eye(12, 4, dtype=np.float32)
    own = np.array([0, 5])
    near = _crowd(scenes[[0, 0]], scenes, own)
    assert near[0] == 0 and near[1] == pytest.approx(1 / retrieve.CROWD)


@pytest.mark.parametrize(("task", "another"), [
    ("{^o_he} creeps in.", True), ("A dog comes closer.", True), ("Both break down laughing.", True),
    ("Now you, and no excuses.", True), ("Grandpa gets on, carefully.", True),
    ("{^he} waves to the crowd.", False), ("Through the low tunnel.", False), ("Silly walks across the room.", False),
])  # fmt: skip
def test_whose_activity_it_is(task: str, another: bool) -> None:
    assert of_another(task) is another


def test_what_names_a_thing_of_the_scene_comes_before_what_names_nothing(planner: RetrievalPlanner) -> None:
    found = planner.retriever
    asked = found.ask("A sailor hoists the sail alone.")
    like, strange = (found.outside(t, ["{he} turns around"]) for t in ("{^he} hoists the sail.", "{^he} juggles on."))
    first, second = found._judged([like, strange], asked)
    assert first.task == like.task and first.fit > second.fit


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


def test_seeds_give_other_plans(planner: RetrievalPlanner) -> None:
    plans = {planner.plan("A sailor has a long day.", 3, 0.7, seed).activities for seed in range(6)}
    assert len(plans) >= 5


def test_a_library_of_another_version(library: PlanLibrary) -> None:
    parts = {k: v for k, v in vars(library).items() if k in PlanLibrary.__dataclass_fields__}
    for scorer in ({}, {**library.scorer, "place": library.scorer["place"][:, :8]}):
        with pytest.raises(UserError, match="not a library of this version"):
            Scorer.of(PlanLibrary(**{**parts, "scorer": scorer}))


def test_words_are_known_after_the_memory_was_emptied(
    planner: RetrievalPlanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planner.retriever.props
    before = found.home(["rope", "soup"], "A sailor at sea.")
    monkeypatch.setattr(props, "SEEN", 0)
    after = found.home(["rope", "soup", "mast"], "A sailor at sea.")
    assert {w: after[w] for w in before} == pytest.approx(before)


def test_the_time_of_a_scene_goes_with_a_place() -> None:
    scene = "A fishing boat crew in rough weather, before the storm."
    assert Setting.of(scene, HE).phrases == ("before the storm", "in rough weather")
    said = "{^he} hauls in the net."
    rough, place = Setting(("in rough weather",)), Setting(("at the pier",))
    assert in_its_words(said, STEPS, rough, HE, (), 0.0)[0] == "{^he} hauls in the net in rough weather."
    assert in_its_words(said, (), place, HE, (), 0.0)[0] == said
    assert in_its_words("{^he} hauls before dawn.", (), rough, HE, (), 0.0)[0] == "{^he} hauls before dawn."


def test_a_phrase_of_the_scene_is_preferred_and_steps_chosen_for_it_are() -> None:
    draws = np.linspace(0, 0.99, 12)
    place = Setting(("at the fair",))
    assert {in_its_words("{^he} digs.", STEPS, place, HE, (), d)[1] for d in draws} == {"at the fair"}
    steps = ("{he} bends down", "{he} wipes {his} brow", "{he} shakes the rug")
    told = [in_its_words("{^he} digs.", steps, Setting(), HE, (), d, steps[:2])[1] for d in draws]
    assert told.count("shakes the rug") == 2 * told.count("wipes {his} brow") > 0


def test_long_steps_are_told_without_their_last_phrase() -> None:
    step = "{he} pulls a heavy gate toward {him} with both hands"
    told = in_its_words("{^he} wades in.", ("{he} bends down", step), Setting(), HE, (), 0.0)[0]
    assert told == "{^he} wades in and pulls a heavy gate toward {him}."
