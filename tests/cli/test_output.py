"""What is printed steers no terminal, defects are one line, and packaged files are found."""

import ast
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

import avatargpt.cli
from avatargpt import export, resources
from avatargpt.__main__ import main
from avatargpt.train.command import main as train
from vqvae.errors import DEBUG, UserError, error_line, printable
from vqvae.io.files import parsing
from vqvae.motion import Motion

OWNED = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_printable_keeps_text_and_shows_what_would_steer() -> None:
    for text in ("a person walks\n\tand sits", "walk to 走路, é, 🙂", "👩‍💻", "NBSP\u00a0"):
        assert printable(text) == text
    assert printable("\x1b[2J\x9b\x7f\r\u202e\udc80") == r"\u001b[2J\u009b\u007f\u000d\u202e\udc80"
    value = {"name": OWNED + "\udc80\U000e0041"}
    assert json.loads(printable(json.dumps(value, ensure_ascii=False))) == value


def test_names_of_files_and_captions_do_not_steer(cli, fake, clip, tmp_path) -> None:
    name = tmp_path / f"a{OWNED.replace('/', '')}.npz"
    name.write_bytes(clip.read_bytes())
    for result in (cli("describe", name, clip), cli("export", name, tmp_path / f"b{OWNED}.npz"),
                   cli("export", tmp_path / f"none{OWNED}.npz", tmp_path / "c.npz"),
                   cli("generate", f"walk{OWNED}", "-o", tmp_path / f"d{OWNED}.npz", "--json")):  # fmt: skip
        output = result.out + result.err
        assert r"\u001b" in output
        assert not any(c in output for c in "\x1b\x07\x9b\u202e")


def test_commands_print_through_one_place() -> None:
    folder = Path(avatargpt.cli.__file__).parent
    for path in sorted(folder.glob("*.py")):
        if path.name == "common.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "typer.echo", "typer.secho", "sys.stdout.write"), f"{path}:{node.lineno}"


def test_a_defect_is_told_in_one_line_with_its_place_and_how_to_report_it(cli, clip, tmp_path, monkeypatch) -> None:
    def fail(*_, **__):
        raise ZeroDivisionError("float\ndivision")

    monkeypatch.setattr(export, "load", fail)
    monkeypatch.delenv(DEBUG, raising=False)
    monkeypatch.setattr("vqvae.errors.last_read", clip)
    result = cli("export", clip, tmp_path / "a.npz")
    assert result.code == 2 and not result.out and len(result.err.splitlines()) == 1
    for words in ("error: ZeroDivisionError: float", "motion.py:", "defect", "report", "--debug", str(clip)):
        assert words in result.err
    monkeypatch.setenv(DEBUG, "")
    result = cli("--debug", "export", clip, tmp_path / "a.npz")
    assert "Traceback" in result.err and result.err.splitlines()[-1].startswith("error: ZeroDivisionError")


@pytest.mark.parametrize(
    ("error", "words"),
    [(OSError(28, "No space left on device", "log.jsonl"), "log.jsonl: No space left on device"),
     (RecursionError("deep"), "RecursionError: deep"), (MemoryError(), "out of memory"), (UserError("a\nb"), "a b")],
)  # fmt: skip
def test_training_tells_it_in_one_line_too(capsys, monkeypatch, tmp_path, error, words) -> None:
    def fail(*_):
        raise error

    monkeypatch.delenv(DEBUG, raising=False)
    monkeypatch.setattr("avatargpt.train.command.run_stage", fail)
    assert train(["recipe", "-o", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and words in err and len(err.splitlines()) == 1


def test_an_interrupt_while_the_command_is_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "avatargpt.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "avatargpt.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    assert main(["--version"]) == 130


def test_a_signal_ends_a_command_in_one_line(cli, fake, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(fake, "generate", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    result = cli("generate", "walk", "-o", tmp_path / "a.npz")
    assert result.code == 130 and result.err == "read as: walk\nerror: interrupted\n" and not list(tmp_path.iterdir())


def test_streams_that_are_closed_or_full(clip, tmp_path) -> None:
    """An error goes nowhere rather than into stdout or a file; what is written is written all the same."""
    python, root = shlex.quote(sys.executable), Path(avatargpt.cli.__file__).parents[2]

    def run(command: str) -> tuple[int, str, str]:
        line = f"{python} -m avatargpt {command}"
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)},
                              capture_output=True, text=True)  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    assert run("export none.npz a.npz 2>&-") == (2, "", "") == run("export none.npz a.npz 2>/dev/full")
    assert run("export clip.npz a.npz <&- >&- 2>&-") == (0, "", "") and len(Motion.load(tmp_path / "a.npz")) == 40
    code, _, err = run("chat <&-")
    assert code == 2 and err == "error: stdin is closed; accepted turns on it, one a line, or a terminal\n"


@pytest.mark.parametrize("error", [
    RuntimeError("std::bad_alloc"), RuntimeError("can't start new thread"), OSError(12, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"), RuntimeError("CUDA out of memory. Tried"),
])  # fmt: skip
def test_missing_memory_is_no_defect(error: Exception, tmp_path: Path) -> None:
    assert error_line(error)[0].startswith("out of memory")
    wrapped = ValueError("it failed")
    wrapped.__cause__ = error
    assert error_line(wrapped)[0].startswith("out of memory")
    with pytest.raises(UserError, match=r"cannot be read \(out of memory\)"), parsing("a.bin", "a model"):
        raise error


def test_names_that_are_not_utf8_can_be_used(cli, clip, tmp_path) -> None:
    name = tmp_path / "b\udcff.npz"
    (row,) = json.loads(cli("export", clip, name, "--json").out)["results"]
    assert name.is_file() and os.fsdecode(unquote_to_bytes(urlsplit(row["uris"][0]).path)) == str(name)
    (row,) = json.loads(cli("export", clip, tmp_path / "c.npz", "--json").out)["results"]
    assert "uris" not in row


def test_links_in_a_circle_are_no_defect(cli, clip, tmp_path) -> None:
    (tmp_path / "x.npz").symlink_to("y.npz")
    (tmp_path / "y.npz").symlink_to("x.npz")
    loop, out = tmp_path / "x.npz", tmp_path / "o.npz"
    for argv in ((clip, loop), (loop, out), (clip, loop / "o.npz")):
        cli("export", *argv).refused("x.npz", "links")


def test_configurations_are_found_in_a_checkout_and_in_a_wheel(tmp_path, monkeypatch):
    assert resources.configs() == resources.PACKAGE.parent / "configs"
    wheel = tmp_path / "site-packages" / "avatargpt"
    (wheel / "configs" / "train").mkdir(parents=True)
    (wheel / "configs" / "train" / "debug.yaml").write_text("steps: 1\n", encoding="utf-8")
    monkeypatch.setattr(resources, "PACKAGE", wheel)
    assert resources.configs() == wheel / "configs"
    assert resources.config("train/debug") == wheel / "configs" / "train" / "debug.yaml"
    with pytest.raises(UserError, match="accepted: train/debug"):
        resources.config("train/none")
    with pytest.raises(UserError, match="accepted: train/debug"):
        resources.config("../../secret")


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    with pytest.raises(UserError, match=r"no packaged weights.*--model"):
        resources.weights()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}", encoding="utf-8")
    assert resources.weights() == tmp_path / "weights"
