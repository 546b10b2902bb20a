"""Attention over what is near in time, with relative positions and a memory (Transformer-XL, Dai et al. 2019).

Every frame attends to the W frames up to itself, wherever a segment begins: its own segment's, and those of the one
before, whose keys and values are kept. So a long segment and many short ones say the same.

Shapes: B rows, n frames of a segment, W reach, H heads, D width, E = D / H.
"""

from __future__ import annotations

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


class RelativeAttention(nn.Module):
    """What a stream asks of another (or of itself) at the same times."""

    positions: Tensor

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads, self.reach, self.scale = heads, reach, (width // heads) ** -0.5
        self.query = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(width, 2 * width, bias=False)  # no bias: where nothing is said, nothing is added
        self.relative = nn.Linear(width, width, bias=False)
        self.content = nn.Parameter(torch.zeros(heads, 1, width // heads))  # u of the paper
        self.place = nn.Parameter(torch.zeros(heads, 1, width // heads))  # v
        self.out = nn.Linear(width, width)
        self.register_buffer("positions", distances(width, reach), persistent=False)
        for layer in (self.query, self.keys_values, self.relative):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.normal_(self.out.weight, std=0.5 * width**-0.5)
        nn.init.zeros_(self.out.bias)

    def _split(self, x: Tensor) -> Tensor:
        """(..., n, H' E) -> (..., H', n, E)."""
        return x.unflatten(-1, (-1, self.content.shape[-1])).transpose(-3, -2)

    def by_distance(self) -> Tensor:
        """(H, E, W) keys of the distances W - 1, ..., 0."""
        return self._split(self.relative(self.positions)).transpose(-2, -1)

    def forgetful(self, rows: int) -> Memory:
        """The memory before the first frame."""
        return self.positions.new_zeros(rows, 2 * self.heads, self.reach - 1, self.content.shape[-1])

    def forward(
        self, asking: Tensor, asked: Tensor, memory: Memory, by_distance: Tensor, blind: int
    ) -> tuple[Tensor, Memory]:
        """Streams (B, n, D) -> what is added to the asking one, and the memory for the next segment.

        Args:
            by_distance: of `by_distance()`. blind: so many of the memory's frames were never there.
        """
        frames = asking.shape[1]
        q = self._split(self.query(asking))
        new = self._split(self.keys_values(asked))
        both = torch.cat((memory.to(new), new), 2)
        k, v = both.chunk(2, 1)
        place = ((q + self.place.to(q)) @ by_distance.to(q)) * self.scale
        # Row i of (n, W) moves i to the right; what is out of reach, before or after, becomes minus infinity.
        bias = F.pad(place, (0, frames), value=float("-inf")).flatten(-2)[..., : frames * (frames + self.reach - 1)]
        bias = bias.unflatten(-1, (frames, frames + self.reach - 1))
        if blind > 0:
            bias = F.pad(bias[..., blind:], (blind, 0), value=float("-inf"))
        seen = F.scaled_dot_product_attention(q + self.content.to(q), k, v, attn_mask=bias, scale=self.scale)
        return self.out(seen.transpose(1, 2).flatten(2)), both[:, :, both.shape[2] - self.reach + 1 :].detach()


class Block(nn.Module):
    """Self-attention of a stream, attention to another one, and a feed-forward part, each added to it; norms first."""

    def __init__(self, width: int, heads: int, reach: int, hidden: int, dropout: float, apart: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own = RelativeAttention(width, heads, reach)
        self.other = RelativeAttention(width, heads, reach)
        self.other_norm = nn.LayerNorm(width) if apart else None
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.normal_(self.down.weight, std=0.5 * hidden**-0.5)
        self.drop = nn.Dropout(dropout)

    @property
    def attentions(self) -> tuple[RelativeAttention, RelativeAttention]:
        return self.own, self.other

    def forward(
        self, x: Tensor, other: Tensor, memory: list[Memory], by_distance: list[Tensor], blind: int
    ) -> tuple[Tensor, list[Memory]]:
        """(B, n, D) streams -> the first, changed, and the memories of both attentions."""
        h = self.norms[0](x)
        added, own = self.own(h, h, memory[0], by_distance[0], blind)
        x = x + self.drop(added)
        asked = other if self.other_norm is None else self.other_norm(other)
        added, beside = self.other(self.norms[1](x), asked, memory[1], by_distance[1], blind)
        x = x + self.drop(added)
        h = self.down(F.gelu(self.up(self.norms[2](x)), approximate="tanh"))
        return x + self.drop(h), [own, beside]
