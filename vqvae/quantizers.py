"""Residual vector quantisation: on vector-quantize-pytorch for training, its codebooks alone for use.

The library loads torch's compiler, which takes longer than to make a clip; what use needs of it is a nearest neighbour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
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
    from vector_quantize_pytorch import ResidualVQ

    return ResidualVQ(
        dim=dim, num_quantizers=levels, codebook_size=codebook_size, decay=decay, commitment_weight=commitment,
        kmeans_init=True, kmeans_iters=10, threshold_ema_dead_code=dead_below, quantize_dropout=True,
        quantize_dropout_cutoff_index=0, rotation_trick=True,
    )  # fmt: skip


class _Codebook(nn.Module):
    """One level's entries (1, K, C), with what training keeps beside them, under the library's names."""

    embed: torch.Tensor

    def __init__(self, dim: int, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("initted", torch.tensor(False))
        self.register_buffer("cluster_size", torch.zeros(1, codebook_size))
        self.register_buffer("embed_avg", torch.zeros(1, codebook_size, dim))
        self.register_buffer("embed", torch.zeros(1, codebook_size, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(M, C) -> indices (M,) of the nearest entries; distances as the library computes them, to the bit."""
        flat, entries = x[None], self.embed
        squares = (flat**2).sum(-1)[..., None] + (entries**2).sum(-1)[:, None]
        products = torch.einsum("bid,bjd->bij", flat, entries) * -2
        return (-(squares + products).clamp(min=1e-8).sqrt()).argmax(-1)[0]


class _Level(nn.Module):
    def __init__(self, dim: int, codebook_size: int) -> None:
        super().__init__()
        self._codebook = _Codebook(dim, codebook_size)

    @property
    def codebook(self) -> torch.Tensor:
        """(K, C)."""
        return self._codebook.embed[0]


class FrozenVQ(nn.Module):
    """What `residual_vq` does in evaluation mode, from the same state.

    Args: as of `residual_vq`.

    Raises:
        RuntimeError: used while training.
    """

    def __init__(self, dim: int, levels: int, codebook_size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Level(dim, codebook_size) for _ in range(levels))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, N, C) -> quantised (B, N, C), indices (B, N, R), losses (R,), which are zero."""
        if self.training:
            raise RuntimeError("a tokenizer that was loaded for use cannot be trained; load it with trainable=True")
        residual, total, found = x, torch.zeros_like(x), []
        layers: Any = self.layers
        for level in layers:
            index = level._codebook(residual.reshape(-1, x.shape[-1])).view(x.shape[:-1])
            nearest = level.codebook[index]
            residual, total = residual - nearest, total + nearest
            found.append(index)
        return total, torch.stack(found, -1), x.new_zeros(len(found))


def codebooks(vq: Any) -> torch.Tensor:
    """(R, K, C) float32 copy of all code vectors of either kind."""
    return torch.stack([layer.codebook.detach().float() for layer in vq.layers])
