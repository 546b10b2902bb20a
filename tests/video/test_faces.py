"""Faces over time: the resting face, dead channels, several people, signs of the head."""

import numpy as np
import pytest

from avatargpt.video.faces import DEAD, Face, face_motion, faces_of
from avatargpt.video.frames import Frame
from avatargpt.video.landmarker import head_angles
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import turns

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


@pytest.mark.parametrize("angles", [(0.4, 0, 0), (0, 0.3, 0), (0, 0, -0.25)])
def test_signs_of_the_head(angles):
    matrix = np.eye(4)
    matrix[:3, :3] = rot.to_matrix(turns(np.array([angles]))[0])
    assert head_angles(matrix) == pytest.approx(np.array(angles), abs=1e-6)
