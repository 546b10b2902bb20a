"""Upper bodies of nine joints: our own, and those of rigs with axes of their own."""

import numpy as np
import pytest

from tests.vqvae.rigs import angles, talking
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def worlds(m: Motion) -> np.ndarray:
    return rot.from_matrix(SMPL22.fk_full(m.rotations, m.root)[1][:, pos7.JOINTS])


def test_nine_joints_come_back() -> None:
    m = talking()
    array = pos7.to_array(m)
    assert array.shape == (40, 9, 7) and array.dtype == np.float32
    np.testing.assert_allclose(array[..., :3], m.joints[:, pos7.JOINTS], atol=1e-5)
    np.testing.assert_allclose(np.abs(array[:, 2, 6]), np.abs(worlds(m)[:, 2, 0]), atol=1e-5)  # w is the last
    back = pos7.from_array(array, 60.0)
    assert back.fps == 60 and back.modality == "gesture" and angles(worlds(back), worlds(m)).max() < 1e-5
    np.testing.assert_allclose(back.joints[:, pos7.JOINTS], m.joints[:, pos7.JOINTS], atol=1e-4)


def gesturing(frames: int = 60) -> Motion:
    """A trunk that hardly turns, arms that bend."""
    t, q = np.arange(frames) / 30, rot.identity((frames, 22))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        q[:, SMPL22.index(f"{side}_shoulder")] = rot.from_axis_angle(np.outer(0.9 + 0.3 * np.sin(3 * t), [0, 0, -sign]))
        q[:, SMPL22.index(f"{side}_elbow")] = rot.from_axis_angle(np.outer(1.0 + 0.5 * np.cos(4 * t), [0, -sign, 0]))
    q[:, SMPL22.index("spine3")] = rot.from_axis_angle(np.outer(0.2 * np.sin(2 * t), [0.3, 1.0, 0]))
    return Motion(q, np.tile([0, 0.97, 0], (frames, 1)), 30, "gesture")


@pytest.mark.parametrize("below_parents", [False, True])
def test_nine_joints_with_axes_of_their_own(below_parents: bool) -> None:
    """Z up, centimetres, each joint turned as a rig has it, the forearm as its arm."""
    m, stood = gesturing(), rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))
    array = pos7.to_array(m).astype(np.float64)
    own = rot.from_axis_angle(1.5 * np.random.default_rng(3).normal(size=(9, 3)))
    own[[5, 8]] = own[[4, 7]]
    q = rot.multiply(rot.multiply(stood, np.roll(array[..., 3:], 1, -1)), own)
    if below_parents:
        q = np.stack([q[:, k] if p < 0 else rot.multiply(rot.conjugate(q[:, p]), q[:, k])
                      for k, p in enumerate(pos7.PARENTS)], 1)  # fmt: skip
    back = pos7.from_array(np.concatenate([100 * rot.rotate(stood, array[..., :3]), np.roll(q, -1, -1)], -1))
    assert np.linalg.norm(back.joints - m.joints, axis=-1)[:, pos7.JOINTS].max() < 0.02
    assert np.degrees(angles(worlds(back), worlds(m))).max() < 12


def test_nine_joints_that_are_no_skeleton() -> None:
    array = pos7.to_array(talking())
    shuffled = array.copy()
    shuffled[..., :3] = array[::-1, :, :3]
    for bad, said in ((array * [1, 1, 1, 2, 2, 2, 2], "another length"), (shuffled, "bones move by"),
                      (array * [0, 0, 0, 1, 1, 1, 1], "in one place")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            pos7.from_array(bad)
