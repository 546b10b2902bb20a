"""What is looked up for typed clauses."""

from __future__ import annotations

import pytest

from avatargpt.requests.lookups import lookup_of, with_bends
from instruct_data.requests.spec import Clause

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
