"""T5's encoder and decoder in plain torch under transformers' names, and their computation in few kernels.

For use, because importing that library takes longer than generating a clip, and for training without dropout: `stack`
runs over the library's modules too, with its results within rounding. Shapes: B rows, L positions, S encoder states,
H heads, d = d_model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.shape import Shape
from vqvae.errors import UserError

BLOCKED = -3e4  # score of a key that is not read: finite in bfloat16, so that a row of padding alone gives no NaN


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

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


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
        self.layer_norm = Norm(c.d_model)


class T5Layer(nn.Module):
    """One layer: self-attention, in a decoder cross-attention, feed-forward."""

    layer: Any

    def __init__(self, c: Shape, decoder: bool, first: bool) -> None:
        super().__init__()
        parts = [Sublayer(c, "SelfAttention", Attention(c, decoder, first))]
        if decoder:
            parts.append(Sublayer(c, "EncDecAttention", Attention(c, decoder)))
        self.layer = nn.ModuleList([*parts, Sublayer(c, "DenseReluDense", FeedForward(c))])


class States(NamedTuple):
    """The output of a stack: (B, L, d)."""

    last_hidden_state: Tensor


class Stack(nn.Module):
    """The encoder or the decoder."""

    block: Any

    def __init__(self, c: Shape, decoder: bool) -> None:
        super().__init__()
        self.shape, self.decoder = c, decoder
        layers = (c.num_decoder_layers if decoder else c.num_layers) or c.num_layers
        self.block = nn.ModuleList(T5Layer(c, decoder, i == 0) for i in range(layers))
        self.final_layer_norm = Norm(c.d_model)

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
    ) -> States:
        """Vectors (B, L, d) and their mask (B, L), 1 = input; a decoder also reads states (B, S, d) and their mask."""
        x, mask = inputs_embeds, attention_mask
        return States(stack(self, self.shape, self.decoder, x, mask, encoder_hidden_states, encoder_attention_mask))


@lru_cache(maxsize=256)
def _buckets(length: int, decoder: bool, buckets: int, farthest: int, device: torch.device) -> Tensor:
    """(L, L) rows of the table of position biases; constant, so computed once for each length."""
    place = torch.arange(length, device=device)
    return bucket_of(place[None] - place[:, None], decoder, buckets, farthest)


def _attention(part: Any, heads: int, x: Tensor, states: Tensor | None, bias: Tensor | None) -> Tensor:
    """Queries from x (B, L, d); keys and values from `states` (B, S, d), or from x itself."""
    if states is None:
        weight = torch.cat([part.q.weight, part.k.weight, part.v.weight])
        q, k, v = F.linear(x, weight).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    else:
        q = F.linear(x, part.q.weight).unflatten(-1, (heads, -1)).transpose(1, 2)
        weight = torch.cat([part.k.weight, part.v.weight])
        k, v = F.linear(states, weight).unflatten(-1, (2, heads, -1)).permute(2, 0, 3, 1, 4)
    mask = None if bias is None else bias.to(q.dtype)
    attended = F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)
    return F.linear(attended.transpose(1, 2).flatten(2), part.o.weight)


def _forward(part: Any, config: Shape, x: Tensor) -> Tensor:
    if not config.is_gated_act:
        return F.linear(plain_activation(config.dense_act_fn)(F.linear(x, part.wi.weight)), part.wo.weight)
    gate, value = F.linear(x, torch.cat([part.wi_0.weight, part.wi_1.weight])).chunk(2, -1)
    tanh = config.dense_act_fn == "gelu_new"
    active = F.gelu(gate, approximate="tanh") if tanh else plain_activation(config.dense_act_fn)(gate)
    return F.linear(active * value, part.wo.weight)


def stack(
    module: Any, config: Shape, decoder: bool, x: Tensor, mask: Tensor | None, states: Tensor | None = None,
    states_mask: Tensor | None = None, compiled: bool = False,
) -> Tensor:  # fmt: skip
    """States (B, L, d) after all layers.

    Args:
        module: the encoder or the decoder. x: (B, L, d). mask: (B, L), 1 = input; None: all are.
        states, states_mask: (B, S, d) and (B, S) of the encoder, for a decoder.
        compiled: run the layers through `torch.compile` where gradients are computed.
    """
    length, first = x.shape[1], module.block[0].layer[0].SelfAttention
    buckets, farthest = config.relative_attention_num_buckets, config.relative_attention_max_distance
    rows = _buckets(length, decoder, buckets, farthest, x.device)
    bias = F.embedding(rows, first.relative_attention_bias.weight).permute(2, 0, 1)[None].contiguous()
    if decoder:
        bias = bias.masked_fill(torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1), BLOCKED)
    if mask is not None:
        bias = bias + ((1 - mask) * BLOCKED).to(bias.dtype)[:, None, None]
    if torch.is_autocast_enabled(x.device.type):
        bias = bias.to(torch.get_autocast_dtype(x.device.type))  # once, not in each layer
    blocked = None if states_mask is None else ((1 - states_mask) * BLOCKED).to(bias.dtype)[:, None, None]
    if blocked is not None and states is not None:
        blocked = blocked.expand(-1, config.num_heads, length, -1)
    run = _compiled_layers() if compiled and torch.is_grad_enabled() else _layers
    return run(module, config, x, bias, states, blocked)


@lru_cache(maxsize=1)
def _compiled_layers() -> Callable[..., Tensor]:
    return torch.compile(_layers, dynamic=True)


def _layers(
    module: Any, config: Shape, x: Tensor, bias: Tensor, states: Tensor | None, blocked: Tensor | None
) -> Tensor:  # fmt: skip
    def norm(y: Tensor, layer: Any) -> Tensor:
        return F.rms_norm(y, (y.shape[-1],), layer.weight, config.layer_norm_epsilon)

    for block in module.block:
        attention, *cross, forward = block.layer
        y = norm(x, attention.layer_norm)
        x = x + _attention(attention.SelfAttention, config.num_heads, y, None, bias)
        for layer in cross:
            y = norm(x, layer.layer_norm)
            x = x + _attention(layer.EncDecAttention, config.num_heads, y, states, blocked)
        x = x + _forward(forward.DenseReluDense, config, norm(x, forward.layer_norm))
    return norm(x, module.final_layer_norm)
