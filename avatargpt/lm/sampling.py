"""Choosing tokens from logits: filters, inverse-CDF sampling with one random stream per row, loop guards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def seeds_for(seed: int | Sequence[int], rows: int) -> list[int]:
    """One seed per row. A single number gives row i the seed ``seed + i``."""
    if isinstance(seed, int):
        return [seed + i for i in range(rows)]
    if len(seed) != rows:
        raise ValueError(f"{len(seed)} seeds for {rows} rows")
    return [int(s) for s in seed]


def uniforms(seeds: Sequence[int], steps: int) -> Tensor:
    """(steps, N) float64 numbers in [0, 1): column i is the stream of ``seeds[i]`` in any batch."""
    columns = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed % 2**63)
        columns.append(torch.rand(steps, dtype=torch.float64, generator=generator))
    return torch.stack(columns, dim=1)


def sample(logits: Tensor, u: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Draw one index (N,) per row of logits (N, n) by inverting the cumulative distribution at `u` (N,).

    `top_k` keeps the k likeliest (0 = all), `top_p` of these the smallest set of at least this probability.
    """
    n = logits.shape[-1]
    k = min(top_k, n) if top_k > 0 else n
    ranked: Tensor | None = None
    if k < n or top_p < 1:
        ranked = largest(logits, k)
    cumulative = ((logits if ranked is None else ranked) / temperature).softmax(-1).cumsum(-1)
    total = cumulative[:, -1:]
    if top_p < 1:
        # the first entry that reaches top_p is the last one kept
        last = (cumulative < top_p * total).sum(-1, keepdim=True).clamp(max=k - 1)
        total = cumulative.gather(-1, last)
    pick = (cumulative <= u.to(cumulative.dtype)[:, None] * total).sum(-1, keepdim=True).clamp(max=k - 1)
    return pick[:, 0] if ranked is None else _place(logits, ranked, pick)[:, 0]


def largest(logits: Tensor, k: int) -> Tensor:
    """(N, n) -> the k largest of each row, falling. NumPy's vectorised selection is five times torch's on a CPU."""
    if logits.device.type != "cpu" or logits.dtype not in (torch.float32, torch.float64):
        return logits.topk(k, dim=-1).values
    values = -logits.numpy()
    if k < values.shape[-1]:
        values = np.partition(values, k - 1, axis=-1)[:, :k]
    return -torch.from_numpy(np.sort(values, axis=-1))


def _place(logits: Tensor, ranked: Tensor, pick: Tensor) -> Tensor:
    """Where in (N, n) logits the entry of rank `pick` (N, 1) is, (N, 1); equal entries rank in their order there."""
    value = ranked.gather(-1, pick)
    equal = logits == value
    before = pick - (ranked > value).sum(-1, keepdim=True)  # so many equal ones rank before it
    if bool(before.any()):
        equal = equal.cumsum(-1) == before + 1
    if equal.device.type == "cpu":
        return torch.from_numpy(equal.numpy().argmax(-1, keepdims=True))
    return equal.byte().argmax(-1, keepdim=True)


def ban_repeats(logits: Tensor, tokens: Tensor, size: int) -> Tensor:
    """-inf for every token that would complete a second n-gram of `size` in its row of `tokens` (N, t)."""
    if tokens.shape[1] < size:
        return logits
    grams = tokens.unfold(1, size, 1)
    same = (grams[..., :-1] == tokens[:, None, tokens.shape[1] - size + 1 :]).all(-1)
    spare = logits.shape[-1]
    banned = torch.zeros(logits.shape[0], spare + 1, dtype=torch.bool, device=logits.device)
    banned.scatter_(1, torch.where(same, grams[..., -1], spare), True)
    return logits.masked_fill(banned[:, :spare], float("-inf"))
