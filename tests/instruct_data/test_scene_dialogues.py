"""Drawn conversations that build scenes."""

import pytest

from instruct_data.dialogue.acts import read
from instruct_data.dialogue.scene_dialogues import CONSTRUCTS, HELD, SceneDialogues, acts_of, draw
from instruct_data.dialogue.scene_dialogues import _Filled as Filled
from instruct_data.requests.ways import all_ways

dialogues = pytest.fixture(scope="module")(lambda: draw(16, seed=3))


def test_every_turn_has_its_state_acts_and_timeline(dialogues):
    assert [d["construct"] for d in dialogues] == [*CONSTRUCTS] * 2
    for d in dialogues:
        assert 8 <= len(d["turns"]) <= 20
        before, last = "empty", "none"
        for turn in d["turns"]:
            acts = read(turn["acts"])
            words = turn["state"].split()
            assert words[3] == last and (words[5] == "empty") == (before == "empty")
            if acts[0].do == "keep":
                assert words[1] == "take" and "takes" in before
            if acts[0].do == "delete":
                assert turn["timeline"].count(";") == max(before.count(";") - 1, 0)
            before, last = turn["timeline"], acts[-1].do


def test_held_out_wordings_are_those_of_the_trainer():
    import numpy as np

    rng = np.random.default_rng(0)
    train, held = ({w.text for ways in SceneDialogues(rng, h).ways.values() for w in ways} for h in (False, True))
    lines = list(dict.fromkeys(w.text for w in all_ways("chat")))
    assert held and held <= {*lines[HELD - 1 :: HELD]} and not held & train


def test_a_place_after_the_last_segment_is_the_end():
    from instruct_data.dialogue.acts import Outline, write

    now = Outline(["a person walks", "a person waves"], [4.0, 3.0])
    after = Filled(action="a jump", marks={"where": "after"}, segment=2)
    assert write(acts_of("before", after, now)) == "then: a jump"
    after.segment = 1
    assert write(acts_of("before", after, now)) == "before 2: a jump"
    assert write(acts_of("move", Filled(marks={"where": "after"}, segment=1, second=2), now)) == "move 1 2"
    assert acts_of("before", Filled(action="a jump", marks={"where": "after"}), Outline()) is None
