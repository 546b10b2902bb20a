"""Rows of unequal length in one flat array: where they lie, gathered, padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def places(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Indices of stretches [start, start + length), one after another: two arrays of one shape -> (sum of lengths,)."""
    lengths = lengths.ravel()
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts.ravel() - before, lengths) + np.arange(int(lengths.sum()))


def pad_stretches(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, width: int, value: int) -> np.ndarray:
    """Stretches of a flat array as rows: (N,) starts and lengths -> (N, width, ...), `value` behind the end."""
    out = np.full((len(starts), width, *flat.shape[1:]), value, np.int64)
    out[np.arange(width) < lengths[:, None]] = flat[places(starts, lengths)]
    return out


class Growing:
    """A flat array that rows are added to.

    Attributes:
        starts, lengths: (N,) of the rows.
    """

    def __init__(self, dtype: type = np.int64) -> None:
        self._flat: np.ndarray = np.zeros(1024, dtype)
        self._used = 0
        self._starts, self._lengths, self._count = np.zeros(64, np.int64), np.zeros(64, np.int64), 0

    def __len__(self) -> int:
        return self._count

    @property
    def flat(self) -> np.ndarray:
        """All rows, one after another."""
        return self._flat[: self._used]

    @property
    def starts(self) -> np.ndarray:
        return self._starts[: self._count]

    @property
    def lengths(self) -> np.ndarray:
        return self._lengths[: self._count]

    def add(self, row: Sequence[int] | np.ndarray) -> int:
        """Add a row; its number."""
        end = self._used + len(row)
        if end > len(self._flat):
            self._flat = np.concatenate([self._flat, np.zeros(max(end, len(self._flat)), self._flat.dtype)])
        if self._count == len(self._starts):
            self._starts = np.concatenate([self._starts, np.zeros_like(self._starts)])
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        self._flat[self._used : end] = row
        self._starts[self._count], self._lengths[self._count] = self._used, len(row)
        self._used, self._count = end, self._count + 1
        return self._count - 1
