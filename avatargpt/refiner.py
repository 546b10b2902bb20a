"""The refiner: residual levels 1..R-1 of all tokens of an answer at once, from the decoder's states and level 0.

It predicts the sum of the residual code vectors (mean squared error), which is then quantised level by level: most of
the residual is fine detail that nothing announces, and its expectation is the answer nearest to the truth.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.config import AvatarGPTConfig


def positions(length: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length, width) sinusoids (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angle = torch.arange(length, device=device)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)


class RefinerLayer(nn.Module):
    """Pre-norm transformer layer that looks both ways."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_forward = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, N) bool -> (B, N, D)."""
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.out(attended.transpose(1, 2).reshape(b, n, d))
        return x + self.down(F.gelu(self.up(self.norm_forward(x))))


class Refiner(nn.Module):
    """Predicts, for every token, the sum of the code vectors of levels 1..R-1, in the code adapter's scale."""

    def __init__(self, config: AvatarGPTConfig, code_dim: int) -> None:
        super().__init__()
        width = config.refiner_dim
        self.from_hidden = nn.Linear(config.d_model, width)
        self.from_codes = nn.Linear(code_dim, width)
        self.layers = nn.ModuleList(RefinerLayer(width, config.refiner_heads) for _ in range(config.refiner_layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, code_dim)

    def forward(self, hidden: Tensor, base: Tensor, mask: Tensor) -> Tensor:
        """Expected residual.

        Args:
            hidden: (B, N, d_model) decoder states; row n is the state that spoke token n.
            base: (B, N, C) scaled code vectors of level 0.
            mask: (B, N) bool, True = a token.

        Returns:
            (B, N, C).
        """
        x = self.from_hidden(hidden) + self.from_codes(base)
        x = x + positions(x.shape[1], x.shape[2], x.device, x.dtype)
        mask = mask | (torch.arange(mask.shape[1], device=mask.device) == 0)  # a row without tokens: no NaN
        for layer in self.layers:
            x = layer(x, mask)
        return self.output(self.norm(x))


class ResidualLevels(nn.Module):
    """The part of the model that trains and runs the refiners."""

    config: AvatarGPTConfig
    codes: nn.ModuleDict
    refiners: nn.ModuleDict

    def refiner_loss(self, hidden: Tensor, codes: Tensor, mask: Tensor, modality: str = "body") -> Tensor:
        """Squared error of the expected residual as a share of the residual's own power: 1 = no better than none.

        Args:
            hidden: (B, N, d_model), row n = the decoder state that spoke token n (detach it to train the refiner
                alone). codes: (B, N, R) int64. mask: (B, N) bool.
        """
        mask = mask.bool()
        adapter: Any = self.codes[modality]
        clean = codes.clamp(min=0)
        base = adapter.vectors(clean[..., :1])
        target = (adapter.vectors(clean) - base)[mask].float()
        expected = self.refiners[modality](hidden, base, mask)[mask].float()
        return (expected - target).pow(2).mean() / target.pow(2).mean().clamp(min=1e-6)

    @torch.no_grad()
    def refine(
        self, hidden: Tensor, codes0: Tensor, mask: Tensor | None = None, modality: str = "body"
    ) -> Tensor:
        """Fill in the residual levels of an answer: what the refiner expects, quantised level by level.

        Args:
            hidden: (B, N, d_model) as for `refiner_loss`. codes0: (B, N) level-0 codes (0..K-1).
            mask: (B, N) bool, None = all.

        Returns:
            (B, N, R) int64.
        """
        mask = torch.ones_like(codes0, dtype=torch.bool) if mask is None else mask.bool()
        adapter: Any = self.codes[modality]
        books: Tensor = adapter.codebooks.float()
        base = adapter.vectors(codes0[..., None])
        rest = self.refiners[modality](hidden.to(base.dtype), base, mask).float() / adapter.scale.float()
        codes = [codes0]
        for book in books[1:]:
            codes.append((rest @ book.T - 0.5 * book.pow(2).sum(-1)).argmax(-1))
            rest = rest - book[codes[-1]]
        return torch.stack(codes, dim=-1)
