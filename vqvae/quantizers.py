"""Residual vector quantisation on vector-quantize-pytorch."""

from __future__ import annotations

import torch
from vector_quantize_pytorch import ResidualVQ


def residual_vq(
    dim: int, levels: int, codebook_size: int, decay: float, commitment: float, dead_below: float
) -> ResidualVQ:
    """R codebooks of K entries with k-means start, exponential-moving-average updates and dead-code reset.

    Args:
        dim: C, size of a code vector.
        levels: R.
        codebook_size: K.
        decay: of the moving average.
        commitment: weight of the commitment loss.
        dead_below: a code whose average count falls below this is replaced by a vector of the batch.
    """
    return ResidualVQ(
        dim=dim, num_quantizers=levels, codebook_size=codebook_size, decay=decay, commitment_weight=commitment,
        kmeans_init=True, kmeans_iters=10, threshold_ema_dead_code=dead_below, quantize_dropout=True,
        quantize_dropout_cutoff_index=0, rotation_trick=True,
    )  # fmt: skip


def codebooks(vq: ResidualVQ) -> torch.Tensor:
    """(R, K, C) float32 copy of all code vectors."""
    return torch.stack([layer.codebook.detach().float() for layer in vq.layers])
