import numpy as np
import pytest

from avatargpt.kinematics.measures import SIZE, motion_signature


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
    a, b = motion_signature(joints), motion_signature(turned)
    assert a.shape == (SIZE,) and a.dtype == np.float32
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_it_counts() -> None:
    three, six = (motion_signature(wave(3, n))[388:412] for n in (3, 6))
    changed = np.flatnonzero(np.abs(three - six) > 1e-6)
    assert set(changed) == {13, 15}  # the right wrist's height, by 12 and by 35 cm
    assert np.expm1(three[13]) == pytest.approx(6, abs=1) and np.expm1(six[13]) == pytest.approx(12, abs=1)


def test_short_clips_and_other_shapes() -> None:
    assert np.isfinite(motion_signature(wave(3, 4)[:1])).all()
    for bad in (np.zeros((0, 22, 3)), np.zeros((5, 21, 3))):
        with pytest.raises(ValueError, match="accepted"):
            motion_signature(bad)
