"""Measures of joints against numbers worked out by hand: poses, feet, jerk, features and signatures of clips."""

import numpy as np
import pytest

from avatargpt.kinematics import measures
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22


def raised(frames: int) -> np.ndarray:
    return np.repeat(SMPL22.rest_joints[None].astype(np.float64), frames, 0) + np.array([0, 0.94, 0])


def moved(joints: np.ndarray, yaw: float, offset: list[float]) -> np.ndarray:
    return rot.rotate(rot.about_y(yaw), joints) + offset


def test_heading_frame_forgets_place_and_direction_but_not_height() -> None:
    a = raised(5)
    b = moved(a, 2.0, [3.0, 0.0, -1.0])
    assert measures.mpjpe_heading(b, a) == pytest.approx(0, abs=1e-3)
    assert measures.mpjpe_heading(moved(a, 2.0, [3.0, 0.05, -1.0]), a) == pytest.approx(50, abs=1e-3)


def test_one_joint_off_by_22_mm_is_1_mm_in_the_mean() -> None:
    a = raised(5)
    b = a.copy()
    b[:, 20, 1] += 0.022
    assert measures.mpjpe_heading(b, a) == pytest.approx(1.0)


def test_ade_and_fde_are_norms_of_the_66_vector() -> None:
    a = raised(4)
    b = a.copy()
    b[1] += [0.1, 0, 0]
    b[3] += [0, 0.2, 0]
    assert measures.ade(b, a) == pytest.approx((0.1 + 0.2) * np.sqrt(22) / 4)
    assert measures.fde(b, a) == pytest.approx(0.2 * np.sqrt(22))


def test_drift_grows_with_speed_error_and_ignores_the_start() -> None:
    t = np.arange(41)[:, None, None] / 20
    a = raised(41) + t * [0, 0, 1.0]
    b = raised(41) + t * [0, 0, 1.1]
    assert measures.drift(b, a, 20, 2.0) == pytest.approx(200)
    assert measures.drift(moved(b, 1.0, [5.0, 0, 5.0]), a, 20, 2.0) == pytest.approx(200, abs=1e-2)
    assert measures.drift(b + np.array([1.0, 0, 0]), a, 20, 0.0, align=False) == pytest.approx(1000)
    assert np.isnan(measures.drift(b, a, 20, 2.1))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same T"):
        measures.ade(raised(3), raised(4))


def still(frames: int, toe_height: float = 0.0) -> np.ndarray:
    joints = np.repeat(SMPL22.rest_joints[None].astype(np.float64), frames, 0)
    return joints + np.array([0, toe_height - joints[0, 10, 1], 0])


def slide(joints: np.ndarray, joint: int, step: float) -> np.ndarray:
    out = joints.copy()
    out[:, joint, 2] += step * np.arange(len(out))
    return out


def test_foot_skate_counts_low_fast_steps() -> None:
    # 20 steps of one toe at 3 cm per frame: the average over five steps is 1.8 and 2.4 cm at each end, below 2.5.
    assert measures.foot_skate(slide(still(21), 10, 0.03), 20) == pytest.approx(16 / 20)
    assert measures.foot_skate(slide(still(21), 10, 0.03), 20, window=1) == 1.0
    assert measures.foot_skate(slide(still(21), 10, 0.024), 20) == 0.0
    assert measures.foot_skate(slide(still(21, 0.06), 10, 0.03), 20) == 0.0
    assert measures.foot_skate(slide(still(21), 7, 0.03), 20) == 0.0, "ankles do not count"
    assert measures.foot_skate(slide(still(21), 10, 0.015), 40) == pytest.approx(16 / 20), "the limit is in m/s"


def test_contact_slide() -> None:
    assert measures.contact_slide(slide(still(11), 10, 0.01), 20) == pytest.approx(5)
    assert measures.contact_slide(slide(still(11, 0.2), 10, 0.01), 20) == 0


def test_jerk_of_a_step_and_of_a_parabola() -> None:
    joints = still(8)
    joints[4:, 20, 0] += 0.1
    # Third differences of a unit step: 1, -2, 1 where it enters the stencil.
    assert measures.jerk(joints, 20) == pytest.approx([0, 0.1, 0.2, 0.1, 0], abs=1e-9)
    assert measures.jerk(joints, 20).max() == pytest.approx(0.2)
    assert measures.jerk(joints, 40).max() == pytest.approx(1.6)
    parabola = still(8)
    parabola[:, 20, 1] += 0.01 * np.arange(8) ** 2
    assert measures.jerk(parabola, 20).max() == pytest.approx(0, abs=1e-9)


def test_jerk_is_l1_over_xyz_and_max_over_joints() -> None:
    joints = still(8)
    joints[4:, 20] += [0.1, 0.1, 0.1]
    joints[4:, 21] += [0.2, 0, 0]
    assert measures.jerk(joints, 20).max() == pytest.approx(0.6)


def test_seam_jerk_looks_only_near_the_seam() -> None:
    joints = still(40)
    joints[30:, 20, 0] += 0.1
    assert measures.seam_jerk(joints, 20, 30) == pytest.approx(0.2)
    assert measures.seam_jerk(joints, 20, 10) == 0
    with pytest.raises(ValueError, match="seam 40"):
        measures.seam_jerk(joints, 20, 40)


def test_transition_jerk_averages_sequences_before_the_peak() -> None:
    a, b = still(8), still(8)
    a[4:, 20, 0] += 0.1
    b[5:, 20, 0] += 0.1
    # Means over the two: 0, .05, .15, .15, .05
    peak, area = measures.transition_jerk([a, b], 20, 0.05)
    assert peak == pytest.approx(0.15)
    assert area == pytest.approx(0.05 + 0 + 0.1 + 0.1 + 0)


def test_peak_speeds() -> None:
    joints = still(5)
    joints[3:, 20, 1] += 0.2
    speeds = measures.peak_speeds(joints, 20)
    assert speeds["l_wrist"] == pytest.approx(4)
    assert speeds["r_wrist"] == 0


def test_too_short() -> None:
    with pytest.raises(ValueError, match="T >= 4"):
        measures.jerk(still(3), 20)


def walk(speed: float, frames: int = 41) -> np.ndarray:
    return SMPL22.rest_joints[None].astype(float) + np.arange(frames)[:, None, None] / 20 * [0, 0, speed]


def test_kinematic_features_of_a_gliding_figure() -> None:
    f = measures.kinematic_features(walk(1.5) + np.array([0, 0.9, 0]), 20)
    assert f.shape == (measures.FEATURES,)
    path, net, forward, left, rate, rate_deviation, height, rising = f[220:]
    assert (path, net, forward, height) == pytest.approx((1.5, 1.5, 1.5, 0.9))
    assert (left, rate, rate_deviation, rising) == pytest.approx((0, 0, 0, 0), abs=1e-9)
    assert f[66:220] == pytest.approx(np.zeros(154), abs=1e-4), "nothing moves in the heading frame"
    turned = walk(1.5)[..., [2, 1, 0]] * [-1, 1, 1]
    assert measures.kinematic_features(turned, 20)[222] == pytest.approx(1.5)


def wave(seconds: float, times: int, hand: int = 21) -> np.ndarray:
    """A standing figure whose hand goes up and down `times` times; everything else is still."""
    frames = round(seconds * 20)
    rest = np.random.default_rng(0).uniform(-0.3, 0.3, (22, 3))
    rest[:, 1] = np.linspace(0.02, 1.7, 22)
    rest[[1, 2, 16, 17], 0] = [0.1, -0.1, 0.2, -0.2]
    joints = np.repeat(rest[None], frames, 0)
    joints[:, hand, 1] += 0.25 * np.sin(2 * np.pi * times * np.arange(frames) / frames)
    return joints


def test_it_does_not_depend_on_place_and_heading() -> None:
    joints = wave(3, 4)
    turned = joints.copy()
    turned[..., 0], turned[..., 2] = joints[..., 2] + 3, -joints[..., 0] - 5
    a, b = measures.motion_signature(joints), measures.motion_signature(turned)
    assert a.shape == (measures.SIZE,) and a.dtype == np.float32
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_it_counts() -> None:
    three, six = (measures.motion_signature(wave(3, n))[388:412] for n in (3, 6))
    changed = np.flatnonzero(np.abs(three - six) > 1e-6)
    assert set(changed) == {13, 15}  # the right wrist's height, by 12 and by 35 cm
    assert np.expm1(three[13]) == pytest.approx(6, abs=1) and np.expm1(six[13]) == pytest.approx(12, abs=1)


def test_the_mirror_image_has_the_other_side() -> None:
    joints = wave(3, 4)
    joints[:, 8, 1] += 0.3 * np.clip(np.sin(2 * np.pi * np.arange(60) / 60), 0, 1)  # the right foot is lifted
    joints += np.linspace(0, 1, 60)[:, None, None] * [1.0, 0, 0]  # to the left of the body
    pairs = {1: 2, 4: 5, 7: 8, 10: 11, 13: 14, 16: 17, 18: 19, 20: 21}
    order = [{**pairs, **{b: a for a, b in pairs.items()}}.get(i, i) for i in range(22)]
    a, b = (measures.attribute_measures(x, 20.0) for x in (joints, joints[:, order] * [-1, 1, 1]))
    assert a.shape == (measures.ATTRIBUTE_SIZE,)
    np.testing.assert_allclose(a[:12:2], b[1:12:2], atol=1e-6)  # heights of the soles
    left, right = (x[-134:-98].reshape(6, 6) for x in (a, b))
    np.testing.assert_allclose(left, -right, atol=1e-6)
    assert left[2, 0] < -1 and left[4, 0] < -0.5  # hand and foot of the right side act
    assert a[-95] == b[-96] > 0  # half-swings of the wrists


def test_short_clips_and_other_shapes() -> None:
    assert np.isfinite(measures.motion_signature(wave(3, 4)[:1])).all()
    for bad in (np.zeros((0, 22, 3)), np.zeros((5, 21, 3))):
        with pytest.raises(ValueError, match="accepted"):
            measures.motion_signature(bad)
