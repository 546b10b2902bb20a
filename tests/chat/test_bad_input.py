"""Whatever is typed: an answer that says what is accepted, and a conversation that goes on."""

import errno
import os

import numpy as np
import pytest

from avatargpt import export
from avatargpt.chat import Conversation
from avatargpt.chat.turn_text import check_english
from tests.chat.stand_ins import FakeModel, LineIntent, say
from vqvae.errors import UserError
from vqvae.face import FaceMotion


@pytest.mark.parametrize(("turn", "told"), [
    ("", "I heard nothing"), ("   \t ", "I heard nothing"), ("\x00\x1b\x07", "I heard nothing"),
    ("...!", "I heard nothing"), ("word " * 5000, "5000 words in one turn; accepted at most 120"),
    ("x" * 50_000, "1000 characters"), ("человек идёт по снегу", "English"), ("一个人在雪地里走", "English"),
    ("undo", "nothing to undo"), ("redo", "nothing to redo"), ("edit: slower", "nothing has been made"),
    ("save: x.npz", "nothing has been made"), ("describe", "nothing has been made"), ("keep a", "no takes"),
    ("load: nowhere.bvh", "nowhere.bvh: no such file"), ("face: happy", "body only; accepted: a feeling"),
    ("/dance", "no such command; accepted: /save"), ("/save", "needs a file"), ("/undo many", "accepted /undo"),
    ("/seed -1", "accepted /seed N"), ("blub", "What should the person do?"), ("asdfgh", "plain English"),
    ("qwrtz jklmnp", "plain English"),
])  # fmt: skip
def test_a_clear_answer_and_no_harm(talk, turn, told):
    reply = talk.say(turn)
    assert not reply.ok and told.lower() in reply.text.lower() and len(reply.text) < 500
    assert talk.say("make: a person walks").ok
    assert len(talk.timeline.segments) == 1


@pytest.mark.parametrize(("turn", "told"), [
    ("edit 7: slower", "no segment 7; there are 2"), ("move 1 1", "in that place already"),
    ("save: walk.obj", ".obj is not written"), ("save: walk.xyz", ".xyz is not written; accepted"),
    ("export wav", ".wav is not written; accepted .bvh"),
    ("save: /proc/nowhere/x.npz", "outside of the outputs"), ("save: taken/x.npz", "annot write"),
    ("total 0.2s", "too short"), ("speed x10 | speed x10", "frames"),
])  # fmt: skip
def test_what_cannot_be_done_changes_nothing(talk, tmp_path, turn, told):
    (tmp_path / "taken").write_text("no folder")
    say(talk, "make: a person walks", "then: a person waves")
    before = talk.timeline
    reply = talk.say(turn)
    assert not reply.ok and told in reply.text
    if "|" not in turn:
        assert talk.timeline is before


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_face_is_no_part_of_a_conversation_about_a_body(model, tmp_path, suffix, kept):
    export.save(FaceMotion(np.zeros((9, 52)), np.zeros((9, 3)), 30.0), tmp_path / f"face{suffix}")
    talk = Conversation(model, tmp_path / "session" if kept else None, None, LineIntent(), tmp_path)
    talk.say("make: a person walks")
    reply = talk.say(f"/load face{suffix}")
    assert not reply.ok and reply.text.startswith(f"face{suffix}: a face; accepted a body motion")
    assert talk.say("/list").ok and len(talk.timeline.segments) == 1


def test_a_pipe_is_said_to_be_one(talk, tmp_path):
    os.mkfifo(tmp_path / "walk.bvh")
    assert "walk.bvh: not a regular file (a pipe or a device)" in talk.say("/load walk.bvh").text
    (tmp_path / "taken.bvh").mkdir()
    assert "taken.bvh: is a folder" in talk.say("/load taken.bvh").text


def test_control_characters_are_left_out(talk):
    say(talk, "make: a person\x00 walks\x1b", "then: a person \x1b[31mjumps\x1b[0m")
    assert [s.caption for s in talk.timeline.segments] == ["a person walks", "a person jumps"]
    assert "\x00" not in talk.memory.turns[0]["user"]


def test_another_language():
    for turn in ["the boy falls in the snow", "ollie", "kickflip? no wait, cartwheel? hmm", "2nd: left hand"]:
        check_english(turn)
    for turn in ["ein mann läuft durch den schnee", "un homme marche dans la neige"]:
        with pytest.raises(UserError, match="plain English only"):
            check_english(turn)


def test_contradictions_follow_one_another(talk):
    say(talk, "make 4s: a person walks", "edit: faster | edit: slower | mirror | mirror | undo 4")
    assert len(talk.motion) == 80


def test_a_full_disk_is_told_and_the_conversation_goes_on(tmp_path, monkeypatch):
    talk = Conversation(FakeModel(), tmp_path / "s", intent=LineIntent(), outputs=tmp_path)
    assert talk.say("make: a person walks").ok

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("numpy.savez", full)
        reply = talk.say("then: a person waves")
        assert not reply.ok and "could not be written" in reply.text and "No space left" in reply.text
        assert len(talk.timeline.segments) == 2, "the turn itself was done"
        reply = talk.say("save: out.npz")
        assert not reply.ok and "No space left" in reply.text and not (tmp_path / "out.npz").exists()
    assert talk.say("then: a person sits").ok
    again = Conversation(FakeModel(), tmp_path / "s", intent=LineIntent())
    assert len(again.timeline.segments) == 3


@pytest.mark.parametrize("at", ["generate", "save"])
def test_an_interrupted_turn_has_not_happened(tmp_path, model, monkeypatch, at):
    talk = Conversation(model, tmp_path / "s", intent=LineIntent(), outputs=tmp_path)
    say(talk, "make: a person walks")

    def stopped(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(model if at == "generate" else talk.store, at, stopped)
    with pytest.raises(KeyboardInterrupt):
        talk.say("mirror | then: a person waves")
    assert [s.mirrored for s in talk.timeline.segments] == [False] and len(talk.memory.past) == 1
    assert len(talk.memory.turns) == 1


def test_a_file_keeps_the_name_it_was_given(talk, tmp_path):
    talk.say("make: a person walks")
    reply = talk.say("save: K\u00e4se(2).npz")
    assert reply.files == (tmp_path / "K\u00e4se(2).npz",) and reply.files[0].is_file()
    assert talk.say("load: none.bvh").text.startswith("none.bvh: no such file")
