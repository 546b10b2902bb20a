"""Figures of motions against their captions in the evaluator's space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.metrics.evaluator.evaluator import MotionEvaluator
from avatargpt.metrics.retrieval_metrics import POOL, alike, pair_distances, retrieval_precision

TOPS = (1, 2, 3)


def fits(
    evaluator: MotionEvaluator, captions: Sequence[np.ndarray], sides: Sequence[np.ndarray], motions: np.ndarray,
    pool: int = POOL, repeats: int = 20, most: int = 3, seed: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """How well motions fit their captions.

    Args:
        evaluator: whose space `motions` are in.
        captions: (K, 384) unit sentence vectors of each clip, K >= 1. sides: (K,) of each, see `sides_of`.
        motions: (N, D) vectors of the clips, N >= pool.
        pool, repeats, seed: see `retrieval_precision`.
        most: captions of a clip that are asked, one after another; the values are means over them.

    Returns:
        ``top1``, ``top2``, ``top3`` (share of pools) and ``mm_dist`` (units of the space, 0 to 2): (N,) each.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("top1", "top2", "top3", "mm_dist")}
    for k in range(most):
        told = np.stack([c[k % len(c)] for c in captions])
        side = np.array([s[k % len(s)] for s in sides])
        texts = evaluator.sentences(told)
        hits = retrieval_precision(texts, motions, alike(told, side), TOPS, pool, repeats, seed + k)
        for i, name in enumerate(("top1", "top2", "top3")):
            found[name].append(hits[:, i])
        found["mm_dist"].append(pair_distances(texts, motions))
    return {name: np.mean(rows, 0) for name, rows in found.items()}
