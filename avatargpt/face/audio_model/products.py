"""Matrix times vector, once a frame: in float32, or with the eight-bit weights as they lie in a packaged file.

Such a product takes as long as its weights take to read: with a quarter of the bytes it is twice as fast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqvae.io.tensors import quantised

STEP = 32  # columns that torch's product with eight-bit weights takes at once; it reads past the end of others
FAST = ("AVX2", "AVX512")  # where such a product is fast: twice as fast as in float32; without, half as fast


def multiplied(width: int, hidden: int) -> bool:
    """Whether this machine multiplies faster with eight-bit weights, and blocks of this shape can be."""
    faster = torch.backends.cpu.get_cpu_capability() in FAST and hasattr(torch, "_weight_int8pack_mm")
    return faster and not (width % STEP or hidden % STEP)


class Exact:
    """(n,) float32 -> (m,) float32: weight (m, n) times it, plus bias."""

    dtype = torch.float32

    def __init__(self, layer: nn.Linear) -> None:
        self._weight, self._bias = layer.weight.detach(), layer.bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = F.linear(x, self._weight, self._bias)
        return out


class EightBits:
    """(n,) bfloat16 -> (m,) bfloat16: the same with int8 weights and a scale for each row.

    Weights that were stored in eight bits (`vqvae.io.tensors`) are found again to the bit, others are rounded to them.

    Raises:
        ValueError: columns that are no multiple of `STEP`.
    """

    dtype = torch.bfloat16

    def __init__(self, layer: nn.Linear) -> None:
        if layer.in_features % STEP:
            raise ValueError(f"{layer.in_features} columns; accepted: multiples of {STEP}")
        self._weight, scale = quantised(layer.weight.detach())
        self._scale, self._bias = scale[:, 0].to(self.dtype), layer.bias.detach().to(self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x.view(1, -1), self._weight, self._scale).view(-1).add_(self._bias)
