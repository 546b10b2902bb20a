"""T5's encoder and decoder in plain torch, under transformers' names and with its results to the bit (eager attention).

For use, because importing that library takes longer than generating a clip; training uses the library's. Shapes: B
rows, L positions, S encoder states, H heads, d = d_model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.shape import Shape
from vqvae.errors import UserError


def _gelu_new(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "gelu": F.gelu, "gelu_new": _gelu_new, "silu": F.silu, "swish": F.silu, "tanh": torch.tanh,
}


def plain_activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function of ``dense_act_fn``."""
    if name not in _ACTIVATIONS:
        raise UserError(f"feed_forward_proj: activation '{name}'; accepted: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


class Norm(nn.Module):
    """Root-mean-square norm (arXiv 1910.07467), no offset."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        # In float32 whatever the weights are: sums of squares overflow in half precision.
        x = x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * x.to(self.weight.dtype)


def bucket_of(distance: Tensor, decoder: bool, buckets: int, farthest: int) -> Tensor:
    """Row of the bias table for key minus query: exact when near, logarithmic up to the farthest distance."""
    buckets = buckets if decoder else buckets // 2
    first = torch.zeros_like(distance) if decoder else (distance > 0).long() * buckets
    distance = -distance.clamp(max=0) if decoder else distance.abs()
    exact = buckets // 2
    rate = torch.log(distance.float() / exact) / math.log(farthest / exact)
    far = (exact + (rate * (buckets - exact)).long()).clamp(max=buckets - 1)
    return first + torch.where(distance < exact, distance, far)


class Attention(nn.Module):
    """Attention without scaling; its scores get the position bias of the stack's first layer."""

    def __init__(self, c: Shape, decoder: bool, biased: bool = False) -> None:
        super().__init__()
        self.heads, self.decoder = c.num_heads, decoder
        self.buckets, self.farthest = c.relative_attention_num_buckets, c.relative_attention_max_distance
        inner = c.num_heads * c.d_kv
        self.q, self.k, self.v = (nn.Linear(c.d_model, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, c.d_model, bias=False)
        if biased:
            self.relative_attention_bias = nn.Embedding(self.buckets, c.num_heads)

    def compute_bias(
        self, query_length: int, key_length: int, device: torch.device | None = None, past_seen_tokens: int = 0
    ) -> Tensor:
        """(1, H, queries, keys) bias of the scores; the first query stands at position `past_seen_tokens`."""
        queries = torch.arange(query_length, device=device)[:, None] + past_seen_tokens
        distance = torch.arange(key_length, device=device)[None] - queries
        bias: Tensor = self.relative_attention_bias(bucket_of(distance, self.decoder, self.buckets, self.farthest))
        return bias.permute(2, 0, 1)[None]

    def forward(self, x: Tensor, states: Tensor, bias: Tensor | None) -> Tensor:
        """Queries from x (B, L, d), keys and values from states (B, S, d), bias (B or 1, H or 1, L or 1, S)."""
        q, k, v = (
            m(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for m, y in ((self.q, x), (self.k, states), (self.v, states))
        )
        scores = torch.matmul(q, k.transpose(2, 3))
        attended = torch.matmul((scores if bias is None else scores + bias).softmax(-1), v)
        out: Tensor = self.o(attended.transpose(1, 2).contiguous().flatten(2))
        return out


class FeedForward(nn.Module):
    """Plain or gated."""

    wi: nn.Linear
    wi_0: nn.Linear
    wi_1: nn.Linear

    def __init__(self, c: Shape) -> None:
        super().__init__()
        for name in ("wi_0", "wi_1") if c.is_gated_act else ("wi",):
            self.add_module(name, nn.Linear(c.d_model, c.d_ff, bias=False))
        self.wo = nn.Linear(c.d_ff, c.d_model, bias=False)
        self.act, self.gated = plain_activation(c.dense_act_fn), c.is_gated_act

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        out: Tensor = self.wo(self.act(self.wi_0(x)) * self.wi_1(x) if self.gated else self.act(self.wi(x)))
        return out


class Sublayer(nn.Module):
    """One part of a layer under its name in the library, after a norm."""

    # Names as in transformers, so that weight files of either fit both.
    layer_norm: Norm
    SelfAttention: Attention
    EncDecAttention: Attention
    DenseReluDense: FeedForward

    def __init__(self, c: Shape, name: str, part: nn.Module) -> None:
        super().__init__()
        self.add_module(name, part)
        self.layer_norm = Norm(c.d_model, c.layer_norm_epsilon)


class T5Layer(nn.Module):
    """One layer: self-attention, in a decoder cross-attention, feed-forward."""

    layer: Any

    def __init__(self, c: Shape, decoder: bool, first: bool) -> None:
        super().__init__()
        parts = [Sublayer(c, "SelfAttention", Attention(c, decoder, first))]
        if decoder:
            parts.append(Sublayer(c, "EncDecAttention", Attention(c, decoder)))
        self.layer = nn.ModuleList([*parts, Sublayer(c, "DenseReluDense", FeedForward(c))])

    def forward(self, x: Tensor, bias: Tensor, states: Tensor | None, blocked: Tensor | None) -> Tensor:
        """x (B, L, d) -> (B, L, d); `states` and their `blocked` scores as of `Stack`."""
        attention, *cross, forward = self.layer
        y = attention.layer_norm(x)
        x = x + attention.SelfAttention(y, y, bias)
        for layer in cross:
            x = x + layer.EncDecAttention(layer.layer_norm(x), states, blocked)
        out: Tensor = x + forward.DenseReluDense(forward.layer_norm(x))
        return out


class States(NamedTuple):
    """The output of a stack: (B, L, d)."""

    last_hidden_state: Tensor


class Stack(nn.Module):
    """The encoder or the decoder."""

    block: Any

    def __init__(self, c: Shape, decoder: bool) -> None:
        super().__init__()
        self.decoder = decoder
        layers = (c.num_decoder_layers if decoder else c.num_layers) or c.num_layers
        self.block = nn.ModuleList(T5Layer(c, decoder, i == 0) for i in range(layers))
        self.final_layer_norm = Norm(c.d_model, c.layer_norm_epsilon)

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
    ) -> States:
        """Vectors (B, L, d) and their mask (B, L), 1 = input; a decoder also reads states (B, S, d) and their mask."""
        length = inputs_embeds.shape[1]
        # T5 has the table of position biases in its first layer alone.
        bias = self.block[0].layer[0].SelfAttention.compute_bias(length, length, inputs_embeds.device)
        mask = _block_scores(attention_mask, inputs_embeds.dtype)
        if self.decoder:
            later = torch.ones(length, length, dtype=torch.bool, device=inputs_embeds.device).triu(1)
            # The least number in place of -inf: a row of padding alone would become NaN.
            bias = bias.masked_fill(later, torch.finfo(bias.dtype).min)
        if mask is not None:
            bias = bias + mask
        blocked = _block_scores(encoder_attention_mask, inputs_embeds.dtype)
        x = inputs_embeds
        for layer in self.block:
            x = layer(x, bias, encoder_hidden_states, blocked)
        return States(self.final_layer_norm(x))


def _block_scores(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """(B, S), 1 = input -> (B, 1, 1, S) bias of scores; None where nothing is blocked."""
    if mask is None or bool(mask.all()):
        return None
    zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return zeros.masked_fill(mask == 0, torch.finfo(dtype).min)[:, None, None]
