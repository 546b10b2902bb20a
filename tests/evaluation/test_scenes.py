"""How conversations that build scenes are judged."""

import json

import pytest

from avatargpt.evaluation import turns
from avatargpt.evaluation.suites import folder
from avatargpt.evaluation.turns import SegmentRow, final_faults, list_lost
from instruct_data.dialogue.acts import read
from vqvae.errors import UserError


def rows_of(*rows):
    return [SegmentRow(caption, tuple(f"{caption} {more}".split()), seconds) for caption, seconds, more in rows]


SCENE = rows_of(
    ("a person walks in", 4.0, "a nurse arrives"), ("a person bends", 6.0, "checks"), ("a person sits", 9.0, "break")
)
FINAL = {
    "final": [{"about": ["arriv"]}, {"about": ["check"], "several": True, "seconds": [5, 16]}, {"about": ["sit"]}],
    "total": [18, 20],
}


def test_the_timeline_has_every_row_in_order_and_nothing_else():
    assert final_faults(SCENE, FINAL) == []
    assert final_faults(SCENE[1:], FINAL) == ["no arriv behind segment 0", "15.0 s instead of 18 to 20"]
    assert final_faults([SCENE[1], SCENE[0], SCENE[2]], FINAL) == ["no arriv behind segment 0"]
    long = [SCENE[0], SegmentRow("a person bends", ("check",), 17.0), SCENE[2]]
    assert final_faults(long, FINAL)[0] == "no check of 5 to 16 s behind segment 1"
    more = [*SCENE, *rows_of(("a person waves", 0.5, ""))]
    assert final_faults(more, FINAL) == ["1 segments more than expected"]
    # a step without the row's words belongs to the activity beside it
    steps = [*SCENE[:2], *rows_of(("a person nods", 1.0, "")), SCENE[2]]
    assert final_faults(steps, FINAL) == []


@pytest.mark.parametrize(
    ("after", "keeps", "missing"),
    [
        (SCENE, "all", []),
        (SCENE[:2], "all", ["a person sits"]),
        (SCENE[:2], {"but": ["break"]}, []),
        (SCENE[:2], {"but": [3]}, []),
        ([SCENE[2], *SCENE[:2]], "all", ["a person sits"]),
        ([SCENE[2], *SCENE[:2]], {"free": ["order"]}, []),
        (rows_of(("a person walks in", 8.0, ""), ("a person bends", 6.0, ""), ("a person sits", 9.0, "")), "all",
         ["a person walks in"]),
        (rows_of(("a person walks in", 8.0, ""), ("a person bends", 6.0, ""), ("a person sits", 9.0, "")),
         {"free": ["seconds"]}, []),
        (rows_of(("x", 4.0, ""), ("y", 6.0, "")), {"free": ["captions"]}, ["a person sits"]),
    ],
)  # fmt: skip
def test_what_a_turn_did_not_name_still_stands(after, keeps, missing):
    # in another order, either of the two sides of a change of places counts as moved
    got = list_lost(SCENE, after, keeps)
    assert len(got) == len(missing) or keeps == "all"
    assert bool(got) == bool(missing)


def test_the_rows_of_the_suite_are_read_and_a_wrong_one_is_named(tmp_path):
    rows = turns.read_scenes(folder() / "sessions.jsonl")
    assert len(rows) == 20 and all(12 <= len(r["turns"]) <= 20 for r in rows)
    path = tmp_path / "rows.jsonl"
    row = {"id": "x", "turns": [{"user": "hi", "keeps": "most"}], "final": [{"about": ["x"]}], "total": [1, 2]}
    path.write_text(json.dumps(row))
    with pytest.raises(UserError, match="line 1: keeps 'most'; accepted all"):
        turns.read_scenes(path)


def test_a_held_turn_has_its_state_and_is_judged_by_its_lines():
    timeline = [{"caption": "a person walks", "seconds": 4.0}, {"caption": "a person waves", "seconds": 3.0}]
    before = [["loop it", "How often? e.g. 3 times."]]
    row = {"asked": "times", "before": before, "timeline": timeline, "user": "Three", "acts": ["loop 2 x3"]}
    turn = turns.receive_held_turn(row)
    assert turn.request == "Three" and turn.lines == ("1 walks 4s", "2 waves 3s")
    assert turn.before == (("loop it", "How often? e.g. 3 times."),)

    def same(a, b):
        return turns.same_acts(read(a), read(b), 2)

    assert same("delete 1 | delete 2", "delete 2 | delete 1") and not same("undo | delete 1", "delete 1 | undo")
    assert same("rename: intro", "rename 2: intro") and not same("rename 1: intro", "rename: intro")
    assert same("then: a person waves his hand", "then: waves the hand") and not same("loop x3", "loop 2 x3")
