"""Cross-attention of a decode: what every step looks up in the encoder states, prepared once.

Shapes: P prompts, N rows (`repeat` neighbouring rows per prompt), S states, H heads of D, d = d_model, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from avatargpt.lm.fused_maps import make_map

Softmax = Callable[[Tensor], Tensor]
SHARED_ROWS = 16  # rows from which on reading the states themselves is faster than reading keys and values


class CrossWeights:
    """Key and value maps of all layers.

    Args:
        attentions: each layer's weights of k and v, (H * D, d). heads: H. dtype: of the products.

    Attributes:
        both: states (n, d) -> (n, L * H * 2 * D), keys and values of all layers and heads.
        keys, values: (L, H, D, d) each, float32.
    """

    def __init__(self, attentions: Sequence[tuple[Tensor, Tensor]], heads: int, dtype: torch.dtype) -> None:
        keys, values = (torch.stack([pair[i].float() for pair in attentions]) for i in (0, 1))
        self.keys, self.values = (w.unflatten(1, (heads, -1)).contiguous() for w in (keys, values))
        self.dtype = dtype
        self.both = make_map(torch.stack([self.keys, self.values], 2).flatten(0, 3), True, dtype)


class CrossHeads:
    """Keys and values of every layer and head: the least work, but every row reads 2 * S * H * D numbers per layer.

    Args:
        states: (P, S, d). mask: (P, S). repeat: samples of one prompt share its keys.
    """

    def __init__(self, weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor, repeat: int) -> None:
        layers, heads, width, _ = weights.keys.shape
        self.softmax, self.repeat, self.heads = softmax, repeat, heads
        cross = weights.both(states.flatten(0, 1)).view(*states.shape[:2], layers, heads, 2, width)
        cross = cross.permute(2, 4, 0, 3, 1, 5).flatten(2, 3).contiguous()
        self.keys = cross[:, 0].transpose(2, 3).unbind(0)
        self.values = cross[:, 1].unbind(0)
        self.bias = _blocked(mask, weights.dtype).repeat_interleave(heads, dim=0)

    def __call__(self, layer: int, q: Tensor) -> Tensor:
        """Queries (N, H * D) of a layer -> what they find, (N, H * D)."""
        n, many, h = len(q), self.repeat, self.heads
        prompts = n // many
        if many == 1:
            q = q.view(n * h, 1, -1)
        else:
            q = q.view(prompts, many, h, -1).transpose(1, 2).reshape(prompts * h, many, -1)
        p = self.softmax(torch.baddbmm(self.bias, q, self.keys[layer]))
        y = torch.bmm(p, self.values[layer])
        if many > 1:
            y = y.view(prompts, h, many, -1).transpose(1, 2)
        return y.reshape(n, -1)


class CrossStates:
    """Queries are taken to the states instead: ``(q W_k) . e = q . (W_k e)``, likewise for the values.

    All layers and heads then read the same S * d numbers of a row, which stay in a CPU's cache where the keys and
    values of many rows would not; in turn a query takes H * D * d more products on either side.

    Args: as of `CrossHeads`, one row per prompt.
    """

    def __init__(self, weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor) -> None:
        self.softmax, self.heads, dtype = softmax, weights.keys.shape[1], weights.dtype
        self.to_states = weights.keys.to(dtype).unbind(0)  # (H, D, d)
        self.from_states = weights.values.to(dtype).transpose(2, 3).contiguous().unbind(0)  # (H, d, D)
        self.states = states.to(dtype).contiguous()
        self.turned = self.states.transpose(1, 2)
        self.bias = None if bool(mask.all()) else _blocked(mask, dtype)

    def __call__(self, layer: int, q: Tensor) -> Tensor:
        """Queries (N, H * D) of a layer -> what they find, (N, H * D)."""
        n, h = len(q), self.heads
        q = torch.bmm(q.view(n, h, -1).transpose(0, 1), self.to_states[layer]).transpose(0, 1)
        scores = torch.bmm(q, self.turned) if self.bias is None else torch.baddbmm(self.bias, q, self.turned)
        found = torch.bmm(self.softmax(scores), self.states)
        return torch.bmm(found.transpose(0, 1), self.from_states[layer]).transpose(0, 1).reshape(n, -1)


Cross = CrossHeads | CrossStates


def cross_attention(weights: CrossWeights, softmax: Softmax, states: Tensor, mask: Tensor, repeat: int) -> Cross:
    """The faster of the two for so many rows; arguments as of `CrossHeads`."""
    if repeat == 1 and len(states) >= SHARED_ROWS and states.device.type == "cpu":
        return CrossStates(weights, softmax, states, mask)
    return CrossHeads(weights, softmax, states, mask, repeat)


def _blocked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(P, 1, S) what is added to scores: 0, or -1e9 where there is no state."""
    return torch.zeros(mask.shape, device=mask.device, dtype=dtype).masked_fill(mask == 0, -1e9)[:, None]
