"""Events that scenes name, and the plans of them, with the packaged reader."""

from dataclasses import replace

import pytest

from avatargpt import resources
from avatargpt.evaluation.scene_plans import in_order, person_right
from avatargpt.planning.events import EventReader, third_person
from avatargpt.planning.library import PlanLibrary, ScenePerson
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.types import Activity, Plan
from avatargpt.reading.body import BodyReader
from tests.planning.conftest import Encoder
from vqvae.errors import UserError

SCENE = "A woman digs a hole, plants a tree for ten seconds, waters the roses and sits down."


@pytest.fixture(scope="module")
def reader() -> EventReader:
    read = BodyReader.of(resources.weights())
    assert read is not None
    return EventReader(read.reader)


@pytest.fixture(scope="module")
def events_planner(library: PlanLibrary, encoder: Encoder, reader: EventReader) -> RetrievalPlanner:
    return RetrievalPlanner(library, encoder, None, reader)  # type: ignore[arg-type]


def test_events_come_in_the_order_of_time_with_their_seconds(reader: EventReader) -> None:
    events = reader.read(SCENE).events
    assert [e.words for e in events] == ["digs a hole", "plants a tree", "waters the roses", "sits down"]
    assert [e.seconds for e in events] == [None, 10.0, None, None]
    turned = reader.read("After setting the table a waitress pours the wine, bows and leaves.").events
    assert {"sets", "bows"} <= {e.words.split()[0] for e in turned} and len(turned) >= 3
    assert {e.person.gender for e in turned} == {"she"} and turned[0].task == "She sets the table."


def test_an_event_has_its_place_and_its_object(reader: EventReader) -> None:
    events = reader.read("A clerk arrives at the office, types a letter, stamps it and leaves.").events
    assert [e.words for e in events][:2] == ["arrives at the office", "types a letter"] and len(events) == 4
    assert "stamps" in events[2].words


def test_a_situation_names_no_event(reader: EventReader) -> None:
    assert reader.read("A rainy Sunday with nothing to do.").events == ()


def test_a_plan_is_known_with_its_events(events_planner: RetrievalPlanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.planning.retrieval_planner.about", lambda story: True)
    monkeypatch.setattr(RetrievalPlanner, "_shows", lambda self, story, event: "stamp" not in event.words)
    assert events_planner.knows("A rainy Sunday with nothing to do."), "names no event"
    assert events_planner.knows("A clerk types a letter and leaves.")
    assert not events_planner.knows("A clerk types a letter, stamps it and leaves.")


def test_verbs_of_every_form() -> None:
    assert third_person("setting the table") == "sets the table" and third_person("ran home") == "runs home"
    assert third_person("vacuums the carpet") == "vacuums the carpet"


def test_a_plan_has_every_event_in_order(events_planner: RetrievalPlanner) -> None:
    plan = events_planner.plan(SCENE, 3)
    assert [a.task for a in plan.activities] == [
        "She digs a hole.", "She plants a tree.", "She waters the roses.", "She sits down.",
    ]  # fmt: skip
    assert not plan.notes and sum(plan.activities[1].seconds) == pytest.approx(10, rel=0.02)
    more = events_planner.plan(SCENE, 6)
    assert len(more.activities) == 4 and "names so many" in more.notes[0]


@pytest.mark.parametrize("seconds", [8.0, 45.0, 180.0])
def test_a_plan_lasts_as_long_as_it_is_to(events_planner: RetrievalPlanner, seconds: float) -> None:
    for scene in (SCENE, "The nurse has a long night."):
        plan = events_planner.plan(scene, seconds=seconds)
        assert sum(s for a in plan.activities for s in a.seconds) == pytest.approx(seconds, rel=0.1)
        assert all(len(a.seconds) == len(a.steps) for a in plan.activities)
    with pytest.raises(UserError, match="seconds: 0; accepted 1 to"):
        events_planner.plan(SCENE, seconds=0)


def test_events_are_counted_in_their_order(encoder: Encoder) -> None:
    named = ["digs a hole", "plants a tree", "sits down"]
    assert in_order(named, named, encoder.sentence) == 3
    assert in_order(named, named[::-1], encoder.sentence) == 1
    assert in_order(named, ["digs a hole", "waves", "sits down"], encoder.sentence) == 2


def test_persons_are_right_where_pronouns_are() -> None:
    plan = Plan("", (Activity("She waves.", ("she waves her hand",)), Activity("She bows.", ("a nurse bows",))))
    assert person_right(plan, "she") == person_right(plan, "they") == 1 and person_right(plan, "he") == 0
    mixed = replace(plan, activities=(*plan.activities, Activity("He sits.", ("he sits",))))
    assert person_right(mixed, "they") == 0
    assert ScenePerson("she", "a nurse").says("{^he} waves.") == "She waves."
