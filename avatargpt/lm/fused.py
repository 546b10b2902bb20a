"""T5's encoder and decoder in few kernels, for training: joint projections, fused norms and attention.

It runs over the modules of transformers (`avatargpt.lm.model`) and over those of `avatargpt.lm.t5`, whose names agree,
and gives their results within rounding. Without dropout. Shapes: B rows, L positions, S encoder states, H heads,
d = d_model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.shape import Shape
from avatargpt.lm.t5 import bucket_of, plain_activation

BLOCKED = -3e4  # score of a key that is not read: finite in bfloat16, so that a row of padding alone gives no NaN


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
    run = _compile_layers() if compiled and torch.is_grad_enabled() else _layers
    return run(module, config, x, bias, states, blocked)


@lru_cache(maxsize=1)
def _compile_layers() -> Callable[..., Tensor]:
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
