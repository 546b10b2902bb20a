"""R-precision, MM-dist and what goes with them against values by hand and of the published code."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.metrics.retrieval import mm_dist, r_precision
from avatargpt.metrics.statistics import diversity, fid, multimodality, repeated

# What EricGuo5513/momask-codes, utils/metrics.py (commit 1080032, the same functions as in text-to-motion) and the sums
# of final_evaluations.py give for `made()` in two pools of 32.
R_PRECISION, MM_DIST, FID = (0.5, 0.859375, 0.96875), 1.8829497427997754, 0.46845093061546805


def made() -> tuple[np.ndarray, np.ndarray]:
    i = np.arange(64 * 5).reshape(64, 5)
    texts = 2 * np.sin(0.7 * i**2)
    return texts, texts + 1.2 * np.cos(0.9 * i**2)


def test_values_of_the_published_code() -> None:
    texts, motions = made()
    np.testing.assert_allclose(r_precision(texts, motions), R_PRECISION, atol=1e-12)
    assert mm_dist(texts, motions) == pytest.approx(MM_DIST, abs=1e-9)
    assert fid(texts, motions) == pytest.approx(FID, abs=2e-5)  # 1e-6 on the diagonals here, only where needed there


def test_values_by_hand() -> None:
    texts, motions = np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[6.0, 0.0], [7.0, 0.0]])
    assert r_precision(texts, motions, pool=2, top=2).tolist() == [1.0, 1.0]
    assert mm_dist(texts, motions) == 4.5
    # Text 0 finds motion 1 (3 away) before its own (4 away); text 1 its own (1) before the other (8).
    texts, motions = np.array([[0.0, 0.0], [0.0, 4.0]]), np.array([[4.0, 0.0], [0.0, 3.0]])
    assert r_precision(texts, motions, pool=2, top=2).tolist() == [0.5, 1.0] and mm_dist(texts, motions) == 2.5


def test_diversity_and_multimodality_by_hand() -> None:
    apart = np.zeros((2, 3))
    apart[1] = [3.0, 4.0, 0.0]
    assert {diversity(apart, 300, seed) for seed in range(20)} == {0.0, 5.0}  # both draws alike, or crosswise
    samples = np.zeros((100, 30, 4))
    samples[:, :, 0] = np.arange(30)
    drawn = [multimodality(samples, 10, seed) for seed in range(200)]
    # |a - b| of two draws without replacement of one another's places: (n^2 - 1) / 3n on average.
    assert np.mean(drawn) == pytest.approx((30**2 - 1) / 90, abs=0.4)


def test_ground_truth_against_itself_is_ideal() -> None:
    _, motions = made()
    assert r_precision(motions, motions).tolist() == [1.0, 1.0, 1.0]
    assert mm_dist(motions, motions) == 0 and fid(motions, motions) < 1e-9


def test_pools_stand_for_themselves() -> None:
    texts, motions = made()
    whole = r_precision(texts, motions)
    halves = np.mean([r_precision(texts[i : i + 32], motions[i : i + 32]) for i in (0, 32)], axis=0)
    np.testing.assert_allclose(whole, halves, atol=1e-12)
    order = np.concatenate([np.random.default_rng(k).permutation(32) + 32 * k for k in range(2)])
    np.testing.assert_allclose(r_precision(texts[order], motions[order]), whole, atol=1e-12)
    np.testing.assert_allclose(r_precision(texts[::-1], motions[::-1]), whole, atol=1e-12)
    assert mm_dist(texts[order], motions[order]) == pytest.approx(mm_dist(texts, motions))


def test_chance_is_that_of_the_pool() -> None:
    rng = np.random.default_rng(0)
    shares = r_precision(rng.normal(size=(3200, 4)), rng.normal(size=(3200, 4)))
    np.testing.assert_allclose(shares, np.arange(1, 4) / 32, atol=0.012)


def test_interval_of_repetitions() -> None:
    mean, low, high, n = repeated([0.511, 0.505, 0.52, 0.498])  # the published: 0.5085 +- 0.0079161922
    assert (mean, n) == (pytest.approx(0.5085), 4)
    assert high - mean == pytest.approx(mean - low) == pytest.approx(0.007916192266487728, abs=1e-12)
    assert repeated([2.0])[:3] == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="finite"):
        repeated([1.0, np.nan])


def test_what_does_not_fit_is_refused() -> None:
    texts, motions = made()
    holed = np.where(texts > 1.9, np.nan, texts)
    for a, b, said in (
        (texts[:33], motions[:33], "multiple of 32"), (texts, motions[:, :4], "accepted"),
        (texts[:0], motions[:0], "accepted"), (holed, motions, "finite"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            r_precision(a, b)
