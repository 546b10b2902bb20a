"""Physical metrics against numbers worked out by hand."""

import numpy as np
import pytest

from avatargpt.kinematics import measures as physics
from vqvae.skeleton import SMPL22


def still(frames: int, toe_height: float = 0.0) -> np.ndarray:
    joints = np.repeat(SMPL22.rest_joints[None].astype(np.float64), frames, 0)
    return joints + np.array([0, toe_height - joints[0, 10, 1], 0])


def slide(joints: np.ndarray, joint: int, step: float) -> np.ndarray:
    out = joints.copy()
    out[:, joint, 2] += step * np.arange(len(out))
    return out


def test_foot_skate_counts_low_fast_steps() -> None:
    # 20 steps of one toe at 3 cm per frame: the average over five steps is 1.8 and 2.4 cm at each end, below 2.5.
    assert physics.foot_skate(slide(still(21), 10, 0.03), 20) == pytest.approx(16 / 20)
    assert physics.foot_skate(slide(still(21), 10, 0.03), 20, window=1) == 1.0
    assert physics.foot_skate(slide(still(21), 10, 0.024), 20) == 0.0
    assert physics.foot_skate(slide(still(21, 0.06), 10, 0.03), 20) == 0.0
    assert physics.foot_skate(slide(still(21), 7, 0.03), 20) == 0.0, "ankles do not count"
    assert physics.foot_skate(slide(still(21), 10, 0.015), 40) == pytest.approx(16 / 20), "the limit is in m/s"


def test_contact_slide() -> None:
    assert physics.contact_slide(slide(still(11), 10, 0.01), 20) == pytest.approx(5)
    assert physics.contact_slide(slide(still(11, 0.2), 10, 0.01), 20) == 0


def test_jerk_of_a_step_and_of_a_parabola() -> None:
    joints = still(8)
    joints[4:, 20, 0] += 0.1
    # Third differences of a unit step: 1, -2, 1 where it enters the stencil.
    assert physics.jerk(joints, 20) == pytest.approx([0, 0.1, 0.2, 0.1, 0], abs=1e-9)
    assert physics.jerk(joints, 20).max() == pytest.approx(0.2)
    assert physics.jerk(joints, 40).max() == pytest.approx(1.6)
    parabola = still(8)
    parabola[:, 20, 1] += 0.01 * np.arange(8) ** 2
    assert physics.jerk(parabola, 20).max() == pytest.approx(0, abs=1e-9)


def test_jerk_is_l1_over_xyz_and_max_over_joints() -> None:
    joints = still(8)
    joints[4:, 20] += [0.1, 0.1, 0.1]
    joints[4:, 21] += [0.2, 0, 0]
    assert physics.jerk(joints, 20).max() == pytest.approx(0.6)


def test_seam_jerk_looks_only_near_the_seam() -> None:
    joints = still(40)
    joints[30:, 20, 0] += 0.1
    assert physics.seam_jerk(joints, 20, 30) == pytest.approx(0.2)
    assert physics.seam_jerk(joints, 20, 10) == 0
    with pytest.raises(ValueError, match="seam 40"):
        physics.seam_jerk(joints, 20, 40)


def test_transition_jerk_averages_sequences_before_the_peak() -> None:
    a, b = still(8), still(8)
    a[4:, 20, 0] += 0.1
    b[5:, 20, 0] += 0.1
    # Means over the two: 0, .05, .15, .15, .05
    peak, area = physics.transition_jerk([a, b], 20, 0.05)
    assert peak == pytest.approx(0.15)
    assert area == pytest.approx(0.05 + 0 + 0.1 + 0.1 + 0)


def test_peak_speeds() -> None:
    joints = still(5)
    joints[3:, 20, 1] += 0.2
    speeds = physics.peak_speeds(joints, 20)
    assert speeds["l_wrist"] == pytest.approx(4)
    assert speeds["r_wrist"] == 0


def test_too_short() -> None:
    with pytest.raises(ValueError, match="T >= 4"):
        physics.jerk(still(3), 20)
