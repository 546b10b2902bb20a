"""Distances and intervals, retrieval and scores of texts against closed forms, values by hand and published code."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from avatargpt.metrics import statistics as dist
from avatargpt.metrics import text
from avatargpt.metrics.evaluator import (
    mm_dist,
    pair_distances,
    r_precision,
    retrieval_precision,
    sides_of,
    similar_pairs,
)
from avatargpt.metrics.statistics import confidence, fid, kinematic_fid, summarise_repetitions
from avatargpt.requests.english import lemma
from vqvae.errors import UserError
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


def test_interval_of_repetitions() -> None:
    mean, low, high, n = summarise_repetitions([0.511, 0.505, 0.52, 0.498])  # the published: 0.5085 +- 0.0079161922
    assert (mean, n) == (pytest.approx(0.5085), 4)
    assert high - mean == pytest.approx(mean - low) == pytest.approx(0.007916192266487728, abs=1e-12)
    assert summarise_repetitions([2.0])[:3] == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="finite"):
        summarise_repetitions([1.0, np.nan])


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


X = np.random.default_rng(0).normal(size=(6, 3))
HOLED = np.where(np.arange(6)[:, None] == 2, np.nan, X)


@pytest.mark.parametrize(("measure", "said"), [
    (lambda: dist.fid(HOLED, X), "not finite"), (lambda: dist.diversity(HOLED), "not finite"),
    (lambda: dist.multimodality(HOLED[:, None].repeat(2, 1), 2), "not finite"),
    (lambda: dist.diversity(X, 0), "pairs"), (lambda: dist.multimodality(X[None], 0), "pairs"),
    (lambda: retrieval_precision(X, X), "accepted"), (lambda: pair_distances(X, X[:3]), "accepted"),
    (lambda: pair_distances(HOLED, X), "accepted"),
    (lambda: r_precision(*(x[:33] for x in made())), "multiple of 32"),
    (lambda: r_precision(made()[0], made()[1][:, :4]), "accepted"), (lambda: r_precision(X[:0], X[:0]), "accepted"),
    (lambda: r_precision(np.where(made()[0] > 1.9, np.nan, made()[0]), made()[1]), "finite"),
    (lambda: text.bleu(["a"], ["a reference that is not in a list"], 1), "one non-empty"),
    (lambda: text.cider(["a", "b"], [["a"]]), "one non-empty"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(measure: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        measure()


SAME = ["a person walks forward .", "a man jumps twice and sits down ."]
REFS = [[s] for s in SAME]


@pytest.mark.parametrize("tokens", [text.raw_tokens, text.lemma_tokens])
def test_a_perfect_caption_scores_100(tokens: text.Tokens) -> None:
    assert [text.bleu(SAME, REFS, order, tokens) for order in (1, 4)] == pytest.approx([100, 100])
    assert text.rouge_l(SAME, REFS, tokens) == pytest.approx(100)


@pytest.mark.parametrize(("score", "expected"), [
    # "the the the": one of three unigrams is matched once in the reference of three words.
    (lambda: text.bleu(["the the the"], [["the cat sat"]], 1), 100 / 3),
    # All right but two of four words: brevity exp(1 - 4/2).
    (lambda: text.bleu(["a b"], [["a b c d"]], 1), 100 * math.exp(-1)),
    # 5 of 6 words, 4/5, 3/4, 2/3 of higher orders match: the geometric mean.
    (lambda: text.bleu(["a b c d e x"], [["a b c d e f"]], 4), 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25),
    # The best of several references counts.
    (lambda: text.bleu(["a b c", "d e f"], [["x y z", "a b c"], ["d e f"]], 1), 100),
    (lambda: text.rouge_l(["a b c", "d e f"], [["x y z", "a b c"], ["d e f"]]), 100),
    # LCS "a c d" = 3 of 4 candidate words, of 5 reference words.
    (lambda: text.rouge_l(["a c x d"], [["a b c d e"]]), 100 * 2 * 3 / (4 + 5)),
    # Lemmas forgive inflection and punctuation, raw tokens do not.
    (lambda: text.rouge_l(["A person is walking"], [["a person walks."]], text.lemma_tokens), 100 * 2 * 3 / 7),
    (lambda: text.rouge_l(["A person is walking"], [["a person walks."]]), 100 * 2 * 2 / 8),
    # Perfect captions with nothing in common.
    (lambda: text.cider(["one two three four", "a b c d"], [["one two three four"], ["a b c d"]]), 10),
    # Items "a b" and "c d": every n-gram has idf ln 2. Candidate 1 "a x": unigram cosine = 1/2 (x weighs ln 2 as well,
    # unseen n-grams count as in one document); no bigram in common; orders 3 and 4 empty. Candidate 2 shares nothing.
    (lambda: text.cider(["a x", "y z"], [["a b"], ["c d"]]), 10 * (0.5 / 4) / 2),
    # "a a" against "a b": min(2, 1) * 1 / (2 * sqrt 2); against six more words the length factor is exp(-1/2).
    (lambda: text.cider(["a a", "q"], [["a b"], ["c d"]]), 10 * (1 / (2 * math.sqrt(2)) / 4) / 2),
    (lambda: text.cider(["a", "q"], [["a b c d e f g"], ["x y"]]), 10 * (1 / math.sqrt(7) / 4) * math.exp(-0.5) / 2),
    # Words in every reference weigh nothing.
    (lambda: text.cider(["a", "a"], [["a b"], ["a c"]]), 0),
])  # fmt: skip
def test_scores_by_hand(score: Callable[[], float], expected: float) -> None:
    assert score() == pytest.approx(expected)


def test_lemmas_are_words_without_inflection() -> None:
    assert text.lemma_tokens("A person is walking") == ["a", "person", "be", "walk"]


@pytest.mark.parametrize(("word", "expected"), [
    ("walks", "walk"), ("walking", "walk"), ("walked", "walk"), ("stepped", "step"), ("stepping", "step"),
    ("waving", "wave"), ("waves", "wave"), ("dancing", "dance"), ("running", "run"), ("ran", "run"), ("sat", "sit"),
    ("jogging", "jog"), ("kicks", "kick"), ("crouches", "crouch"), ("punches", "punch"), ("carries", "carry"),
    ("feet", "foot"), ("left", "left"), ("across", "across"), ("is", "be"), ("something", "something"),
    ("falling", "fall"), ("crossing", "cross"), ("turns", "turn"), ("raised", "raise"), ("an", "a"), ("this", "this"),
])  # fmt: skip
def test_lemma(word: str, expected: str) -> None:
    assert lemma(word) == expected


def test_what_is_not_installed_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'need sacrebleu and rouge-score: pip install "avatargpt\[eval\]"'):
        text.needs_packages()
