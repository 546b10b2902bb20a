"""T5's encoder and decoder over tokens without padding, for training on a CPU.

All layers but the products of attention take the tokens of all rows one after another, so that padding costs next to
nothing. It runs the modules of transformers (`avatargpt.lm.model`), dropout and LoRA included, and gives their results
within rounding. Shapes: B rows, L positions, S encoder states, N tokens, H heads, d = d_model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Places:
    """Places of the N tokens among the (B, L) positions. `mask`: 1 = token."""

    def __init__(self, mask: Tensor) -> None:
        self.shape, self.index = mask.shape, mask.flatten().nonzero()[:, 0]
        blocked = torch.zeros(mask.shape, device=mask.device)
        # The least number in place of -inf: a row of padding alone would become NaN.
        self.blocked = blocked.masked_fill(mask == 0, torch.finfo(blocked.dtype).min)[:, None, None]

    def flat(self, padded: Tensor) -> Tensor:
        """(B, L, d) -> (N, d)."""
        return padded.flatten(0, 1)[self.index]

    def padded(self, flat: Tensor) -> Tensor:
        """(N, d) -> (B, L, d), 0 where there is no token."""
        zeros = flat.new_zeros(self.shape.numel(), flat.shape[-1])
        return zeros.index_copy(0, self.index, flat).unflatten(0, self.shape)


def _cast(x: Tensor) -> Tensor:
    """In the type that products are computed in: once, not for each matrix that takes it."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _attention(part: Any, x: Tensor, at: Places, states: Tensor, of: Places, bias: Tensor) -> Tensor:
    """Queries from x (N, d) at its places, keys and values from `states` at theirs; `bias` of the scores."""
    q, k, v = (
        where.padded(m(y)).unflatten(-1, (part.n_heads, -1)).transpose(1, 2)
        for m, y, where in ((part.q, x, at), (part.k, states, of), (part.v, states, of))
    )
    scores = (torch.matmul(q, k.transpose(2, 3)) + bias).softmax(-1)
    attended = torch.matmul(F.dropout(scores, part.dropout, part.training).to(v.dtype), v)
    out: Tensor = part.o(at.flat(attended.transpose(1, 2).flatten(2)))
    return out


def stack(
    module: Any, x: Tensor, mask: Tensor, states: Tensor | None = None, states_mask: Tensor | None = None
) -> Tensor:  # fmt: skip
    """States (B, L, d) after all layers, 0 at padding.

    Args:
        module: the encoder or the decoder of transformers. x: (B, L, d). mask: (B, L), 1 = input.
        states, states_mask: (B, S, d) and (B, S) of the encoder, for a decoder.
    """
    at, length = Places(mask), mask.shape[1]
    y = module.dropout(at.flat(x))
    bias = module.block[0].layer[0].SelfAttention.compute_bias(length, length, x.device).float()
    if states is None or states_mask is None:
        of, read, bias = at, y, bias + at.blocked
    else:  # no token of an answer sees padding, which stands behind it
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        bias = bias.masked_fill(later, torch.finfo(bias.dtype).min)
        of = Places(states_mask)
        read = of.flat(states)
    for block in module.block:
        attention, *cross, forward = block.layer
        z = _cast(attention.layer_norm(y))
        y = y + attention.dropout(_attention(attention.SelfAttention, z, at, z, at, bias))
        for layer in cross:
            z = _cast(layer.layer_norm(y))
            y = y + layer.dropout(_attention(layer.EncDecAttention, z, at, _cast(read), of, of.blocked))
        part, z = forward.DenseReluDense, _cast(forward.layer_norm(y))
        # The library's own raises what `wo` takes to the type of its weights.
        inner = part.act(part.wi_0(z)) * part.wi_1(z) if hasattr(part, "wi_0") else part.act(part.wi(z))
        y = y + forward.dropout(part.wo(part.dropout(inner)))
    return at.padded(module.dropout(module.final_layer_norm(y)))
