"""Statistics of figures and of sets of clips: intervals, Frechet distance, diversity, multimodality."""
# Which features a set consists of decides what a distance means: see `avatargpt.kinematics.measures`.

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from avatargpt.kinematics.measures import kinematic_features


def roc_auc(true: np.ndarray, false: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a true item scores above a false one, ties half (Mann-Whitney)."""
    both = np.concatenate([true, false])
    order = both.argsort(kind="stable")
    ranks = np.empty(len(both))
    ranks[order] = np.arange(1, len(both) + 1)
    _, group = np.unique(both, return_inverse=True)
    ranks = (np.bincount(group, ranks) / np.bincount(group))[group]
    return float((ranks[: len(true)].sum() - len(true) * (len(true) + 1) / 2) / (len(true) * len(false)))


class Interval(NamedTuple):
    """A mean and the interval that holds it; `size` values went in."""

    mean: float
    low: float
    high: float
    size: int


def confidence(
    values: Sequence[float] | np.ndarray, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> Interval:
    """Mean and percentile-bootstrap interval (Efron 1979); NaN values (metrics that do not apply) are left out.

    Args:
        values: one figure per clip or run. samples: bootstrap draws; equal values and seed give equal intervals.
    """
    x = np.asarray(values, np.float64).ravel()
    x = x[~np.isnan(x)]
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("confidence: needs at least one value, all finite or NaN")
    rng = np.random.default_rng(seed)
    means = np.array([x[rng.integers(len(x), size=len(x))].mean() for _ in range(samples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high), len(x))


def summarise_repetitions(values: Sequence[float] | np.ndarray) -> Interval:
    """Mean over repetitions of a whole measurement, and 1.96 s / sqrt(n) to both sides; s divides by n, as published.

    Source: Guo et al. 2022 (HumanML3D), n = 20.
    """
    x = np.asarray(values, np.float64).ravel()
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("repeated: needs at least one value, all finite")
    half = 1.96 * float(x.std()) / len(x) ** 0.5
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x))


def frechet_distance(
    mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray, eps: float = 1e-6
) -> float:
    """Frechet distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Both covariances get `eps` on the diagonal. The trace of the root is taken as that of (R C2 R)^(1/2) with
    R = C1^(1/2), which has the same eigenvalues, is symmetric and cannot turn complex.
    Source: Dowson & Landau 1982; Heusel et al. 2017 (FID), eps 1e-6 as there.

    Args:
        mean1, mean2: (D,). cov1, cov2: (D, D).

    Returns:
        In squared units of the features; 0 for equal Gaussians.
    """
    m1, m2 = np.asarray(mean1, np.float64), np.asarray(mean2, np.float64)
    # As in the published code, where a singular covariance would have no root.
    ridge = eps * np.eye(len(m1))
    c1, c2 = np.atleast_2d(cov1) + ridge, np.atleast_2d(cov2) + ridge
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # rounding below zero is cut off
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ c2 @ root), 0)).sum()
    return max(0.0, float(((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross))


def ledoit_wolf(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Covariance shrunk towards (tr S / D) I by the amount that minimises the expected squared error.

    Source: Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices".

    Returns:
        Of (N, D) the (D, D) covariance (divided by N, as in the paper) and the share of the target, 0..1.
    """
    n, d = x.shape
    c = x - x.mean(0)
    s = c.T @ c / n
    mu = np.trace(s) / d
    spread = ((s - mu * np.eye(d)) ** 2).sum() / d
    # mean over samples of |x x^T - S|^2, expanded: |x|^4 - 2 x^T S x + |S|^2
    noise = (((c**2).sum(1) ** 2).sum() / n - (s**2).sum()) / d / n
    share = 0.0 if spread == 0 else float(min(noise, spread) / spread)
    return (1 - share) * s + share * mu * np.eye(d), share


def _finite(name: str, x: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
    if len(bad):
        raise ValueError(f"{name}: row {bad[0]} is not finite; accepted numbers")


def fid(generated: np.ndarray, real: np.ndarray, shrink: bool = False, eps: float = 1e-6) -> float:
    """Frechet distance of two sets of features.

    Args:
        generated, real: (N, D) and (M, D), N, M >= 2.
        shrink: estimate both covariances with `ledoit_wolf`. With fewer samples than some multiples of D the plain
            estimate is singular and the distance far too large even between halves of one set; shrinkage keeps it
            stable, but the figure is then comparable only with others made the same way at similar N.
    """
    a, b = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features {a.shape} and {b.shape}; accepted (N, D) and (M, D) with N, M >= 2")
    _finite("generated", a)
    _finite("real", b)
    cov1, cov2 = (ledoit_wolf(x)[0] if shrink else np.cov(x, rowvar=False) for x in (a, b))
    return frechet_distance(a.mean(0), cov1, b.mean(0), cov2, eps)


def diversity(features: np.ndarray, pairs: int = 300, seed: int = 0) -> float:
    """Mean L2 distance between two random subsets of `pairs` samples each, drawn without replacement.

    Source: Guo et al. 2022 (HumanML3D), 300 pairs. With fewer samples than pairs all of them are used.

    Args:
        features: (N, D), N >= 2.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or len(x) < 2 or pairs < 1:
        raise ValueError(f"features {x.shape}, {pairs} pairs; accepted (N, D) with N >= 2, pairs >= 1")
    _finite("features", x)
    rng, k = np.random.default_rng(seed), min(pairs, len(x))
    first, second = rng.permutation(len(x))[:k], rng.permutation(len(x))[:k]
    return float(np.linalg.norm(x[first] - x[second], axis=-1).mean())


def multimodality(features: np.ndarray, pairs: int = 10, seed: int = 0) -> float:
    """Mean L2 distance between random samples of the same text.

    Source: Guo et al. 2022: 100 texts x 30 samples, 10 pairs each, two draws without replacement.

    Args:
        features: (texts, samples, D), samples >= 2. pairs: per text, at most the number of samples.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 3 or x.shape[1] < 2 or not 1 <= pairs <= x.shape[1]:
        raise ValueError(f"features {x.shape}, {pairs} pairs; accepted (texts, samples >= 2, D), 1 to samples")
    _finite("features", x)
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(x.shape[1])[:pairs], rng.permutation(x.shape[1])[:pairs]
    return float(np.linalg.norm(x[:, first] - x[:, second], axis=-1).mean())


def kinematic_fid(generated: list[np.ndarray], real: list[np.ndarray], fps: float) -> float:
    """Kinematic FID: Frechet distance of `kinematic_features`, each scaled by its deviation over the real clips.

    Covariances are shrunk (`ledoit_wolf`): some hundred clips suffice, but compare only figures with similar numbers
    of clips. It is divided by the number of features, so that 1 is about one standard deviation in every feature.

    Args:
        generated, real: clips (T, 22, 3), at least two of each.
    """
    a, b = (np.stack([kinematic_features(j, fps) for j in clips]) for clips in (generated, real))
    return scaled_fid(a, b, "kinematic_fid", 1e-6)


def scaled_fid(generated: np.ndarray, real: np.ndarray, name: str, least: float) -> float:
    """`fid` with shrunk covariances of features (N, D) and (M, D), each divided by its deviation over the real clips,
    per feature. Features that vary by `least` or less in real clips carry nothing. `name`: of the figure, for errors.
    """
    scale = real.std(0)
    used = scale > least
    if not used.any():
        raise ValueError(f"{name}: the real clips are all the same")
    return fid(generated[:, used] / scale[used], real[:, used] / scale[used], shrink=True) / int(used.sum())
