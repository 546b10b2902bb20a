"""Figures of a space that texts and motions share: R-precision and MM-Dist.

Source: Guo et al. 2022 (HumanML3D): pools of 32, ranks by Euclidean distance. `retrieval_precision` and
`pair_distances` give a value per row, and captions that say nearly the same count as one: a text may find any motion of
the pool whose text is similar (`similar_pairs`). `r_precision` and `mm_dist` are the published figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_data.text.english import side_of

POOL = 32
MIN_COSINE = 0.8  # cosine of two sentence vectors that say nearly the same (Petrovich et al. 2023)


def _rows(texts: np.ndarray, motions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(texts, np.float64), np.asarray(motions, np.float64)
    if a.ndim != 2 or a.shape != b.shape or not len(a):
        raise ValueError(f"texts {a.shape} and motions {b.shape}; accepted (N, D) of both, N >= 1")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("texts or motions that are not finite; accepted numbers")
    return a, b


def sides_of(texts: Sequence[str]) -> np.ndarray:
    """(N,) -1 for a sentence about the left, 1 for one about the right, 0 for both or neither."""
    signs = {"left": -1, "right": 1}
    return np.array([signs.get(side_of(t) or "", 0) for t in texts], int)


def similar_pairs(sentences: np.ndarray, sides: np.ndarray, min_cosine: float = MIN_COSINE) -> np.ndarray:
    """Pairs of sentences that say nearly the same, each with itself among them.

    Args:
        sentences: (N, D) unit vectors. sides: (N,) of `sides_of`: opposite sides are never the same, although the
            vectors of "the left hand" and "the right hand" have a cosine of 0.98.
        min_cosine: above which two sentences say nearly the same.

    Returns:
        (N, N) bool.
    """
    x = np.asarray(sentences, np.float32)
    out = (x @ x.T > min_cosine) & (np.multiply.outer(sides, sides) >= 0)
    np.fill_diagonal(out, True)
    return np.asarray(out)


def retrieval_precision(
    texts: np.ndarray, motions: np.ndarray, same: np.ndarray | None = None, tops: Sequence[int] = (1, 2, 3),
    pool: int = POOL, repeats: int = 20, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """How often the motions nearest to a text are right, in random pools.

    In every repetition all rows are shuffled into pools; rows that do not fill one sit out.

    Args:
        texts, motions: (N, D), N >= pool; row i of both belong together.
        same: (N, N) bool, which rows' texts say the same (`similar_pairs`); None = each only itself.
        tops: k of the R-precision@k. pool: motions among which a text is ranked. repeats: shuffles.

    Returns:
        (N, len(tops)): share of a row's pools in which a right motion is among the k nearest; NaN for a row that sat
        out of all.
    """
    a, b = _rows(texts, motions)
    if len(a) < pool or pool < 2 or repeats < 1 or any(not 1 <= k <= pool for k in tops):
        raise ValueError(f"{len(a)} rows, pools of {pool}, tops {list(tops)}; accepted: no fewer rows than a pool, "
                         "tops from 1 to the pool's size, at least one repetition")  # fmt: skip
    right = np.eye(len(a), dtype=bool) if same is None else np.asarray(same, bool)
    if right.shape != (len(a), len(a)):
        raise ValueError(f"same {right.shape}; accepted ({len(a)}, {len(a)})")
    rng = np.random.default_rng(seed)
    hits, tried = np.zeros((len(a), len(tops))), np.zeros(len(a))
    for _ in range(repeats):
        order = rng.permutation(len(a))
        for start in range(0, len(a) - pool + 1, pool):
            rows = order[start : start + pool]
            # Stable order: of equal distances the earlier row counts as nearer.
            far = ((a[rows][:, None] - b[rows][None]) ** 2).sum(-1)
            hit_rows = np.take_along_axis(right[np.ix_(rows, rows)], far.argsort(1, kind="stable"), 1)
            hits[rows] += np.stack([hit_rows[:, :k].any(1) for k in tops], 1)
            tried[rows] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / tried[:, None])


def pair_distances(texts: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """(N,) Euclidean distance of every text to its own motion, (N, D) both (MM-Dist is their mean)."""
    a, b = _rows(texts, motions)
    return np.asarray(np.linalg.norm(a - b, axis=1))


# (N / pool, pool, pool) L2 distances: of text i of a pool to motion j of it.
def _pool_distances(texts: np.ndarray, motions: np.ndarray, pool: int) -> np.ndarray:
    a, b = np.asarray(texts, np.float64), np.asarray(motions, np.float64)
    if a.ndim != 2 or a.shape != b.shape or pool < 1 or not len(a) or len(a) % pool:
        raise ValueError(f"embeddings {a.shape} and {b.shape}; accepted (N, D) both, N a multiple of {pool}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("embeddings that are not finite; accepted numbers")
    pools = zip(a.reshape(-1, pool, a.shape[1]), b.reshape(-1, pool, b.shape[1]), strict=True)
    return np.stack([np.linalg.norm(x[:, None] - y[None], axis=-1) for x, y in pools])


def r_precision(texts: np.ndarray, motions: np.ndarray, pool: int = POOL, top: int = 3) -> np.ndarray:
    """Share of texts whose own motion is among the `k` nearest of its pool, for k = 1 to `top`.

    Source: Guo et al. 2022 (HumanML3D), pools of 32; rows are pooled as they come, so shuffle them before. Of motions
    at one distance the earlier counts as nearer.

    Args:
        texts, motions: (N, D), N a multiple of `pool`; rows i belong together.

    Returns:
        (top,) shares, 0..1, rising.
    """
    distances = _pool_distances(texts, motions, pool)
    order = np.argsort(distances, axis=-1, kind="stable")
    rank = np.argmax(order == np.arange(pool)[None, :, None], axis=-1)
    return np.array([(rank < k + 1).mean() for k in range(top)])


def mm_dist(texts: np.ndarray, motions: np.ndarray) -> float:
    """Mean L2 distance of each text to its motion, (N, D) both ("matching score"; Guo et al. 2022)."""
    return float(pair_distances(texts, motions).mean())
