"""What the words of a turn give, what can be meant by it, and who reads it."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.chat.classifier import TurnIntent, each, parts, tidied
from avatargpt.chat.intent import check_named, possible, why_not
from avatargpt.chat.reading import BothIntent
from avatargpt.language.chat.features import rows
from avatargpt.language.chat.filenames import named_files, simplified
from avatargpt.language.chat.filling import fill
from avatargpt.language.chat.heard import Heard
from avatargpt.language.chat.rewording import changed
from avatargpt.language.chat.slots import explicit
from instruct_data.dialogue.acts import read, write
from vqvae.errors import UserError

CAPTIONS = ("a person walks forward", "a person waves the right hand", "a person jumps")


def heard(request, captions=CAPTIONS, **more):
    files = tuple(simplified(request)[1])
    return Heard(simplified(request)[0].lower(), "", captions, files=files, **more)


@pytest.mark.parametrize(
    ("kind", "request_", "line"),
    [
        ("then", "then he falls and gets up, 4 seconds", "then 4s: a person falls and gets up"),
        ("make", "new: climb a ladder", "make: a person climbs a ladder"),
        ("make", "new scene: a girl dances", "make: a girl dances"),
        ("long", "long a lazy cat day for 20 seconds", "long 20s: lazy cat day"),
        ("then", "how about he jumps?", "then: a person jumps"),
        ("then", "continue it for 5 s", "then 5s: a person goes on"),
        ("edit", "do the second step again with the left hand", "edit 2: with the left hand"),
        ("edit", "make him slower", "edit: slower"),
        ("total", "make it half a minute", "total 30s"),
        ("total", "a minute and a half overall", "total 90s"),
        ("retime", "the jump should last .5 sec", "retime 3 0.5s"),
        ("retime", "number two 45 frames", "retime 2 2.25s"),
        ("speed", "everything at 150%", "speed x1.5"),
        ("speed", "the walk twice as slow", "speed 1 x0.5"),
        ("loop", "do it three times", "loop x3"),
        ("delete", "lose the waving", "delete 2"),
        ("move", "put the last one first", "move 3 1"),
        ("move", "swap the last two", "move 3 2"),
        ("undo", "undo two more", "undo 2"),
        ("undo", "undo twice", "undo 2"),
        ("save", "save as snow.glb", "save: snow.glb"),
        ("save", "please save it as my_walk", "save: my_walk"),
        ("save", "npz kicks", "save: kicks.npz"),
        ("export", "GIF please", "export gif"),
        ("describe", "what does segment 2 show", "describe 2"),
        ("describe", "what did he just do?", "describe 3"),
        ("question", "how long is it?", "question: total length"),
        ("replace", "replace the jump with a bow", "replace 3: a bow"),
        ("plan", "plan a picnic in the park with 4 activities", "plan 4: picnic in the park with 4 activities"),
    ],
)
def test_rules_fill_acts_in(kind, request_, line):
    act = fill(kind, heard(request_))
    assert act is not None
    assert act == read(line)[0], write([act])


def test_what_is_missing_is_not_made_up():
    vague = {"speed": "do it", "loop": "again", "export": "as a file", "load": "load it", "total": "longer"}
    for kind, request in vague.items():
        assert fill(kind, heard(request)) is None, kind


@pytest.mark.parametrize(
    ("line", "request_", "reason"),
    [
        ("edit 2: slower", "make 2 slower", ""),
        ("edit 4: slower", "make 4 slower", "no segment 4"),
        ("delete 3 | edit 3: slower", "drop 3, slower", "no segment 3"),
        ("retime 1 9s", "the first one 5 s", "no 9 in the turn"),
        ("retime 1 2.5s", "the first one half as long", ""),
        ("loop x3", "three times", ""),
        ("load: walk.bvh", "load other.bvh", "no file walk.bvh"),
        ("keep c", "c", "no such take"),
        ("keep z", "z", "no such take"),
        ("undo", "load other.bvh", "not used"),
        ("then: what is in it", "what is in it?", "names no movement"),
        ("then: a person jumps", "how about he jumps?", ""),
        ("make: a person walks | then: a person sits | delete 2", "walk, sit, no", ""),
    ],
)
def test_acts_must_be_possible(line, request_, reason):
    assert reason in why_not(read(line), heard(request_, takes=2)) and bool(reason) == bool(
        why_not(read(line), heard(request_, takes=2))
    )


@pytest.mark.parametrize(
    ("request_", "line", "told"),
    [
        ("delete segment 9", "delete 3", "no segment 9; there are 3 segments"),
        ("make the fifth one slower", "edit 3: slower", "no segment 5"),
        ("what happens in step nine?", "question: timeline", "no segment 9"),
        ("he jumps for 90000 seconds", "then: a person jumps", "90000 seconds; accepted 0.2 to 1800"),
        ("make it 0 s", "edit: 0 s", "0 seconds; accepted"),
        ("a picnic for 2000 seconds", "long 1800s: a picnic", "2000 seconds; accepted 0.2 to 1800 .*`avatargpt long`"),
        ("speed up by -50%", "speed x1.5", "-50%; accepted numbers above zero"),
        ("make it -3 seconds long", "total 3s", "-3 seconds; accepted numbers above zero"),
        ("he waves, then make segment 4 slower", "then: a person waves | edit 4: slower", ""),
        ("he should step 5 times", "edit: step 5 times", ""),
        ("undo step 9", "undo", ""),
        ("show step 9 of the plan", "question: step 9 of the plan", ""),
    ],
)
def test_numbers_that_cannot_be_are_not_passed_over(request_, line, told):
    if not told:
        check_named(read(line), heard(request_))
        return
    with pytest.raises(UserError, match=told):
        check_named(read(line), heard(request_))


def test_nothing_but_the_grammar_is_accepted():
    assert possible("edit 2: slower", heard("make 2 slower"))
    for line in ["", "edit 2 slower", "then: walks", "then: a person walks a person walks a person", "Make it"]:
        assert possible(line, heard("make 2 slower")) is None


def test_files_as_people_type_them():
    assert named_files('describe "/tmp/My Clip.BVH" and walk\\ 2.npz') == ["/tmp/My Clip.BVH", "walk 2.npz"]
    assert simplified("load '/a b/Walk.GLB'") == ("load walk.glb", {"walk.glb": "/a b/Walk.GLB"})
    assert simplified("load pack.glb#Hop/High") == ("load pack.glb", {"pack.glb": "pack.glb#Hop/High"})
    assert simplified('load "My.glb#Big Wave"') == ("load my.glb", {"my.glb": "My.glb#Big Wave"})
    assert named_files("walk 2.5 s. then jump") == []


@pytest.mark.parametrize(
    ("caption", "change", "new", "tempo", "mirror"),
    [
        ("a person walks", "slower", "a person walks", 0.7, False),
        ("a person walks", "much faster please", "a person walks", 1.8, False),
        ("a person waves the right hand", "with the left hand", "a person waves the left hand", 1, True),
        ("a person waves a hand", "left hand", "a person waves the left hand", 1, False),
        ("a person waves with the left hand", "left hand", "a person waves with the left hand", 1, False),
        ("a person waves the right hand", "with both hands", "a person waves both hands", 1, False),
        ("a person turns to the left", "to the right", "a person turns to the right", 1, True),
        ("a person walks", "more tired", "a person walks tiredly", 1, False),
        ("a person walks", "like a robot", "a person walks like a robot", 1, False),
        ("a person walks", "slower, like a robot", "a person walks slower, like a robot", 1, False),
    ],
)
def test_changes(caption, change, new, tempo, mirror):
    got = changed(caption, change)
    assert (got.caption, got.tempo, got.mirror) == (new, tempo, mirror)
    assert got.remake == (tempo == 1 and not mirror)


def test_a_contradiction_is_refused():
    with pytest.raises(UserError, match="slower and faster at once"):
        changed("a person walks", "faster and slower at the same time")
    assert changed("a person walks", "not slower, faster").tempo == 1.4
    assert changed("a person walks", "less fast").tempo == 0.7


def test_turns_are_cut_where_another_order_begins():
    assert parts("loop it 3 times, export mp4") == ["loop it 3 times", "export mp4"]
    assert parts("then he sits and then he stands") == ["then he sits", "then he stands"]
    assert parts("he waves | save x.glb") == parts("he waves; save x.glb") == ["he waves", "save x.glb"]
    assert parts("he jumps, and waves") == ["he jumps, and waves"]
    some = each(read("retime 1 2s")[0], heard("2 seconds each"))
    assert write(some) == "retime 1 2s | retime 2 2s | retime 3 2s"
    for words in ("delete everything", "remove all of it", "get rid of the whole thing"):
        assert write(each(read("delete 3")[0], heard(words))) == "delete 3 | delete 2 | delete 1"
    for words in ("delete the jump, it is all wrong", "delete both"):
        assert write(each(read("delete 3")[0], heard(words))) == "delete 3"


def test_sentences_of_one_turn_follow_one_another():
    made = read("make: a person waves | make: a person jumps | make 2s: a person sits")
    assert write(tidied(made)) == "make: a person waves | then: a person jumps | then 2s: a person sits"
    assert write(tidied(read("undo | make: a person sits"))) == "undo | make: a person sits"


def test_what_is_saved_without_a_name():
    for words in ("save it", "please save", "save everything now", "just save it", "keep it"):
        assert write([fill("save", heard(words))]) == "save: motion"
    assert write([fill("save", heard("save it as walk"))]) == "save: walk"
    assert fill("save", heard("keep z")) is None


def test_a_bare_number_behind_an_order_is_a_segment():
    assert explicit("mirror 9") == [9] and explicit("delete 2.") == [2] and explicit("undo 2") == []
    with pytest.raises(UserError, match="9"):
        check_named(read("mirror"), heard("mirror 9"))
    assert explicit("move 3 to the end") == [3] and explicit("put 1 before 4") == [1]
    assert explicit("move 2 steps to the left") == []
    with pytest.raises(UserError, match="no segment 7"):
        check_named(read("move 1 2"), heard("move 7 to the end"))
    with pytest.raises(UserError, match="nothing has been made"):
        check_named(read("make: moves to the end"), Heard("move 1 to the end", ""))


@pytest.mark.parametrize(
    ("request_", "captions", "told"),
    [
        ("replace segment 9 with a jump", (), "nothing has been made"),
        ("please delete the third step", (), "nothing has been made"),
        ("make segment 2 longer", (), "nothing has been made"),
        ("replace the 9th with a bow", CAPTIONS[:1], "no segment 9; there is 1 segment"),
        ("swap the first and the fourth", CAPTIONS, "no segment 4"),
        ("swap segments 1 and 2", CAPTIONS[:1], "no segment 2"),
        ("replace the third with a bow", CAPTIONS, ""),
        ("a person takes the first step", (), ""),
        ("he replaces the third piece", (), ""),
        ("make the second turn to the left", (), ""),
    ],
)
def test_an_order_about_a_segment_that_is_not_there_makes_no_motion(request_, captions, told):
    acts, said = read("make: a person does something"), heard(request_, captions)
    if not told:
        check_named(acts, said)
        return
    for misread in (acts, read("redo")):
        with pytest.raises(UserError, match=told):
            check_named(misread, said)


def test_a_take_that_is_not_there_makes_no_motion():
    for request in ("keep b", "keep the second take", "please keep take 2"):
        with pytest.raises(UserError, match="no takes to choose among"):
            check_named(read("then: a person keeps b"), heard(request))
        check_named(read("keep b"), heard(request, takes=2))
    with pytest.raises(UserError, match="no take c; accepted a to b"):
        check_named([], heard("keep c", takes=2))
    check_named(read("save: walk"), heard("keep walk"))


def test_every_file_of_a_turn_is_saved():
    def saved(request):
        return write(each(fill("save", heard(request)), heard(request)))

    assert saved("save as q1.glb and q1.bvh") == "save: q1.glb | save: q1.bvh"
    assert saved("save it as a.glb, a.bvh and also as a.npz") == "save: a.glb | save: a.bvh | save: a.npz"
    assert saved("save as a.glb and load b.bvh") == "save: a.glb"
    assert saved("save old.bvh as new.glb") == "save: new.glb" and saved("save as walk") == "save: walk"
    for request, line in (("export glb and bvh", "export glb | export bvh"), ("export gif", "export gif")):
        assert write(each(fill("export", heard(request)), heard(request))) == line


class Words:
    """A sentence encoder that knows two words."""

    def sentence(self, texts):
        return np.array([np.pad([float("undo" in t), float("mirror" in t)], (0, 382)) for t in texts], np.float32)


def classifier():
    kinds = ["undo", "mirror", "total", "question"]
    width = rows([heard("x")], np.zeros((1, 384)), np.zeros(1), {"again": 0}).shape[1]
    weight = np.zeros((4, width))
    weight[0, 0] = weight[1, 1] = 5
    return TurnIntent(kinds, ["again"], weight, np.array([0.1, 0.0, 0.2, 0.2]), Words(), None)


def test_the_classifier_names_the_act_and_rules_fill_it(tmp_path):
    intent = classifier()
    assert write(intent.understand(heard("undo 2 please"))) == "undo 2"
    assert write(intent.understand(heard("mirror the jump. then undo"))) == "mirror 3 | undo"
    assert [k for k, _ in intent.election(heard("mirror it", ()))] == ["question", "undo"], "there is nothing to mirror"
    path = intent.save(tmp_path / "intents.safetensors")
    again = TurnIntent.load(tmp_path, Words(), None)
    assert dict(again.election(heard("undo it"))) == pytest.approx(dict(intent.election(heard("undo it"))), abs=1e-3)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="intents.safetensors"):
        TurnIntent.load(tmp_path, Words(), None)
    assert TurnIntent.load(tmp_path / "none", Words(), None) is None


def test_who_is_believed():
    class Network:
        name = "network"
        line = "undo 2"

        def likeliest(self, said):
            return possible(self.line, said)

        understand = likeliest

    network = Network()
    both = BothIntent(network, classifier())
    assert write(both.understand(heard("undo 2"))) == "undo 2" and both.last == both.name
    network.line = "mirror 1"
    assert write(both.understand(heard("undo 2"))) == "undo 2" and both.last == "classifier"
    network.line = "nonsense"
    assert write(both.understand(heard("undo 2"))) == "undo 2"
    network.line = "edit 2: slower"
    assert write(both.understand(heard("2 looks wrong, slower"))) == "edit 2: slower" and both.last == "network"
    network.line = "speed x0.2"
    assert write(both.understand(heard("make it 20% faster"))) == "speed x1.2" and both.last == "classifier"
