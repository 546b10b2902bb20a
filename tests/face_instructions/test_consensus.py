"""Readings that agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from avatargpt.face.instructions.parser import agreement, consensus, similarity
from instruct_data.face.score import Emotion, Event, Score

NOD = Score(4.0, (Event("nod", 0.5, 1.0, 0.7, 2), Event("smile", 2.0, 1.5)), (Emotion("happy", 0.7, 0.0, 4.0),))


def test_likeness() -> None:
    assert similarity(NOD, NOD) == pytest.approx(1) and similarity(Score(1.0), Score(2.0)) == 1
    assert similarity(NOD, Score(4.0)) == 0 == similarity(Score(4.0, (Event("blink", 0.5, 0.3),)), NOD)
    nod, smile = NOD.events
    for other, share in (
        (replace(nod, start=1.2), 0.7), (replace(nod, repeat=3), 0.85), (replace(nod, duration=2.0), 0.85),
    ):  # fmt: skip
        changed = replace(NOD, events=(other, smile))
        assert similarity(NOD, changed) == similarity(changed, NOD) == pytest.approx((share + 2) / 3)
    # of two of the same name the nearer one stands for it
    twice = Score(4.0, (Event("nod", 2.9, 0.3), nod))
    assert similarity(twice, Score(4.0, (nod,))) == pytest.approx(2 / 3)


def test_the_reading_most_agree_with() -> None:
    odd = replace(NOD, events=(Event("blink", 0.5, 0.3),), emotions=())
    near = replace(NOD, length=5.0)
    assert consensus([odd, NOD, near]) == NOD and consensus([odd]) == odd
    assert consensus([near, NOD]) == near  # of equals the first
    assert agreement(NOD, [NOD, near]) == pytest.approx(1) and agreement(NOD, [NOD, odd]) == pytest.approx(0.5)


def test_strengths_are_the_median_of_all_readings() -> None:
    def read(nod: float, happy: float, start: float = 0.2) -> Score:
        return Score(2.0, (Event("nod", start, 0.8, nod),), (Emotion("happy", happy, 0.0, 2.0),), "")

    found = consensus([read(1.0, 0.3), read(0.7, 0.3), read(0.7, 0.85), read(0.3, 1.0, start=1.5)])
    assert found.events[0].intensity == 0.7  # one that nods much later says nothing of this nod
    assert found.emotions[0].intensity == 0.3  # the lower of the two in the middle
