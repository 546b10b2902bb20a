"""What descriptions of motion say of a body, and what it does first then."""

import pytest

from avatargpt import resources
from avatargpt.planning.situation import Situation, Situations
from avatargpt.planning.types import Activity
from avatargpt.requests.resolver import RequestResolver

WORK = Activity("She waves.", ("she waves", "she turns around"), (2.0, 2.0))


@pytest.fixture(scope="module")
def situations() -> Situations:
    known = RequestResolver.load(resources.weights())
    return Situations(known.phrase_index, known.grounder)


@pytest.mark.parametrize(("described", "expected"), [
    ("a person lies on the floor and does sit-ups", Situation("lie")),
    ("a man takes a seat and drinks", Situation("sit")),
    ("a person kneels and holds up one hand", Situation("kneel")),
    ("a person walks along and waves", Situation("stand")),
    ("someone carries a heavy bucket", Situation("stand", loaded=True)),
    ("", Situation()),
])  # fmt: skip
def test_situations_are_read_from_words(situations: Situations, described: str, expected: Situation) -> None:
    assert situations.read(described) == expected


def test_what_was_measured_counts_before_words(situations: Situations) -> None:
    assert situations.read("a person waves", "sitting_on_floor").pose == "sit"
    assert situations.read("a person falls down and gets up again", "standing").pose == "stand"


def test_who_lies_gets_up_and_full_hands_are_freed(situations: Situations) -> None:
    lying = situations.begin_activity(WORK, Situation("lie"))
    assert lying.steps == ("she gets up", *WORK.steps) and len(lying.seconds) == 3
    assert situations.begin_activity(WORK, Situation("stand")) == WORK
    assert situations.begin_activity(WORK, Situation("stand", loaded=True)).steps[0] == "she puts it down"
    rising = Activity("She gets up.", ("she gets up from the ground",))
    assert situations.begin_activity(rising, Situation("lie")) == rising
    seated = Activity("She plays.", ("she plays the piano",))
    assert situations.begin_activity(seated, Situation("sit")) == seated
