"""Turns, memory, undo and edits on a model of known answers."""

import types

import numpy as np
import pytest

from avatargpt.chat import Conversation
from instruct_data.dialogue.acts import Act, read
from tests.chat.stand_ins import FakeModel, FakePlanner, LineIntent, say, walk
from vqvae.errors import OutOfTime, UserError
from vqvae.motion import Motion


def captions(talk):
    return [s.caption for s in talk.timeline.segments]


def test_twelve_turns_with_memory(talk, tmp_path):
    say(talk, "make: a person walks", "then 3s: a person falls", "edit 1: slower")
    say(talk, "before 1: a person waves the right hand")
    assert captions(talk) == ["a person waves the right hand", "a person walks", "a person falls"]
    say(talk, "edit 1: with the left hand", "move 3 1", "retime 1 2.5s", "total 12s")
    assert captions(talk) == ["a person falls", "a person waves the left hand", "a person walks"]
    assert len(talk.motion) == 240
    reply = say(talk, "loop x2", "mirror", "undo 2", "save: walk.bvh")
    assert reply.files == (tmp_path / "walk.bvh",) and reply.files[0].is_file()
    assert len(talk.motion) == 240 and len(talk.memory.turns) == 12


def test_an_edit_makes_only_its_segment_anew(talk, model):
    say(talk, "make: a person walks", "then: a person waves", "then: a person sits")
    kept = talk.timeline.segments
    model.calls.clear()
    say(talk, "edit 2: like a robot")
    assert [c[1] for c in model.calls] == ["a person waves like a robot"]
    assert talk.timeline.segments[0] is kept[0] and talk.timeline.segments[2] is kept[2]


@pytest.mark.parametrize(
    "line", ["edit: slower", "mirror", "speed x2", "move 2 1", "delete 1", "loop x3", "edit 1: left hand"]
)
def test_arranging_asks_the_model_nothing(talk, model, line):
    say(talk, "make: a person waves the right hand", "then: a person walks")
    model.calls.clear()
    say(talk, line)
    assert model.calls == []


def test_speed_and_tempo(talk):
    say(talk, "make 4s: a person walks", "speed x2")
    assert len(talk.motion) == 40
    say(talk, "edit: slower")
    assert len(talk.motion) == 57  # 40 / 0.7
    say(talk, "undo 2")
    assert len(talk.motion) == 80


def test_a_changed_side_is_the_mirrored_motion(talk):
    say(talk, "make: a person waves the right hand")
    before = talk.timeline.segments[0].motion
    say(talk, "edit: with the left hand")
    after = talk.timeline.segments[0]
    assert after.caption == "a person waves the left hand"
    assert np.allclose(after.motion.joints, before.mirrored().canonical().joints, atol=1e-5)


def test_mirror_exchanges_sides_once(talk, model):
    say(talk, "make: a person waves the right hand", "mirror")
    assert captions(talk) == ["a person waves the left hand"] and not talk.timeline.segments[0].mirrored
    say(talk, "make: a person walks", "mirror")
    assert talk.timeline.segments[0].mirrored
    say(talk, "mirror")
    assert not talk.timeline.segments[0].mirrored


def test_undo_and_redo_go_turn_by_turn(talk):
    say(talk, "make: a person walks | then: a person waves", "delete 1")
    assert captions(talk) == ["a person waves"]
    say(talk, "undo")
    assert captions(talk) == ["a person walks", "a person waves"]
    say(talk, "undo")
    assert captions(talk) == []
    say(talk, "redo 3")
    assert captions(talk) == ["a person waves"]
    say(talk, "undo", "then: a person sits")
    assert not talk.say("redo").ok, "a new act ends the future"


def test_what_several_segments_get_is_one_step(talk):
    say(talk, "make 2s: a person walks", "then 2s: a person waves", "then 2s: a person sits", "delete 3 | delete 2")
    say(talk, "undo", "retime 1 4s | retime 2 4s | retime 3 4s", "undo")
    assert [s.motion.seconds for s in talk.timeline.segments] == [2, 2, 2]
    say(talk, "plan 3: a picnic")
    each = " | ".join(f"speed {n} x2" for n in range(1, 10))
    reply = say(talk, f"then 1s: a person yawns | {each} | then: a person bows")
    assert reply.text.splitlines()[1].endswith("And 8 more segments likewise.") and reply.text.count("\n") == 2
    assert say(talk, "undo").text == "Undone. 9 segments, 18.0 s."


def test_takes(talk):
    say(talk, "make: a person walks", "again", "again")
    first, second, third = (s.key for s in talk.timeline.takes)
    assert len({first, second, third}) == 3 and talk.timeline.segments[0].key == third
    assert "no take d" in talk.say("keep d").text
    say(talk, "keep b")
    assert talk.timeline.segments[0].key == second and not talk.timeline.takes
    assert "no takes" in talk.say("keep a").text


def test_lengths_are_kept_to_the_frame(talk, model):
    say(talk, "make 3s: a person walks", "then 2s: a person waves", "then: a person sits", "total 9.95s")
    assert len(talk.motion) == 199
    assert [b - a for a, b in talk.timeline.spans] and talk.timeline.spans[-1][1] == 199
    say(talk, "retime 2 10s")
    assert talk.timeline.segments[1].motion.seconds == 10
    assert model.calls[-1][:3] == ("generate", "a person waves", 10.0)


def test_a_script_is_a_segment_for_each_part(talk, model):
    say(talk, "[0-3s] a person walks [4-6s] he bows")
    assert [s.caption for s in talk.timeline.segments] == ["a person walks", "stays still", "he bows"]
    assert [s.motion.seconds for s in talk.timeline.segments] == [3, 1, 2]


def test_files_in_and_on(talk, tmp_path, model):
    walk(3.0, caption="a person strolls").save(tmp_path / "My Walk.npz")
    reply = talk.say('load: my_walk.npz')
    assert not reply.ok and "no such file" in reply.text
    say(talk, "/load My Walk.npz")
    assert captions(talk) == ["a person strolls"] and len(talk.motion) == 60
    assert "60 frames" in say(talk, "describe").text
    say(talk, "then 2s: a person goes on")
    assert model.calls[-1][0] == "extend" and len(talk.motion) == 100
    assert "cannot be made" in talk.say("edit 1: like a robot").text
    assert "My Walk.npz" in say(talk, "question: files").text


def test_answers_come_from_the_timeline(talk):
    say(talk, "make 3s: a person waves the left hand", "then 5s: a person walks")
    for about, told in [
        ("whole", "8 s in 2 segments:\n  segment 1: waves the left hand (0 to 3 s, 3 s)."),
        ("segment 2", "3 to 8 s, 5 s"),
        ("segments 1 to 2", "Together 8 s."), ("second 4", "At second 4: segment 2"), ("longest", "segment 2: walks"),
        ("shortest", "segment 1"), ("files", "No file was read"), ("history", "question: second 4 -> At second 4"),
        ("ability", "plain English"), ("second 99", "all of it lasts 8 s"),
    ]:  # fmt: skip
        assert told in say(talk, f"question: {about}").text, about
    for wrong in ("segment 3", "which hand waves"):
        assert not talk.say(f"question: {wrong}").ok
    assert "0.0 -   3.0 s  a person waves" in say(talk, "show timeline").text


def test_a_plan_enters_the_timeline(talk, model):
    assert "no plan" in talk.say("show plan").text
    say(talk, "make 3s: a person walks", "then 2s: a person waves")
    stood = talk.timeline.segments
    assert say(talk, "show plan").text == "The steps:\n  1. a person walks\n  2. a person waves"
    text = say(talk, "plan 2: a picnic").text
    assert "Segments 3 to 6 are a picnic (8 s, stand-in):\n  activity 0 (segments 3 to 4)\n    3. a person" in text
    assert talk.timeline.segments[:2] == stood and captions(talk)[2:] == ["a person walks", "a person sits"] * 2
    assert [s.activity for s in talk.timeline.segments] == ["", "", *["activity 0"] * 2, *["activity 1"] * 2]
    plan = say(talk, "show plan").text
    assert "activity 1 (segments 5 to 6)" in plan and "\n  2. a person waves\n" in plan, "with what no plan made"
    assert [call[2] for call in model.calls[2:]] == [None] * 4
    say(talk, "plan 1 12s @2: a walk")
    assert len(talk.timeline.segments) == 8 and talk.timeline.segments[3:] == (stood[1], *talk.timeline.segments[4:])
    assert [call[2] for call in model.calls[6:]] == [6, 6]
    say(talk, "undo")
    assert len(talk.timeline.segments) == 6, "a plan is one step"


def test_steps_go_on_from_one_another(talk, model):
    say(talk, "make: a person walks", "plan 1: a picnic", "before 1: a person bows", "edit 3: like a robot")
    segments = talk.timeline.segments
    assert [s.follows for s in segments[:2]] == ["", ""] and segments[2].follows == segments[1].key
    say(talk, "replace 2: a person runs")
    assert talk.timeline.segments[1].follows == segments[0].key


def test_a_loop_belongs_to_its_segment(talk):
    say(talk, "make 2s: a person salutes", "loop x2", "then 3s: a person bows")
    assert talk.timeline.rounds == (2, 1) and talk.timeline.seconds == 7
    say(talk, "loop 2 x3")
    assert talk.timeline.rounds == (2, 3) and talk.timeline.seconds == 13
    say(talk, "loop x2", "then 1s: a person sits")
    assert talk.timeline.order == (0, 0, 1, 1, 1) * 2 + (2,) and talk.timeline.seconds == 27
    assert "3. " in talk.say("/list").text and "[4 times]" in talk.say("/list").text
    say(talk, "loop 1 x1", "move 3 1")
    assert talk.timeline.order == (0, *(1, 2, 2, 2) * 2)
    say(talk, "before 3: a person turns", "before 1: a person yawns")
    assert talk.timeline.order == (0, 1, *(2, 3, 4, 4, 4) * 2), "only what stands within a loop is repeated"
    assert "already" in say(talk, "loop 1 x1").text


def test_names(talk, tmp_path):
    say(talk, "make 2s: a person walks", "then 3s: a person bows", "then 1s: a person sits")
    assert "Segment 2 is called greeting" in say(talk, "rename 2: greeting").text
    assert "Segments 2 to 3 are called arrival" in say(talk, "rename 2 3: arrival").text
    assert "arrival (segments 2 to 3)" in say(talk, "show plan").text and "[greeting]" in say(talk, "/list").text
    assert "segments 2 to 3, 80 frames" in say(talk, "save 2 3: arrival.npz").text
    assert Motion.load(tmp_path / "arrival.npz").caption == "a person bows, then sits"
    say(talk, "export npz 2 3")
    assert (tmp_path / "motion-segment-2-3.npz").is_file()
    assert "accepted a first one" in talk.say("save 3 2: x.npz").text and "no segment 7" in talk.say("rename 7: x").text


def test_it_is_the_segment_last_spoken_of(talk):
    say(talk, "make 2s: a person walks", "then 3s: a person bows", "then 1s: a person sits", "retime 2 4s", "retime 7s")
    assert [s.motion.seconds for s in talk.timeline.segments] == [2, 7, 1]
    say(talk, "move 2 1", "edit: like a robot", "undo", "delete 1", "edit: slower")
    assert captions(talk) == ["a person walks", "a person sits"] and talk.timeline.segments[1].tempo == 0.7
    say(talk, "delete 1", "undo", "delete 1", "undo", "edit: faster")
    assert talk.timeline.segments[0].tempo == 1.4, "what was undone is spoken of"


def test_what_a_turn_did_before_a_mistake_stays(talk):
    reply = talk.say("make: a person walks | edit 5: slower | then: a person sits")
    assert not reply.ok and "no segment 5" in reply.text and captions(talk) == ["a person walks"]
    assert [a.do for a in reply.acts] == ["make"]


def test_the_same_turns_and_seed_give_the_same_motion(tmp_path):
    def run(seed):
        talk = Conversation(FakeModel(), intent=LineIntent(), seed=seed, planner=FakePlanner())
        say(talk, "make: a person walks", "then: a person waves", "again")
        return talk.motion.root

    assert np.array_equal(run(3), run(3)) and not np.array_equal(run(3), run(4))


def test_bounded(talk, monkeypatch):
    monkeypatch.setattr("avatargpt.chat.timeline.MAX_UNDO", 5)
    monkeypatch.setattr("avatargpt.chat.timeline.MAX_SEGMENTS", 9)
    say(talk, "make 0.5s: a person walks")
    for _ in range(4):
        say(talk, "edit: slower", "edit: faster")
    assert len(talk.memory.past) == 5
    talk.memory.turns *= 30
    say(talk, "mirror")
    assert len(talk.memory.turns) == 200
    assert "0.2 to 1800" in talk.say("loop x99 | total 3600s").text
    say(talk, "undo")
    line = " | ".join(["then 0.2s: a person waves"] * 4)
    replies = [talk.say(line) for _ in range(3)]
    assert [r.ok for r in replies] == [True, True, False] and "at most 9" in replies[-1].text
    assert len(talk.timeline.segments) == 9


def test_files_go_where_their_names_say(model, talk, tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    talk = type(talk)(model, intent=talk._intent)
    say(talk, "make: a person waves")
    for typed, path in (
        ("/save ./here.npz", "a/b/here.npz"), ("/save ../up.npz", "a/up.npz"), ("/save sub/in.npz", "a/b/sub/in.npz"),
        ("/save .dot.npz", "a/b/dot.npz"), (r"/save ..\up.bvh", "a/up.bvh"), (r"/save sub\in.bvh", "a/b/sub/in.bvh"),
    ):  # fmt: skip
        reply = talk.say(typed)
        assert reply.ok and (tmp_path / path).is_file(), reply.text
        assert [f.resolve() for f in reply.files] == [(tmp_path / path).resolve()]
    assert talk.say("/save ../up.npz").text.startswith("Replaced ../up.npz")
    assert not talk.say("/save ..").ok


def test_outputs_bound_where_files_go(talk, tmp_path):
    outputs, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (outputs, elsewhere):
        folder.mkdir()
    talk.outputs = outputs
    (outputs / "link").symlink_to(elsewhere)
    (outputs / "file.npz").symlink_to(elsewhere / "file.npz")
    (outputs / "circle").symlink_to(outputs / "circle")
    say(talk, "make: a person waves")
    for typed in (
        "/save ../up.npz", "/save sub/../../up.npz", f"/save {elsewhere}/x.npz", f'/save "{elsewhere}/x.npz"',
        r"/save ..\up.npz", "/save link/x.npz", "/save file.npz", "/save ~/x.npz", "/save circle/x.npz",
    ):  # fmt: skip
        reply = talk.say(typed)
        assert not reply.ok and "outside of the outputs; accepted names within" in reply.text, (typed, reply.text)
        assert "\n" not in reply.text and not reply.files
    assert list(elsewhere.iterdir()) == [] and not (tmp_path / "up.npz").exists() and not (outputs / "sub").exists()
    talk.memory.saved = "../gone.npz"  # as a session may have it
    assert not talk.say("export: gif").ok and not (tmp_path / "gone.gif").exists()
    assert talk.say("/save sub/../in.npz").ok and (outputs / "in.npz").is_file()
    assert talk.say(f"/save {outputs}/whole.npz").ok and (outputs / "whole.npz").is_file()
    (outputs / "avatargpt-previews").symlink_to(elsewhere)
    assert "outside of the outputs" in talk.say("/play").text and list(elsewhere.iterdir()) == []


def test_lengths_by_difference_and_other_sides(talk):
    say(talk, "make 4s: a person waves the right hand", "edit: 1 second longer")
    assert len(talk.motion) == 100 and captions(talk) == ["a person waves the right hand"]
    assert "lasts 2.5 s, it was 5 s" in say(talk, "edit: 2.5 seconds shorter").text
    assert "at least 0.2 s" in talk.say("edit: 9 seconds shorter").text
    say(talk, "edit: the other hand")
    assert captions(talk) == ["a person waves the left hand"] and not talk.timeline.segments[0].mirrored
    say(talk, "make: a person walks", "edit: the other way")
    assert captions(talk) == ["a person walks"] and talk.timeline.segments[0].mirrored


def test_all_is_undone(talk):
    say(talk, "make: a person walks", "then: a person waves", "before 1 3s: a person sits")
    assert talk.timeline.segments[0].motion.seconds == 3
    assert say(talk, "undo 99").text == "Undone 3 steps. Nothing is there now."


def test_played_once(talk):
    say(talk, "make 2s: a person walks", "loop x3")
    assert say(talk, "loop x1").text == "It plays once, 2 s in all."
    before = talk.timeline
    assert "already" in say(talk, "loop x1").text and talk.timeline is before


def test_one_segment_is_saved(talk, tmp_path):
    say(talk, "make 2s: a person walks", "then 3s: a person waves")
    say(talk, "save: takes/all.npz")
    assert "segment 2, 60 frames" in say(talk, "save 2: w.npz").text
    assert Motion.load(tmp_path / "w.npz").caption == "a person waves"
    say(talk, "export npz 1")
    assert len(Motion.load(tmp_path / "takes" / "all-segment-1.npz")) == 40
    say(talk, "export bvh")
    assert (tmp_path / "takes" / "all.bvh").is_file(), "beside what was saved last"


def test_saved_at_another_rate(talk, tmp_path, monkeypatch):
    say(talk, "make 2s: a person walks")
    talk._intent = type("Saves", (), {"name": "", "understand": lambda self, heard: read("save: x.npz")})()
    assert "60 frames at 30 per second" in say(talk, "save as x.npz at 30 fps").text
    assert Motion.load(tmp_path / "x.npz").fps == 30
    assert "accepted 1 to 240" in talk.say("save as x.npz at 900 fps").text


def test_pictures_are_kept(talk, tmp_path, monkeypatch):
    monkeypatch.setattr("avatargpt.chat.scene.desktop", lambda: False)
    say(talk, "make 1s: a person walks")
    for line in ("play", "show frames"):
        reply = say(talk, line)
        (path,) = reply.files
        assert path.is_file() and path.is_relative_to(tmp_path) and str(path) in reply.text


def test_a_language_model_plans_where_no_planner_is_named(monkeypatch):
    from avatargpt import planning

    given = []
    monkeypatch.setattr(planning, "load_planner", lambda *args: given.append(args) or FakePlanner())
    model, llm = FakeModel(), types.SimpleNamespace(name="a model")
    talk = Conversation(model, intent=LineIntent(), llm=llm, tell=print)
    assert talk.planner() is talk.planner() and given == [("", model, llm, print)]


def test_an_animation_of_a_pack_is_loaded_by_name(talk, tmp_path):
    from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, motion

    rigs = {name: as_rig(motion(n), CONVENTIONS["unreal"]) for name, n in (("Walk", 40), ("Big Hop", 60))}
    GltfFile(rigs).save(tmp_path / "pack.glb")
    reply = talk.say("/load pack.glb")
    assert not reply.ok and "2 animations turn the joints (Walk, Big Hop)" in reply.text
    assert talk.say("/load pack.glb#Big Hop").ok and len(talk.motion) == 60


class Remembers:
    """An intent that reads lines of acts and remembers the turns."""

    name = "remembers"

    def __init__(self):
        self.turns = []

    def understand(self, turn):
        self.turns.append(turn)
        return LineIntent().understand(turn)


def test_a_turn_is_read_behind_the_timeline_and_the_turns_before_it(model, tmp_path):
    intent = Remembers()
    talk = Conversation(model, tmp_path / "s", intent=intent)
    say(talk, "make 2s: a person walks", "then 3s: a woman bows", "rename 2: greeting", "loop 1 x3")
    talk = Conversation(model, tmp_path / "s", intent=intent)  # also over the end of a program
    assert not talk.say("loop it").ok, "asked back"
    say(talk, "loop x2", "undo", "chat")
    asked, looped, undo, chat = intent.turns[-4:]
    assert asked.lines == ("1 walks 2s x3", "2 [greeting] bows 3s") and asked.last == ("loop 1",) and asked.undone == 2
    assert asked.before[-1] == ("loop 1 x3", "Segment 1 plays 3 times, 9 s in all.")
    assert looped.before[-1][0] == "loop it" and looped.last == () and looped.captions[1] == "a woman bows"
    assert undo.lines == ("1 walks 2s x3", "2 [greeting] bows 3s", "(1-2 x2)") and chat.lines == asked.lines


def test_spans_of_time(talk, model):
    say(talk, "make 4s: a person walks", "then 4s: a person waves the right hand")
    before, calls = talk.timeline, len(model.calls)
    reply = say(talk, "speed from2s to6s x0.5")
    assert [s.motion.seconds for s in talk.timeline.segments] == [2, 4, 4, 2] and reply.text.count("Segment") == 2
    assert len(model.calls) == calls, "nothing is made again"
    say(talk, "undo")
    assert talk.timeline.segments == before.segments, "one step"
    say(talk, "delete from7s")
    assert captions(talk) == ["a person walks", "a person waves the right hand"] and talk.timeline.seconds == 7
    say(talk, "mirror from4s to5s", "retime from0s to4s 2s")
    assert captions(talk)[1:] == ["a person waves the left hand", "a person waves the right hand"]
    assert [s.motion.seconds for s in talk.timeline.segments] == [2, 1, 2]
    assert "Nothing from 90 to 95 s" in talk.say("delete from90s to95s").text
    say(talk, "loop 1 x2")
    assert "within a loop" in talk.say("delete from1s to3s").text


def test_what_a_cut_leaves_is_the_same_movement(talk, model):
    say(talk, "make 4s: a person walks", "then 4s: a person waves")
    calls, second = len(model.calls), talk.timeline.segments[1].motion
    reply = say(talk, "delete from4s to5s")
    first, left = talk.timeline.segments
    assert reply.text == "Cut out 4 to 5 s; 7 s are left." and len(model.calls) == calls
    np.testing.assert_allclose(left.motion.rotations[:, 1:], second.rotations[20:, 1:])
    assert left.follows == first.key, "it is not made again to begin where the first one ends"
    say(talk, "delete from0s to1s")
    assert [s.motion.seconds for s in talk.timeline.segments] == [3, 3]
    assert "Nothing is left" in say(talk, "delete from0s").text


def test_takes_of_one_turn_are_one_step_of_undo(talk):
    say(talk, "make 2s: a person walks")
    talk.do("again 1 | again 1 | again 1")
    assert len(talk.timeline.takes) == 4
    say(talk, "keep b", "undo")
    assert len(talk.timeline.takes) == 4
    say(talk, "undo")
    assert not talk.timeline.takes and captions(talk) == ["a person walks"]


def test_acts_are_called_without_words(talk, tmp_path):
    reply = talk.do("make 2s: a person walks | then: a person waves", Act("loop", segment=1, times=2))
    assert reply.ok and reply.understood == "acts" and [a.do for a in reply.acts] == ["make", "then", "loop"]
    assert talk.timeline.rounds == (2, 1) and talk.memory.turns[0]["user"].endswith("| loop 1 x2")
    assert not talk.do(Act("delete", segment=9)).ok and talk.do("undo").ok and not talk.timeline.segments
    with pytest.raises(UserError, match="not an act"):
        talk.do("dance")
    with pytest.raises(UserError, match="no act"):
        talk.do()


def test_a_plan_that_meets_its_limit_of_time_keeps_its_steps(model, tmp_path):
    def progress(done, total):
        if done == 2:
            raise OutOfTime("more than 300 s of work; accepted: shorter or fewer motions")

    talk = Conversation(model, intent=LineIntent(), outputs=tmp_path, planner=FakePlanner(), progress=progress)
    reply = talk.do("make 1s: a person waves", "plan: a picnic")
    assert reply.ok and captions(talk) == ["a person waves", "a person walks", "a person sits"]
    assert "2 of 6 steps: more than 300 s of work" in reply.text
