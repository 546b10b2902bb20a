"""The driver's two text branches: feelings as pooled vectors, facial actions as clauses with their words and times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from instruct_data.face.actions import action_names

SENTENCE = 384  # width of the sentence encoder's states
PERIODS = 10  # of the clause clock
HARMONICS = 3  # of the beat
TIMING = 5  # since, left, strength, repeat, active
LOUD = 8.0  # an action's vector is trained only when the action is there; so it learns about as fast as the rest
CLOCK = 4 * PERIODS + 2 * HARMONICS + 4


def clock(timing: Tensor) -> Tensor:
    """(..., 5) seconds since a clause began, until it ends, its strength, count, and 1 -> (..., CLOCK).

    Sines and cosines of both times with periods from 0.4 to 40 s, fine enough to place a blink, long enough for a
    minute; of the beat, which turns `count` times within the clause, with its first harmonics; how far the clause and
    the beat are; strength and its square.
    """
    since, left, strength, count = (timing[..., i] for i in range(4))
    rate = 2 * torch.pi / (0.4 * 100 ** (torch.arange(PERIODS, device=timing.device) / (PERIODS - 1)))
    angles = torch.cat([since[..., None].clamp(-2, 40) * rate, left[..., None].clamp(-2, 40) * rate], -1)
    done = (since / (since + left).clamp(min=1e-3)).clamp(0, 1)
    turns = done * count
    beat = 2 * torch.pi * turns[..., None] * torch.arange(1, HARMONICS + 1, device=timing.device)
    share = (turns - turns.floor()) * (done < 1)
    told = torch.stack([done, share, strength, strength**2], -1)
    return torch.cat([angles.sin(), angles.cos(), beat.sin(), beat.cos(), told], -1)


class EmotionBranch(nn.Module):
    """Pooled sentence vector and its strength -> (.., D) for the trunk, nothing at strength 0; and curves beside it.

    Args:
        curves: how many, 0 = none. Through the trunk alone feelings that take one side of the face (contempt, doubt)
            are hardly learnt.
    """

    def __init__(self, width: int, inner: int, zero: bool, curves: int = 0) -> None:
        super().__init__()
        self.inner = nn.Linear(SENTENCE + 1, inner)
        self.outer = nn.Linear(inner, width)
        self.gate = _gate(width, zero)
        self.direct = nn.Linear(inner, curves, bias=False) if curves else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)

    def forward(self, vector: Tensor, strength: Tensor) -> tuple[Tensor, Tensor | None]:
        """(.., 384) unit vectors times strength, and (.., 1) strengths in [0, 1]."""
        scale = 384**0.5 / 4  # unit vectors would hardly move the layer
        y = F.gelu(self.inner(torch.cat([vector * scale, strength], -1)), approximate="tanh")
        there = torch.tanh(3 * strength)
        return self.gate(self.outer(y)) * there, None if self.direct is None else self.direct(y) * there


class MotionBranch(nn.Module):
    """All words of the clauses, with their times, as seen from each frame -> (.., D), and curves beside the trunk.

    For every clause that is active in a frame: attention over its words, asked by the clause's clock and the trunk's
    state, so that it can move along the words as time passes; what it sees, a vector of the action where it is a known
    one (sentence encoders hardly tell left from right) and the clock give the clause's part, and the parts of
    simultaneous clauses add up. A part goes to the curves directly: through the trunk alone left and right of what
    speech always does on both sides are hardly learnt.
    """

    heads = 4

    def __init__(self, width: int, inner: int, curves: int, zero: bool) -> None:
        super().__init__()
        self.inner = inner
        self.query, self.query_clock = nn.Linear(width, inner), nn.Linear(CLOCK, inner, bias=False)
        self.key, self.value = nn.Linear(SENTENCE, inner, bias=False), nn.Linear(SENTENCE, inner, bias=False)
        self.kinds = nn.Embedding(len(action_names()) + 1, inner, padding_idx=0)
        self.first = nn.Linear(inner + CLOCK, 2 * inner)
        self.second = nn.Linear(2 * inner, 2 * inner)
        self.outer = nn.Linear(2 * inner, width)
        self.gate = _gate(width, zero)
        self.direct = nn.Linear(2 * inner, curves, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(
        self, h: Tensor, states: Tensor, words: Tensor, kinds: Tensor, timing: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the text adds to each frame: (B, T, D) to the trunk and (B, T, curves) to the curves.

        Args:
            h: (B, T, D) normalised trunk states.
            states: (B, C, N, 384) token states of C clauses.
            words: (B, C, N) 1 for words, 0 for padding; a clause that is ever active has at least one.
            kinds: (B, C) which of the known actions a clause is, counted from 1; 0 = only its words say.
            timing: (B, T, C, 5), see `clock`; the last is 1 where the clause is active.
        """
        size = self.inner // self.heads
        rows, frames, clauses = timing.shape[:3]
        # Rows are taken by index_select and put by index_copy: their gradients are summed in a fixed order.
        row, frame, clause = timing[..., 4].nonzero(as_tuple=True)
        if not len(row):
            return torch.zeros_like(h), h.new_zeros(rows, frames, self.direct.out_features)
        which = row * clauses + clause
        told = clock(timing[row, frame, clause])
        here = h.flatten(0, 1).index_select(0, row * frames + frame)
        query = (self.query(here) + self.query_clock(told)).unflatten(-1, (self.heads, size))
        shape = (-1, states.shape[2], self.heads, size)
        key = self.key(states).view(shape).index_select(0, which)  # (M, N, heads, size)
        value = self.value(states).view(shape).index_select(0, which)
        score = torch.einsum("mhs,mnhs->mnh", query, key).float() * size**-0.5
        weight = score.masked_fill(words[row, clause, :, None] == 0, -1e9).softmax(1).to(value.dtype)
        kind = LOUD * self.kinds(kinds).flatten(0, 1).index_select(0, which)
        seen = torch.einsum("mnh,mnhs->mhs", weight, value).flatten(1) + kind.to(value.dtype)
        y = F.gelu(self.first(torch.cat([seen, told.to(seen.dtype)], -1)), approximate="tanh")
        y = F.gelu(self.second(y), approximate="tanh")
        place = (row * frames + frame) * clauses + clause

        def put(part: Tensor) -> Tensor:
            parts = torch.zeros(rows * frames * clauses, part.shape[-1], dtype=h.dtype, device=h.device)
            return parts.index_copy(0, place, part.to(h.dtype)).view(rows, frames, clauses, -1).sum(2)

        return put(self.gate(self.outer(y))), put(self.direct(y))


def _gate(width: int, zero: bool) -> nn.Linear:
    gate = nn.Linear(width, width, bias=False)
    if zero:
        nn.init.zeros_(gate.weight)
    return gate


@dataclass
class Text:
    """Text for a batch, by video frame (already moved to the hidden states' time).

    Attributes:
        emotion: (B, T, 384) unit vectors times strength.
        strength: (B, T, 1).
        states, words, kinds, timing: see `MotionBranch`.
    """

    emotion: Tensor
    strength: Tensor
    states: Tensor
    words: Tensor
    kinds: Tensor
    timing: Tensor
