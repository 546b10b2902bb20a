"""How an instruction was read, told by ``avatargpt face`` and taken back with ``--score``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt import export
from avatargpt.cli import face_score
from avatargpt.face.instructions.scores import place_score, spread_score
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from tests.cli.test_bad_input import assert_refused
from vqvae.errors import UserError

SCORE = Score(
    4.0, (Event("nod", 1.5, 1.6, 0.85, 2), Event("wink_left", 0.5, 0.512)), (Emotion("amused", 0.6, 0.0, 4.0),), "wink"
)


def test_a_score_in_one_line() -> None:
    assert face_score.summary(SCORE) == "wink_left 0.5-1.01 s, nod twice 1.5-3.1 s at 0.85; amused 0-4 s at 0.60; 4 s"
    assert face_score.summary(Score(2.5, (Event("blink", 0.2, 2.0, repeat=3),))) == "blink 3 times 0.2-2.2 s; 2.5 s"
    assert face_score.summary(Score(2.0)) == "2 s"


def test_what_is_printed_is_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    row = face_score.row(SCORE)
    assert row["events"][1]["duration"] == 0.512 and row["events"][0]["repeat"] == 2
    for value, many in ((row, False), ([row], True), ({"results": [{"score": row}]}, False), ({"score": row}, False)):
        file.write_text(json.dumps(value))
        scores, several = face_score.read_scores(file)
        assert several is many and [face_score.row(s) for s in scores] == [row]


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.0015, 4.0])
def test_a_feeling_may_be_shorter_than_what_is_printed(seconds: float) -> None:
    short = place_score(SCORE, seconds, True)
    late = Score(4.0, emotions=(Emotion("happy", 0.7, 2.0001, 2.0004),))
    for score, end in ((short, max(0.001, round(seconds, 3))), (late, 2.001)):
        felt = face_score.row(score)["emotion"][0]
        assert felt["end"] == end > felt["start"]


def test_a_sound_of_one_sample(cli, words: None, weights: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 16_000)
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"length": 4, "emotion": [dict(name="happy", intensity=0.7, start=0, end=0.0001)]}))
    asked = (tmp_path / "one.wav", "--score", file, "--model", weights, "-o", tmp_path / "one.csv", "--json")
    result = cli("face", *asked)
    assert result.code == 0, result.err
    assert json.loads(result.out)["results"][0]["score"]["emotion"][0]["end"] == 0.001


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "accepted a score"),
        ("[]", "accepted a score"),
        ('{"results": [{"text": "wave"}]}', "accepted a score"),
        ('{"events": []}', "score 1: no 'length'; accepted text, kind, length"),
        ('{"length": 2, "emotions": []}', "score 1: unknown 'emotions'"),
        ('{"length": 2, "events": {}}', "events {}; accepted a list"),
        ('{"length": 2, "events": ["nod"]}', "event 1: accepted {action, start"),
        ('{"length": 2, "events": [{"action": "nod", "start": 0}]}', "event 1: no 'duration'"),
        ('{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1, "repeats": 2}]}', "unknown 'repeats'"),
        ('{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1, "repeat": 2.5}]}', "a whole number"),
        ('{"length": 2, "events": [{"action": "nod", "start": 0, "duration": 1, "intensity": true}]}', "a number"),
        ('{"length": 2, "emotion": "happy"}', "emotion 'happy'; accepted a list"),
        ('{"length": 2, "events": [{"action": "winc_left", "start": 0, "duration": 1}]}', "did you mean 'wink_left'"),
        ('{"length": 2, "events": [{"action": "nod", "start": 5, "duration": 1}]}', "inside 2.0 s"),
    ],
)
def test_files_that_are_no_scores(cli, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "s.json"
    file.write_text(text)
    assert_refused(cli("face", "--score", file, "-o", tmp_path / "a.npz"), str(file), words)
    assert not (tmp_path / "a.npz").exists()


def test_a_missing_and_an_endless_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such file"):
        face_score.read_scores(tmp_path / "none.json")
    monkeypatch.setattr(face_score, "MAX_BYTES", 3)
    (tmp_path / "long.json").write_text("[{}]")
    with pytest.raises(UserError, match="larger than"):
        face_score.read_scores(tmp_path / "long.json")


def test_a_reading_is_told_and_can_be_edited(cli, words: None, weights: Path, tmp_path: Path) -> None:
    def run(name: str, *argv: object) -> tuple[dict, str, np.ndarray]:
        result = cli("face", *argv, "--model", weights, "-o", tmp_path / f"{name}.npz", "--json")
        assert result.code == 0, result.err
        return json.loads(result.out), result.err, export.load(tmp_path / f"{name}.npz").weights

    read, told, first = run("first", "--text", "close both eyes")
    score = read["results"][0]["score"]
    assert score["text"] == "close both eyes" and score["events"]
    assert f"read as: {score['events'][0]['action']}" in told
    (tmp_path / "read.json").write_text(json.dumps(read))
    again, told, second = run("again", "--score", tmp_path / "read.json")
    assert again["results"][0]["score"] == score and "read as" not in told
    assert np.abs(first - second).max() < 1e-3  # to the thousandth
    score["events"][0]["action"] = "nod"
    (tmp_path / "edited.json").write_text(json.dumps(score))
    assert np.abs(run("edited", "--score", tmp_path / "edited.json")[2] - first).max() > 1e-3


def test_what_is_read_is_told_as_it_is_done() -> None:
    shorter = place_score(SCORE, 2.0, True)
    assert shorter.length == 2.0 and shorter.events[0].start == 0.75 and shorter.emotions[0].end == 2.0
    spread_score = place_score(SCORE, 5.0, True)
    assert spread_score.length == 5.0 and spread_score.events[0].start == 1.875
    long = place_score(SCORE, 20.0, True)
    assert long.length == 20.0 and long.events == SCORE.events and long.emotions[0].end == 20.0
    assert place_score(SCORE, 20.0, True, other_feelings=True).emotions == ()


def test_times_that_somebody_wrote_stay() -> None:
    for seconds in (3.5, 5.0, 20.0):
        assert place_score(SCORE, seconds, False).events == SCORE.events
    with pytest.raises(UserError, match="nod from 1.5"):
        place_score(SCORE, 1.0, False)


def test_a_score_takes_the_place_of_words(cli, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(face_score.row(SCORE)))
    for other, told in ((("--text", "wink"), "one of them"), (("--by", "language"), "--by driver")):
        assert_refused(cli("face", "--score", file, *other, "-o", tmp_path / "a.npz"), "--score", told)


def test_a_list_of_scores_makes_a_file_each(cli, words: None, weights: Path, tmp_path: Path, sound: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps([face_score.row(place_score(SCORE, 1.0, True))] * 2))
    result = cli("face", sound, "--score", tmp_path / "s.json", "--model", weights, "-o", tmp_path / "m.csv")
    assert result.lines == [str(tmp_path / "m" / "00.csv"), str(tmp_path / "m" / "01.csv")], result.err
    assert result.err == ""


def test_sound_may_be_longer_than_a_score() -> None:
    score = Score(2.0, (Event("nod", 0.2, 1.0),), (Emotion("happy", 0.7, 0.0, 2.0),))
    for seconds in (601.0, 900.0, 7200.0):
        for spreads in (True, False):
            one = place_score(score, seconds, spreads)
            assert one.length == MAX_SECONDS and one.events == score.events and one.emotions[0].end >= 600
    long = Score(500.0, (Event("nod", 0.2, 1.0),))
    assert spread_score(long, 700.0) == long
