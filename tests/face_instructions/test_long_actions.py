"""Actions that last, that grow slowly, and that have a rhythm of their own."""

import numpy as np
import pytest

from avatargpt.cli.face_score import summary
from avatargpt.face.audio_model.conditioning import MAX_HOLD, MAX_KEYED, MIN_RISE, Clause, Direction
from avatargpt.face.instructions.scores import clauses_of
from avatargpt.face.pipeline import FacePipeline
from instruct_data.face.render import render
from instruct_data.face.score import Event, Score, parse_score
from vqvae.errors import UserError


def test_rising_events_as_rows_and_words() -> None:
    score = Score(4.0, (Event("smile", 0.0, 3.0, 0.7, 1, 0.5), Event("nod", 1.0, 1.0)), (), "x")
    row = score.to_json()
    assert row["events"][0]["rise"] == 0.5 and "rise" not in row["events"][1] and parse_score(row) == score
    assert summary(score) == "smile 0-3 s slowly, nod 1-2 s; 4 s"
    with pytest.raises(UserError, match="accepted 0 to 1"):
        parse_score({**row, "events": [{**row["events"][0], "rise": 2}]})
    shown = render(Score(5.0, (Event("smile", 0.2, 4.5, 0.8, 1, 0.9),)), seed=2).channel("mouthSmile")
    levels = [float(shown[round(30 * s)]) for s in (0.7, 1.7, 2.7, 3.7)]
    assert levels == sorted(levels) and levels[0] < 0.35 * levels[-1]


class Words:
    """Stands for the sentence encoder."""

    def states(self, texts: list[str]) -> list[np.ndarray]:
        return [np.ones((2, 384), np.float32) for _ in texts]

    def sentence(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 384), np.float32)


def test_long_actions_stand_still_in_the_middle() -> None:
    clauses = [Clause("smile", 1.0, 9.0, action="smile"), Clause("nod", 1.0, 9.0, repeat=8, action="nod"),
               Clause("frown", 1.0, 2.5, action="frown"), Clause("grin", 0.0, 6.0, 0.8, rise=4.0),
               Clause("yawn", 1.0, 9.0, action="yawn")]  # fmt: skip
    direction = Direction.make([], clauses, Words())
    t = np.array([1.25, 2.0, 4.0, 6.5, 8.0, 8.75, 9.3, 10.0])
    timing = direction.timing(t)
    assert np.allclose(timing[:, 0, 0], [0.25, 1, 1, 1, 1, 1.75, 2.3, 3]) and MAX_HOLD == 2.0
    assert np.allclose(timing[:, 0, :2].sum(1), MAX_HOLD)  # as long as the network is told that it lasts
    assert np.allclose(timing[:, 1, 0], t - 1) and np.allclose(timing[:, 2, 1], 2.5 - t, atol=1e-6)
    assert np.allclose(timing[:, 4, :2].sum(1), MAX_KEYED)
    assert timing[:, 0, 4].tolist() == [1, 1, 1, 1, 1, 1, 1, 0]
    grown = direction.timing(np.array([0.0, 1.0, 2.0, 4.0, 5.5]))[:, 3, 2]
    assert np.allclose(grown, 0.8 * np.array([MIN_RISE, 0.25, 0.5, 1, 1]))


def test_who_laughs_is_told_how_often() -> None:
    score = Score(14.0, (Event("laugh", 0.5, 12.0), Event("laugh", 13.0, 1.0, 0.7, 3), Event("nod", 2.0, 1.0)))
    made = clauses_of(score)
    assert [(c.action, round(c.start, 2), round(c.end, 2), c.repeat) for c in made] == [
        ("laugh", 0.5, 4.5, 18), ("laugh", 4.5, 8.5, 18), ("laugh", 8.5, 12.5, 18), ("laugh", 13.0, 14.0, 3),
        ("nod", 2.0, 3.0, 1),
    ]  # fmt: skip


def test_the_driver_holds_what_lasts_and_laughs_in_a_rhythm() -> None:
    performer = FacePipeline.load()
    for action, name in (("smile", "mouthSmile"), ("turn_head_left", ""), ("close_eyes", "eyeBlinkLeft")):
        face = performer.perform(action, score=Score(13.0, (Event(action, 0.3, 12.0),)), seconds=13.0)
        held = (face.channel(name) if name else face.head[:, 0])[45:350]
        assert held.min() > 0.85 * held.max() > 0.1, action
    face = performer.perform("laugh", score=Score(4.5, (Event("laugh", 0.3, 4.0),)), seconds=4.5)
    jaw = face.channel("jawOpen")[20:120]
    ups = (np.diff(np.sign(np.diff(jaw))) < 0).sum()
    assert 10 <= ups <= 22 and jaw.max() - jaw.min() > 0.06
    rises = performer.perform("smile", score=Score(6.0, (Event("smile", 0.3, 5.0, 0.7, 1, 0.8),)), seconds=6.0)
    levels = [float(rises.channel("mouthSmile")[round(30 * s)]) for s in (1.0, 2.0, 3.0, 4.0)]
    assert levels == sorted(levels) and levels[0] < 0.6 * levels[-1]
