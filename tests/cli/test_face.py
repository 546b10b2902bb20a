"""``avatargpt face`` with a tiny untrained driver in a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt import export
from avatargpt.face.audio_model.conditioning import parse_emotions
from avatargpt.face.audio_model.driver import Driver
from tests.cli.test_bad_input import assert_refused
from vqvae import arkit
from vqvae.errors import UserError


def test_sound_to_files(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    out = [tmp_path / f"a.{s}" for s in ("csv", "npz", "json", "vrma", "glb")]
    result = cli("face", sound, "--model", weights, *(x for o in out for x in ("-o", o)))
    assert result.code == 0, result.err
    assert result.lines == [str(o) for o in out]
    clips = [export.load(o) for o in out]
    assert {(len(c), c.fps) for c in clips} == {(30, 30.0)}
    for clip in clips[1:]:
        assert np.abs(clip.weights - clips[1].weights).max() < 1e-5
    assert clips[1].weights.std() > 0.01


def test_text_and_emotion_make_a_face_without_sound(cli, words: None, weights: Path, tmp_path: Path) -> None:
    def run(name: str, *argv: object) -> np.ndarray:
        out = tmp_path / f"{name}.npz"
        result = cli("face", *argv, "--seconds", 1.5, "--model", weights, "-o", out, "--json")
        assert result.code == 0, result.err
        assert json.loads(result.out)["results"][0]["frames"] == 45
        return export.load(out).weights

    calm = run("calm", "--emotion", "calm")
    angry = run("angry", "--emotion", "angry:0.9")
    later = run("later", "--emotion", "0:calm,1:angry:0.9")
    told = run("told", "--text", "close both eyes")
    assert np.abs(angry - calm).max() > 1e-3 and np.abs(told - calm).max() > 1e-3
    assert np.abs(later[0] - calm[0]).max() < 1e-6 and np.abs(later[-1] - angry[-1]).max() < 1e-3
    assert np.abs(run("both", "--text", "close both eyes", "--emotion", "angry") - told).max() > 1e-3


def test_a_text_without_a_word_is_warned_of(cli, words: None, weights: Path, tmp_path: Path) -> None:
    for text, warned in (("asdf qwer zxcv", True), ("12345", True), ("😀", False), ("wink", False)):
        result = cli("face", "--text", text, "-o", tmp_path / "a.npz", "--model", weights)
        assert result.code == 0, result.err
        lines = [line for line in result.err.splitlines() if line.startswith("warning: ")]
        said = f"{text!r} has no word in it; what the model makes of it is chance"
        differ = f"{text!r}: the readings of the text differ (agreement"  # those of a parser with random weights do
        assert len(lines) == 1 and lines[0].startswith(f"warning: {said if warned else differ}")


def test_a_file_of_texts(cli, words: None, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("wink\nsmile broadly\n")
    out = tmp_path / "m.csv"
    result = cli("face", "--text", f"@{tmp_path / 't.txt'}", "--seconds", 0.5, "--model", weights, "-o", out)
    assert result.lines == [str(tmp_path / "m" / "00.csv"), str(tmp_path / "m" / "01.csv")], result.err


def test_more_texts_than_a_picture_holds(cli, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("smile\n" * 101)
    result = cli("face", "--text", f"@{tmp_path / 'many.txt'}", "-o", tmp_path / "m.csv", "-o", tmp_path / "m.png")
    assert_refused(result, "101 clips", "1 to 100")
    assert [p.name for p in tmp_path.iterdir()] == ["many.txt"]


def test_controls_reach_the_curves(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    def run(*argv: object) -> np.ndarray:
        assert cli("face", sound, "--model", weights, "-o", tmp_path / "c.npz", *argv).code == 0
        return export.load(tmp_path / "c.npz").weights

    i, plain = arkit.INDEX, run()
    first, second = [n for n in arkit.NAMES if n.startswith("mouth") and (plain[:, i[n]] > 0.01).all()][:2]
    changed = run("--gain", f"{first}=0", "--offset", "browInnerUp=0.1", "--mouth", 0.5)
    assert not changed[:, i[first]].any()
    assert np.allclose(changed[:, i["browInnerUp"]], np.minimum(plain[:, i["browInnerUp"]] + 0.1, 1), atol=1e-6)
    assert np.allclose(changed[:, i[second]], plain[:, i[second]] / 2, atol=1e-6)


def test_faces_blink_by_themselves_each_at_its_own_moments(
    cli, weights: Path, tmp_path: Path
) -> None:
    network = Driver.load(weights / "driver").network
    lids = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("eyeBlink", "eyeWide"))]
    with torch.no_grad():  # the untrained one keeps an eye shut
        network.curves.weight[lids] = 0
        network.curves.bias[lids] = -9.0
    Driver(network).save(tmp_path / "weights" / "driver")
    two = [{"length": 20, "events": [{"action": "smile", "start": 0.2, "duration": n}], "emotion": []} for n in (1, 2)]
    (tmp_path / "two.json").write_text(json.dumps(two))
    rest = [i for i in range(arkit.COUNT) if i not in lids]

    def run(*argv: object) -> list[np.ndarray]:
        asked = ("--score", tmp_path / "two.json", "--model", tmp_path / "weights", "-o", tmp_path / "c.npz")
        result = cli("face", *asked, "--gain", "eyeBlink=0.9", "--idle", 0, *argv)
        assert result.code == 0, result.err
        return [export.load(path).weights for path in result.lines if path.endswith(".npz")]

    usual, none, again = run(), run("--blink-rate", 0), run("--blink-rate", 15)
    sheets = []
    for k, rate in enumerate(((), ("--blink-rate", 0), ("--blink-rate", 60))):
        run("-o", tmp_path / f"{k}.png", *rate)
        sheets.append((tmp_path / f"{k}.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]  # pictures show blinks only where they were asked for
    new = [np.abs(a - b)[:, lids].max(1) > 0.1 for a, b in zip(usual, none, strict=True)]
    assert all(8 < n.sum() < 80 for n in new) and not np.array_equal(new[0], new[1])
    for a, b, c in zip(usual, none, again, strict=True):
        assert np.array_equal(a[:, rest], b[:, rest]) and np.array_equal(a, c)
    assert max(a.max() for a in (x[:, arkit.INDEX["eyeBlinkLeft"]] for x in usual)) <= 0.9 + 1e-6


def test_heads_and_eyes_idle_unless_that_is_not_wanted(cli, weights: Path, tmp_path: Path) -> None:
    def run(*argv: object) -> export.FaceMotion:
        asked = ("--emotion", "happy", "--seconds", 4, "--model", weights, "--blink-rate", 0, "-o", tmp_path / "c.npz")
        result = cli("face", *asked, *argv)
        assert result.code == 0, result.err
        return export.load(tmp_path / "c.npz")

    usual, again, still, other = run(), run("--idle", 1), run("--idle", 0), run("--seed", 1)
    assert np.array_equal(usual.head, again.head)
    moved = np.degrees(np.abs(usual.head - still.head))
    assert 0.3 < moved.max() < 8 and np.ptp(still.head, 0).max() < np.ptp(usual.head, 0).max()
    assert not np.allclose(usual.head, other.head, atol=1e-3)
    looks = [n.startswith("eyeLook") for n in arkit.NAMES]
    changed = np.abs(usual.weights - still.weights).max(0) > 0
    assert changed[looks].any() and not changed[np.invert(looks)].any()
    for name, argv in (("a.png", ()), ("b.png", ("--idle", 0)), ("c.png", ("--idle", 2))):
        run("-o", tmp_path / name, *argv)
    sheets = [(tmp_path / f"{k}.png").read_bytes() for k in "abc"]
    assert sheets[0] == sheets[1] != sheets[2]
    assert_refused(cli("face", "--emotion", "happy", "--idle", 4, "-o", tmp_path / "d.npz"), "idle 4")


def test_lips_as_recorded(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    from avatargpt.face.audio_model.stream import PAIRED_CHANNELS

    made = []
    for lips in ("rule", "recorded"):
        assert cli("face", sound, "--model", weights, "--idle", 0, "-o", tmp_path / "c.npz", "--lips", lips).code == 0
        made.append(export.load(tmp_path / "c.npz").weights)
    changed = np.abs(made[0] - made[1]).max(0) > 1e-3
    others = [i for i in range(52) if i not in PAIRED_CHANNELS]
    assert changed[list(PAIRED_CHANNELS)].any() and not changed[others].any()


def test_films_carry_the_sound(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    out = tmp_path / "a.mp4"
    assert cli("face", sound, "--model", weights, "-o", out, "--size", 32).code == 0
    with av.open(str(out)) as film:
        assert [s.type for s in film.streams] == ["video", "audio"]


def test_without_weights_nothing_is_made(cli, sound: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = cli("face", sound, "--model", tmp_path / "empty", "-o", tmp_path / "a.csv")
    assert_refused(result, "no driver weights", "scripts/train.py driver")
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), ("nothing to do", "--text")),
        (("missing.wav",), ("missing.wav", "no such file")),
        (("--emotion", "hapy"), ("did you mean happy",)),
        (("--emotion", "happy:1.5"), ("1.5", "0 to 1")),
        (("--emotion", "0:calm,3:angry,2:sad"), ("second 2 after 3", "rising")),
        (("--emotion", "0:calm,angry"), ("'angry' has no second",)),
        (("--emotion", "0:calm,9:angry", "--seconds", "4"), ("second 9", "0 to 4")),
        (("--emotion", "happy:lots"), ("'lots'", "0..1")),
        (("--emotion", "nan:happy"), ("nan", "second")),
        (("--emotion", ""), ("accepted",)),
        (("--text", "   "), ("empty text",)),
        (("--text", "wink", "--gain", "jawOpen"), ("SHAPE=NUMBER",)),
        (("--text", "wink", "--gain", "jawOpn=1"), ("did you mean jawOpen",)),
        (("--text", "wink", "--offset", "jawOpen=nan"), ("SHAPE=NUMBER",)),
        (("--text", "wink", "--seconds", "0"), ("--seconds 0",)),
        (("--text", "wink", "--lips", "real"), ("--lips real", "rule, recorded")),
        (("--text", "wink", "--lips", "recorded"), ("follows sound",)),
        (("--text", "wink", "--symmetry", "2"), ("symmetry 2", "0 to 1")),
        (("--text", "wink", "-o", "a.bvh"), (".bvh", ".vrma")),
        (("--text", "wink", "-o", "a.xyz"), (".xyz",)),
        (("--text", "wink", "-o", "a"), ("written as a;", ".vrma")),
        (("--text", "wink", "--by", "magic"), ("--by magic", "driver, language")),
        (("--text", "wink", "--emotion", "sad", "--by", "language"), ("--by language", "alone")),
        (("--emotion", "0:calm,2:angry", "--by", "language"), ("one feeling",)),
        (("--emotion", "sad+angry", "--by", "language"), ("one feeling",)),
        (("--text", "wink", "--model", "nowhere"), ("--model nowhere", "no such folder")),
    ],
)
def test_mistakes(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("face", *argv, *(() if "-o" in argv else ("-o", "out.csv")))
    assert_refused(result, *words)
    assert not list(tmp_path.iterdir())


def test_sound_that_is_none(cli, tmp_path: Path, sound: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF no sound at all")
    assert_refused(cli("face", bad, "-o", tmp_path / "a.csv"), "bad.wav", "not a sound file")
    assert_refused(cli("face", sound, "--seconds", "2", "-o", tmp_path / "a.csv"), "--seconds", "AUDIO")


def test_what_is_read_is_not_written_over(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    score = tmp_path / "s.json"
    score.write_text('{"length": 1, "events": []}')
    assert_refused(cli("face", "--score", score, "--model", weights, "-o", score), "input and output are the same")
    texts = tmp_path / "t.csv"
    texts.write_text("wink\n")
    assert_refused(cli("face", "--text", f"@{texts}", "--model", weights, "-o", texts), "input and output are the same")
    assert score.read_text().startswith('{"length"') and texts.read_text() == "wink\n"
    score.write_text('{"length": 1, "text": "\\ud800 x"}')
    assert_refused(cli("face", "--score", score, "--model", weights, "-o", tmp_path / "a.vrma"), "accepted UTF-8 text")


def test_names_that_are_no_text(cli, weights: Path, sound: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a\udcfe.wav"
    odd.write_bytes(sound.read_bytes())
    result = cli("face", odd, "--model", weights, "-o", tmp_path / "a.vrma", "-o", tmp_path / "a.npz")
    assert result.code == 0, result.err
    assert export.load(tmp_path / "a.vrma").caption == "a?"


def test_a_late_feeling_is_seen(cli, weights: Path, tmp_path: Path) -> None:
    result = cli("face", "--emotion", "5:angry", "--model", weights, "-o", tmp_path / "a.npz", "--json")
    assert json.loads(result.out)["results"][0]["seconds"] > 5.5


def test_options_that_no_output_has(cli, words: None, weights: Path, tmp_path: Path) -> None:
    both = ("-o", tmp_path / "a.csv", "-o", tmp_path / "a.json")
    assert_refused(cli("face", "--text", "wink", "--size", 64, "--model", weights, *both), "--size 64", ".mp4")
    assert_refused(cli("face", "--text", "wink", "--layout", "bet", "--model", weights, *both), "a.json", "beat")
    one = ("face", "--text", "wink", "--layout", "beat", "--model", weights, "-o", tmp_path / "a.csv")
    assert_refused(cli(*one), "--layout beat", ".vrma")
    assert not list(tmp_path.glob("a.*"))


def test_a_layout_goes_to_the_formats_that_know_it(cli, words: None, weights: Path, tmp_path: Path) -> None:
    out = [x for s in ("json", "vrma") for x in ("-o", tmp_path / f"a.{s}")]
    result = cli("face", "--text", "wink", "--seconds", 0.5, "--layout", "beat", "--model", weights, *out)
    assert result.code == 0, result.err
    assert "frames" in json.loads((tmp_path / "a.json").read_text())
    assert np.allclose(export.load(tmp_path / "a.vrma").weights, export.load(tmp_path / "a.json").weights, atol=1e-5)


def test_emotion_keyframes() -> None:
    found = [(f.second, f.text, f.strength) for f in parse_emotions("0:calm,2.5:Angry:0.8")]
    assert found == [(0.0, "calm", 0.0), (2.5, "angry", 0.8)]
    assert [(f.text, f.strength) for f in parse_emotions("joy")] == [("happy", 0.7)]
    (first, then) = parse_emotions("0:anger:0.2+sad:0.7,1e+0:sad+calm")
    assert (first.text, first.strength, first.secondary) == ("sad", 0.7, (("angry", 0.2),))
    assert (then.second, then.text, then.secondary) == (1.0, "sad", ())
    for wrong in ("sad+", "+sad", "sad+joy+joy:0.2", "sad+angry+tired+bored", "sad+3:angry"):
        with pytest.raises(UserError, match="accepted"):
            parse_emotions(wrong)
    with pytest.raises(UserError, match="accepted"):
        parse_emotions("0:1:2:3")
