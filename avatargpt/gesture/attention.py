"""Attention over what is near in time, with relative positions and a memory (Transformer-XL, Dai et al. 2019).

Every frame attends to the W frames up to itself, wherever a segment begins: its own segment's, and those of the one
before, whose keys and values are kept. So a long segment and many short ones say the same.

Shapes: B rows, n frames of a segment, W reach, H heads, D width, E = D / H.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Memory = Tensor
"""Keys and, after them, values of the W - 1 frames before a segment, (B, 2 H, W - 1, E)."""


def distances(width: int, reach: int) -> Tensor:
    """(W, D) sinusoids of the distances W - 1, ..., 0 in frames, as in Dai et al. 2019, B.3."""
    place = torch.arange(reach - 1, -1, -1.0)[:, None]
    angle = place / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.cat((angle.sin(), angle.cos()), -1)


class Weights(NamedTuple):
    """What a step of an attention needs, at hand: looking modules up takes as long as multiplying.

    `by_distance` (H, E, W) are keys of the distances W - 1, ..., 0, computed once a talk; `content` and `place`
    (H, 1, E) are u and v of the paper.
    """

    by_distance: Tensor
    content: Tensor
    place: Tensor
    out: Tensor
    bias: Tensor

    def __call__(self, q: Tensor, new: Tensor, memory: Memory, blind: int) -> tuple[Tensor, Memory]:
        """Queries (B, n, D), keys and values (B, n, 2 D) -> what is added (B, n, D), and the next segment's memory.

        Args:
            blind: so many of the memory's frames were never there.
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
        seen = reach - 1 + frames
        bias = F.pad(place, (0, frames), value=float("-inf")).flatten(-2)[..., : frames * seen]
        bias = bias.unflatten(-1, (frames, seen))
        if blind > 0:
            bias = F.pad(bias[..., blind:], (blind, 0), value=float("-inf"))
        said = F.scaled_dot_product_attention(q + self.content.to(q), k, v, attn_mask=bias)
        kept = both[:, :, frames:].detach()
        return F.linear(said.transpose(1, 2).flatten(2), self.out, self.bias), kept


class RelativeAttention(nn.Module):
    """What a stream asks of another (or of itself) at the same times; `weights` does the work."""

    positions: Tensor

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach = heads, reach
        self.query = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)  # no bias: where nothing is said, nothing is added
        self.relative = nn.Linear(width, width, bias=False)
        self.content = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.place = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.out = nn.Linear(width, width)
        self.register_buffer("positions", distances(width, reach), persistent=False)
        for layer in (self.query, self.keys_values, self.relative):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.normal_(self.out.weight, std=0.5 * width**-0.5)
        nn.init.zeros_(self.out.bias)

    def forgetful(self, rows: int) -> Memory:
        """The memory before the first frame."""
        return self.positions.new_zeros(rows, 2 * self.heads, self.reach - 1, self.content.shape[-1])

    def weights(self) -> Weights:
        """As they are now."""
        keys = self.relative(self.positions).unflatten(-1, (self.heads, -1)).permute(1, 2, 0).contiguous()
        return Weights(keys, self.content, self.place, self.out.weight, self.out.bias)


Pair = tuple[Tensor, Tensor]


class Step(NamedTuple):
    """The weights of a `Block`, at hand. `asked_norm` is of the other stream, None where it comes as it is."""

    norms: tuple[Pair, Pair, Pair]
    asked_norm: Pair | None
    own_in: Tensor  # queries, keys and values of the stream itself
    own: Weights
    ask: Tensor
    asked: Tensor
    other: Weights
    up: Pair
    down: Pair
    drop: nn.Dropout

    def __call__(self, x: Tensor, other: Tensor, memory: list[Memory], blind: int) -> tuple[Tensor, list[Memory]]:
        """Streams (B, n, D) -> the first, changed, and the memories of both attentions."""
        shape = x.shape[-1:]
        both = F.linear(F.layer_norm(x, shape, *self.norms[0]), self.own_in)
        added, own = self.own(both[..., : shape[0]], both[..., shape[0] :], memory[0], blind)
        x = x + self.drop(added)
        heard = other if self.asked_norm is None else F.layer_norm(other, shape, *self.asked_norm)
        asking = F.linear(F.layer_norm(x, shape, *self.norms[1]), self.ask)
        added, beside = self.other(asking, F.linear(heard, self.asked), memory[1], blind)
        x = x + self.drop(added)
        h = F.gelu(F.linear(F.layer_norm(x, shape, *self.norms[2]), *self.up), approximate="tanh")
        return x + self.drop(F.linear(h, *self.down)), [own, beside]


class Block(nn.Module):
    """Self-attention of a stream, attention to another one, and a feed-forward part, each added to it; norms first.

    `step` does the work.
    """

    def __init__(self, width: int, heads: int, reach: int, hidden: int, dropout: float, apart: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = RelativeAttention(width, heads, reach)
        self.other = RelativeAttention(width, heads, reach)
        self.other_norm = nn.LayerNorm(width) if apart else None
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.normal_(self.down.weight, std=0.5 * hidden**-0.5)
        self.drop = nn.Dropout(dropout)

    def step(self) -> Step:
        """As the weights are now; gradients reach them."""
        first, second, third = ((n.weight, n.bias) for n in self.norms if isinstance(n, nn.LayerNorm))
        own, other, apart = self.own, self.other, self.other_norm
        return Step(
            (first, second, third), None if apart is None else (apart.weight, apart.bias),
            torch.cat((own.query.weight, own.keys_values.weight)), own.weights(), other.query.weight,
            other.keys_values.weight, other.weights(), (self.up.weight, self.up.bias),
            (self.down.weight, self.down.bias), self.drop,
        )  # fmt: skip

    def forgetful(self, rows: int) -> list[Memory]:
        """The memories of both attentions before the first frame."""
        return [self.own.forgetful(rows), self.other.forgetful(rows)]
