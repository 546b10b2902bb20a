"""Batches of examples of like length, so that little is padding, and the padding. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqvae.errors import UserError


def like_lengths(source: Sequence[int] | np.ndarray, target: Sequence[int] | np.ndarray, rows: int) -> np.ndarray:
    """Batches of a fixed number of examples in two levels of buckets: of like targets, and in each of like sources.

    Args:
        source, target: (N,) tokens of every example before and after the arrow; N is a multiple of `rows`.
        rows: examples in a batch.

    Returns:
        (N / rows, rows) indices; every example is in exactly one batch.

    Raises:
        UserError: no examples, or such that do not fill the last batch.
    """
    source, target = np.asarray(source, np.int64), np.asarray(target, np.int64)
    if not len(source) or len(source) % rows or len(source) != len(target):
        raise UserError(f"collate: {len(source)} sources and {len(target)} targets in batches of {rows}")
    batches = len(source) // rows
    order = np.argsort(target, kind="stable").reshape(batches, rows)
    alike = [part.reshape(-1) for part in np.array_split(order, round(batches**0.5))]
    return np.concatenate([part[np.argsort(source[part], kind="stable")] for part in alike]).reshape(batches, rows)


def pad(rows: Sequence[np.ndarray], value: int, multiple: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pad integer sequences at the right.

    Args:
        rows: B arrays of shape (L_b,) or (L_b, R).
        value: padding.
        multiple: the common length is a multiple of this.

    Returns:
        (B, L) or (B, L, R) int64 and a (B, L) bool mask that is True where there is data.
    """
    if not rows:
        raise UserError("collate: an empty batch")
    longest = max(len(r) for r in rows)
    longest = -(-max(longest, 1) // multiple) * multiple
    out = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.int64)
    mask = np.zeros((len(rows), longest), bool)
    for b, r in enumerate(rows):
        out[b, : len(r)] = r
        mask[b, : len(r)] = True
    return out, mask
