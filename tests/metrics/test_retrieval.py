"""R-precision and MM-Dist, ours and as published, against values by hand and of the published code."""

import numpy as np
import pytest

from avatargpt.metrics.retrieval import (
    mm_dist,
    pair_distances,
    r_precision,
    retrieval_precision,
    sides_of,
    similar_pairs,
)
from avatargpt.metrics.statistics import fid

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


def test_pools_stand_for_themselves() -> None:
    texts, motions = made()
    whole = r_precision(texts, motions)
    halves = np.mean([r_precision(texts[i : i + 32], motions[i : i + 32]) for i in (0, 32)], axis=0)
    np.testing.assert_allclose(whole, halves, atol=1e-12)
    order = np.concatenate([np.random.default_rng(k).permutation(32) + 32 * k for k in range(2)])
    np.testing.assert_allclose(r_precision(texts[order], motions[order]), whole, atol=1e-12)
    np.testing.assert_allclose(r_precision(texts[::-1], motions[::-1]), whole, atol=1e-12)
    assert mm_dist(texts[order], motions[order]) == pytest.approx(mm_dist(texts, motions))


def test_right_pairs_are_found_and_random_ones_by_chance() -> None:
    x = np.random.default_rng(0).normal(size=(320, 16))
    assert (retrieval_precision(x, x) == 1).all() and (pair_distances(x, x) == 0).all()
    other = np.random.default_rng(1).normal(size=(320, 16))
    found = retrieval_precision(x, other).mean(0)
    assert np.allclose(found, np.array([1, 2, 3]) / 32, atol=0.02)
    assert np.isclose(pair_distances(x, other).mean(), np.sqrt(32), rtol=0.05)
    rng = np.random.default_rng(0)
    shares = r_precision(rng.normal(size=(3200, 4)), rng.normal(size=(3200, 4)))
    np.testing.assert_allclose(shares, np.arange(1, 4) / 32, atol=0.012)
    assert r_precision(x, x).tolist() == [1.0, 1.0, 1.0] and mm_dist(x, x) == 0


def test_motions_of_the_same_words_count_as_hits() -> None:
    rng = np.random.default_rng(0)
    kinds = np.arange(64) % 4
    texts = np.eye(4)[kinds]
    motions = texts + 1e-3 * rng.normal(size=texts.shape)
    assert retrieval_precision(texts, motions)[:, 0].mean() < 0.5
    assert (retrieval_precision(texts, motions, similar_pairs(texts, np.zeros(64, int))) == 1).all()


def test_sides_are_not_the_same() -> None:
    told = ["wave with the left hand", "the right hand waves", "somebody waves", "the left one, then the right one"]
    sides = sides_of(told)
    assert sides.tolist() == [-1, 1, 0, 0]
    expected = np.ones((4, 4), bool)
    expected[0, 1] = expected[1, 0] = False
    assert (similar_pairs(np.ones((4, 1)), sides) == expected).all()


def test_rows_that_fill_no_pool_sit_out() -> None:
    x = np.random.default_rng(0).normal(size=(40, 8))
    once = retrieval_precision(x, x, repeats=1)
    assert np.isnan(once[:, 0]).sum() == 8 and np.nanmin(once) == 1


def test_bad_input_is_refused() -> None:
    x = np.zeros((31, 4))
    for call in (
        lambda: retrieval_precision(x, x),
        lambda: pair_distances(x, x[:3]),
        lambda: pair_distances(x + np.nan, x),
    ):
        with pytest.raises(ValueError, match="accepted"):
            call()


def test_what_does_not_fit_is_refused() -> None:
    texts, motions = made()
    holed = np.where(texts > 1.9, np.nan, texts)
    for a, b, said in (
        (texts[:33], motions[:33], "multiple of 32"), (texts, motions[:, :4], "accepted"),
        (texts[:0], motions[:0], "accepted"), (holed, motions, "finite"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            r_precision(a, b)
