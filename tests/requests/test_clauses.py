"""Lookups of typed clauses, and readings that the verb decides."""

from __future__ import annotations

import pytest

from avatargpt import AvatarGPT
from avatargpt.requests.clause_spec import lookup_of, with_bends
from avatargpt.requests.phrase_scoring import doing
from instruct_data.requests.spec import Clause, MotionRequest

WALK, TURN = Clause(action="walk", tempo="slow"), Clause(action="turn", side="left")
JOG = Clause(action="jog", together=True)


@pytest.mark.parametrize("clauses", [
    [WALK, TURN.model_copy(update={"together": True})], [TURN, WALK.model_copy(update={"together": True})],
])  # fmt: skip
def test_a_turn_while_walking_is_a_way_with_a_bend(clauses: list[Clause]) -> None:
    (one,) = with_bends(clauses)
    assert (one.action, one.turn, one.side, one.tempo, one.together) == ("walk", 90.0, "left", "slow", False)
    route = lookup_of(one).route
    assert route is not None and (route.side, route.degrees) == ("left", 90.0)


@pytest.mark.parametrize("clauses", [
    [WALK, TURN], [WALK, JOG], [TURN.model_copy(update={"denied": True}), JOG],
    [WALK, Clause(action="turn the page", side="left", together=True)], [WALK, Clause(action="turn", together=True)],
])  # fmt: skip
def test_other_clauses_stay(clauses: list[Clause]) -> None:
    assert with_bends(clauses) == clauses


@pytest.mark.parametrize(("text", "told"), [
    ("a guard nods twice", ("nod", "")), ("rolls his stiff right shoulder", ("roll", "shoulder")),
    ("rolls head over heels", ("roll", "")), ("raising both fists", ("raise", "hand")),
    ("she does a slow bow", ("bow", "")), ("he walks with his hands up", ("walk", "")),
    ("pushes the cup in his hand", ("push", "")), ("the left one", ("", "")),
])  # fmt: skip
def test_the_verb_and_its_part_of_the_body(text, told):
    assert doing(text) == told


@pytest.fixture(scope="module")
def model():
    return AvatarGPT.from_pretrained()


READINGS = {
    "nods politely to the left": ["nod"], "he runs away to the right with a lowered head": ["run"],
    "she spins on the spot with arms folded": ["a person spins", "cross_arms"],
    "an old man bends forward and swings his right arm": ["bow", "raise_up_right_hand"],
    "he ducks and runs on bent over": ["duck", "run"], "he stands and waves": ["stand_idle", "wave"],
    "he sits down, then stands and walks away": ["sit_down", "stand_up", "walk"],
    "he turns right, then quickly left": ["turn_around", "turn_around"],
    "walk on, make a turn to the left and carry on": ["walk", "walk_turn_left"],
    "raise both hands, then bow": ["raise_up_both_hands", "bow"],
}  # fmt: skip


def test_the_verb_decides(model):
    """A share, for the reader is a network."""
    found = {t: [p.action for p in model.phrase_index.clauses(t, model.grounder)] for t in READINGS}
    wrong = {t: actions for t, actions in found.items() if actions != READINGS[t]}
    assert len(wrong) <= 0.4 * len(READINGS), wrong


def test_a_part_of_the_body_that_an_action_never_moves_speaks_against_it(model):
    texts = "roll your shoulders", "turn your head"
    rolled, turned = (model.phrase_index.clauses(t, model.grounder)[0].action for t in texts)
    assert rolled != "roll" and turned in ("look_around", "shake_head")


def test_once_around_is_a_full_turn(model):
    request = MotionRequest(clauses=[Clause(action="spins", turn=360.0, side="right", tempo="slow")])
    (plain,) = model.phrase_index.resolve(request, model.grounder)
    assert plain.turn is not None and (plain.turn.degrees, plain.turn.side) == (360, "right")
