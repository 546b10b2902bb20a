"""Physical order of steps."""

import pytest

from avatargpt.planning.compose import LIE, SIT, STAND, START, Pose, bridge, follow, violations


@pytest.mark.parametrize("steps", [
    ["she sits down on a chair", "she stands up and walks away"],
    ["he lies down on his back", "he sits up", "he gets up", "he runs forward"],
    ["he kneels and digs", "he springs to his feet", "he jumps twice"], ["she sits down", "she jumps up and runs away"],
    ["he climbs a ladder", "he climbs down", "he walks to the left"],
    ["she dives in head first", "she climbs out", "she runs home"], ["he kneels", "he walks on his knees to the right"],
    ["she sits on a bench", "she runs her fingers along the edge"],
    ["he picks up a box", "he puts it down", "he picks up a box"],
])  # fmt: skip
def test_possible_orders(steps: list[str]) -> None:
    assert violations(steps) == []


@pytest.mark.parametrize(("steps", "at"), [
    (["she sits down", "she waves", "she sits down on a bench"], 2),
    (["he lies down on his back", "he walks to the door"], 1), (["he stands still", "he stands up"], 1),
    (["she falls onto her stomach", "she runs away"], 1), (["he climbs a ladder", "he walks to the left"], 1),
    (["she swims with strong strokes", "she walks forward"], 1), (["he picks up a box", "he picks up a box"], 1),
])  # fmt: skip
def test_impossible_orders(steps: list[str], at: int) -> None:
    assert [i for i, _ in violations(steps)] == [at]


def test_bridges_make_a_step_possible() -> None:
    for pose, step in (
        (Pose(LIE), "{he} walks away"), (Pose(SIT), "{he} dances"), (Pose(STAND, True), "{he} runs home"),
        (Pose(STAND, False, True), "{he} walks on"),
    ):  # fmt: skip
        between = bridge(pose, step, 0)
        assert between is not None
        assert violations([between, step], pose) == []
    assert bridge(START, "{he} walks", 0) is None
    assert follow(START, "{he} lies down")[0].base == LIE


def test_marks_are_read_as_the_words_they_stand_for() -> None:
    for steps in (
        ["{he} throws {himself} headfirst and slides on {his} belly", "{he} twirls"],
        ["she throws herself headfirst and slides on her belly", "she twirls"],
    ):
        assert [i for i, _ in violations(steps)] == [1]
