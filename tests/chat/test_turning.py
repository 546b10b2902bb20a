"""Acts of what the reader of turns read, and what words about segments point at."""

from __future__ import annotations

from typing import Any

import pytest

from avatargpt.chat.intent import acts_of, as_caption, file_name
from avatargpt.chat.turn_text import ChatTurn, Target, target
from instruct_data.dialogue.acts import write
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

CAPTIONS = ("a person walks forward", "a person waves the right hand", "a person jumps")
LENGTHS = (4.0, 3.0, 2.0)


def line(*parts: dict[str, Any], captions: tuple[str, ...] = CAPTIONS, request: str = "x", **more: Any) -> str:
    heard = ChatTurn(request, "", captions, lengths=LENGTHS[: len(captions)], **more)
    return write(acts_of([TurnPart(**p) for p in parts], heard))


@pytest.mark.parametrize(("said", "segment"), [
    ("the second one", 2), ("segment 3", 3), ("part two", 2), ("the 3rd", 3), ("the last bit", 3), ("his wave", 2),
    ("the walking", 1), ("the middle part", 2), ("it", None), ("that one", None),
])  # fmt: skip
def test_words_point_at_a_segment(said: str, segment: int | None) -> None:
    assert target(said, CAPTIONS) == Target(segment)


def test_words_that_point_at_all_at_several_or_at_nothing() -> None:
    assert target("everything", CAPTIONS) == Target(everything=True)
    assert target("the sneeze", CAPTIONS) is None
    assert target("the greeting", CAPTIONS, lambda _: [0.1, 0.6, 0.2]) == Target(2)
    assert target("the second jump", ("a person jumps", "a person walks", "a person jumps high")) == Target(3)
    with pytest.raises(UserError, match="which one.*segments 1 and 2"):
        target("the jump", ("a person jumps", "a person jumps high"))
    with pytest.raises(UserError, match="no segment 9; there are 3"):
        target("segment 9", CAPTIONS)


@pytest.mark.parametrize(("part", "acts"), [
    ({"act": "then", "text": "he bows", "seconds": 2.0}, "then 2s: a person bows"),
    ({"act": "then", "seconds": 5.0}, "then 5s: a person goes on"),
    ({"act": "before", "text": "a yawn", "where": "start"}, "before 1: a yawn"),
    ({"act": "before", "text": "nod", "where": "after", "of": "the walk"}, "before 2: a person nods"),
    ({"act": "before", "text": "nod", "where": "after", "of": "the jump"}, "then: a person nods"),
    ({"act": "before", "text": "bow", "where": "between", "of": "the walk", "to_of": "the wave"},
     "before 2: a person bows"),
    ({"act": "replace", "of": "the wave", "text": "a salute"}, "replace 2: a salute"),
    ({"act": "edit", "text": "the other arm", "of": "the wave"}, "edit 2: the other arm"),
    ({"act": "retime", "of": "the jump", "seconds": 0.5}, "retime 3 0.5s"),
    ({"act": "total", "seconds": 30.0}, "total 30s"),
    ({"act": "speed", "factor": 0.5, "of": "the walk"}, "speed 1 x0.5"),
    ({"act": "faster", "factor": 20.0}, "speed x1.2"),
    ({"act": "slower", "of": "everything"}, "speed x0.7"),
    ({"act": "faster", "size": "large"}, "edit: much faster"),
    ({"act": "longer", "of": "the wave", "seconds": 2.0}, "retime 2 5s"),
    ({"act": "shorter", "of": "the whole thing", "seconds": 3.0}, "total 6s"),
    ({"act": "delete", "of": "segments 1 and 3"}, "delete 3 | delete 1"),
    ({"act": "move", "of": "the jump", "where": "start"}, "move 3 1"),
    ({"act": "move", "of": "the walk", "where": "after", "to_of": "the wave"}, "move 1 2"),
    ({"act": "move", "of": "the walk", "to_of": "the jump"}, "move 3 1 | move 2 3"),
    ({"act": "loop", "times": 3}, "loop x3"),
    ({"act": "undo", "of": "everything"}, "undo 99"),
    ({"act": "redo", "times": 2}, "redo 2"),
    ({"act": "save", "text": "my walk"}, "save: my_walk"),
    ({"act": "save"}, "save: motion"),
    ({"act": "export", "text": "glb and gif"}, "export glb | export gif"),
    ({"act": "question", "topic": "length", "of": "the wave"}, "question: length of segment 2"),
    ({"act": "plan", "text": "a picnic", "times": 4}, "plan 4: a picnic"),
])  # fmt: skip
def test_what_parts_ask_for(part: dict[str, Any], acts: str) -> None:
    assert line(part) == acts


def test_parts_of_one_turn_follow_one_another() -> None:
    assert line({"act": "then", "text": "wave"}, {"act": "slower", "of": "the wave"}, captions=()) == (
        "make: a person waves | edit 1: slower"
    )
    assert line({"act": "chat"}, {"act": "undo"}) == "undo"
    assert line({"act": "keep", "text": "b"}, takes=2) == "keep b"
    files = {"request": "save it as a.glb and b.bvh", "files": ("a.glb", "b.bvh")}
    assert line({"act": "save", "text": "a.glb and b.bvh"}, **files) == "save: a.glb | save: b.bvh"


def test_what_is_missing_is_not_made_up() -> None:
    for part in ({"act": "speed"}, {"act": "load"}, {"act": "retime"}, {"act": "edit"}, {"act": "keep"}):
        assert line(part) == ""
    with pytest.raises(UserError, match="how often"):
        line({"act": "loop"})
    with pytest.raises(UserError, match="between which of the 3"):
        line({"act": "before", "text": "bow", "where": "between"})


def test_captions_and_names() -> None:
    assert as_caption("he waves") == as_caption("waving") == as_caption("wave") == "a person waves"
    assert as_caption("a knight swings his sword") == "a knight swings his sword"
    assert file_name("my walk . glb") == "my_walk.glb" and file_name("glb") == ""
