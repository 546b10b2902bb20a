"""Baselines: where they go and that they keep to the clip."""

import numpy as np
import pytest

from avatargpt.evaluation import transitions
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion


def turning(frames: int, rate: float, speed: float) -> Motion:
    q = rot.identity((frames, 22))
    t = np.arange(frames)
    q[:, 18] = rot.from_axis_angle(t[:, None] * [0, rate, 0])
    return Motion(q, t[:, None] * [0.0, 0, speed] + [0, 0.9, 0])


def test_interpolation_fills_the_gap_evenly() -> None:
    whole = turning(10, 0.1, 0.05)
    middle = transitions.interpolate(whole.slice(0, 3), whole.slice(7, 10), 4)
    assert len(middle) == 4
    np.testing.assert_allclose(middle.joints, whole.joints[3:7], atol=1e-5)


def test_interpolation_takes_the_shorter_arc() -> None:
    a, b = turning(1, 0, 0), turning(1, 0, 0)
    flipped = Motion(-b.rotations, b.root)
    np.testing.assert_allclose(transitions.interpolate(a, flipped, 3).joints, np.repeat(a.joints, 3, 0), atol=1e-6)


def test_hold_repeats_the_last_frame() -> None:
    clip = turning(5, 0.1, 0.05)
    np.testing.assert_array_equal(transitions.hold(clip, 3).joints, np.repeat(clip.joints[-1:], 3, 0))


def test_extrapolation_goes_on_as_before() -> None:
    whole = turning(12, 0.1, 0.05)
    np.testing.assert_allclose(transitions.extrapolate(whole.slice(0, 6), 6).joints, whole.joints[6:], atol=1e-5)
    assert len(transitions.extrapolate(whole.slice(0, 1), 4)) == 4


def test_bad_arguments() -> None:
    with pytest.raises(UserError, match="at least 1"):
        transitions.hold(turning(2, 0, 0), 0)
    other = Motion(turning(2, 0, 0).rotations, turning(2, 0, 0).root, fps=30)
    with pytest.raises(UserError, match="same rate"):
        transitions.interpolate(turning(2, 0, 0), other, 3)
