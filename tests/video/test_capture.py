"""Films of real people; `avatargpt data models video-in` fetches the networks, the films lie beside the project."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from avatargpt.resources import models
from avatargpt.video.capture import capture_body
from avatargpt.video.weights import WEIGHTS
from vqvae.errors import UserError

FILMS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "films"
pytestmark = [
    pytest.mark.skipif(not FILMS.is_dir(), reason="no ../shared/data/films"),
    pytest.mark.skipif(not (find_spec("ai_edge_litert") and find_spec("mediapipe")), reason="avatargpt[video-in]"),
    pytest.mark.skipif(not all((models() / n).is_file() for n in WEIGHTS), reason="avatargpt data models video-in"),
]


def test_a_dancer_stands_and_stretches_an_arm():
    got = capture_body(FILMS / "dancer_s13.mp4", start=3.0)
    joints = got.motion.joints
    assert got.people == 1 and got.start == pytest.approx(3.0, abs=0.06) and len(joints) == pytest.approx(22, abs=3)
    assert np.abs(joints[..., 1].min(1)).max() < 0.05  # on the floor
    assert (joints[:, 15, 1] > 1.3).all()
    assert (joints[-5:, 20, 1] > joints[-5:, 16, 1] - 0.1).all()  # the left arm is stretched out
    toes = np.linalg.norm(np.diff(joints[:, [10, 11]][..., [0, 2]], axis=0), axis=-1) * 20
    assert np.median(toes) < 0.15  # feet stand


def test_an_empty_room_has_nobody_and_a_face_no_body():
    with pytest.raises(UserError, match="nobody"):
        capture_body(FILMS / "people_from_above.mp4", end=5.0)
    with pytest.raises(UserError, match="visible"):
        capture_body(FILMS / "face_d6.mp4", end=1.0)


def test_a_face_is_read_where_no_body_can_be():
    from avatargpt import export

    got = export.load(FILMS / "face_d6.mp4", start=2.0, end=3.0)
    assert got.modality == "face" and len(got) == pytest.approx(30, abs=2)
    assert got.channel("jawOpen").max() > 0.2
