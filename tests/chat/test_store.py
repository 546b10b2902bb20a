"""Sessions on disk, and a process that is killed in the middle of a turn."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avatargpt.chat import Conversation
from tests.chat.stand_ins import FakeModel, FakePlanner, LineIntent, say
from vqvae.errors import UserError
from vqvae.io.files import MARK

HERE = Path(__file__).resolve().parent


def opened(folder):
    return Conversation(FakeModel(), folder, intent=LineIntent(), planner=FakePlanner())


def test_a_session_goes_on_where_it_was(tmp_path):
    one = opened(tmp_path)
    say(one, "make: a person walks", "then 3s: a person waves", "again", "plan 2: a picnic", "edit 1: slower", "undo")
    two = opened(tmp_path)
    assert two.resumed and np.array_equal(one.motion.rotations, two.motion.rotations)
    assert two.timeline.to_json() == one.timeline.to_json() and two.memory.turns == one.memory.turns
    for line in ["redo", "undo 5", "redo 2"]:
        assert one.say(line).text == two.say(line).text
    assert np.array_equal(one.motion.root, two.motion.root)
    assert two.say("then: a person sits").ok and one.say("then: a person sits").ok
    assert np.array_equal(one.motion.root, two.motion.root), "the seed goes on, too"


def test_motions_that_nobody_needs_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("avatargpt.chat.timeline.MAX_UNDO", 5)
    talk = opened(tmp_path)
    for i in range(9):
        talk.say(f"make: a person walks {i}")
    assert len(list((tmp_path / "motions").iterdir())) <= 6


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "motions").mkdir()
    others = [
        tmp_path / name
        for name in ("motions/bow.npz", "motions/notes.txt", "motions/.session.tmp.npz", "walk.npz", f"{'a' * 20}.npz")
    ]
    for path in others:
        path.write_text("mine")
    talk = opened(tmp_path)
    assert talk.say("make: a person walks").ok and talk.say("make: a person sits").ok
    assert all(path.read_text() == "mine" for path in others)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 9}', '{"version": 1, "now": 3}'])
def test_a_damaged_session_is_named(tmp_path, content):
    opened(tmp_path).say("make: a person walks")
    (tmp_path / "session.json").write_text(content)
    with pytest.raises(UserError, match="session.json"):
        opened(tmp_path)


def test_a_session_of_version_1_goes_on(tmp_path):
    talk = opened(tmp_path)
    say(talk, "make 2s: a person walks", "then 3s: a person waves")
    data = json.loads((tmp_path / "session.json").read_text())
    former = ("caption", "seed", "fixed", "tempo", "mirrored", "kind", "motion")
    for state in (data["now"], *data["past"]):
        state["segments"] = [{k: s[k] for k in former} for s in state["segments"]]
        del state["focus"]
    data["now"] |= {"loops": 2, "plan": {"scene": "a picnic", "activities": [{"task": "eat", "steps": ["sit"]}]}}
    for state in data["past"]:
        state["loops"] = 1
    (tmp_path / "session.json").write_text(json.dumps(data | {"version": 1}))
    again = opened(tmp_path)
    assert again.timeline.order == (0, 1, 0, 1) and again.timeline.seconds == 10
    assert again.say("then 1s: a person sits").ok and again.timeline.seconds == 11, "what is added is not repeated"
    assert again.say("undo 2").ok and len(again.timeline.segments) == 1
    assert json.loads((tmp_path / "session.json").read_text())["version"] == 2


@pytest.mark.parametrize(("wrong", "says"), [
    ({"loops": 10**6}, r"session\.json: "), ({"loops": 0}, r"session\.json: "), ({"chosen": 4}, r"session\.json: "),
    ({"focus": 7}, r"session\.json: "), ({"segments": [{"loops": [[1, 0]]}]}, r"session\.json: "),
    ({"segments": [{"motion": "../../secret"}]}, "not the name of a motion"),
])  # fmt: skip
def test_a_session_beyond_the_limits_is_refused(tmp_path, wrong, says):
    opened(tmp_path).say("make: a person walks | again")
    data = json.loads((tmp_path / "session.json").read_text())
    for segment, changed in zip(data["now"]["segments"], wrong.pop("segments", []), strict=False):
        segment |= changed
    data["now"] |= wrong
    (tmp_path / "session.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=says):
        opened(tmp_path)


def _process(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    return subprocess.Popen(
        [sys.executable, str(HERE / "stand_ins.py"), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=environment,
    )  # fmt: skip


def test_killed_in_the_middle_of_a_turn(tmp_path):
    process = _process(tmp_path)
    assert process.stdin and process.stdout
    turns = ["make: a person walks", "then: a person waves", "edit 1: slower"]
    for line in turns:
        process.stdin.write(f"{line}\n")
    process.stdin.write("then: a person walks forever\n")
    process.stdin.flush()
    said = [process.stdout.readline().strip() for _ in range(4)]
    assert said == ["1", "2", "3", "begun"]
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    talk = opened(tmp_path)
    assert [t["user"].strip() for t in talk.memory.turns] == turns
    assert len(talk.timeline.segments) == 2 and talk.say("undo").ok and talk.say("then: a person sits").ok


def test_killed_while_it_writes(tmp_path):
    """Turn after turn without a pause, killed at moments that fall anywhere between turns and writes."""
    lost = tmp_path / "motions" / f".{'0' * 20}{MARK}0123.tmp.npz"
    process = _process(tmp_path)
    assert process.stdin and process.stdout
    process.stdin.write("".join(f"make: a person walks {i}\nthen: a person waves\n" for i in range(400)))
    process.stdin.flush()
    for _ in range(13):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    lost.write_bytes(b"half")
    talk = opened(tmp_path)
    assert len(talk.memory.turns) >= last, "a turn that was answered is kept"
    assert talk.say("then: a person sits").ok and not lost.exists()


def test_a_session_belongs_to_one_process(tmp_path):
    process = _process(tmp_path)
    assert process.stdin and process.stdout
    process.stdin.write("make: a person walks\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == "1"
    with pytest.raises(UserError, match="another conversation is going on there"):
        opened(tmp_path)
    process.kill()
    process.wait(20)
    first = opened(tmp_path)
    again = opened(tmp_path)  # the same process may
    assert len(first.memory.turns) == len(again.memory.turns) == 1
