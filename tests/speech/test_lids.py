import numpy as np
import pytest

from avatargpt.face.audio_model.conditioning import Clause, Direction
from avatargpt.face.audio_model.idle import LidClosing
from avatargpt.face.pipeline import FacePipeline
from avatargpt.metrics.face_events import check_score
from instruct_data.face.score import Emotion, Event, Score
from tests.speech.conftest import Words
from vqvae.face import FaceMotion


@pytest.fixture(scope="module")
def performer() -> FacePipeline:
    return FacePipeline.load()


def lids(motion: FaceMotion) -> np.ndarray:
    return np.stack([motion.channel("eyeBlinkLeft"), motion.channel("eyeBlinkRight")])


@pytest.mark.parametrize(
    ("text", "shut"),
    [
        ("close your eyes", (True, True)), ("keep your eyes shut tight", (True, True)), ("blink", (True, True)),
        ("wink left", (True, False)), ("wink with your right eye", (False, True)),
    ],
)  # fmt: skip
def test_lids_that_are_told_to_close_are_shut(performer: FacePipeline, text: str, shut: tuple[bool, bool]) -> None:
    shown = lids(performer.perform(text))
    assert [bool(x >= 0.94) for x in shown.max(1)] == list(shut)
    assert np.abs(np.diff(shown)).max() < 0.8 and shown[:, [0, -1]].max() < 0.05


@pytest.mark.parametrize("text", ["squint", "look sleepy", "half-close your eyes"])
def test_lids_that_are_only_low_stay_so(performer: FacePipeline, text: str) -> None:
    assert lids(performer.perform(text)).max() < 0.8


def test_every_blink_in_a_row_is_shut_and_stays_one(performer: FacePipeline) -> None:
    score = Score(4.0, (Event("blink", 0.4, 3.0, 0.7, 10),))
    made = performer.perform(score=score, seconds=4.0)
    mean = lids(made).mean(0)
    peaks = [x for a, x, b in zip(mean, mean[1:], mean[2:], strict=False) if a < x >= b and x > 0.5]
    assert len(peaks) >= 10 and min(peaks) > 0.9 and check_score(made, score)[0].passed
    tired = Score(3.0, (Event("blink", 0.3, 2.0, 0.7, 2),), (Emotion("tired", 0.7, 0.0, 3.0),))
    made = performer.perform(score=tired, seconds=3.0)
    assert check_score(made, tired)[0].passed and lids(made)[:, -5:].max() < 0.5  # they droop as before


@pytest.mark.parametrize("action", ["close_eyes", "blink", "wink_left"])
def test_the_degrees_of_shut_lids_rise(performer: FacePipeline, action: str) -> None:
    scores = [Score(3.0, (Event(action, 0.4, 1.6, s),)) for s in (0.3, 0.5, 0.7, 0.85, 1.0)]
    most = [float(lids(performer.perform(score=s, seconds=3.0))[0].max()) for s in scores]
    assert np.diff(most).min() > 0.01 and most[1] < 0.8 < 0.94 < most[2] and most[4] > 0.99


def test_lids_that_are_low_already_are_left_there() -> None:
    closing, row = LidClosing(), np.full(55, 0.5, np.float32)
    closing.direct(Direction.make([], [Clause("close eyes", 0.0, 2.0, 0.7, 1, "close_eyes")], Words()))
    assert all(np.array_equal(closing(row, k / 30), row) for k in range(90))
