"""The grammar of acts, the outline, and the training pairs."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt import resources
from avatargpt.lm.text_encoder import TextTokenizer
from instruct_data.dialogue.acts import TAKES, Act, Outline, Replay, from_json, outline, read, write
from instruct_data.dialogue.dialogues import TurnMaker, dialogue_pairs, phrases, read_dialogues, replayed
from instruct_data.registry import get_task
from vqvae.errors import UserError

LINES = [
    "make: a person walks", "then 4s: a person falls and gets up | save: snow.glb", "edit 2: with the left hand",
    "retime 3 8.5s", "speed x0.5", "speed 2 x1.25", "move 3 1", "loop x4", "keep b", "undo 2", "redo", "mirror",
    "describe", "describe 2", "describe: walk_1.bvh", "plan 4: a picnic", "long 90s: a night watch", "export glb",
    "show frames", "question: total length", "speak: hello.wav; happy", "total 30s", "again 2 | again", "clarify",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_what_is_written_is_read_again(line):
    assert write(read(line)) == line
    assert [from_json(a.to_json()) for a in read(line)] == read(line)


def test_the_packaged_vocabulary_writes_every_line():
    text = TextTokenizer.load(resources.weights())
    for line in LINES:
        ids = text.encode(line)
        assert text.decode(ids) == line and len(ids) <= 40


@pytest.mark.parametrize("line", [
    "", "dance: a person", "make", "make:", "retime 2", "edit: ", "delete", "keep 3", "undo 0", "speed x99", "loop 3",
    "loop x0.8", "retime 2 3", "then: a | b | ", "show me", "make 4s", "move 1", "undo: it", "play it",
    " | ".join(["undo"] * 9),
])  # fmt: skip
def test_anything_else_is_refused(line):
    with pytest.raises(UserError):
        read(line)


def test_recorded_forms_become_one():
    assert from_json({"do": "save", "name": "walk", "format": "bvh"}) == Act("save", name="walk.bvh")
    assert from_json({"do": "keep", "choice": "2"}) == Act("keep", choice="b")
    with pytest.raises(UserError, match="choice '12'"):
        from_json({"do": "keep", "choice": "12"})
    with pytest.raises(UserError, match="takes no hands"):
        from_json({"do": "undo", "hands": 2})
    with pytest.raises(UserError, match="control"):
        Act("make", text="a\x00b")


def test_the_outline_follows_the_acts():
    replay = Replay(np.random.default_rng(0))
    line = "make 4s: a person waves the left hand | then 2s: a person falls | before 2: a person turns | mirror"
    for act in read(line):
        replay.apply(act)
    assert replay.now.captions == ["a person waves the right hand", "a person turns", "a person falls"]
    for act in read("move 3 1 | delete 2 | speed 1 x2 | again 1 | undo 3"):
        replay.apply(act)
    assert replay.now.captions[0] == "a person falls" and len(replay.now.captions) == 3
    assert outline(["a person walks"], [2.2], 2, True) == "1 walks 2s | takes a b | plan"
    assert Outline().text == "empty"


def test_every_act_has_many_phrasings():
    for act, groups in phrases().turns.items():
        assert sum(len(g.phrases) for g in groups) >= 25, act
    assert set(phrases().turns) == set(TAKES) and len(get_task("chat_turn").templates) >= 20


def test_made_up_turns_are_possible_and_repeatable():
    def some(seed):
        movements = [("hop around", "a person hops"), ("sit", "a person sits")]
        maker = TurnMaker(movements, ["a person walks"], [], np.random.default_rng(seed))
        return [(said, outline_.text, write(acts)) for act in TAKES for said, outline_, acts in [maker.turn(act)]]

    assert some(1) == some(1) != some(2)
    for said, timeline, line in some(3):
        assert said and "{" not in said + line
        count = 0 if timeline.startswith("empty") else timeline.count(";") + 1
        assert all(n is None or n <= count for a in read(line) for n in (a.segment, a.to))


def test_recorded_dialogues_become_pairs(shared, monkeypatch):
    folder = shared / "data" / "chat"
    turns = replayed(read_dialogues(folder / "train.jsonl"), np.random.default_rng(0))
    assert len(turns) > 800 and turns[0].timeline == "empty" and turns[1].timeline.startswith("1 ")
    monkeypatch.setattr("instruct_data.dialogue.dialogues.PAIRS", 3200)
    pairs = dialogue_pairs(folder, seed=1)
    held_out = {u.lower() for d in read_dialogues(folder / "val.jsonl") for u, _ in d if len(u.split()) > 5}
    assert not held_out & {s["request"] for s, _ in pairs}
    for slots, answer in pairs[::40]:
        assert write(read(answer)) == answer
        get_task("chat_turn").render(slots, rng=np.random.default_rng(0))


def test_a_bad_dialogue_is_named(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"turns": [{"user": "x", "acts": [{"do": "fly"}]}]}\n')
    with pytest.raises(UserError, match=r"train.jsonl: line 1.*'fly'"):
        read_dialogues(tmp_path / "train.jsonl")
