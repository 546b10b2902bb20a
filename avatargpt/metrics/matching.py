"""How well embeddings of texts and of motions go together: R-precision and matching distance (MM-dist)."""

from __future__ import annotations

import numpy as np

from avatargpt.metrics.retrieval_metrics import POOL, pair_distances

TOP = 3


def _distances(texts: np.ndarray, motions: np.ndarray, pool: int) -> np.ndarray:
    """(N / pool, pool, pool) L2 distances: of text i of a pool to motion j of it.

    Raises:
        ValueError: shapes differ or do not fit the pool, or numbers that are not finite.
    """
    a, b = np.asarray(texts, np.float64), np.asarray(motions, np.float64)
    if a.ndim != 2 or a.shape != b.shape or pool < 1 or not len(a) or len(a) % pool:
        raise ValueError(f"embeddings {a.shape} and {b.shape}; accepted (N, D) both, N a multiple of {pool}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("embeddings that are not finite; accepted numbers")
    pools = zip(a.reshape(-1, pool, a.shape[1]), b.reshape(-1, pool, b.shape[1]), strict=True)
    return np.stack([np.linalg.norm(x[:, None] - y[None], axis=-1) for x, y in pools])


def r_precision(texts: np.ndarray, motions: np.ndarray, pool: int = POOL, top: int = TOP) -> np.ndarray:
    """Share of texts whose own motion is among the `k` nearest of its pool, for k = 1 to `top`.

    Source: Guo et al. 2022 (HumanML3D), pools of 32; rows are pooled as they come, so shuffle them before. Of motions
    at one distance the earlier counts as nearer.

    Args:
        texts: (N, D), N a multiple of `pool`. motions: (N, D), row i belonging to text i.
        pool: rows that are ranked among each other. top: largest k.

    Returns:
        (top,) shares, 0..1, rising.

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.
    """
    distances = _distances(texts, motions, pool)
    order = np.argsort(distances, axis=-1, kind="stable")
    rank = np.argmax(order == np.arange(pool)[None, :, None], axis=-1)
    return np.array([(rank < k + 1).mean() for k in range(top)])


def mm_dist(texts: np.ndarray, motions: np.ndarray) -> float:
    """Mean L2 distance of each text's embedding to that of its motion ("matching score"), in units of the embedding.

    Source: Guo et al. 2022.

    Args:
        texts, motions: (N, D).

    Raises:
        ValueError: shapes that differ, or numbers that are not finite.
    """
    return float(pair_distances(texts, motions).mean())
