"""Orders that their words settle: tempo, lengths by difference, the other side, places, what is saved."""

from __future__ import annotations

import pytest

from avatargpt.language.chat.degrees import degree
from avatargpt.language.chat.factors import factor
from avatargpt.language.chat.filenames import simplified
from avatargpt.language.chat.filling import fill
from avatargpt.language.chat.heard import Heard
from avatargpt.language.chat.orders import order
from avatargpt.language.chat.rewording import changed
from avatargpt.language.chat.slots import movement
from instruct_data.dialogue.acts import write
from vqvae.errors import UserError

CAPTIONS = ("a person walks forward", "a person waves with the right hand", "a person jumps")


def heard(request, captions=CAPTIONS, **more):
    plain, files = simplified(request)
    return Heard(plain.lower(), "", captions, files=tuple(files), **more)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("make it 20% faster", 1.2), ("speed up by 20%", 1.2), ("everything 20% slower", 0.8), ("at 150%", 1.5),
        ("slowed to 75%", 0.75), ("slow down by half", 0.5), ("two times slower", 0.5), ("a quarter faster", 1.25),
        ("three times faster", 3), ("twice as slow", 0.5), ("double the length of the wave", 0.5), ("half as long", 2),
        ("half speed", 0.5), ("longer by 1.5 s", None), ("100% slower", None), ("slow everything to 0.8", 0.8),
    ],
)  # fmt: skip
def test_how_many_times_as_fast(text, times):
    assert factor(text) == (None if times is None else pytest.approx(times))


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        # tempo
        ("make it 20% faster", "speed x1.2"), ("everything slower", "speed x0.7"), ("slow down", "edit: slower"),
        ("slow him down", "edit: slower"), ("slow-mo for the jump", "edit 3: slower"), ("speed it up", "edit: faster"),
        ("slow down the first one", "edit 1: slower"),
        ("make the walk slower", "edit 1: slower"), ("the wave a bit faster", "edit 2: faster"),
        ("the jump is much too fast", "edit 3: much slower"), ("the walk 1.5 times faster", "speed 1 x1.5"),
        ("make the walk slower and the jump faster", "edit 1: slower | edit 3: faster"),
        # lengths
        ("make it 3 seconds longer", "edit: 3 seconds longer"),
        ("add 2 seconds to the walk", "edit 1: 2 seconds longer"),
        ("cut 2 seconds off the wave", "edit 2: 2 seconds shorter"), ("make the last one longer", "edit 3: longer"),
        ("make the first one longer", "edit 1: longer"), ("shorten the walk", "edit 1: shorter"),
        ("double the length of the wave", "edit 2: 2 times as long"), ("shorten the jump to 2 s", "retime 3 2s"),
        ("increase the speed by 20%", "speed x1.2"), ("reduce the speed of the jump by half", "speed 3 x0.5"),
        ("reduce the length of the walk by 2 s", "edit 1: 2 seconds shorter"),
        ("everything 3 seconds shorter", "total 15s"), ("shorten it to 9 s", "total 9s"),
        ("make the walk 3s and the jump 2s", "retime 1 3s | retime 3 2s"), ("give the walk 3 seconds", "retime 1 3s"),
        # the other side, all of it
        ("no, the other hand", "edit 2: the other hand"), ("the wave with the other hand", "edit 2: the other hand"),
        ("undo everything", "undo 99"), ("redo all", "redo 99"), ("don't loop it", "loop x1"),
        ("stop looping", "loop x1"),
        # places
        ("before that he waves, 3 seconds", "before 3 3s: a person waves"),
        ("add a jump after the walk", "before 2: a jump"),
        ("insert a kick between the walk and the wave", "before 2: a kick"),
        ("add a bow in the middle", "before 2: a bow"),
        ("before the jump he turns around", "before 3: a person turns around"), ("add a bow at the end", "then: a bow"),
        ("move the jump to the front", "move 3 1"), ("put the wave after the jump", "move 2 3"),
        ("make it first", "move 3 1"),
        ("put a wave to the right before the jump", "before 3: a wave to the right"),
        ("move the walk to place 2", "move 1 2"), ("put the jump second", "move 3 2"),
        ("the walk should come third", "move 1 3"), ("move the walk to second place", "move 1 2"),
        ("make the jump the second one", "move 3 2"),
        ("swap the walk and the wave", "move 2 1"), ("swap 1 and 3", "move 3 1 | move 2 3"),
        # manner, files
        ("the jump higher", "edit 3: higher"), ("make the wave happier", "edit 2: happier"),
        ("save only the jump as j.npz", "save 3: j.npz"), ("save segment 2 as w.npz", "save 2: w.npz"),
        ("export the second segment as bvh", "export bvh 2"), ("save as glb", "export glb"),
        ("save it as bvh", "export bvh"), ("export walk.glb", "save: walk.glb"),
        ("export it as a bvh file called foo", "save: foo.bvh"),
    ],
)  # fmt: skip
def test_what_the_words_settle(request_, line):
    acts = order(heard(request_, seconds=18.0))
    assert acts and write(acts) == line


@pytest.mark.parametrize(
    "request_",
    [
        "then he walks slowly", "he runs after him", "he walks to the front", "let him look back",
        "hold the pose longer", "he comes second", "make the second jump",
        "make 2 longer: 30", "shorter: one minute", "extend it by 3 seconds", "i want it back after all", "save walk",
        "what comes after the walk?", "then he turns before the wall", "add 5 seconds of waving", "undo",
        "how long is the walk?", "faster and slower at the same time", "he jumps in the middle of the street",
    ],
)  # fmt: skip
def test_what_is_left_to_the_classifier(request_):
    assert order(heard(request_, seconds=18.0)) == []


@pytest.mark.parametrize(
    ("request_", "captions", "told"),
    [
        ("save only the dance as x.glb", CAPTIONS, "one segment, or all"),
        ("export segments 1 and 2 as bvh", CAPTIONS, "one segment, or all"), ("loop it", CAPTIONS, "how often"),
        ("the jump slower", (*CAPTIONS, "a person jumps"), "segments 3 and 4"),
        ("add a bow between the walk and the jump", CAPTIONS, "not neighbours"),
        ("add a bow in the middle", CAPTIONS[:1], "nothing between"),
        ("add a bow in between", CAPTIONS, "between which"),
    ],
)  # fmt: skip
def test_what_is_open_is_asked(request_, captions, told):
    with pytest.raises(UserError, match=told):
        order(heard(request_, captions))


@pytest.mark.parametrize(
    ("request_", "caption"),
    [
        ("make him wave", "a person waves"), ("let him jump", "a person jumps"),
        ("I want him to jump", "a person jumps"),
        ("have him walk in a circle", "a person walks in a circle"), ("show a woman dancing", "a woman dances"),
        ("make a man walk", "a man walks"), ("can you make someone sit down", "a person sits down"),
    ],
)  # fmt: skip
def test_a_request_for_somebody(request_, caption):
    assert write(order(heard(request_, ()))) == f"make: {caption}"
    assert movement(request_.lower()) == caption
    assert order(heard("make a plan for a picnic", ())) == order(heard("let him say speech.wav", ())) == []


def test_captions_that_have_a_verb_stay():
    for text in ("a man walks like a robot", "a man like a robot walks", "robot dance", "a person still walks"):
        assert movement(text) == text


@pytest.mark.parametrize("text", ["slower", "much faster", "3 seconds longer", "shorter", "2 times as long"])
def test_degrees_read_back(text):
    found = degree(text)
    assert found is not None and found.words == text and not found.rest


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("slow down", (0.7, 1, 0)), ("slow him down", (0.7, 1, 0)), ("speed it up", (1.4, 1, 0)),
        ("longer", (1, 1.3, 0)),
        ("walk slower", (0.7, 1, 0)), ("2 seconds shorter", (1, 1, -2)), ("20% faster", (1.2, 1, 0)),
    ],
)  # fmt: skip
def test_tempo_and_length_leave_the_caption(change, expected):
    got = changed("a person walks", change)
    assert (got.tempo, got.length, got.seconds) == pytest.approx(expected)
    assert got.caption == "a person walks" and not got.remake


def test_the_other_hand_is_the_mirrored_motion():
    got = changed("a person waves with the right hand", "the other hand")
    assert got.caption == "a person waves with the left hand" and got.mirror and not got.remake
    got = changed("a person waves", "no, the other arm")
    assert got.caption == "a person waves" and got.mirror and not got.remake


def test_a_movement_is_not_named_twice():
    assert changed("a person jumps", "the jump higher").caption == "a person jumps higher"
    assert changed("a person jumps", "jump higher").caption == "a person jumps higher"
    assert changed("a person raises both hands", "hands higher").caption == "a person raises both hands hands higher"


def test_no_length_is_read_where_none_is_said():
    assert fill("retime", heard("keep him there 2 seconds longer")) is None
    assert fill("retime", heard("the last one has to be extended")) is None


def test_names_of_several_words():
    assert write([fill("save", heard("save as my walk"))]) == "save: my_walk"
    assert write([fill("save", heard("save it as station, bvh"))]) == "save: station.bvh"
    assert fill("save", heard("save as glb")) is None
