"""``avatargpt face`` with a tiny untrained driver: sound, texts, feelings and scores to clips."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from avatargpt import export
from avatargpt.cli import face
from avatargpt.face.audio_model.conditioning import parse_emotions
from avatargpt.face.audio_model.driver import PAIRED_CHANNELS, Driver
from avatargpt.face.instructions.scores import place_score, spread_score
from avatargpt.verbs.describe import score_row
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from tests.cli.conftest import Cli, Result
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

SCORE = Score(
    4.0, (Event("nod", 1.5, 1.6, 0.85, 2), Event("wink_left", 0.5, 0.512)), (Emotion("amused", 0.6, 0.0, 4.0),), "wink"
)


@pytest.fixture
def run(cli: Cli, words: None, weights: Path) -> Callable[..., Result]:
    """``avatargpt face ARGS``, which must succeed."""

    def face(*argv: object, model: Path = weights) -> Result:
        result = cli("face", *argv, "--model", model)
        assert result.code == 0, result.err
        return result

    return face


@pytest.fixture
def clip_of(run: Any, tmp_path: Path) -> Callable[..., FaceMotion]:
    """The clip that ``avatargpt face ARGS`` writes."""

    def load(*argv: object, **options: Path) -> FaceMotion:
        run(*argv, "-o", tmp_path / "clip.npz", **options)
        return FaceMotion.load(tmp_path / "clip.npz")

    return load


@pytest.fixture
def sheets_of(run: Any, tmp_path: Path) -> Callable[..., list[bytes]]:
    """The contact sheet for each of several sets of options."""

    def sheets(*argv: object, each: tuple[tuple[object, ...], ...], **where: Path) -> list[bytes]:
        pictures = []
        for options in each:
            run(*argv, *options, "-o", tmp_path / "sheet.png", **where)
            pictures.append((tmp_path / "sheet.png").read_bytes())
        return pictures

    return sheets


def test_sound_to_files(run: Any, sound: Path, tmp_path: Path) -> None:
    out = [tmp_path / f"a.{s}" for s in ("csv", "npz", "json", "vrma", "glb")]
    assert run(sound, *(x for o in out for x in ("-o", o))).lines == [str(o) for o in out]
    clips = [export.load(o) for o in out]
    assert {(len(c), c.fps) for c in clips} == {(30, 30.0)}
    for clip in clips[1:]:
        assert np.abs(clip.weights - clips[1].weights).max() < 1e-5
    assert clips[1].weights.std() > 0.01


def test_text_and_emotion_make_a_face_without_sound(clip_of: Any) -> None:
    def weights_of(*argv: object) -> np.ndarray:
        clip = clip_of(*argv, "--seconds", 1.5)
        assert len(clip) == 45
        return clip.weights

    calm, angry = weights_of("--emotion", "calm"), weights_of("--emotion", "angry:0.9")
    later = weights_of("--emotion", "0:calm,1:angry:0.9")
    text, both = (weights_of("--text", "close both eyes", *options) for options in ((), ("--emotion", "angry")))
    for a, b in ((angry, calm), (text, calm), (both, text)):
        assert np.abs(a - b).max() > 1e-3
    # blinks and glances differ with all that the face did before
    steady = [i for i, name in enumerate(arkit.NAMES) if not name.startswith("eye")]
    assert np.abs(later[0] - calm[0]).max() < 1e-6 and np.abs(later[-1] - angry[-1])[steady].max() < 1e-3
    assert clip_of("--emotion", "5:angry").seconds > 5.5  # long enough to be seen


def test_a_text_without_a_word_is_warned_of(run: Any, tmp_path: Path) -> None:
    for text, warned in (("asdf qwer zxcv", True), ("12345", True), ("😀", False), ("wink", False)):
        lines = run("--text", text, "-o", tmp_path / "a.npz").err.splitlines()
        (line,) = [line for line in lines if line.startswith("warning: ")]
        no_word = f"warning: {text!r} has no word in it; what the model makes of it is chance"
        # the readings of a parser with random weights differ
        assert line.startswith(no_word if warned else f"warning: {text!r}: the readings of the text differ (agreement")


def test_texts_and_scores_of_files(run: Any, sound: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("wink\nsmile broadly\n")
    (tmp_path / "s.json").write_text(json.dumps([score_row(place_score(SCORE, 1.0, True))] * 2))
    out = [str(tmp_path / "m" / f"0{k}.csv") for k in range(2)]
    options = ("-o", tmp_path / "m.csv")
    assert run("--text", f"@{tmp_path / 't.txt'}", "--seconds", 0.5, *options).lines == out
    result = run(sound, "--score", tmp_path / "s.json", *options)
    assert result.lines == out and result.err == ""


def test_controls_reach_the_curves(clip_of: Any, sound: Path) -> None:
    i, plain = arkit.INDEX, clip_of(sound).weights
    first, second = [n for n in arkit.NAMES if n.startswith("mouth") and (plain[:, i[n]] > 0.01).all()][:2]
    changed = clip_of(sound, "--gain", f"{first}=0", "--offset", "browInnerUp=0.1", "--mouth", 0.5).weights
    assert not changed[:, i[first]].any()
    assert np.allclose(changed[:, i["browInnerUp"]], np.minimum(plain[:, i["browInnerUp"]] + 0.1, 1), atol=1e-6)
    assert np.allclose(changed[:, i[second]], plain[:, i[second]] / 2, atol=1e-6)


def test_faces_blink_each_at_its_own_moments(run: Any, sheets_of: Any, weights: Path, tmp_path: Path) -> None:
    network = Driver.load(weights / "driver").network
    lids = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("eyeBlink", "eyeWide"))]
    with torch.no_grad():  # the untrained one keeps an eye shut
        network.curves.weight[lids] = 0
        network.curves.bias[lids] = -9.0
    Driver(network).save(tmp_path / "weights" / "driver")
    two = [{"length": 12, "events": [{"action": "smile", "start": 0.2, "duration": n}], "emotion": []} for n in (1, 2)]
    (tmp_path / "two.json").write_text(json.dumps(two))
    request = ("--score", tmp_path / "two.json", "--gain", "eyeBlink=0.9", "--idle", 0)

    def curves(*argv: object) -> list[np.ndarray]:
        lines = run(*request, *argv, "-o", tmp_path / "c.npz", model=tmp_path / "weights").lines
        return [export.load(path).weights for path in lines]

    usual, none, again = curves(), curves("--blink-rate", 0), curves("--blink-rate", 15)
    rates = ((), ("--blink-rate", 0), ("--blink-rate", 60))
    sheets = sheets_of(*request, each=rates, model=tmp_path / "weights")
    assert sheets[0] == sheets[1] != sheets[2]  # pictures show blinks only where they were asked for
    blinks = [np.abs(a - b)[:, lids].max(1) > 0.1 for a, b in zip(usual, none, strict=True)]
    assert all(4 < n.sum() < 60 for n in blinks) and not np.array_equal(blinks[0], blinks[1])
    for a, b, c in zip(usual, none, again, strict=True):
        assert np.array_equal(np.delete(a, lids, 1), np.delete(b, lids, 1)) and np.array_equal(a, c)
        assert a[:, arkit.INDEX["eyeBlinkLeft"]].max() <= 0.9 + 1e-6


def test_heads_and_eyes_idle_unless_that_is_not_wanted(clip_of: Any, sheets_of: Any) -> None:
    request = ("--emotion", "happy", "--seconds", 4, "--blink-rate", 0)
    usual, again, still, reseeded = (
        clip_of(*request, *options) for options in ((), ("--idle", 1), ("--idle", 0), ("--seed", 1))
    )
    assert np.array_equal(usual.head, again.head)
    degrees = np.degrees(np.abs(usual.head - still.head))
    assert 0.3 < degrees.max() < 8 and np.ptp(still.head, 0).max() < np.ptp(usual.head, 0).max()
    assert not np.allclose(usual.head, reseeded.head, atol=1e-3)
    looks = [n.startswith("eyeLook") for n in arkit.NAMES]
    changed = np.abs(usual.weights - still.weights).max(0) > 0
    assert changed[looks].any() and not changed[np.invert(looks)].any()
    sheets = sheets_of(*request, each=((), ("--idle", 0), ("--idle", 2)))
    assert sheets[0] == sheets[1] != sheets[2]


def test_lips_as_recorded(clip_of: Any, sound: Path) -> None:
    options = ("--idle", 0, "--upper", 0, "--lips")
    rule, recorded = (clip_of(sound, *options, lips).weights for lips in ("rule", "recorded"))
    changed = np.abs(rule - recorded).max(0) > 1e-3
    assert changed[list(PAIRED_CHANNELS)].any() and not np.delete(changed, list(PAIRED_CHANNELS)).any()


def test_films_carry_the_sound(run: Any, sound: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    run(sound, "-o", tmp_path / "a.mp4", "--size", 32)
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert [s.type for s in film.streams] == ["video", "audio"]


def test_the_head_is_the_gesture_networks(clip_of: Any, weights: Path, avatar_weights: Path, sound: Path) -> None:
    before, after, again, reseeded = (
        clip_of(sound, *options, model=model)
        for model, options in ((weights, ()), *((avatar_weights, o) for o in ((), (), ("--seed", 1))))
    )
    assert np.array_equal(before.weights, after.weights) and np.abs(before.head - after.head).max() > 0.02
    assert np.array_equal(after.head, again.head) and not np.array_equal(after.head, reseeded.head)


def test_names_that_are_no_text(run: Any, sound: Path, tmp_path: Path) -> None:
    odd = sound.rename(tmp_path / "a\udcfe.wav")
    run(odd, "-o", tmp_path / "a.vrma", "-o", tmp_path / "a.npz")
    assert export.load(tmp_path / "a.vrma").caption == "a?"


def test_a_layout_goes_to_the_formats_that_know_it(run: Any, tmp_path: Path) -> None:
    out = [x for s in ("json", "vrma") for x in ("-o", tmp_path / f"a.{s}")]
    run("--text", "wink", "--seconds", 0.5, "--layout", "beat", *out)
    assert "frames" in json.loads((tmp_path / "a.json").read_text())
    assert np.allclose(export.load(tmp_path / "a.vrma").weights, export.load(tmp_path / "a.json").weights, atol=1e-5)


def test_emotion_keyframes() -> None:
    frames = [(f.second, f.text, f.strength) for f in parse_emotions("0:calm,2.5:Angry:0.8")]
    assert frames == [(0.0, "calm", 0.0), (2.5, "angry", 0.8)]
    assert [(f.text, f.strength) for f in parse_emotions("joy")] == [("happy", 0.7)]
    # calm up to shortly before the first one
    late = [(round(f.second, 3), f.text, f.strength) for f in parse_emotions("5:angry:0.8")]
    assert late == [(0.0, "calm", 0.0), (4.7, "calm", 0.0), (5.0, "angry", 0.8)]
    assert [f.second for f in parse_emotions("0.2:angry")] == [0.0, 0.2]
    (first, then) = parse_emotions("0:anger:0.2+sad:0.7,1e+0:sad+calm")
    assert (first.text, first.strength, first.secondary) == ("sad", 0.7, (("angry", 0.2),))
    assert (then.second, then.text, then.secondary) == (1.0, "sad", ())
    for wrong in ("sad+", "+sad", "sad+joy+joy:0.2", "sad+angry+tired+bored", "sad+3:angry", "0:1:2:3"):
        with pytest.raises(UserError, match="accepted"):
            parse_emotions(wrong)


def test_a_score_in_one_line() -> None:
    assert face.score_summary(SCORE) == "wink_left 0.5-1.01 s, nod twice 1.5-3.1 s at 0.85; amused 0-4 s at 0.60; 4 s"
    assert face.score_summary(Score(2.5, (Event("blink", 0.2, 2.0, repeat=3),))) == "blink 3 times 0.2-2.2 s; 2.5 s"
    assert face.score_summary(Score(2.0)) == "2 s"


def test_what_is_printed_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, row = tmp_path / "s.json", score_row(SCORE)
    assert row["events"][1]["duration"] == 0.512 and row["events"][0]["repeat"] == 2
    for value, many in ((row, False), ([row], True), ({"results": [{"score": row}]}, False), ({"score": row}, False)):
        file.write_text(json.dumps(value))
        scores, several = face.read_scores(file)
        assert several is many and [score_row(s) for s in scores] == [row]
    with pytest.raises(UserError, match="no such file"):
        face.read_scores(tmp_path / "none.json")
    monkeypatch.setattr(face, "MAX_BYTES", 3)
    with pytest.raises(UserError, match="larger than"):
        face.read_scores(file)


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.0015, 4.0])
def test_a_feeling_may_be_shorter_than_what_is_printed(seconds: float) -> None:
    short = place_score(SCORE, seconds, True)
    late = Score(4.0, emotions=(Emotion("happy", 0.7, 2.0001, 2.0004),))
    for score, end in ((short, max(0.001, round(seconds, 3))), (late, 2.001)):
        emotion = score_row(score)["emotion"][0]
        assert emotion["end"] == end > emotion["start"]


def test_a_sound_of_one_sample(run: Any, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 16_000)
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"length": 4, "emotion": [dict(name="happy", intensity=0.7, start=0, end=0.0001)]}))
    result = run(tmp_path / "one.wav", "--score", file, "-o", tmp_path / "one.csv", "--json")
    assert json.loads(result.out)["results"][0]["score"]["emotion"][0]["end"] == 0.001


def test_a_reading_is_printed_and_can_be_edited(run: Any, tmp_path: Path) -> None:
    def perform(*argv: object) -> tuple[dict, str, np.ndarray]:
        result = run(*argv, "-o", tmp_path / "a.npz", "--json")
        return json.loads(result.out), result.err, export.load(tmp_path / "a.npz").weights

    reading, lines, first = perform("--text", "close both eyes")
    score = reading["results"][0]["score"]
    assert score["text"] == "close both eyes" and score["events"]
    assert "read as: " in lines and all(event["action"] in lines for event in score["events"])
    (tmp_path / "read.json").write_text(json.dumps(reading))
    again, lines, second = perform("--score", tmp_path / "read.json")
    assert again["results"][0]["score"] == score and "read as" not in lines
    assert np.abs(first - second).max() < 1e-3  # to the thousandth
    score["events"][0]["action"] = "nod"
    (tmp_path / "edited.json").write_text(json.dumps(score))
    assert np.abs(perform("--score", tmp_path / "edited.json")[2] - first).max() > 1e-3


def test_scores_are_placed_in_a_sound() -> None:
    shorter = place_score(SCORE, 2.0, True)
    assert shorter.length == 2.0 and shorter.events[0].start == 0.75 and shorter.emotions[0].end == 2.0
    longer = place_score(SCORE, 5.0, True)
    assert longer.length == 5.0 and longer.events[0].start == 1.875
    longest = place_score(SCORE, 20.0, True)
    assert longest.length == 20.0 and longest.events == SCORE.events and longest.emotions[0].end == 20.0
    assert place_score(SCORE, 20.0, True, other_feelings=True).emotions == ()
    for seconds in (3.5, 5.0, 20.0):  # times that somebody wrote stay
        assert place_score(SCORE, seconds, False).events == SCORE.events
    with pytest.raises(UserError, match="nod from 1.5"):
        place_score(SCORE, 1.0, False)
    score = Score(2.0, (Event("nod", 0.2, 1.0),), (Emotion("happy", 0.7, 0.0, 2.0),))
    for seconds in (601.0, 900.0, 7200.0):
        for spreads in (True, False):
            placed = place_score(score, seconds, spreads)
            assert placed.length == MAX_SECONDS and placed.events == score.events and placed.emotions[0].end >= 600
    assert spread_score(Score(500.0, (Event("nod", 0.2, 1.0),)), 700.0).length == 500.0
