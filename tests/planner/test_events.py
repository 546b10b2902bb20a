"""What a scene says that is done, and activities told with it."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.language.plans.events import events
from avatargpt.language.plans.persons import who
from avatargpt.planning import matching
from avatargpt.planning.matching import act
from avatargpt.planning.order import Memory, ordered
from avatargpt.planning.retrieval_planner import RetrievalPlanner


@pytest.mark.parametrize(("scene", "told"), [
    ("A pirate buries his treasure and forgets where.", ("{^he} buries {his} treasure.",)),
    ("A boy builds a fort of snow and defends it.", ("{^he} builds a fort of snow.", "{^he} defends the fort.")),
    ("A rugby player breaks through, scores and hurts his shoulder.",
     ("{^he} hurts {his} shoulder.",)),
    ("A baker has to finish three hundred rolls by sunrise.", ("{^he} finishes three hundred rolls by sunrise.",)),
    ("A family cat has run away and a boy is looking for the cat.", ()),
    ("Washing the car on a hot Sunday.", ("{^he} washes the car on a hot Sunday.",)),
    ("A violinist practises in the kitchen until her neighbour knocks.", ("{^he} practises in the kitchen.",)),
    ("A thief breaks into a house in the middle of the night.", ("{^he} breaks into a house.",)),
    ("demolition worker smashing a wall with a sledgehammer", ("{^he} smashes a wall with a sledgehammer.",)),
    ("My grandmother shows me how she used to dance.", ()),
    ("The mime who was robbed.", ()),
    ("Two hours of queueing at the passport office.", ()),
    ("The gold prospector finds something.", ()),
    ("A teacher shows how it is done.", ()),
])  # fmt: skip
def test_events_of_a_scene(scene: str, told: tuple[str, ...]) -> None:
    assert events(scene, who(scene, {})) == told


def test_the_verb_of_a_statement() -> None:
    assert act("{^he} carries the boxes.") == "carry"
    assert act("Boxes everywhere.") == ""


def test_an_event_takes_the_steps_of_the_same_doing(planner: RetrievalPlanner, monkeypatch: pytest.MonkeyPatch) -> None:
    matcher = planner.matcher
    for name in ("SHOWN", "TRUE"):  # the small library has learnt nothing
        monkeypatch.setattr(matching, name, -1.0)
    asked = planner.retriever.ask("A cook stirs the soup and rakes the leaves.")
    found = matcher.shown(asked, ("{^he} stirs the soup.", "{^he} rakes the leaves."))
    assert {c.event for c in found} == {0, 1}
    assert all("stirs the soup" in c.steps[0] for c in found if c.event == 0)
    assert all("rakes the leaves" in c.steps[0] and c.place == 1.0 for c in found if c.event == 1)
    assert matcher.shown(asked, ("{^he} repairs the clock.",)) == []
    monkeypatch.setattr(matching, "TRUE", 1.1)
    assert matcher.shown(asked, ("{^he} stirs the soup.",)) == []


def test_events_are_told_in_their_words_and_order(planner: RetrievalPlanner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOWN", "TRUE"):
        monkeypatch.setattr(matching, name, -1.0)
    plan = planner.plan("A gardener waters the roses and plants a tree.", 3)
    tasks = [a.task.split(" ", 1)[1] for a in plan.activities]
    said = [t for t in tasks if t in ("waters the roses.", "plants a tree.")]
    assert said and said == sorted(said, reverse=True)
    found = [replace(planner.retriever.candidate(r), event=e, fit=1.0) for r, e in ((0, 1), (6, 0))]
    nothing = np.zeros((0, planner.retriever.width), np.float32)
    chosen = ordered(planner.library, found, 2, Memory(nothing, nothing), np.zeros(2))
    assert [c.event for c in chosen] == [0, 1]


def test_likeness_is_that_of_whole_vectors(planner: RetrievalPlanner) -> None:
    full, library = planner.retriever.full, planner.library
    own = full.likeness(library.tasks[4].replace("{^he}", "the person"), [4, 5, 4])
    assert own[0] == pytest.approx(own[2]) and own[0] > own[1]
    assert len(full.likeness("a text", [])) == 0
