"""MotionStreamer's 272 channels: layout, round trip, bad input."""

import numpy as np
import pytest

from tests.vqvae.rigs import ms272_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import ms272
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def turning(frames: int = 40) -> Motion:
    """Goes on a circle to the left, nodding; 30 fps."""
    q = rot.identity((frames, 22))
    yaw = np.linspace(0, 2.0, frames)
    q[:, 0] = rot.about_y(yaw)
    q[:, SMPL22.index("head")] = rot.from_axis_angle(np.outer(0.3 * np.sin(np.arange(frames) / 4), [1.0, 0, 0]))
    step = 0.03 * np.stack([np.sin(yaw), 0 * yaw, np.cos(yaw)], -1)
    return Motion(q, np.cumsum(step, 0) + [0, 0.95, 0], 30.0)


def test_layout() -> None:
    motion = turning()
    f = ms272_of(motion)
    assert f.shape == (40, 272) and f.dtype == np.float32
    assert f[0, :8] == pytest.approx([0, 0, 1, 0, 0, 0, 1, 0])  # no step, no turn
    # straight ahead in the facing before the step, up to half the turn of a frame
    np.testing.assert_allclose(f[1:, 1], 0.03, atol=1e-4)
    turn = 2.0 / 39
    # the scripts keep the turn that takes the facing away: by minus the angle, first two rows of the matrix
    np.testing.assert_allclose(f[1:, 2:8], np.tile([np.cos(turn), 0, -np.sin(turn), 0, 1, 0], (39, 1)), atol=1e-6)
    joints = f[:, 8:74].reshape(40, 22, 3)
    np.testing.assert_allclose(joints[:, 0, [0, 2]], 0, atol=1e-6)
    assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(f[1:, 74:140], np.diff(f[:, 8:74], axis=0), atol=1e-6)
    assert f[0, 140:146] == pytest.approx([1, 0, 0, 0, 1, 0], abs=1e-6)  # the root without facing


def test_round_trip() -> None:
    motion = turning().moved(0.8, np.array([2.0, 0.3, 1.0]))
    f = ms272_of(motion)
    wanted = motion.canonical().joints - [0, motion.joints[..., 1].min(), 0]
    np.testing.assert_allclose(ms272.recover_joints(f), wanted, atol=1e-4)
    nod = 0.3 * np.sin(np.arange(40) / 4)
    np.testing.assert_allclose(ms272.face_direction(f)[:, 1], -np.sin(nod), atol=1e-5)


def test_bad_input() -> None:
    f = ms272_of(turning())
    for array, said in ((f[:, :271], "accepted"), (f[:0], "accepted"), (np.where(f == f[5, 9], np.nan, f), "NaN")):
        with pytest.raises(UserError, match=said):
            ms272.recover_joints(array)
    with pytest.raises(UserError, match="frame 3"):
        ms272.recover_joints(np.where(np.arange(40)[:, None] == 3, 0, f))
    with pytest.raises(UserError, match="frame 0"):
        ms272.face_direction(np.zeros((2, 272)))
