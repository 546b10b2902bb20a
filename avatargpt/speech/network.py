"""The driver's network: causal dilated convolutions from speech features to face curves, steered by text.

One trunk with a bounded look-ahead: the hidden state after feature frame n speaks for video frame n - look_ahead. The
same weights run over whole windows (`forward`, training) and frame by frame (`avatargpt.speech.stream`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.speech.features import WIDTH as FEATURES
from avatargpt.speech.phones import ARPABET
from avatargpt.speech.teacher import STYLE
from avatargpt.speech.teacher import WIDTH as CURVES
from vqvae.errors import UserError

SENTENCE = 384  # width of the sentence encoder's states
PERIODS = 10  # of the clause clock
CLOCK = 4 * PERIODS
KERNEL = 3
GATES = ("zero", "open")


@dataclass
class DriverConfig:
    """What `configs/driver/*.yaml` may set under `model`.

    Attributes:
        width, hidden: channels of the trunk and inside its blocks.
        dilations: one block each, kernel 3.
        look_ahead: feature frames beyond the frame that is spoken for; 2 = 100 ms behind the sound.
        text_width: channels of the two text branches.
        inject: block after which text comes in.
        gates: ``zero``, the branches begin silent; ``open``, without that (an ablation).
    """

    width: int = 192
    hidden: int = 256
    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 1])
    look_ahead: int = 2
    text_width: int = 128
    inject: int = 2
    gates: str = "zero"


class Block(nn.Module):
    """x + W gelu(causal convolution of norm(x)); (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.taps = nn.Linear(KERNEL * width, hidden)  # oldest tap first
        self.out = nn.Linear(hidden, width)
        nn.init.normal_(self.out.weight, std=0.5 * hidden**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        past = F.pad(y, (0, 0, (KERNEL - 1) * self.dilation, 0))
        frames = x.shape[1]
        taps = [past[:, k * self.dilation : k * self.dilation + frames] for k in range(KERNEL)]
        return x + self.out(F.gelu(self.taps(torch.cat(taps, -1)), approximate="tanh"))


def clock(since: Tensor, left: Tensor) -> Tensor:
    """Seconds since a clause began and until it ends, (...) each -> (..., CLOCK) sines and cosines.

    Periods from 0.4 to 40 s: fine enough to place a blink, long enough for a minute.
    """
    rate = 2 * torch.pi / (0.4 * 100 ** (torch.arange(PERIODS, device=since.device) / (PERIODS - 1)))
    angles = torch.cat([since[..., None].clamp(-2, 40) * rate, left[..., None].clamp(-2, 40) * rate], -1)
    return torch.cat([angles.sin(), angles.cos()], -1)


class EmotionBranch(nn.Module):
    """Pooled sentence vector and its strength -> (.., D), nothing at strength 0."""

    def __init__(self, width: int, inner: int, zero: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(SENTENCE + 1, inner)
        self.outer = nn.Linear(inner, width)
        self.gate = _gate(width, zero)

    def forward(self, vector: Tensor, strength: Tensor) -> Tensor:
        """(.., 384) unit vectors times strength, and (.., 1) strengths in [0, 1]."""
        scale = 384**0.5 / 4  # unit vectors would hardly move the layer
        y = self.outer(F.gelu(self.inner(torch.cat([vector * scale, strength], -1)), approximate="tanh"))
        return self.gate(y) * torch.tanh(3 * strength)


class MotionBranch(nn.Module):
    """All token states of the clauses, with their times, as seen from each frame -> (.., D).

    Attention over the tokens of every active clause; the query knows the trunk's state and the clause's clock, so that
    it can move along the text as time passes. A null token takes the weight where no clause is active.
    """

    heads = 4

    def __init__(self, width: int, inner: int, zero: bool) -> None:
        super().__init__()
        self.inner = inner
        self.query, self.query_clock = nn.Linear(width, inner), nn.Linear(CLOCK, inner, bias=False)
        self.key, self.value = nn.Linear(SENTENCE, inner, bias=False), nn.Linear(SENTENCE, inner, bias=False)
        self.first = nn.Linear(inner + CLOCK, 2 * inner)
        self.second = nn.Linear(2 * inner, 2 * inner)
        self.outer = nn.Linear(2 * inner, width)
        self.gate = _gate(width, zero)

    def forward(self, h: Tensor, states: Tensor, since: Tensor, left: Tensor, active: Tensor) -> Tensor:
        """What the text adds to each frame.

        Args:
            h: (B, T, D) normalised trunk states.
            states: (B, N, 384) token states.
            since, left: (B, T, N) seconds since the token's clause began and until it ends.
            active: (B, T, N) 1 where the clause holds and the token is no padding, else 0.
        """
        batch, frames, tokens = active.shape
        size = self.inner // self.heads
        told = clock(since, left)
        query = (self.query(h)[:, :, None] + self.query_clock(told)).view(batch, frames, tokens, self.heads, size)
        key = self.key(states).view(batch, 1, tokens, self.heads, size)
        score = (query * key).sum(-1) * size**-0.5  # (B, T, N, heads)
        weight = torch.exp(score.float().clamp(-20, 20)) * active[..., None]
        weight = (weight / (weight.sum(2, keepdim=True) + 1.0)).to(h.dtype)  # + 1: the null token
        value = self.value(states).view(batch, tokens, self.heads, size)
        seen = torch.einsum("btnk,bnks->btks", weight, value).reshape(batch, frames, self.inner)
        when = torch.einsum("btn,btnc->btc", weight.mean(-1), told.to(h.dtype))
        y = F.gelu(self.first(torch.cat([seen, when], -1)), approximate="tanh")
        y = self.outer(F.gelu(self.second(y), approximate="tanh"))
        return self.gate(y) * weight.sum(2).mean(-1, keepdim=True)


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
        states, since, left, active: see `MotionBranch`.
    """

    emotion: Tensor
    strength: Tensor
    states: Tensor
    since: Tensor
    left: Tensor
    active: Tensor


@dataclass
class Said:
    """What the network says for each hidden state: curves, curves as recorded pairs have them, phone logits."""

    curves: Tensor  # (B, T, 55)
    paired: Tensor  # (B, T, 55)
    phones: Tensor  # (B, T, 2, 40)


class DriverNetwork(nn.Module):
    """Features (B, T, 332) -> `Said`; frame t speaks for video frame t - look_ahead.

    Raises:
        UserError: `gates` or `inject` that is not accepted.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: DriverConfig) -> None:
        super().__init__()
        if config.gates not in GATES:
            raise UserError(f"gates: {config.gates!r}; accepted: {', '.join(GATES)}")
        if not 1 <= config.inject <= len(config.dilations):
            raise UserError(f"inject: {config.inject}; accepted: 1 to {len(config.dilations)}, the number of blocks")
        self.config = config
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("std", torch.ones(FEATURES))
        self.enter = nn.Linear(FEATURES, config.width)
        self.nothing = nn.Parameter(torch.zeros(config.width))  # stands for features that are not numbers: no sound
        self.style = nn.Linear(len(STYLE), config.width, bias=False)
        self.blocks = nn.ModuleList(Block(config.width, config.hidden, d) for d in config.dilations)
        zero = config.gates == "zero"
        self.emotion = EmotionBranch(config.width, config.text_width, zero)
        self.motion_norm = nn.LayerNorm(config.width)
        self.motion = MotionBranch(config.width, config.text_width, zero)
        self.leave = nn.LayerNorm(config.width)
        self.curves = nn.Linear(config.width, CURVES)
        self.paired = nn.Linear(config.width, CURVES)
        self.phones = nn.Linear(config.width, 2 * len(ARPABET))
        for head in (self.curves, self.paired):
            nn.init.normal_(head.weight, std=0.005)
            nn.init.zeros_(head.bias)

    def normalise(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.std).clamp(-6, 6)

    def listen(self, features: Tensor) -> Tensor:
        """(.., 332) -> (.., D); rows that are not numbers become the learnt token for no sound at all."""
        missing = features[..., :1].isnan()
        if not missing.any():
            out: Tensor = self.enter(self.normalise(features))
            return out
        heard = self.enter(self.normalise(features.nan_to_num()))
        return torch.where(missing, self.nothing.to(heard.dtype), heard)

    def forward(self, features: Tensor, style: Tensor, text: Text | None = None) -> Said:
        """(B, T, 332) features as extracted, (B, 8) styles."""
        x = self.listen(features) + self.style(style)[:, None]
        for i, block in enumerate(self.blocks):
            x = block(x)
            if text is not None and i + 1 == self.config.inject:
                added = self.emotion(text.emotion, text.strength)
                moved = self.motion(self.motion_norm(x), text.states, text.since, text.left, text.active)
                x = x + added + moved
        return self.said(self.leave(x))

    def said(self, h: Tensor) -> Said:
        return Said(self.curves(h), self.paired(h), self.phones(h).unflatten(-1, (2, len(ARPABET))))
