"""``avatargpt speak``: what is written, what is told, what is refused; and the head of ``face``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt.export.avatar import AvatarMotion
from tests.cli.conftest import Cli
from tests.cli.test_bad_input import assert_refused
from tests.gesture.conftest import Spelling, model_folder
from tests.speech.conftest import voice
from vqvae.face import FaceMotion


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "talk.wav", voice(1.5, 16_000), 16_000)
    return tmp_path / "talk.wav"


@pytest.fixture
def own(weights: Path, tmp_path: Path) -> Path:
    """The weights of faces in a folder of this test's own."""
    return Path(shutil.copytree(weights, tmp_path / "weights"))


@pytest.fixture
def speak(cli: Cli, own: Path, words: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``avatargpt speak ARGS`` with small networks."""
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())
    model_folder(own)
    return lambda *argv: cli("speak", *argv, "--model", own, "--asr", "off")


def test_one_avatar_in_every_format(speak: Any, talk: Path, tmp_path: Path) -> None:
    names = [tmp_path / f"a{s}" for s in (".npz", ".glb", ".vrma", ".bvh", ".csv")]
    out = speak(talk, *(x for n in names for x in ("-o", n)), "--seed", "3")
    assert out.code == 0, out.err
    assert out.lines == [str(n) for n in names] and all(n.stat().st_size for n in names)
    made = AvatarMotion.load(names[0])
    assert len(made) == 45 and made.caption == "talk" and made.sound == talk
    again = speak(talk, "-o", tmp_path / "b.npz", "--seed", "3")
    assert again.code == 0 and np.array_equal(AvatarMotion.load(tmp_path / "b.npz").body.joints, made.body.joints)


def test_a_film_carries_the_sound(speak: Any, talk: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    out = speak(talk, "-o", tmp_path / "a.mp4", "--size", "32")
    assert out.code == 0, out.err
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert [s.type for s in film.streams] == ["video", "audio"] and film.streams.video[0].frames == 45


def test_what_is_held_or_left_out_is_told(fake: Any, speak: Any, talk: Path, tmp_path: Path) -> None:
    out = speak(talk, "--body", "a person strolls", "-o", tmp_path / "a.bvh", "--json", "--text", "smile")
    assert out.code == 0, out.err
    told = json.loads(out.out)["results"][0]
    assert fake.calls[0][1]["texts"] == ["a person strolls"] and "score" in told
    held, faceless = told["notes"]
    assert held.startswith("the body lasts 2.0 s, the sound 1.5 s")
    assert faceless.startswith(f"{tmp_path / 'a.bvh'}: holds no face")
    assert "read 'a person strolls' as: a person walks" in out.err and f"note: {held}" in out.err
    assert "note" not in speak(talk, "-o", tmp_path / "b.bvh", "-o", tmp_path / "b.csv").err


def test_mistakes(cli: Cli, speak: Any, talk: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.glb"
    for argv, words in (
        ([tmp_path / "no.wav", "-o", out], ("no.wav", "no such file")),
        ([talk, "-o", tmp_path / "a.npy"], ("an avatar cannot be written as .npy", ".glb")),
        ([talk, "-o", out, "--body", tmp_path / "no.npz"], ("no.npz", "no such file")),
        ([talk, "-o", out, "--body", out], ("input and output are the same file",)),
        ([talk, "-o", out, "--layout", "arkit"], ("--layout arkit", ".vrma")),
        ([talk, "-o", out, "--size", "64"], ("--size 64", ".mp4")),
        ([talk, "-o", out, "--speaker", "zoe"], ("zoe", "anna, bert")),
        ([talk, "-o", out, "--idle", "9"], ("idle 9", "0 to 3")),
        ([talk, "-o", out, "--text", "@list.txt"], ("--text @list.txt", "one instruction")),
        ([talk, "-o", out, "--interlocutor-transcript", "yes"], ("--interlocutor AUDIO",)),
        ([talk, "-o", out, "--transcript", "good morning"], ("--asr off", "without --transcript")),
    ):  # fmt: skip
        assert_refused(speak(*argv), *words)
    assert not out.exists()
    still = FaceMotion(np.zeros((3, 52)), np.zeros((3, 3))).save(tmp_path / "f.npz")
    assert_refused(speak(talk, "-o", out, "--body", still), "f.npz: a face", "accepted a body")
    made = AvatarMotion.load(tmp_path / "c.npz") if speak(talk, "-o", tmp_path / "c.npz").code == 0 else None
    assert made is not None
    assert_refused(cli("describe", tmp_path / "c.npz"), "an avatar", "a body or a face")
    assert cli("export", tmp_path / "c.npz", tmp_path / "c.bvh", tmp_path / "c.csv").code == 0


def test_the_head_of_a_face_is_the_gesture_networks(cli: Cli, own: Path, talk: Path, tmp_path: Path) -> None:
    def made(name: str, *more: str) -> FaceMotion:
        out = cli("face", talk, "--model", own, "-o", tmp_path / name, *more)
        assert out.code == 0, out.err
        return FaceMotion.load(tmp_path / name)

    before = made("before.npz")
    model_folder(own)
    after, again, other = made("after.npz"), made("again.npz"), made("other.npz", "--seed", "1")
    assert np.array_equal(before.weights, after.weights) and np.abs(before.head - after.head).max() > 0.02
    assert np.array_equal(after.head, again.head) and not np.array_equal(after.head, other.head)
