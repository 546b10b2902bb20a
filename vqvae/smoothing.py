"""Filters along time, with the results of ``scipy.ndimage`` to the bit, and stretches of frames.

Every clip that is made needs them, and importing scipy's takes longer than making the clip's feet stand.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

# what stands beyond the ends: the last value, zeros, or the other end
Ends = Literal["nearest", "constant", "wrap"]


def _lengthen(x: np.ndarray, left: int, right: int, ends: Ends) -> np.ndarray:
    around = [(left, right), *[(0, 0)] * (x.ndim - 1)]
    return np.pad(x.astype(np.float64), around, "edge" if ends == "nearest" else ends)


def average_window(x: np.ndarray, size: int, ends: Ends = "nearest") -> np.ndarray:
    """Mean of (T, ...) over `size` neighbouring frames, as ``uniform_filter1d(x, size, axis=0)``; of its type."""
    line = _lengthen(x, size // 2, size - size // 2 - 1, ends)
    first = np.add.accumulate(line[:size])[-1:]
    sums = np.add.accumulate(np.concatenate([first, line[size:] - line[:-size]]))
    out: np.ndarray = (sums / size).astype(x.dtype)
    return out


def gaussian(x: np.ndarray, sigma: float, ends: Ends = "nearest") -> np.ndarray:
    """(T, ...) under a Gaussian of `sigma` frames: ``gaussian_filter1d(x, sigma, axis=0, mode=ends)``."""
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    weights = weights / weights.sum()
    line, count = _lengthen(x, reach, reach, ends), len(x)
    out = line[reach : reach + count] * weights[reach]
    for i in range(reach):
        out += (line[i : i + count] + line[2 * reach - i : 2 * reach - i + count]) * weights[i]
    return out.astype(x.dtype)


def widen_runs(mask: np.ndarray, by: int) -> np.ndarray:
    """A (T,) mask with every stretch longer by `by` frames at both ends: ``binary_dilation(mask, iterations=by)``."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(np.pad(mask, by), 2 * by + 1).any(1))


def close_gaps(mask: np.ndarray, by: int) -> np.ndarray:
    """A (T,) mask without gaps of up to 2 `by` frames: ``binary_closing(mask, iterations=by)``."""
    return ~widen_runs(np.pad(~widen_runs(mask, by), by, constant_values=True), by)[by:-by]


def sample_frames(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(N, ...) of (T, ...) at frame positions (N,) within [0, T - 1], linear between frames."""
    i = np.minimum(at.astype(int), max(len(x) - 2, 0))
    share = (at - i).reshape(-1, *[1] * (x.ndim - 1))
    return np.asarray(x[i] + (x[np.minimum(i + 1, len(x) - 1)] - x[i]) * share)


def runs_of(mask: np.ndarray, gap: int = 0) -> list[tuple[int, int]]:
    """[start, stop) of every stretch of True frames in a (T,) mask; gaps of up to `gap` frames are closed."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    out: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if out and start - out[-1][1] <= gap:
            out[-1] = (out[-1][0], int(stop))
        else:
            out.append((int(start), int(stop)))
    return out


def longest(mask: np.ndarray, gap: int = 2) -> float:
    """Seconds of the longest stretch of True frames at 20 fps; gaps of up to `gap` frames are closed."""
    return max((stop - start for start, stop in runs_of(np.asarray(mask), gap)), default=0) / 20.0


def smoothstep(x: np.ndarray) -> np.ndarray:
    """3 x^2 - 2 x^3, from 0 to 1, ends held."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def minimum_jerk(s: np.ndarray) -> np.ndarray:
    """10 s^3 - 15 s^4 + 6 s^5 (Flash and Hogan 1985), the path from 0 to 1 of least jerk, ends held."""
    s = np.clip(s, 0, 1)
    return s * s * s * (10 + s * (6 * s - 15))


def fading(offset: np.ndarray, speed: np.ndarray, frames: int) -> np.ndarray:
    """(frames, ...) of an offset with a speed (...) per frame that comes to rest at zero after so many frames.

    The quintic of least jerk between these ends, as in inertialisation (Bollo 2018).
    """
    t = np.arange(frames).reshape(-1, *[1] * np.ndim(offset)) / frames
    v = speed * frames
    a, b, c = -6 * offset - 3 * v, 15 * offset + 8 * v, -10 * offset - 6 * v
    return np.asarray(a * t**5 + b * t**4 + c * t**3 + v * t + offset)
