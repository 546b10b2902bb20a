"""A camera: its film, and the face that is sent while it runs."""

import numpy as np
import pytest

from avatargpt.__main__ import main
from avatargpt.video import live_camera, poses
from avatargpt.video.faces import Face
from avatargpt.video.frames import Frame, frames, inspect
from avatargpt.video.live_camera import LiveFace, pictures, record, source_of
from vqvae import arkit
from vqvae.errors import UserError

pytest.importorskip("av")
SMILE = arkit.INDEX["mouthSmileLeft"]


class Finder:
    """A face whose smile is the picture's brightness, over a rest of .2."""

    def faces(self, picture, time):
        level = float(picture.mean()) / 255
        if level < 0.01:
            return []
        weights = np.zeros(arkit.COUNT)
        weights[SMILE] = 0.2 + 0.8 * level
        weights[arkit.INDEX["cheekPuff"]] = 0.9
        return [Face(np.array([0.0, 0, 50, 50]), weights, np.array([0.1, 0, 0]))]

    def close(self):
        pass


class Nobody:
    def people(self, picture, time):
        return []


def of_level(level, time):
    return Frame(time, np.full((64, 96, 3), round(255 * level), np.uint8))


def test_addresses_of_cameras():
    assert source_of("0", "linux") == ("/dev/video0", "v4l2")
    assert source_of("1", "darwin") == ("1", "avfoundation")
    assert source_of("HD Webcam", "win32") == ("video=HD Webcam", "dshow")
    for wrong in ("x", "", "-1", "/dev/video0"):
        with pytest.raises(UserError, match="accepted the number of a camera"):
            source_of(wrong, "linux")
    with pytest.raises(UserError, match="no camera that can be opened"):
        pictures("/dev/video99", "v4l2")


def test_a_take_has_the_times_at_which_pictures_came(tmp_path):
    times = [0.0, 0.033, 0.1, 0.5, 0.55, 2.0]
    path = tmp_path / "take.mkv"
    assert record((of_level(0.5, t) for t in times), path, 1.0) == 5
    assert [f.time for f in frames(inspect(path), end=3.0)] == pytest.approx(times[:5], abs=2e-3)


def test_ctrl_c_keeps_the_take(tmp_path):
    def interrupted():
        yield of_level(0.5, 0.0)
        yield of_level(0.5, 0.1)
        raise KeyboardInterrupt

    assert record(interrupted(), tmp_path / "take.mkv") == 2
    assert inspect(tmp_path / "take.mkv").width == 96
    with pytest.raises(UserError, match="before its first picture"):
        record(iter(()), tmp_path / "none.mkv")


def test_a_live_face_follows_at_once_and_takes_its_rest_away(tmp_path):
    rows = []
    levels = [0.0] * 5 + [0.02] * 60 + [1.0] * 10
    takes = (of_level(level, k / 30) for k, level in enumerate(levels))
    record(takes, tmp_path / "take.mkv", face=LiveFace(Finder()), send=lambda n, motion: rows.append((n, motion)))
    assert [n for n, _ in rows] == list(range(70))  # nothing is sent where no face is
    smile = [float(motion.weights[0, SMILE]) for _, motion in rows]
    assert smile[0] > 0.15 and abs(smile[59]) < 0.05  # the network's own, then against the rest
    assert smile[61] > 0.5 and smile[-1] > 0.9  # two frames later
    assert all(motion.weights[0, arkit.INDEX["cheekPuff"]] == 0 for _, motion in rows)
    assert rows[-1][1].head[0] == pytest.approx([0.1, 0, 0], abs=1e-6)


def test_the_command_captures_what_the_camera_gave(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(live_camera, "source_of", lambda camera: ("color=gray:size=96x64:rate=30", "lavfi"))
    monkeypatch.setattr(poses, "estimator", lambda name: Nobody())
    code = main(["capture", "--camera", "0", "--seconds", "1", "-o", str(tmp_path / "a.npz")])
    error = capsys.readouterr().err
    assert code == 2 and "camera.mkv: nobody in" in error and not (tmp_path / "a.npz").exists()
