"""Sentence vectors in files: 8-bit integers with a scale per row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def pack_vectors(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """(n, w) float -> ``vectors`` (n, w) int8 and ``scale`` (n, 1) float32; cosines stay within 0.01."""
    scale = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-6) / 127
    return {"vectors": np.round(vectors / scale).astype(np.int8), "scale": scale.astype(np.float32)}


def unpack_vectors(data: Mapping[str, np.ndarray]) -> np.ndarray:
    """(n, w) float32 from what `pack_vectors` made.

    Raises:
        KeyError: one of the two arrays is missing.
    """
    unpacked: np.ndarray = data["vectors"].astype(np.float32) * data["scale"]
    return unpacked
