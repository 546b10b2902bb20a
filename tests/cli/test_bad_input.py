"""Every mistake: one line on stderr that says what is accepted, exit status 2, nothing left behind."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from vqvae.face import FaceMotion

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  End Site
  {
    OFFSET 0 1 0
  }
}
MOTION
Frames: 2
Frame Time: 0.05
0 1 0 0 0 0
0 1 0 0 0 0
"""


def assert_refused(result, *words: str) -> None:
    assert result.code == 2 and result.out == "", (result.code, result.out)
    assert len(result.err.splitlines()) == 1 and result.err.startswith("error: "), result.err
    for word in words:
        assert word in result.err, f"{word!r} not in {result.err!r}"


@pytest.fixture
def files(tmp_path: Path):
    """The names in the test's folder; nothing may be added to them."""
    return lambda: sorted(p.name for p in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.exe"], ["a.exe", ".exe", ".npz", ".glb"]),
        (["-o", "a"], ["accepted", ".npz"]),
        (["-o", "file.txt/a.npz"], ["file.txt", "not a folder"]),
        (["-o", "a.npz", "-o", "a.npz"], ["a.npz", "twice"]),
        ([], ["-o"]),
        (["-o", "a.npz", "--seconds", "0"], ["--seconds 0", "0.2 to 600"]),
        (["-o", "a.npz", "--seconds", "-1"], ["--seconds -1", "0.2 to 600"]),
        (["-o", "a.npz", "--seconds", "1000"], ["--seconds 1000", "0.2 to 600"]),
        (["-o", "a.npz", "--seconds", "nan"], ["--seconds nan", "0.2 to 600"]),
        (["-o", "a.npz", "--seconds", "long"], ["--seconds"]),
        (["-o", "a.npz", "--seed", "-3"], ["--seed"]),
        (["-o", "a.npz", "--best-of", "0"], ["--best-of"]),
        (["-o", "a.npz", "-n", "0"], ["--num"]),
        (["-o", "a.npz", "--temperature", "9"], ["--temperature 9", "accepted"]),
        (["-o", "a.npz", "--guidance", "-2"], ["--guidance -2", "accepted"]),
        (["-o", "a.npz", "--threads", "0"], ["--threads"]),
        (["-o", "a.npz", "--model", "nowhere"], ["nowhere", "no such folder"]),
        (["-o", "a.npz", "--colour", "red"], ["no such option: --colour", "generate --help"]),
        (["-o", "a.npz", "more"], ["more"]),
    ],
)
def test_generate_refuses(cli, fake, files, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("text", encoding="utf-8")
    assert_refused(cli("generate", "a person walks", *arguments), *words)
    assert files() == ["file.txt"]
    assert fake.loads == []  # nobody waits for a model to learn of a mistake


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "empty text"), ("   ", "empty text"), ("\n\t", "empty text"), ("!!!", "signs without a word"),
     ("?!", "signs without a word")],
)  # fmt: skip
def test_text_that_says_nothing(cli, fake, files, tmp_path, text, what):
    assert_refused(cli("generate", text, "-o", tmp_path / "a.npz"), what, "accepted")
    assert files() == [] and fake.loads == []


def test_long_text(cli, fake, tmp_path):
    assert_refused(cli("generate", "walk " * 500, "-o", tmp_path / "a.npz"), "2499 characters", "at most 1000")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, ["no such file"]), (b"", ["0 texts"]), (b" \n\n", ["0 texts"]), (b"walk\n\xff\xfe\n", ["not UTF-8"]),
     (b"walk\n...\n", ["line 2", "signs without a word"])],
)  # fmt: skip
def test_bad_file_of_texts(cli, fake, tmp_path, content, words):
    path = tmp_path / "p.txt"
    if content is not None:
        path.write_bytes(content)
    assert_refused(cli("generate", f"@{path}", "-o", tmp_path / "a.npz"), str(path), "accepted", *words)
    assert fake.loads == [] and not (tmp_path / "a").exists()


def test_a_batch_cannot_replace_a_file_by_a_folder(cli, fake, tmp_path):
    (tmp_path / "many").write_text("", encoding="utf-8")
    assert_refused(cli("generate", "walk", "-n", 2, "-o", tmp_path / "many.npz"), str(tmp_path / "many"), "folder")


def test_what_was_written_goes_when_a_later_output_fails(cli, fake, files, tmp_path, monkeypatch):
    from avatargpt import export
    from vqvae.errors import UserError

    real = export.save

    def full(motion, path, **options):
        if Path(path).name == "01.npz":
            raise UserError(f"cannot write {path}: No space left on device")
        return real(motion, path, **options)

    monkeypatch.setattr(export, "save", full)
    assert_refused(cli("generate", "walk", "-n", 2, "-q", "-o", tmp_path / "x.npz"), "01.npz", "No space left")
    assert files() == []


def test_an_older_file_outlives_an_output_that_fails(cli, clip: Path, tmp_path: Path, monkeypatch) -> None:
    kept, fresh, last = (tmp_path / f"{name}.bvh" for name in ("kept", "fresh", "last"))
    kept.write_text("older")
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if target == last:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert_refused(cli("export", clip, kept, fresh, last), "cannot write", "No space left")
    assert kept.exists() and not fresh.exists()


def _npz(path: Path, **changes: object) -> None:
    with np.load(path, allow_pickle=False) as z:
        data = dict(z)
    np.savez(path, **{k: v for k, v in {**data, **changes}.items() if v is not None})


@pytest.mark.parametrize(
    ("suffix", "content", "words"),
    [
        (".npz", None, ["no such file"]),
        (".npz", b"", [".npz"]),
        (".npz", b"PK\x03\x04 truncated", [".npz"]),
        (".exe", b"MZ", [".exe", "accepted", ".bvh"]),
        (".bvh", b"", []),
        (".bvh", BVH.replace("0 1 0 0 0 0\n0", "0 nan 0 0 0 0\n0").encode(), []),
        (".bvh", BVH.replace("Frames: 2", "Frames: 0").encode(), []),
        (".bvh", BVH.encode(), []),  # a skeleton of one joint
    ],
)
@pytest.mark.parametrize("command", ["describe", "reconstruct", "extend", "inbetween", "export"])
def test_bad_motion_files(cli, fake, files, tmp_path, command, suffix, content, words):
    path = tmp_path / f"bad{suffix}"
    if content is not None:
        path.write_bytes(content)
    before, out = files(), tmp_path / "out.npz"
    arguments = {
        "describe": [path],
        "reconstruct": [path, "-o", out],
        "extend": [path, "--seconds", 1, "-o", out],
        "inbetween": [path, path, "--seconds", 1, "-o", out],
        "export": [path, out],
    }[command]
    assert_refused(cli(command, *arguments), str(path), *words)
    assert files() == before and fake.loads == []


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"JOINT \S*(left_knee|l_knee|LeftLeg|LeftKnee)\b", "JOINT tail", []),
        (r"(?s)(Frame Time: [^\n]*\n\S+ )\S+", r"\1nan", []),
        (r"(?s)Frames: *\d+(\nFrame Time: [^\n]*\n).*", r"Frames: 0\1", []),
        (r"(?s)Frames: *\d+(\nFrame Time: [^\n]*\n[^\n]*\n).*", r"Frames: 1\1", ["frame"]),
        (r"(?s)(Frame Time: [^\n]*\n[^\n]*\n).*", r"\1", []),  # fewer lines than the header says
        (r"Frame Time: \S+", "Frame Time: 0", []),
    ],
    ids=["missing joint", "NaN", "zero frames", "one frame", "cut short", "no frame rate"],
)
def test_damaged_bvh(cli, fake, clip, files, pattern, replacement, words):
    path = clip.with_suffix(".bvh")
    assert cli("export", clip, path).code == 0
    text = path.read_text(encoding="utf-8")
    damaged = re.sub(pattern, replacement, text, count=1)
    assert damaged != text
    path.write_text(damaged, encoding="utf-8")
    before = files()
    assert_refused(cli("reconstruct", path, "-o", clip.with_name("out.npz")), str(path), *words)
    assert files() == before and fake.loads == []


def test_damaged_motion(cli, fake, clip):
    with np.load(clip, allow_pickle=False) as z:
        rotations = z["rotations"].copy()
    rotations[7, 3] = np.nan
    _npz(clip, rotations=rotations)
    assert_refused(cli("describe", clip), str(clip), "frame 7")
    _npz(clip, rotations=None)
    assert_refused(cli("describe", clip), str(clip), "rotations")


def test_export_refuses_to_overwrite_its_input(cli, clip):
    before = clip.read_bytes()
    assert_refused(cli("export", clip, clip), str(clip), "same file")
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fps", "0"], ["--fps 0", "1 to 240"]),
        (["--layout", "pos7"], ["pos7", "accepted"]),
        (["--scale", "100"], ["scale", "accepted"]),
        (["--scale", "-1"], ["--scale -1", "accepted"]),
        (["--size", "1"], ["--size"]),
    ],
)
def test_export_options(cli, clip, tmp_path, arguments, words):
    assert_refused(cli("export", clip, tmp_path / "o.npz", *arguments), *words)
    assert not (tmp_path / "o.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generat", "x"], ["no such command 'generat'", "generate", "describe"]),
        (["--loud"], ["--loud"]),
        (["generate"], ["TEXT", "generate --help"]),
        (["describe"], ["FILE"]),
        (["eval"], ["run", "ls"]),
        (["eval", "walk"], ["walk", "run", "ls"]),
        (["eval", "run", "no-such-suite"], ["no-such-suite", "prompts_known"]),
        (["eval", "run", "tokenizer"], ["tokenizer", "--data"]),
        (["eval", "run", "tokenizer", "--data", "nowhere"], ["nowhere", "no such folder"]),
        (["eval", "run", "prompts_known", "--model", "none"], ["prompts_known needs a model", "inbetween"]),
        (["eval", "run", "requests_fresh", "--model", "nearest"], ["answers prompts alone", "requests_fresh"]),
        (["eval", "run", "prompts_known", "--model", "random"], ["--data"]),
        (["eval", "run", "prompts_known", "-o", "r.txt"], ["r.txt", ".json"]),
        (["eval", "run", "prompts_known", "-o", "/dev/null/r.json"], ["/dev/null", "not a folder"]),
        (["info", "--model", "/nowhere"], ["/nowhere"]),
    ],
)
def test_usage(cli, arguments, words):
    assert_refused(cli(*arguments), *words)


def test_unwritable_folder(cli, fake, files, tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(os, "access", lambda *a, **k: False)  # root may write anywhere
    assert_refused(cli("generate", "walk", "-o", tmp_path / "new" / "a.npz"), str(tmp_path), "permission")
    assert files() == [] and fake.loads == []


def test_words_that_are_no_text(cli, tmp_path: Path) -> None:
    for command in ("generate", "face"):
        text = ("a person waves \udce9",) if command == "generate" else ("--text", "nod \udcff")
        assert_refused(cli(command, *text, "-o", tmp_path / "a.npz"), "not UTF-8")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "nonsense:1"])
def test_devices_that_are_not_here(cli, tmp_path: Path, device: str) -> None:
    result = cli("generate", "a person waves", "--device", device, "-o", tmp_path / "a.npz")
    assert_refused(result, f"device {device}", "accepted here: cpu")


def test_what_is_read_is_not_written_over(cli, clip: Path) -> None:
    before = clip.read_bytes()
    for argv in (("extend", clip), ("inbetween", clip, clip), ("reconstruct", clip)):
        seconds = () if argv[0] == "reconstruct" else ("--seconds", 1)
        assert_refused(cli(*argv, *seconds, "-o", clip.parent / "." / clip.name), "input and output are the same file")
    assert clip.read_bytes() == before


@pytest.mark.parametrize(
    ("later", "arguments", "words"),
    [
        ("new.csv", [], ["a body cannot be written as .csv"]),
        ("new.npz", ["--scale", "100"], ["new.npz", "no option 'scale'"]),
        ("new.png", ["--scale", "100"], ["new.png", "no option 'scale'"]),
    ],
)
def test_nothing_is_replaced_before_all_is_known_to_be_good(cli, clip: Path, tmp_path: Path, later, arguments, words):
    (tmp_path / "old.bvh").write_text("old", encoding="utf-8")
    assert_refused(cli("export", clip, tmp_path / "old.bvh", tmp_path / later, *arguments), *words)
    assert (tmp_path / "old.bvh").read_text() == "old" and not (tmp_path / later).exists()


def test_values_of_options_are_checked_first(cli, clip: Path, tmp_path: Path) -> None:
    face = FaceMotion(np.zeros((2, 52)), np.zeros((2, 3))).save(tmp_path / "face.npz")
    for source, old, later, *arguments in (
        (clip, "old.npz", "new.npy", "--layout", "smplx"), (clip, "old.gif", "new.bvh", "--size", "16"),
        (face, "old.json", "new.vrma", "--layout", "beat"),
    ):  # fmt: skip
        (tmp_path / old).write_text("old", encoding="utf-8")
        answer = cli("export", source, tmp_path / old, tmp_path / later, *arguments)
        assert_refused(answer, "accepted", arguments[0][2:])
        assert (tmp_path / old).read_text() == "old"


def test_formats_that_hold_faces_alone(cli, clip: Path, tmp_path: Path) -> None:
    table, tree = tmp_path / "a.csv", tmp_path / "a.json"
    assert_refused(cli("generate", "a person waves", "-o", table), "a body cannot be written as .csv", ".bvh")
    assert_refused(cli("extend", clip, "--seconds", 1, "-o", tree), "a body cannot be written as .json")


def test_foreign_words_are_warned_of(cli, fake, tmp_path: Path) -> None:
    result = cli("generate", "Eine Frau tanzt mit dem Mann", "-o", tmp_path / "a.npz")
    assert result.code == 0 and result.err.startswith("warning: 'Eine Frau") and "English" in result.err
    assert "warning" not in cli("generate", "a woman dances", "-o", tmp_path / "b.npz").err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
@pytest.mark.parametrize("suffix", ["npz", "bvh", "glb", "npy", "csv", "vrma", "json"])
def test_a_pipe_is_refused_and_not_waited_for(cli, fake, tmp_path, suffix):
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)
    for argv in (("export", pipe, tmp_path / "a.npz"), ("describe", pipe)):
        assert_refused(cli(*argv), f"pipe.{suffix}", "not a regular file")


def test_one_output_by_two_names(cli, clip: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.bvh").symlink_to("a.bvh")
    for other in ("./a.bvh", "folder/../a.bvh", tmp_path / "a.bvh", "link.bvh"):
        assert_refused(cli("export", clip, "a.bvh", other), "same output file is named twice")
    assert not (tmp_path / "a.bvh").exists()


def test_up_goes_with_files_that_do_not_say_it(cli, clip: Path, tmp_path: Path) -> None:
    face = FaceMotion(np.zeros((3, 52)), np.zeros((3, 3))).save(tmp_path / "face.npz")
    for file in (clip, face):
        for axis in ("y", "z"):
            refused = cli("export", file, tmp_path / "b.npz", "--up", axis)
            assert_refused(refused, str(file), "up goes with SMPL's .npz")
