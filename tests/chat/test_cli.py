"""``avatargpt chat`` with turns from standard input."""

import errno
import io
import json
import signal

import pytest

import avatargpt
from avatargpt.__main__ import main
from tests.chat.stand_ins import FakeModel, LineIntent


@pytest.fixture
def chat(monkeypatch, capsys, tmp_path):
    """Run the command on these bytes: (exit status, stdout, stderr)."""
    monkeypatch.setattr(FakeModel, "from_pretrained", classmethod(lambda cls, *a, **k: cls()), raising=False)
    monkeypatch.setitem(avatargpt.__dict__, "AvatarGPT", FakeModel)
    monkeypatch.setattr("avatargpt.chat.conversation.open_intent", lambda model: LineIntent())
    monkeypatch.chdir(tmp_path)

    def run(text, *options):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        code = main(["chat", *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_script_of_turns(chat, tmp_path):
    code, out, err = chat(b"make: a person walks\n\nthen 3s: a person waves\n/save two.npz\nExit\nmirror\n")
    assert code == 0 and err == ""
    assert "> make: a person walks\nMade: walks (2 s)." in out and "Goodbye." in out and "> mirror" not in out
    assert (tmp_path / "two.npz").is_file()


def test_json_is_one_object_per_turn(chat):
    code, out, _ = chat(b"make: a person walks\nundo 3\nkeep a\n", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [r["ok"] for r in rows] == [True, True, False]
    assert rows[0]["acts"] == [{"do": "make", "text": "a person walks"}] and rows[0]["frames"] == 40
    assert rows[0]["timeline"]["segments"][0]["caption"] == "a person walks" and rows[1]["timeline"]["segments"] == []


def test_a_session_and_pictures(chat, tmp_path):
    assert chat(b"make: a person walks\n", "--session", "s", "--view")[0] == 0
    assert (tmp_path / "s" / "turn.png").read_bytes().startswith(b"\x89PNG")
    assert "a person walks" in chat(b"/list\n", "--session", "s")[1]


def test_a_full_disk_is_told_by_the_exit_status(chat, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert chat(b"keep a\n")[0] == 0  # what cannot be done is answered, and no failure
    monkeypatch.setattr("numpy.savez", full)
    for turn, options in ((b"", ("--session", "s")), (b"/save a.npz\n", ())):
        code, out, err = chat(b"make: a person walks\n" + turn, *options)
        assert code == 2 and "No space left" in out
        assert err == "error: files of 1 turns could not be written; their replies say why\n"


def test_a_signal_ends_the_conversation_and_not_the_turn(chat, monkeypatch):
    monkeypatch.setattr(FakeModel, "generate", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    code, out, err = chat(b"make: a person walks\n/list\n")
    assert (code, out, err) == (130, "", "error: interrupted\n")


def test_bytes_that_are_no_text_and_endless_lines(chat):
    code, out, _ = chat(b"\xff\xfe\x00 walk\n" + b"x" * 300_000 + b"\nmake: a person walks\n")
    assert code == 0 and "Made: walks" in out and out.count("\n\n") == 3, "one answer for each line, however long"


@pytest.mark.parametrize(("options", "told"), [
    (["--outputs", "/dev/null/no"], "accepted a folder"), (["--seed", "-1"], "--seed"),
    (["--model", "no"], "no such folder"),
])  # fmt: skip
def test_mistakes_are_one_line(chat, options, told):
    code, _, err = chat(b"", *options)
    assert code == 2 and told in err and err.count("\n") == 1


def test_a_folder_of_outputs_is_made(chat, tmp_path):
    assert chat(b"make 1s: a person walks\n/save a.npz\n", "--outputs", "new/er")[0] == 0
    assert (tmp_path / "new" / "er" / "a.npz").is_file()


def test_the_picture_of_a_turn_is_named(chat, tmp_path):
    code, out, _ = chat(b"make 1s: a person walks\n", "--view", "--quiet")
    picture = tmp_path / "avatargpt-previews" / "turn.png"
    assert code == 0 and f"[{picture}]" in out and picture.is_file()


def test_a_seed_for_a_session_that_goes_on(chat, tmp_path):
    def seed(*options):
        assert chat(b"show timeline\n", "--session", "s", "--quiet", *options)[0] == 0
        return json.loads((tmp_path / "s" / "session.json").read_text())["seed"]

    assert (seed("--seed", "3"), seed(), seed("--seed", "5"), seed("--seed", "0")) == (3, 3, 5, 0)


def test_names_of_files_and_turns_do_not_steer_the_terminal(chat, tmp_path):
    owned = "\x1b]0;owned\x07\x9b31m\u202e"
    (tmp_path / f"a{owned}.npz").write_bytes(b"no motion")
    turns = f"/load a{owned}.npz\n/load none{owned}.npz\nmake: a person walks{owned}\n/list\n/x{owned}\n"
    for options in ((), ("--json",)):
        _, out, err = chat(turns.encode(), *options)
        assert r"\u001b" in out and not {*"\x1b\x07\x9b\u202e"} & {*out, *err}
