"""Pose distances against numbers worked out by hand."""

import numpy as np
import pytest

from avatargpt.kinematics import measures as pose
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22


def still(frames: int = 5) -> np.ndarray:
    return np.repeat(SMPL22.rest_joints[None].astype(np.float64), frames, 0) + np.array([0, 0.94, 0])


def moved(joints: np.ndarray, yaw: float, offset: list[float]) -> np.ndarray:
    return rot.rotate(rot.about_y(yaw), joints) + offset


def test_heading_frame_forgets_place_and_direction_but_not_height() -> None:
    a = still()
    b = moved(a, 2.0, [3.0, 0.0, -1.0])
    assert pose.mpjpe_heading(b, a) == pytest.approx(0, abs=1e-3)
    assert pose.mpjpe_heading(moved(a, 2.0, [3.0, 0.05, -1.0]), a) == pytest.approx(50, abs=1e-3)


def test_one_joint_off_by_22_mm_is_1_mm_in_the_mean() -> None:
    a = still()
    b = a.copy()
    b[:, 20, 1] += 0.022
    assert pose.mpjpe_heading(b, a) == pytest.approx(1.0)


def test_ade_and_fde_are_norms_of_the_66_vector() -> None:
    a = still(4)
    b = a.copy()
    b[1] += [0.1, 0, 0]
    b[3] += [0, 0.2, 0]
    assert pose.ade(b, a) == pytest.approx((0.1 + 0.2) * np.sqrt(22) / 4)
    assert pose.fde(b, a) == pytest.approx(0.2 * np.sqrt(22))


def test_drift_grows_with_speed_error_and_ignores_the_start() -> None:
    t = np.arange(41)[:, None, None] / 20
    a = still(41) + t * [0, 0, 1.0]
    b = still(41) + t * [0, 0, 1.1]
    assert pose.drift(b, a, 20, 2.0) == pytest.approx(200)
    assert pose.drift(moved(b, 1.0, [5.0, 0, 5.0]), a, 20, 2.0) == pytest.approx(200, abs=1e-2)
    assert pose.drift(b + np.array([1.0, 0, 0]), a, 20, 0.0, align=False) == pytest.approx(1000)
    assert np.isnan(pose.drift(b, a, 20, 2.1))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same T"):
        pose.ade(still(3), still(4))
