"""The refiner: residual levels 1..R-1 of an answer, from the decoder's states and the whole of level 0.

Layers that look both ways read all tokens of level 0; then a recurrent network goes from token to token and knows what
details it has said, and for each token a small network says level after level (the depth transformer of RQ-Transformer,
arXiv 2203.01941, with a GRU over time). Details are drawn, not averaged: the mean of all ways to shake a head is a head
that does not move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.sampling import sample, uniforms
from avatargpt.lm.shape import Shape

FORGET = 0.1  # share of tokens whose details the next one does not see while training


def positions(length: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length, width) sinusoids (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angle = torch.arange(length, device=device)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)


class ResidualDecoderLayer(nn.Module):
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


class ResidualDecoder(nn.Module):
    """Says the codes of levels 1..R-1 of a modality.

    Shapes: B rows, N tokens, C width of a code vector, D `refiner_dim`, K codes of a level.
    """

    def __init__(self, config: Shape, modality: str) -> None:
        super().__init__()
        spec = config.modality(modality)
        code_dim, codebook_size, levels = (spec[f] for f in ("code_dim", "codebook_size", "levels"))
        width, layers, heads = config.refiner(modality)
        self.from_hidden = nn.Linear(config.d_model, width)
        self.from_codes = nn.Linear(code_dim, width)
        self.layers = nn.ModuleList(ResidualDecoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.memory = nn.GRU(width + code_dim, width, batch_first=True)
        self.from_memory = nn.Linear(2 * width, width)
        self.from_sum = nn.Linear(code_dim, width)
        self.level = nn.Embedding(max(levels - 1, 1), width)
        self.output = nn.Linear(width, code_dim)
        self.bias = nn.Parameter(torch.zeros(max(levels - 1, 1), codebook_size))
        nn.init.normal_(self.level.weight, std=0.02)

    def read(self, hidden: Tensor, base: Tensor, mask: Tensor) -> Tensor:
        """What all of level 0 tells of each token.

        Args:
            hidden: (B, N, d_model) decoder states; row n is the state that spoke token n.
            base: (B, N, C) scaled code vectors of level 0.
            mask: (B, N) bool, True = a token.

        Returns:
            (B, N, D).
        """
        x = self.from_hidden(hidden) + self.from_codes(base)
        x = x + positions(x.shape[1], x.shape[2], x.device, x.dtype)
        mask = mask | (torch.arange(mask.shape[1], device=mask.device) == 0)  # a row without tokens: no NaN
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.norm(x)
        return out

    def remember(self, read: Tensor, before: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N, D) and the details (B, N, C) of the token before each -> (B, N, D), the state to go on from."""
        said, state = self.memory(torch.cat([read, before.to(read.dtype)], -1), state)
        return self.from_memory(torch.cat([said, read], -1)), state

    def speak(self, known: Tensor, total: Tensor, level: int | slice, book: Tensor) -> Tensor:
        """Logits of a level's codes.

        Args:
            known: (..., D). total: (..., C) scaled sum of the code vectors of all levels before.
            level: counted from 0 = the first residual one; a slice: of all of them, along the last but one axis.
            book: (K, C), or (levels, K, C) for a slice.

        Returns:
            (..., K).
        """
        x = F.gelu(known + self.from_sum(total) + self.level.weight[level])
        wanted = self.output(x)
        near = wanted @ book.T if book.dim() == 2 else torch.einsum("...jc,jkc->...jk", wanted, book)
        return near + self.bias[level]


def _settled(logits: Tensor, book: Tensor, sharpness: float) -> Tensor:
    """One code per row (B, K) without chance, see `ResidualLevels.refine`."""
    if sharpness <= 0:
        return logits.argmax(-1)
    mean = (logits / sharpness).softmax(-1).to(book.dtype) @ book
    return (mean @ book.T - 0.5 * book.pow(2).sum(-1)).argmax(-1)


class ResidualLevels(nn.Module):
    """The part of the model that trains and runs the refiners."""

    config: Shape
    codes: nn.ModuleDict
    refiners: nn.ModuleDict

    def refiner_loss(
        self, hidden: Tensor, codes: Tensor, mask: Tensor, modality: str = "body", forgotten: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy of the residual codes, nats per code; ln K = no better than chance.

        Args:
            hidden: (B, N, d_model), row n = the decoder state that spoke token n (detach it to train the refiner
                alone). codes: (B, N, R) int64. mask: (B, N) bool.
            forgotten: (B, N) bool, tokens whose details the next one does not see while training; None: at random.
        """
        mask = mask.bool()
        adapter: Any = self.codes[modality]
        refiner: Any = self.refiners[modality]
        clean = codes.clamp(min=0)
        vectors = torch.stack([b[clean[..., j]] for j, b in enumerate(adapter.codebooks)], 2) * adapter.scale
        totals = vectors.cumsum(2)  # (B, N, R, C)
        details = totals[:, :, -1] - totals[:, :, 0]
        if self.training:
            gone = torch.rand_like(details[..., 0]) < FORGET if forgotten is None else forgotten
            details = details.masked_fill(gone[..., None], 0)
        before = F.pad(details[:, :-1], (0, 0, 1, 0))
        known, _ = refiner.remember(refiner.read(hidden, totals[:, :, 0], mask), before)
        logits = refiner.speak(known[:, :, None], totals[:, :, :-1], slice(None), adapter.codebooks[1:] * adapter.scale)
        return F.cross_entropy(logits[mask].float().flatten(0, 1), clean[..., 1:][mask].flatten())

    @torch.no_grad()
    def refine(
        self, hidden: Tensor, codes0: Tensor, mask: Tensor | None = None, modality: str = "body",
        seeds: Sequence[int] = (), temperature: float = 0.0, top_k: int = 0, sharpness: float = 0.0,
    ) -> Tensor:
        """Say the residual levels of an answer.

        Args:
            hidden: (B, N, d_model) as for `refiner_loss`. codes0: (B, N) level-0 codes (0..K-1).
            mask: (B, N) bool, None = all.
            seeds: one per row, for a temperature above 0; the same seed says the same whatever else is in the batch.
            temperature: 0 = no chance. top_k: see `sampling.sample`.
            sharpness: without chance, the code nearest to the mean of all codes' vectors, weighted by their
                probabilities at this temperature; 0 = the likeliest code. A mean calms details that nothing decides.

        Returns:
            (B, N, R) int64.
        """
        mask = torch.ones_like(codes0, dtype=torch.bool) if mask is None else mask.bool()
        adapter: Any = self.codes[modality]
        refiner: Any = self.refiners[modality]
        rows, tokens = codes0.shape
        levels = len(adapter.codebooks) - 1
        base = adapter.vectors(codes0[..., None])
        books = (adapter.codebooks * adapter.scale).to(base.dtype)
        read = refiner.read(hidden.to(base.dtype), base, mask)
        drawn = uniforms(seeds, tokens * levels).view(tokens, levels, rows) if temperature > 0 else None
        before, state, out = torch.zeros_like(base[:, 0]), None, []
        for n in range(tokens):
            known, state = refiner.remember(read[:, n : n + 1], before[:, None], state)
            total, row = base[:, n], [codes0[:, n]]
            for level in range(levels):
                logits = refiner.speak(known[:, 0], total, level, books[level + 1]).float()
                if drawn is None:
                    row.append(_settled(logits, books[level + 1], sharpness))
                else:
                    row.append(sample(logits, drawn[n, level].to(logits.device), temperature, top_k))
                total = total + books[level + 1][row[-1]]
            before = total - base[:, n]
            out.append(torch.stack(row, -1))
        return torch.stack(out, 1)
