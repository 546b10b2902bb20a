"""Filters along time against scipy's."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from vqvae.smoothing import gaussian, running_mean


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 2), (80,), (80, 2, 3)])
def test_as_scipy_to_the_bit(shape: tuple[int, ...], dtype: type) -> None:
    x = np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)
    for size in (1, 4, 5, 10):
        for ends in ("nearest", "constant"):
            wanted = uniform_filter1d(x, size, axis=0, mode=ends)
            np.testing.assert_array_equal(running_mean(x, size, ends), wanted)
    for sigma in (0.4, 3.0, 7.3):
        np.testing.assert_array_equal(gaussian(x, sigma), gaussian_filter1d(x, sigma, axis=0, mode="nearest"))
