"""The upper layers of the frozen sentence encoder with small trained changes of their own.

Every matrix of a layer gets a product of two narrow ones added (low-rank adaptation), and the gains and offsets of its
norms are trained. Only these changes are stored; the encoder itself stays as it is installed.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from avatargpt.lm.sentence_encoder import EPSILON, HEADS, LAYERS, WIDTH, encoder_weights


class TunedLinear(nn.Module):
    """(..., I) -> (..., O): a frozen matrix plus a trained one of small rank, which begins as zero."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float(), persistent=False)
        self.register_buffer("bias", bias.float(), persistent=False)
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) * weight.shape[1] ** -0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, self.down), self.up)


def best_of_rank(up: Tensor, down: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(O, R) and (R, I) -> (O, rank) and (rank, I) whose product is nearest to theirs (Eckart and Young 1936)."""
    left, size, right = torch.linalg.svd(up.double() @ down.double(), full_matrices=False)
    root = size[:rank].sqrt()
    return (left[:, :rank] * root).to(up.dtype), (root[:, None] * right[:rank]).to(down.dtype)


class TunedLayer(nn.Module):
    """One layer of the encoder: token states (B, N, 384) -> (B, N, 384)."""

    def __init__(self, weights: dict[str, Tensor], number: int, rank: int, dropout: float) -> None:
        super().__init__()
        own = {k: v for k, v in weights.items() if k.startswith(f"encoder.layer.{number}.")}

        def linear(name: str) -> TunedLinear:
            start = f"encoder.layer.{number}.{name}"
            return TunedLinear(own[f"{start}.weight"], own[f"{start}.bias"], rank)

        def norm(name: str) -> nn.LayerNorm:
            out = nn.LayerNorm(WIDTH, EPSILON)
            start = f"encoder.layer.{number}.{name}.LayerNorm"
            out.load_state_dict({k: own[f"{start}.{k}"].float() for k in ("weight", "bias")})
            return out

        self.query, self.key, self.value = (linear(f"attention.self.{k}") for k in ("query", "key", "value"))
        self.mix, self.even = linear("attention.output.dense"), norm("attention.output")
        self.widen, self.narrow, self.leave = linear("intermediate.dense"), linear("output.dense"), norm("output")
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, open_: Tensor) -> Tensor:
        """`open_` (B, 1, 1, N): True where there is a word."""
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        # The backward pass of torch's other kernel takes ten times as long on a CPU with so few words.
        with sdpa_kernel(SDPBackend.MATH) if self.training else nullcontext():
            seen = F.scaled_dot_product_attention(q, k, v, attn_mask=open_)
        x = self.even(x + self.drop(self.mix(seen.transpose(1, 2).flatten(2))))
        out: Tensor = self.leave(x + self.drop(self.narrow(F.gelu(self.widen(x)))))
        return out


class TunedLayers(nn.Module):
    """States after layer `first` (B, N, 384) -> those after the last one, as changed by training.

    Raises:
        UserError: the sentence encoder is not installed.
    """

    def __init__(self, first: int, rank: int, dropout: float) -> None:
        super().__init__()
        weights = encoder_weights()
        self.layers = nn.ModuleList(TunedLayer(weights, n, rank, dropout) for n in range(first, LAYERS))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """`words` (B, N) 1 for words."""
        open_ = words.bool()[:, None, None]
        for layer in self.layers:
            states = layer(states, open_)
        return states
