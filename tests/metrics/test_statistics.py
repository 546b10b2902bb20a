"""Frechet distances with closed forms, diversity, multimodality and intervals against values by hand."""

import numpy as np
import pytest

from avatargpt.metrics import statistics as dist
from avatargpt.metrics.statistics import confidence, kinematic_fid, repeated
from vqvae.skeleton import SMPL22


def test_frechet_distance_of_known_gaussians() -> None:
    eye = np.eye(2)
    assert dist.frechet_distance([0, 0], eye, [0, 0], eye) == pytest.approx(0, abs=1e-9)
    # Means 3-4-5; roots of diagonals: (3 - 1)^2 + (2 - 1)^2.
    assert dist.frechet_distance([0, 0], np.diag([9, 4]), [3, 4], eye, eps=0) == pytest.approx(25 + 4 + 1)


def test_frechet_distance_of_correlated_gaussians() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a, b = (x @ x.T for x in rng.normal(size=(2, 4, 4)))
    expected = np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert dist.frechet_distance(np.zeros(4), a, np.zeros(4), b, eps=0) == pytest.approx(expected)


def test_fid_of_shifted_copies_is_the_squared_shift() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    for shrink in (False, True):
        assert dist.fid(x, x, shrink) == pytest.approx(0, abs=1e-9)
        assert dist.fid(x + np.array([1.0, 2, 2]), x, shrink) == pytest.approx(9)


def test_shrinkage_steadies_the_distance_with_few_samples() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 100))
    plain, shrunk = dist.fid(a, b), dist.fid(a, b, shrink=True)
    assert shrunk < plain / 5


def test_ledoit_wolf_matches_its_definition() -> None:
    x = np.random.default_rng(1).normal(size=(12, 3)) * [1, 2, 3]
    c = x - x.mean(0)
    s = c.T @ c / 12
    noise = np.mean([((np.outer(r, r) - s) ** 2).sum() for r in c]) / 12
    share = noise / ((s - np.trace(s) / 3 * np.eye(3)) ** 2).sum()
    got, used = dist.ledoit_wolf(x)
    assert used == pytest.approx(share)
    assert got == pytest.approx((1 - share) * s + share * np.trace(s) / 3 * np.eye(3))


def test_diversity_and_multimodality() -> None:
    # Only two points, 5 apart: pairs are at 0 or 5.
    two = np.array([[0.0, 0], [3, 4]])
    assert {dist.diversity(two, seed=s) for s in range(20)} == {0.0, 5.0}
    assert dist.diversity(np.ones((10, 4))) == 0
    assert {dist.multimodality(two[None], pairs=1, seed=s) for s in range(20)} == {0.0, 5.0}
    with pytest.raises(ValueError, match="pairs"):
        dist.multimodality(two[None], pairs=3)
    samples = np.zeros((100, 30, 4))
    samples[:, :, 0] = np.arange(30)
    # |a - b| of two draws without replacement of one another's places: (n^2 - 1) / 3n on average.
    drawn = [dist.multimodality(samples, 10, seed) for seed in range(200)]
    assert np.mean(drawn) == pytest.approx((30**2 - 1) / 90, abs=0.4)


def walk(speed: float) -> np.ndarray:
    return SMPL22.rest_joints + np.arange(41)[:, None, None] / 20 * [0, 0, speed] + np.array([0, speed / 100, 0])


def test_kinematic_fid_orders_near_and_far() -> None:
    real = [walk(s) for s in np.linspace(0.8, 1.2, 12)]
    near = [walk(s) for s in np.linspace(0.82, 1.22, 12)]
    far = [walk(s) for s in np.linspace(2.8, 3.2, 12)]
    assert kinematic_fid(real, real, 20) == pytest.approx(0, abs=1e-6)
    assert kinematic_fid(near, real, 20) < kinematic_fid(far, real, 20) / 50


def test_confidence() -> None:
    got = confidence([1.0, 2, 3, float("nan")])
    assert (got.mean, got.size) == (2, 3)
    assert 1 <= got.low < 2 < got.high <= 3
    assert got == confidence([1.0, 2, 3, float("nan")])
    assert confidence([4.0, 4.0])[:3] == (4, 4, 4)
    # Normal values: about 1.96 sigma / sqrt(n).
    x = np.random.default_rng(0).normal(size=400)
    wide = confidence(x)
    assert (wide.high - wide.low) / 2 == pytest.approx(1.96 * x.std() / 20, rel=0.08)
    with pytest.raises(ValueError, match="at least one"):
        confidence([float("nan")])


def test_what_cannot_be_measured_is_refused() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    holed = np.where(np.arange(6)[:, None] == 2, np.nan, x)
    several = holed[:, None].repeat(2, 1)
    for measure in (lambda: dist.fid(holed, x), lambda: dist.diversity(holed), lambda: dist.multimodality(several, 2)):
        with pytest.raises(ValueError, match="not finite"):
            measure()
    for measure in (lambda: dist.diversity(x, 0), lambda: dist.multimodality(x[None], 0)):
        with pytest.raises(ValueError, match="pairs"):
            measure()


def test_interval_of_repetitions() -> None:
    mean, low, high, n = repeated([0.511, 0.505, 0.52, 0.498])  # the published: 0.5085 +- 0.0079161922
    assert (mean, n) == (pytest.approx(0.5085), 4)
    assert high - mean == pytest.approx(mean - low) == pytest.approx(0.007916192266487728, abs=1e-12)
    assert repeated([2.0])[:3] == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="finite"):
        repeated([1.0, np.nan])
