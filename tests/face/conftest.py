"""Fixtures of faces."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score
from vqvae.face import FaceMotion


@pytest.fixture(scope="session")
def act() -> Callable[..., tuple[FaceMotion, Score]]:
    """``act(("smile", 0.3, 1.5), feel=[("happy", 0.7)], seconds=4)`` -> clip and score."""

    def make(*events: tuple, feel: list[tuple[str, float]] | None = None, seconds: float = 4.0, seed: int = 0):
        felt = tuple(Emotion(name, level, 0.0, seconds) for name, level in feel or [])
        score = Score(seconds, tuple(Event(*e) for e in events), felt)
        return render(score, seed), score

    return make
