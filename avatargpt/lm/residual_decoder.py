"""The residual decoder: levels 1..R-1 of an answer, from the decoder's states and all of level 0.

Bidirectional layers read all tokens of level 0; a GRU over time carries the details chosen so far, and for each token a
small network predicts level after level (the depth transformer of RQ-Transformer, arXiv 2203.01941). Details are drawn,
not averaged: the mean of all ways to shake a head is a head that does not move. Weight files call it ``refiners``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.generate import sample, uniforms
from avatargpt.lm.shape import IGNORED, Shape

FORGET = 0.1  # share of tokens whose details are hidden from the next one in training


def positions(length: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length, width) sinusoids (Vaswani et al. 2017, section 3.5)."""
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angle = torch.arange(length, device=device)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)


class ResidualDecoderLayer(nn.Module):
    """Bidirectional pre-norm transformer layer."""

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
    """Predicts the codes of levels 1..R-1 of a modality.

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
        """Features (B, N, D) of each token from all of level 0.

        `hidden` (B, N, d_model): decoder states, token n was chosen from row n; `base` (B, N, C): scaled code
        vectors of level 0; `mask` (B, N) bool, True = a token.
        """
        x = self.from_hidden(hidden) + self.from_codes(base)
        x = x + positions(x.shape[1], x.shape[2], x.device, x.dtype)
        mask = mask | (torch.arange(mask.shape[1], device=mask.device) == 0)  # a row without tokens: no NaN
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.norm(x)
        return out

    def remember(self, read: Tensor, before: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, N, D) and the details (B, N, C) of the token before each -> (B, N, D), the state to continue from."""
        past, state = self.memory(torch.cat([read, before.to(read.dtype)], -1), state)
        return self.from_memory(torch.cat([past, read], -1)), state

    def logits(self, features: Tensor, total: Tensor, level: int | slice, codebook: Tensor) -> Tensor:
        """Logits (..., K) of a level's codes from features (..., D) and the scaled sum (..., C) of all levels before.

        `level` is counted from 0 = the first residual one; a slice: of all of them, along the last but one axis.
        `codebook`: (K, C), or (levels, K, C) for a slice.
        """
        x = F.gelu(features + self.from_sum(total) + self.level.weight[level])
        vector = self.output(x)
        one_level = codebook.dim() == 2
        products = vector @ codebook.T if one_level else torch.einsum("...jc,jkc->...jk", vector, codebook)
        return products + self.bias[level]


class ResidualLevels(nn.Module):
    """The part of the model that trains and runs the residual decoders."""

    config: Shape
    codes: nn.ModuleDict
    refiners: nn.ModuleDict

    def refiner_loss(
        self, hidden: Tensor, codes: Tensor, mask: Tensor, modality: str = "body", forgotten: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy of the residual codes (B, N, R), nats per code; ln K = no better than chance.

        Args:
            hidden: (B, N, d_model), row n = the decoder state that token n was chosen from (detach it to train the
                residual decoder alone).
            forgotten: (B, N) bool, tokens whose details are hidden from the next one in training; None: at random.
        """
        mask = mask.bool()
        adapter: Any = self.codes[modality]
        refiner: Any = self.refiners[modality]
        clean = codes.clamp(min=0)
        vectors = torch.stack([b[clean[..., j]] for j, b in enumerate(adapter.codebooks)], 2) * adapter.scale
        totals = vectors.cumsum(2)  # (B, N, R, C)
        details = totals[:, :, -1] - totals[:, :, 0]
        if self.training:
            hidden_details = torch.rand_like(details[..., 0]) < FORGET if forgotten is None else forgotten
            details = details.masked_fill(hidden_details[..., None], 0)
        # the details of the token before, none for the first one
        before = F.pad(details[:, :-1], (0, 0, 1, 0))
        features, _ = refiner.remember(refiner.read(hidden, totals[:, :, 0], mask), before)
        codebooks = adapter.codebooks[1:] * adapter.scale
        logits = refiner.logits(features[:, :, None], totals[:, :, :-1], slice(None), codebooks)
        target = clean[..., 1:].masked_fill(~mask[..., None], IGNORED)
        return F.cross_entropy(logits.flatten(0, 2).float(), target.flatten(), ignore_index=IGNORED)

    @torch.inference_mode()
    def refine(
        self, hidden: Tensor, codes0: Tensor, mask: Tensor | None = None, modality: str = "body",
        seeds: Sequence[int] = (), temperature: float = 0.0, top_k: int = 0, sharpness: float = 0.0,
    ) -> Tensor:
        """All levels (B, N, R) int64 of an answer from level 0 (B, N).

        Args:
            hidden: (B, N, d_model) as for `refiner_loss`. mask: (B, N) bool, None = all.
            seeds: one per row, for a temperature above 0; the same seed gives the same codes in any batch.
            temperature: 0 = without chance. top_k: see `sampling.sample`.
            sharpness: without chance, the code nearest to the mean of all codes' vectors, weighted by their
                probabilities at this temperature; 0 = the likeliest code.
        """
        mask = torch.ones_like(codes0, dtype=torch.bool) if mask is None else mask.bool()
        adapter: Any = self.codes[modality]
        refiner: Any = self.refiners[modality]
        rows, tokens = codes0.shape
        levels = len(adapter.codebooks) - 1
        base = adapter.vectors(codes0[..., None])
        codebooks = (adapter.codebooks * adapter.scale).to(base.dtype)
        read = refiner.read(hidden.to(base.dtype), base, mask)
        # one random number per row, token and level, whatever else is in the batch
        drawn: Tensor | None = None
        if temperature > 0:
            drawn = uniforms(seeds, tokens * levels).view(tokens, levels, rows).to(base.device)
        # What does not depend on the details is computed for all tokens at once. The rest is `remember` and `logits`
        # in fewer operations, for each of these small ones costs more than its numbers.
        gates, memory, to_logits, sums = refiner.memory, refiner.from_memory, refiner.output, refiner.from_sum
        width, addmm = read.shape[2], torch.addmm
        from_read = F.linear(read, gates.weight_ih_l0[:, :width], gates.bias_ih_l0).unbind(1)
        past_part, read_part = memory.weight.split(width, 1)
        features_of = F.linear(read, read_part, memory.bias).unbind(1)
        from_details, from_state = gates.weight_ih_l0[:, width:].t(), gates.weight_hh_l0.t()
        level_rows, chances = refiner.level.weight.unbind(0), refiner.bias.unbind(0)
        past, to_vector, from_sum = past_part.t(), to_logits.weight.t(), sums.weight.t()
        vectors = codebooks.unbind(0)
        columns = codebooks.transpose(1, 2).contiguous().unbind(0)
        before, state, out = torch.zeros_like(base[:, 0]), base.new_zeros(rows, width), []
        # token by token, since the details of one are an input of the next; within a token level by level
        for n in range(tokens):
            reset, update, new = addmm(from_read[n], before, from_details).chunk(3, 1)
            old_reset, old_update, old_new = addmm(gates.bias_hh_l0, state, from_state).chunk(3, 1)
            new = torch.addcmul(new, (reset + old_reset).sigmoid_(), old_new).tanh_()
            state = torch.addcmul(new, (update + old_update).sigmoid_(), state - new)
            features = addmm(features_of[n], state, past)
            total, row = base[:, n], [codes0[:, n]]
            for level in range(levels):
                x = F.gelu(addmm(sums.bias, total, from_sum).add_(features).add_(level_rows[level]))
                logits = addmm(chances[level], addmm(to_logits.bias, x, to_vector), columns[level + 1]).float()
                if drawn is None:
                    if sharpness > 0:  # without chance: the code nearest to the mean, see `ResidualLevels.refine`
                        codebook = vectors[level + 1]
                        mean = (logits / sharpness).softmax(-1).to(codebook.dtype) @ codebook
                        logits = mean @ codebook.T - 0.5 * codebook.pow(2).sum(-1)
                    row.append(logits.argmax(-1))
                else:
                    row.append(sample(logits, drawn[n, level], temperature, top_k))
                total = total + vectors[level + 1].index_select(0, row[-1])
            before = total - base[:, n]
            out.append(torch.stack(row, -1))
        return torch.stack(out, 1)
