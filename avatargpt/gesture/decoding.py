"""Sampled gesture tokens to frames while they come: the tokenizer's decoder over a window around each token."""

from __future__ import annotations

from typing import Protocol

import numpy as np

BEFORE, AFTER = 8, 2
"""Tokens that are decoded with one, before and after it: with two after, frames are within 0.005 standard deviations of
those of a whole talk, and jerk is a third higher (docs/experiments.md)."""


TOGETHER = 2  # tokens that are decoded in one go: most of the time is spent on calling
WAIT = AFTER + TOGETHER - 1
"""Tokens after one that may have to be known before its frames are out."""


class Decodes(Protocol):
    """What a stream needs of a `vqvae.tokenizer.MotionTokenizer`."""

    def decode_features(self, codes: np.ndarray) -> np.ndarray:
        """(N, R) codes -> (N * n, F) features."""
        ...


class Decoding:
    """Codes (k, R) in, the frames of those whose window is complete out; every token by the same operations.

    Args:
        decodes: the tokenizer. downsample: n, frames of a token. levels, features: R, F.
    """

    def __init__(self, decodes: Decodes, downsample: int, levels: int, features: int) -> None:
        self._decodes, self._frames, self._features = decodes, downsample, features
        self._kept = np.zeros((0, levels), np.int64)  # the last codes
        self._first = 0  # number of the first one kept
        self._made = 0  # tokens whose frames are out

    def push(self, codes: np.ndarray) -> np.ndarray:
        """(k, R) -> (j * n, F)."""
        self._kept = np.concatenate([self._kept, codes])
        return self._until((self._first + len(self._kept) - AFTER) // TOGETHER * TOGETHER)

    def end(self) -> np.ndarray:
        """The frames of the last tokens, which have nothing after them."""
        return self._until(self._first + len(self._kept))

    def _until(self, stop: int) -> np.ndarray:
        out = [np.zeros((0, self._features), np.float32)]
        for token in range(self._made, stop, TOGETHER):
            start, after = max(token - BEFORE, 0), min(token + TOGETHER, stop)
            window = self._kept[start - self._first : after + AFTER - self._first]
            at = slice((token - start) * self._frames, (after - start) * self._frames)
            out.append(self._decodes.decode_features(window)[at])
        self._made = max(self._made, stop)
        drop = max(self._made - BEFORE, 0) - self._first
        if drop > 0:
            self._kept, self._first = self._kept[drop:].copy(), self._first + drop
        return np.concatenate(out)
