"""The refiner: residual levels 1..R-1 of all tokens of an answer at once, from the decoder's states and level 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """Predicts level r of every token from hidden states and the summed code vectors of the levels below r.

    One body for all levels (told apart by an embedding), one output map per level.
    """

    def __init__(self, config: AvatarGPTConfig, codebook_size: int, levels: int, code_dim: int) -> None:
        super().__init__()
        width = config.refiner_dim
        self.levels = levels
        self.from_hidden = nn.Linear(config.d_model, width)
        self.from_codes = nn.Linear(code_dim, width)
        self.level_rows = nn.Embedding(levels - 1, width)
        self.layers = nn.ModuleList(RefinerLayer(width, config.refiner_heads) for _ in range(config.refiner_layers))
        self.norm = nn.LayerNorm(width)
        self.outputs = nn.ModuleList(nn.Linear(width, codebook_size) for _ in range(levels - 1))

    def forward(self, hidden: Tensor, below: Tensor, mask: Tensor, level: int) -> Tensor:
        """Logits of one level.

        Args:
            hidden: (B, N, d_model) decoder states; row n is the state that spoke token n.
            below: (B, N, C) scaled sum of the code vectors of levels 0..level-1.
            mask: (B, N) bool, True = a token.
            level: 1..R-1.

        Returns:
            (B, N, K) logits.
        """
        x = self.from_hidden(hidden) + self.from_codes(below) + self.level_rows.weight[level - 1]
        x = x + positions(x.shape[1], x.shape[2], x.device, x.dtype)
        mask = mask | (torch.arange(mask.shape[1], device=mask.device) == 0)  # a row without tokens: no NaN
        for layer in self.layers:
            x = layer(x, mask)
        return self.outputs[level - 1](self.norm(x))


class ResidualLevels(nn.Module):
    """The part of the model that trains and runs the refiners."""

    config: AvatarGPTConfig
    codes: nn.ModuleDict
    refiners: nn.ModuleDict

    def refiner_loss(
        self, hidden: Tensor, codes: Tensor, mask: Tensor, level: int, modality: str = "body"
    ) -> Tensor:
        """Mean cross-entropy (nats) of one residual level given all levels below it.

        Args:
            hidden: (B, N, d_model), row n = the decoder state that spoke token n (detach it to train the refiner
                alone). codes: (B, N, R) int64. mask: (B, N) bool. level: 1..R-1.
        """
        mask = mask.bool()
        below = self.codes[modality].vectors(codes[..., :level].clamp(min=0))  # type: ignore[operator]
        logits = self.refiners[modality](hidden, below, mask, level)
        return F.cross_entropy(logits[mask].float(), codes[..., level][mask])

    @torch.no_grad()
    def refine(
        self, hidden: Tensor, codes0: Tensor, mask: Tensor | None = None, modality: str = "body",
        temperature: float = 0.0, generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """Fill in the residual levels of an answer, one level after the other.

        At temperature 0 the levels carry what the refiner *expects*: the probability-weighted code vectors of all
        levels are summed and the sum is quantised level by level. Where the refiner is unsure, the likeliest code of
        each level alone would be further from the truth than no residual at all.

        Args:
            hidden: (B, N, d_model) as for `refiner_loss`. codes0: (B, N) level-0 codes (0..K-1).
            mask: (B, N) bool, None = all. temperature: 0 = the expectation, else every level is sampled.
            generators: one per row, for sampling that does not depend on the batch.

        Returns:
            (B, N, R) int64.
        """
        mask = torch.ones_like(codes0, dtype=torch.bool) if mask is None else mask.bool()
        if temperature > 0:
            return self._sampled(hidden, codes0, mask, modality, temperature, generators)
        adapter: Any = self.codes[modality]
        books: Tensor = adapter.codebooks.float()
        base, expected, rest = books[0][codes0], torch.zeros_like(books[0][codes0]), torch.zeros_like(books[0][codes0])
        codes = [codes0]
        for level in range(1, len(books)):
            below = (base + expected) * adapter.scale.float()
            logits = self.refiners[modality](hidden.float(), below, mask, level).float()
            vector = logits.softmax(-1) @ books[level]
            expected, rest = expected + vector, rest + vector
            # the code nearest to what is expected here and was not expressed by the levels below
            codes.append((rest @ books[level].T - 0.5 * books[level].pow(2).sum(-1)).argmax(-1))
            rest = rest - books[level][codes[-1]]
        return torch.stack(codes, dim=-1)

    def _sampled(
        self, hidden: Tensor, codes0: Tensor, mask: Tensor, modality: str, temperature: float,
        generators: Sequence[torch.Generator] | None,
    ) -> Tensor:  # fmt: skip
        codes = codes0[..., None]
        for level in range(1, self.config.modality(modality)["levels"]):
            below = self.codes[modality].vectors(codes)  # type: ignore[operator]
            logits = self.refiners[modality](hidden.to(below.dtype), below, mask, level).float()
            chance = (logits / temperature).softmax(-1)
            rows = [
                torch.multinomial(p, 1, generator=None if generators is None else generators[i])
                for i, p in enumerate(chance)
            ]
            codes = torch.cat([codes, torch.stack(rows)], dim=-1)
        return codes
