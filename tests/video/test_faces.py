"""Faces over time: the resting face, dead channels, several people, signs of the head."""

import numpy as np
import pytest
from PIL import Image

from avatargpt.video import canonical, overlay
from avatargpt.video.capture import Capture
from avatargpt.video.faces import DEAD, Face, FaceTrack, even, face_motion, faces_of
from avatargpt.video.frames import Film, Frame
from avatargpt.video.landmarker import head_angles
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion, turns

BLINK, SMILE, LOOK, PUFF = (arkit.INDEX[n] for n in ("eyeBlinkLeft", "mouthSmileLeft", "eyeLookUpLeft", "cheekPuff"))


class TwoFaces:
    """A large face with a resting smile that blinks at 1.0 s, and a small one beside it; their order alternates."""

    closed = False

    def faces(self, picture, time):
        large, small = np.zeros(arkit.COUNT), np.zeros(arkit.COUNT)
        large[SMILE], large[LOOK], large[PUFF] = 0.3, 0.4, 0.5
        large[BLINK] = max(0.05, 1 - abs(time - 1.0) / 0.1)
        found = [Face(np.array([10, 10, 90, 90.0]), large, np.array([0.2, 0, 0])),
                 Face(np.array([150, 20 + 5 * time, 180, 50 + 5 * time]), small, np.zeros(3))]  # fmt: skip
        return found[:: 1 if round(time * 25) % 2 else -1]

    def close(self):
        self.closed = True


def test_rest_is_taken_away_and_blinks_stay():
    finder = TwoFaces()
    blank = np.zeros((200, 200, 3), np.uint8)
    tracks, count = faces_of((Frame(k / 25, blank) for k in range(50)), finder)
    assert finder.closed and count == 50 and [len(t.times) for t in tracks] == [50, 50]
    motion, start = face_motion(tracks[0])
    assert start == 0 and motion.fps == 30 and len(motion) == pytest.approx(59, abs=1)
    assert np.abs(motion.channel("mouthSmileLeft")).max() < 0.01  # rest
    assert motion.channel("eyeBlinkLeft").max() > 0.85 and abs(motion.channel("eyeBlinkLeft").argmax() - 30) <= 1
    assert motion.channel("eyeLookUpLeft") == pytest.approx(0.4, abs=0.01)  # a gaze is no rest
    assert all((motion.channel(name) == 0).all() for name in DEAD)
    raw, _ = face_motion(tracks[0], neutral=False, dead=True)
    assert raw.channel("mouthSmileLeft") == pytest.approx(0.3, abs=0.01)
    assert raw.channel("cheekPuff") == pytest.approx(0.5, abs=0.01)


def test_a_sheet_draws_its_eight_heads_alone(tmp_path, monkeypatch):
    weights = np.zeros((71, arkit.COUNT))
    weights[:, 0] = np.arange(71) / 100
    track = FaceTrack(np.arange(71) / 30, np.tile([10, 10, 90, 90.0], (71, 1)), weights, np.zeros((71, 3)))
    captured = Capture(FaceMotion(weights, np.zeros((71, 3))), Film(tmp_path, 100, 100, 30, 3), 0.0, 1, face=track)
    drawn = []

    def pictures(motion, size):
        for weight in motion.weights[:, 0]:
            drawn.append(round(100 * float(weight)))
            yield np.full((size, size, 3), drawn[-1], np.uint8)

    film = [Frame(k / 30, np.full((100, 100, 3), 100 + k, np.uint8)) for k in range(80)]
    monkeypatch.setattr(overlay, "face_pictures", pictures)
    monkeypatch.setattr(overlay, "frames", lambda *_: iter(film))
    middle = np.asarray(Image.open(overlay.write_overlay(captured, tmp_path / "x.png")))[:, 120::240, 0]
    assert drawn == [*range(0, 71, 10)]
    assert middle[360].tolist() == drawn and middle[120].tolist() == [100 + k for k in drawn]


def test_a_jaw_is_what_the_lips_do_too_and_lids_shut():
    weights = np.zeros((60, arkit.COUNT))
    mouth = np.tile([4.0, 0.1], (60, 1))
    mouth[30:] += [1.75, 2.0]  # half open, which the network does not see
    weights[30:, BLINK] = 0.75
    track = FaceTrack(np.arange(60) / 30, np.tile([0, 0, 90, 90.0], (60, 1)), weights, np.zeros((60, 3)), mouth)
    motion, _ = face_motion(track)
    assert motion.channel("jawOpen")[[5, 50]] == pytest.approx([0, 1 / 3], abs=0.01)
    assert motion.channel("eyeBlinkLeft")[[5, 50]] == pytest.approx([0, 1], abs=0.01)
    assert face_motion(track, neutral=False)[0].channel("jawOpen").max() < 0.01


@pytest.mark.parametrize(("beside", "angles"), [(0.0, (0.3, 0.1, 0)), (0.15, (0, 0, 0)), (-0.15, (0.2, -0.2, 0.1))])
def test_a_head_beside_the_middle_is_read_against_the_camera(beside, angles, monkeypatch):
    rng = np.random.default_rng(0)
    points = np.zeros((468, 3))
    points[:, :2], points[:, 2] = rng.uniform(-7, 7, (468, 2)), rng.uniform(-2, 2, 468)
    points[[17, 14]] = points[[2, 13]] - [[0, 4.0, 0], [0, 0.5, 0]]
    rows = np.arange(20, 60)
    face = canonical.Canonical(points, rows, np.full(40, 1 / 40))
    monkeypatch.setattr(canonical, "canonical", lambda: face)
    turn = rot.to_matrix(turns(np.array([angles]))[0])
    at = points / 100 @ turn.T + [beside, 0.0, -0.6]  # m before a camera
    focal = 0.9 * 640
    x, y = at[:, 0] / -at[:, 2] * focal, at[:, 1] / -at[:, 2] * focal
    sight = np.array([beside, 0, -0.6]) / np.hypot(beside, 0.6)
    depth = (at @ sight) * focal / 0.6  # as the network gives it: along the line of sight, in pixels
    marks = np.stack([320 + x, 240 - y, depth], 1)
    got, mouth = canonical.pose(marks, (640, 480), 0.9)
    assert np.degrees(head_angles(got)) == pytest.approx(np.degrees(angles), abs=3)
    assert mouth == pytest.approx([4.0, 0.5], abs=0.3)
    if beside:
        other, _ = canonical.pose(marks, (640, 480), 100)
        assert abs(np.degrees(head_angles(other)[0] - angles[0])) > 9


@pytest.mark.parametrize("angles", [(0.4, 0, 0), (0, 0.3, 0), (0, 0, -0.25)])
def test_signs_of_the_head(angles):
    matrix = rot.to_matrix(turns(np.array([angles]))[0])
    assert head_angles(matrix) == pytest.approx(np.array(angles), abs=1e-6)


def test_uneven_times_keep_speed():
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.06, 80))
    values = (times**2)[:, None, None]
    grid = np.arange(0.5, 2.0, 0.05)
    assert even(times, values, np.ones((80, 1)), grid, 0.08)[:, 0, 0] == pytest.approx(grid**2, abs=5e-3)
