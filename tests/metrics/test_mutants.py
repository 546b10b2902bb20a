"""What mutants of the figures have outlived."""

import numpy as np
import pytest

from avatargpt.metrics import face_events
from avatargpt.metrics.face_events import EventResult, check_score
from instruct_data.face.score import Event, Score
from vqvae.face import FaceMotion


@pytest.mark.parametrize(("later", "wrong"), [(1.25, True), (1.35, False), (1.4, False), (1.45, False), (2.0, False)])
def test_events_may_swap_their_onsets_by_a_tenth_of_a_second(
    later: float, wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Event("smile", 1.0, 2.0), Event("turn_head_left", 1.5, 2.0)
    onsets = {"smile": 1.4, "turn_head_left": later}
    monkeypatch.setattr(face_events, "_check", lambda m, e, score: EventResult(e, 0.7, onsets[e.action], 1))
    still = FaceMotion(np.zeros((120, 52)), np.zeros((120, 3)))
    results = check_score(still, Score(4.0, (first, second)))
    assert [r.faults for r in results] == [[], ["comes before smile"] if wrong else []]
