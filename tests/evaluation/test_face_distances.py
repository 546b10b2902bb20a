"""LVE, FDD and the FID of faces on numbers worked out by hand."""

import numpy as np
import pytest

from avatargpt.evaluation.face_distances import face_features, face_fid, fdd, lve
from vqvae import arkit
from vqvae.face import FaceMotion


def test_lve_is_the_largest_lip_error_of_each_frame() -> None:
    real = np.zeros((2, 3, 3))
    made = real.copy()
    made[0, 1] = [3, 4, 0]  # 5 away, the farthest of frame 0
    made[0, 2] = [1, 0, 0]
    made[1, 0] = [0, 0, -2]
    assert lve(made, real) == pytest.approx(3.5)
    assert lve(real, real) == 0
    with pytest.raises(ValueError, match="accepted"):
        lve(made, real[:1])


def test_fdd_is_what_the_upper_face_moves_less() -> None:
    rest = np.array([[0.0, 1, 0], [0, 2, 0]])
    real = np.tile(rest, (4, 1, 1))
    real[::2, 0, 0] += 2  # squared distances 4, 0, 4, 0: deviation 2
    made = np.tile(rest, (4, 1, 1))
    made[::2, 1, 2] += 1  # 1, 0, 1, 0: deviation 0.5
    assert fdd(made, real, rest) == pytest.approx((2 - 0 + 0 - 0.5) / 2)
    assert fdd(real, made, rest) == pytest.approx(-0.75) and fdd(real, real, rest) == 0
    with pytest.raises(ValueError, match="rest"):
        fdd(made, real, rest[:1])


def clip(seed: int, size: float = 1.0, fps: float = 30.0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    t = np.arange(45)[:, None] / 30
    waves = 0.5 + 0.4 * size * np.sin(2 * np.pi * rng.uniform(0.5, 2, arkit.COUNT) * t + rng.uniform(0, 6, arkit.COUNT))
    return FaceMotion(waves, np.zeros((45, 3)), fps)


def test_features_are_means_deviations_and_speeds() -> None:
    weights = np.zeros((4, arkit.COUNT))
    weights[:, 7] = [0, 0.5, 0, 0.5]
    features = face_features(FaceMotion(weights, np.zeros((4, 3))))
    assert features.shape == (165,) and np.count_nonzero(features) == 3
    assert features[[7, 62, 117]] == pytest.approx([0.25, 0.25, 15.0])


def test_fid_of_faces() -> None:
    real = [clip(i) for i in range(40)]
    assert face_fid(real, real) == pytest.approx(0, abs=1e-6)
    near, far = face_fid([clip(i) for i in range(40, 80)], real), face_fid([clip(i, 0.4) for i in range(40, 80)], real)
    assert near < 0.5 < 2 < far
    assert far == pytest.approx(face_fid([clip(i, 0.4) for i in range(40, 80)], real))
    with pytest.raises(ValueError, match="at least 2"):
        face_fid(real[:1], real)
    with pytest.raises(ValueError, match="all the same"):
        face_fid(real, [real[0]] * 3)
