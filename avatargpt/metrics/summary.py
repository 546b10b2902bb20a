"""A mean with the interval it can be trusted to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


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
        values: one figure per clip or run.
        level: of the interval.
        samples: bootstrap draws.
        seed: of the draws: same values, same interval.

    Raises:
        ValueError: no finite value.
    """
    x = np.asarray(values, np.float64).ravel()
    x = x[~np.isnan(x)]
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("confidence: needs at least one value, all finite or NaN")
    rng = np.random.default_rng(seed)
    means = np.array([x[rng.integers(len(x), size=len(x))].mean() for _ in range(samples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(x.mean()), float(low), float(high), len(x))


def repeated(values: Sequence[float] | np.ndarray) -> Interval:
    """Mean over repetitions of a whole measurement, and 1.96 s / sqrt(n) to both sides; s divides by n, as published.

    Source: Guo et al. 2022 (HumanML3D), n = 20.

    Args:
        values: one figure per repetition.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    x = np.asarray(values, np.float64).ravel()
    if not len(x) or not np.isfinite(x).all():
        raise ValueError("repeated: needs at least one value, all finite")
    half = 1.96 * float(x.std()) / len(x) ** 0.5
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, len(x))
