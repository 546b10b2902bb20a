"""Length-bucketed batches: examples of like length together, so that little is padding. Deterministic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_data.mixture import generator
from vqvae.errors import UserError


def bucketed(
    lengths: Sequence[int] | np.ndarray, tokens: int, seed: int = 0, step: int = 0, multiple: int = 1,
    max_rows: int | None = None,
) -> list[list[int]]:  # fmt: skip
    """Group examples into batches whose padded size stays within a budget.

    Args:
        lengths: tokens of every example.
        tokens: most tokens of a batch, padding included (rows x longest, rounded up to `multiple`).
        seed: with `step` decides the order of the batches and of equals.
        step: e.g. the number of the pool.
        multiple: lengths are padded up to a multiple of this.
        max_rows: most examples in a batch.

    Returns:
        Lists of indices; every example is in exactly one.

    Raises:
        UserError: an example is longer than the budget.
    """
    lengths = np.asarray(lengths, np.int64)
    if len(lengths) == 0:
        return []
    padded = -(-np.maximum(lengths, 1) // multiple) * multiple
    if padded.max() > tokens:
        raise UserError(f"collate: an example of {int(lengths.max())} tokens; a batch may hold {tokens}")
    rng = generator(seed, step)
    order = np.lexsort((rng.random(len(lengths)), padded))
    batches: list[list[int]] = []
    current: list[int] = []
    for i in order:  # ascending, so the newest example is the longest of its batch
        if current and ((len(current) + 1) * padded[i] > tokens or (max_rows and len(current) == max_rows)):
            batches.append(current)
            current = []
        current.append(int(i))
    batches.append(current)
    return [batches[k] for k in rng.permutation(len(batches))]


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
