"""The text inputs of the driver: feelings as keyframes, many clauses."""

import numpy as np
import pytest

from avatargpt.face.audio_model.conditioning import Clause, Direction
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.instructions.scores import feelings_of
from avatargpt.speech.audio import RATE
from instruct_data.face.score import Emotion, Score
from tests.speech.conftest import Words, together, voice
from vqvae.errors import UserError


def test_feelings_become_keyframes() -> None:
    track = feelings_of(Score(5.0, (), (Emotion("happy", 0.5, 0.0, 2.0), Emotion("angry", 0.9, 2.0, 4.0))))
    assert [(f.text, f.strength) for f in track][0] == ("happy", 0.5)
    assert track[-1].strength == 0 and all(a.second < b.second for a, b in zip(track, track[1:], strict=False))
    assert any(f.text == "angry" and f.strength == 0.9 and 2.0 <= f.second <= 2.5 for f in track)


def test_of_many_clauses_only_what_is_seen_goes_through_the_network(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    clauses = [Clause("smile", k, k + 0.5) for k in range(3)] + [Clause("wink the left eye", 0.2, 2.0)]
    told, sound = Direction.make([], clauses, Words()), voice(3.0)
    whole = together(driver.drive(sound, RATE, told))
    monkeypatch.setattr("avatargpt.face.audio_model.stream.MAX_WORD_PIECES", 2)
    assert np.abs(together(driver.drive(sound, RATE, told)) - whole).max() < 1e-5
    often = [Clause("blink now", 2 * k, 2 * k + 0.3) for k in range(300)]
    assert len(Direction.make([], often, Words()).spans) == 300
    with pytest.raises(UserError, match="900 word pieces of facial instructions at once; accepted: up to 512"):
        Direction.make([], [Clause("blink once now", 0.1 * k, 60.0) for k in range(300)], Words())
    with pytest.raises(UserError, match="4001 facial actions; accepted: up to 4000"):
        Direction.make([], [Clause("blink", k, k + 0.3) for k in range(4001)], Words())
