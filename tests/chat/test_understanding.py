"""What the words of a turn give, what can be meant by it, and who reads it."""

from __future__ import annotations

import pytest

from avatargpt.chat.intent import check_numbers, possible, why_not
from avatargpt.chat.turn_text import ChatTurn, changed, named_files, simplified
from instruct_data.dialogue.acts import read
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

CAPTIONS = ("a person walks forward", "a person waves the right hand", "a person jumps")


def heard(request, captions=CAPTIONS, **more):
    files = tuple(simplified(request)[1])
    return ChatTurn(simplified(request)[0].lower(), "", captions, files=files, **more)


@pytest.mark.parametrize(("line", "request_", "reason"), [
    ("edit 2: slower", "make 2 slower", ""), ("edit 4: slower", "make 4 slower", "no segment 4"),
    ("delete 3 | edit 3: slower", "drop 3, slower", "no segment 3"),
    ("retime 1 2.5s", "the first one half as long", ""), ("loop x3", "three times", ""),
    ("load: walk.bvh", "load other.bvh", "no file walk.bvh"), ("keep c", "c", "no such take"),
    ("keep z", "z", "no such take"), ("undo", "load other.bvh", "not used"),
    ("then: what is in it", "what is in it?", "names no movement"), ("then: a person jumps", "how about he jumps?", ""),
    ("make: a person walks | then: a person sits | delete 2", "walk, sit, no", ""),
])  # fmt: skip
def test_acts_must_be_possible(line, request_, reason):
    assert reason in why_not(read(line), heard(request_, takes=2)) and bool(reason) == bool(
        why_not(read(line), heard(request_, takes=2))
    )


def test_numbers_below_zero_are_refused():
    for request, told in (("speed up by -50%", "-50%"), ("make it -3 seconds long", "-3 seconds")):
        with pytest.raises(UserError, match=f"{told}; accepted numbers above zero"):
            check_numbers(heard(request))
    check_numbers(heard("a 3-second jump"))


def test_nothing_but_the_grammar_is_accepted():
    assert possible("edit 2: slower", heard("make 2 slower"))
    assert possible("retime 1 9s", heard("the first one 5 s")) is None
    assert possible("retime 1 90s", heard("the first one a minute and a half, 1.5 min"))
    for line in ["", "edit 2 slower", "then: walks", "then: a person walks a person walks a person", "Make it"]:
        assert possible(line, heard("make 2 slower")) is None


def test_files_as_people_type_them():
    assert named_files('describe "/tmp/My Clip.BVH" and walk\\ 2.npz') == ["/tmp/My Clip.BVH", "walk 2.npz"]
    assert simplified("load '/a b/Walk.GLB'") == ("load walk.glb", {"walk.glb": "/a b/Walk.GLB"})
    assert simplified("load pack.glb#Hop/High") == ("load pack.glb", {"pack.glb": "pack.glb#Hop/High"})
    assert simplified('load "My.glb#Big Wave"') == ("load my.glb", {"my.glb": "My.glb#Big Wave"})
    assert named_files("walk 2.5 s. then jump") == []


@pytest.mark.parametrize(("caption", "change", "new", "tempo", "mirror"), [
    ("a person walks", "slower", "a person walks", 0.7, False),
    ("a person walks", "much faster", "a person walks", 1.8, False),
    ("a person waves the right hand", "with the left hand", "a person waves the left hand", 1, True),
    ("a person waves a hand", "left hand", "a person waves the left hand", 1, False),
    ("a person waves with the left hand", "left hand", "a person waves with the left hand", 1, False),
    ("a person waves the right hand", "with both hands", "a person waves both hands", 1, False),
    ("a person turns to the left", "to the right", "a person turns to the right", 1, True),
    ("a person walks", "like a robot", "a person walks like a robot", 1, False),
])  # fmt: skip
def test_changes(caption, change, new, tempo, mirror):
    got = changed(caption, change)
    assert (got.caption, got.tempo, got.mirror) == (new, tempo, mirror)
    assert got.remake == (tempo == 1 and not mirror)


def test_a_change_of_length():
    assert changed("a person walks", "2 seconds longer").seconds == 2.0
    assert changed("a person walks", "so short", [TurnPart(act="longer", size="large")]).length == 1.8
