"""Windowed attention with relative positions and a memory (Transformer-XL, Dai et al. 2019).

Every frame attends to the W frames up to itself. Keys and values of the previous segment are kept as memory, so one
long segment and many short ones give the same result.

Shapes: B rows, n frames of a segment, W reach, H heads, D width, E = D / H.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Keys and, after them, values of the W - 1 frames before a segment, (B, 2 H, W - 1, E).
Memory = Tensor
# Weight and bias.
Affine = tuple[Tensor, Tensor]


def distance_encoding(width: int, reach: int) -> Tensor:
    """(W, D) sinusoids of the distances W - 1, ..., 0 in frames, as in Dai et al. 2019, B.3."""
    place = torch.arange(reach - 1, -1, -1.0)[:, None]
    angle = place / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.cat((angle.sin(), angle.cos()), -1)


class AttentionWeights(NamedTuple):
    """Tensors that one step of an attention needs, collected once: module look-ups cost as much as the products.

    `by_distance` (H, E, W) are keys of the distances W - 1, ..., 0; `content` and `place` (H, 1, E) are u and v of the
    paper.
    """

    by_distance: Tensor
    content: Tensor
    place: Tensor
    out: Tensor
    bias: Tensor

    def __call__(self, q: Tensor, new: Tensor, memory: Memory, blind: int) -> tuple[Tensor, Memory]:
        """Queries (B, n, D), keys and values (B, n, 2 D) -> the residual (B, n, D) and the next segment's memory.

        The first `blind` frames of the memory lie before the start of the talk.
        """
        heads, size, reach = self.by_distance.shape
        frames = q.shape[1]
        q = q.unflatten(-1, (heads, size)).transpose(1, 2)
        new = new.unflatten(-1, (2 * heads, size)).transpose(1, 2)
        both = torch.cat((memory.to(new), new), 2)
        k, v = both.chunk(2, 1)
        rows = (q + self.place.to(q)).transpose(0, 1)  # one product for all rows: no copies of the keys
        place = (rows.flatten(1, 2) @ self.by_distance.to(q)).unflatten(1, (-1, frames)).transpose(0, 1) * size**-0.5
        # Row i of (n, W) moves i to the right; what is out of reach, before or after, becomes minus infinity.
        visible = reach - 1 + frames
        bias = F.pad(place, (0, frames), value=float("-inf")).flatten(-2)[..., : frames * visible]
        bias = bias.unflatten(-1, (frames, visible))
        if blind > 0:
            bias = F.pad(bias[..., blind:], (blind, 0), value=float("-inf"))
        attended = F.scaled_dot_product_attention(q + self.content.to(q), k, v, attn_mask=bias)
        next_memory = both[:, :, frames:].detach()
        return F.linear(attended.transpose(1, 2).flatten(2), self.out, self.bias), next_memory


class RelativeAttention(nn.Module):
    """Parameters of an attention of one stream to another (or to itself); `AttentionWeights` does the computation."""

    positions: Tensor

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.query = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)  # no bias: silence (zeros) adds nothing
        self.relative = nn.Linear(width, width, bias=False)
        self.content = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.place = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.out = nn.Linear(width, width)
        self.register_buffer("positions", distance_encoding(width, reach), persistent=False)
        for layer in (self.query, self.keys_values, self.relative):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.normal_(self.out.weight, std=0.5 * width**-0.5)
        nn.init.zeros_(self.out.bias)

    def empty_memory(self, rows: int) -> Memory:
        """The memory before the first frame."""
        return self.positions.new_zeros(rows, 2 * self.heads, self.reach - 1, self.content.shape[-1])

    def weights(self) -> AttentionWeights:
        """The current weights; gradients reach them."""
        keys = self.relative(self.positions).unflatten(-1, (self.heads, -1)).permute(1, 2, 0).contiguous()
        return AttentionWeights(keys, self.content, self.place, self.out.weight, self.out.bias)


class BlockStep(NamedTuple):
    """The weights of a `Block`, collected once. `cross_norm` normalises the other stream; None = it is used as is."""

    norms: tuple[Affine, Affine, Affine]
    cross_norm: Affine | None
    self_inputs: Tensor  # queries, keys and values of the stream itself
    self_attention: AttentionWeights
    cross_query: Tensor
    cross_keys_values: Tensor
    cross_attention: AttentionWeights
    up: Affine
    down: Affine
    drop: nn.Dropout

    def __call__(self, x: Tensor, context: Tensor, memory: list[Memory], blind: int) -> tuple[Tensor, list[Memory]]:
        """Streams (B, n, D) -> the first one, updated, and the memories of both attentions."""
        shape = x.shape[-1:]
        both = F.linear(F.layer_norm(x, shape, *self.norms[0]), self.self_inputs)
        added, self_memory = self.self_attention(both[..., : shape[0]], both[..., shape[0] :], memory[0], blind)
        x = x + self.drop(added)
        keys_values = context if self.cross_norm is None else F.layer_norm(context, shape, *self.cross_norm)
        query = F.linear(F.layer_norm(x, shape, *self.norms[1]), self.cross_query)
        keys_values = F.linear(keys_values, self.cross_keys_values)
        added, cross_memory = self.cross_attention(query, keys_values, memory[1], blind)
        x = x + self.drop(added)
        h = F.gelu(F.linear(F.layer_norm(x, shape, *self.norms[2]), *self.up), approximate="tanh")
        return x + self.drop(F.linear(h, *self.down)), [self_memory, cross_memory]


class Block(nn.Module):
    """Pre-norm block: self-attention, attention to another stream, and a feed-forward part, each with a residual.

    `BlockStep` does the computation. Attribute names are part of the weight file's format.
    """

    def __init__(
        self, width: int, heads: int, reach: int, hidden: int, dropout: float, normalise_context: bool
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = RelativeAttention(width, heads, reach)
        self.other = RelativeAttention(width, heads, reach)
        self.other_norm = nn.LayerNorm(width) if normalise_context else None
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.normal_(self.down.weight, std=0.5 * hidden**-0.5)
        self.drop = nn.Dropout(dropout)

    def step(self) -> BlockStep:
        """The current weights; gradients reach them."""
        first, second, third = ((n.weight, n.bias) for n in self.norms if isinstance(n, nn.LayerNorm))
        return BlockStep(
            norms=(first, second, third),
            cross_norm=None if self.other_norm is None else (self.other_norm.weight, self.other_norm.bias),
            self_inputs=torch.cat((self.own.query.weight, self.own.keys_values.weight)),
            self_attention=self.own.weights(),
            cross_query=self.other.query.weight,
            cross_keys_values=self.other.keys_values.weight,
            cross_attention=self.other.weights(),
            up=(self.up.weight, self.up.bias),
            down=(self.down.weight, self.down.bias),
            drop=self.drop,
        )

    def empty_memory(self, rows: int) -> list[Memory]:
        """The memories of both attentions before the first frame."""
        return [self.own.empty_memory(rows), self.other.empty_memory(rows)]
