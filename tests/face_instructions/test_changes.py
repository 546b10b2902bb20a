"""Feelings that change over time, as rows, as keyframes and rendered."""

import pytest

from avatargpt.cli.face_score import summary
from avatargpt.face.instructions.scores import feelings_of
from avatargpt.metrics.face import read_emotions
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Score, parse_score
from vqvae.errors import UserError


def test_keyframes_of_changing_feelings() -> None:
    felt = (Emotion("happy", 0.7, 0, 3), Emotion("happy", 0.7, 3, 7, 0.1), Emotion("sad", 0.1, 3, 7, 0.8))
    made = [(f.second, dict(f.parts)) for f in feelings_of(Score(8.0, (), felt))]
    at = [(t, {n: round(s, 3) for n, s in parts.items()}) for t, parts in made]
    assert at == [(0, {"happy": 0.7}), (2.99, {"happy": 0.7}), (3.4, {"happy": 0.64, "sad": 0.17}),
                  (7, {"sad": 0.8, "happy": 0.1}), (7.4, {"neutral": 0.0})]  # fmt: skip


def test_changing_feelings_as_rows_and_words() -> None:
    score = Score(4.0, (), (Emotion("happy", 0.2, 0.0, 3.0, 0.9), Emotion("sad", 0.5, 3.0, 4.0)), "x")
    row = score.to_json()
    assert row["emotion"] == [{"name": "happy", "intensity": 0.2, "start": 0.0, "end": 3.0, "to": 0.9},
                              {"name": "sad", "intensity": 0.5, "start": 3.0, "end": 4.0}]  # fmt: skip
    assert parse_score(row) == score
    assert summary(score) == "happy 0-3 s from 0.20 to 0.90, sad 3-4 s at 0.50; 4 s"
    assert score.scaled(0.5).emotions[0].to == 0.45
    for wrong in (0.0, 1.5, "much"):
        with pytest.raises(UserError, match="intensity|not a score"):
            parse_score({**row, "emotion": [{**row["emotion"][0], "to": wrong}]})


def test_rendered_feelings_change() -> None:
    face = render(Score(6.0, (), (Emotion("happy", 0.1, 0.0, 6.0, 1.0),)), seed=3)
    levels = [read_emotions(face, s, s + 1)["happy"] for s in (0.5, 2.0, 3.5, 5.0)]
    assert levels == sorted(levels) and levels[0] < 0.35 and levels[-1] > 0.8
