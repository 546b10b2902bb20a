"""A language model that plans: its questions, and the choice among its answers."""

from typing import Any

import pytest

from avatargpt.llm import LanguageModel, Limits
from avatargpt.planning.events import SceneEvent, SceneText
from avatargpt.planning.language_planner import MOVEMENTS, LanguagePlanner, SceneMovements
from avatargpt.planning.library import PlanLibrary, ScenePerson
from avatargpt.planning.scorer import Ranker, actor_in, strangers
from avatargpt.planning.types import Activity, Plan
from avatargpt.requests.phrase_index import PhraseIndex
from tests.factories import RecordedModel

SCENE = "A gardener is at work, she hums."
GOOD = {"task": "She digs a hole.", "steps": ["she digs a hole with both hands", "she wipes the forehead"]}
TWICE = {"task": "She digs a hole.", "steps": ["she digs a hole with both hands", "she with both hands digs a hole"]}


@pytest.fixture
def phrases(encoder: Any) -> PhraseIndex:
    keys = ["a person digs a hole", "digging a hole", "a person wipes the forehead", "a person rides a bike"]
    keys += [f"a person does trick {i}" for i in range(100)]
    return PhraseIndex(
        keys, [{"": k if k.startswith("a ") else keys[0]} for k in keys], ["dig", "dig", *keys[2:]], [""] * len(keys),
        {}, {}, encoder.sentence(keys),
    )  # fmt: skip


def score_steps(steps: Any) -> list[float]:
    return [0.1 if "trombone" in s else 1.0 for s in steps]


def test_movements_of_the_scene(phrases: PhraseIndex, encoder: Any, library: PlanLibrary) -> None:
    movements = SceneMovements(phrases, encoder, library)
    nearest = movements.movements(["The gardener digs a deep hole."], 5)
    assert nearest[0] == "digs a hole" and len(nearest) == len(set(nearest)) == 5
    assert len(movements.movements([SCENE], MOVEMENTS)) == MOVEMENTS and movements.movements([""], 5) == []
    assert "wipes the forehead" in movements.movements(["A gardener is at work, day 1."], 12)  # as in written plans


def test_the_best_of_samples(phrases: PhraseIndex, encoder: Any, library: PlanLibrary) -> None:
    ranker = Ranker(library, encoder, score_steps)
    strange = {"task": "She plays.", "steps": ["she plays the trombone", "she oils the trombone"]}
    other = {"task": "She plays.", "steps": ["the doctor digs a hole", "the doctor wipes the forehead"]}
    for bad in (strange, TWICE, other):
        worth = [ranker.worth(SCENE, [Activity(a["task"], tuple(a["steps"]))]) for a in (GOOD, bad)]
        assert worth[0].sum > worth[1].sum
    backend = RecordedModel(*({"activities": [a]} for a in (strange, GOOD, TWICE)))
    planner = LanguagePlanner(
        LanguageModel(backend, Limits(samples=3)), SceneMovements(phrases, encoder, library), ranker
    )
    plan = planner.plan(SCENE, 1)
    assert plan.activities[0].steps == tuple(GOOD["steps"])
    question = backend.questions[0][-1]["content"]
    assert '"person": "she"' in question and "digs a hole" in question and 30 < question.count("does trick") < MOVEMENTS


def test_a_model_on_this_machine_is_asked_briefly(phrases: PhraseIndex, encoder: Any, library: PlanLibrary) -> None:
    """One short answer, without a list of movements to copy; long steps and a fourth one are refused."""
    long = {"task": "She digs.", "steps": [*GOOD["steps"], "she sits down", "she gets up"]}
    brief = {"task": "She digs a hole.", "steps": GOOD["steps"][:3]}
    rest = {"task": "She rests.", "steps": ["she sits", "she nods"]}
    backend = RecordedModel({"activities": [long]}, {"activities": [brief]}, rest)
    backend.local = True
    ranker = Ranker(library, encoder, score_steps)
    planner = LanguagePlanner(LanguageModel(backend), SceneMovements(phrases, encoder, library), ranker)
    plan = planner.plan(SCENE, 1)
    assert plan.activities[0].steps == tuple(GOOD["steps"][:3]) and len(backend.questions) == 2
    assert "does trick" not in str(backend.questions) and "seconds" not in str(backend.questions[0])
    assert planner.next_activity(SCENE, plan.activities).task == "She rests" and len(backend.questions) == 3


class Written:
    """A library of one plan."""

    def __init__(self, *steps: str, near: bool = True) -> None:
        self.steps, self.near = steps, near

    def knows(self, scene: str) -> bool:
        return self.near

    def read(self, scene: str) -> SceneText:
        return SceneText()

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        return Plan(scene, (Activity("She digs a hole.", self.steps),), "retrieval")


def test_a_written_plan_stands_beside_a_small_model(
    encoder: Any, library: PlanLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a scene that the library knows its plan is taken, else the plan that is worth more."""
    ranker = Ranker(library, encoder, score_steps)
    monkeypatch.setattr(ranker, "coherent", lambda scene, activities, before="": 0.5)
    own = {"task": "She digs a hole.", "steps": ["she oils the trombone", "she plays the drum"]}
    bad = "she greases the trombone", "she blows the trombone"
    for written, who, count in (
        (Written(*bad), "retrieval", 0), (Written(*GOOD["steps"], near=False), "retrieval", 1),
        (Written(*bad, near=False), "recorded", 1),
    ):  # fmt: skip
        backend = RecordedModel({"activities": [own]})
        backend.local = True
        planner = LanguagePlanner(LanguageModel(backend), None, ranker, written)  # type: ignore[arg-type]
        plan = planner.plan(SCENE, 1)
        assert plan.planner == who and len(backend.questions) == count and bool(plan.notes) == (who == "retrieval")
        backend.local = False  # a large one is always asked
        assert planner.__class__(planner.llm, None, ranker, written).plan(SCENE, 1, seed=9).planner == "recorded"  # type: ignore[arg-type]


def test_a_plan_has_an_activity_for_each_event(encoder: Any, library: PlanLibrary) -> None:
    text = SceneText(
        tuple(SceneEvent(w, ScenePerson("she", "a gardener")) for w in ("digs a hole", "wipes the forehead"))
    )
    wipe = {"task": "She wipes the forehead.", "steps": ["she wipes the forehead", "she nods"]}
    backend = RecordedModel({"activities": [wipe, GOOD]}, {"activities": [GOOD, wipe]})
    written = Written(*GOOD["steps"])
    written.read = lambda scene: text  # type: ignore[method-assign]
    planner = LanguagePlanner(LanguageModel(backend), None, Ranker(library, encoder, score_steps), written)  # type: ignore[arg-type]
    plan = planner.plan(SCENE)
    assert [a.task for a in plan.activities] == ["She digs a hole", "She wipes the forehead"]
    assert "'digs a hole' is missing" in backend.questions[1][-1]["content"]


def test_what_was_done_is_not_done_again(encoder: Any, library: PlanLibrary) -> None:
    ranker = Ranker(library, encoder, score_steps)
    done = [Activity("She begins.", tuple(GOOD["steps"][:1]))]
    assert ranker.worth(SCENE, [Activity("She digs on.", tuple(GOOD["steps"]))], done).repeated == 0.5
    backend = RecordedModel(GOOD | {"task": "She begins."}, GOOD)
    planner = LanguagePlanner(LanguageModel(backend), None, ranker)
    assert planner.next_activity(SCENE, done).task == "She digs a hole"
    assert "done before" in backend.questions[1][-1]["content"]


def test_who_acts() -> None:
    assert actor_in("She works.") == "she" and actor_in("A king sits on his throne.") == "he"
    assert actor_in("The sea roars.") == ""
    scene = "A queen and her guard; she is angry."
    own = ["she stamps her foot", "the queen sits down", "her arms rise slowly", "the person waves"]
    assert strangers(scene, own) == 0
    assert strangers(scene, ["the guard bows deeply", "he leaves quickly", *own]) == 2
