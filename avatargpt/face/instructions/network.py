"""The network of the reader: token states of an instruction and tokens of a score so far -> the next token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from avatargpt.face.instructions.score_tokens import Clock, ScoreTokens
from avatargpt.model.tuned_layers import LAYERS, WIDTH, TunedLayers, best_of_rank
from vqvae.errors import UserError

MOST_TOKENS = 120  # of a score
PERIODS = 0.5 * 2 ** (np.arange(15) / 2)  # s; of the waves that tell how much of a wanted length is left
MOST_LEFT = 30.0  # s


@dataclass
class ParserConfig:
    """What `configs/driver/reader.yaml` may set under `model`.

    Attributes:
        width, hidden, heads: of the layers. encoder, decoder: how many of them. dropout: while training.
        layers: of the sentence encoder that are read: the first ones know numbers and sides, the last ones the meaning.
        rank: of the changes to the encoder's layers above `tuned`, whose result is read as well; 0 = none.
        tuned: above which of `layers` the encoder is changed; None = the last of them.
        kinds: of instructions that have habits of their own (how long, how often, what goes together): each has a
            vector that is added to its words (tagged training data, Caswell et al. 2019). read_as: the kind that
            instructions are read as in use; "" = as of none.
        lengths: whether it learns to heed a wanted length, which is told in place of the token that begins a sequence.
        countdown: whether it is also told, token by token, how much of a wanted length is left (length-difference
            encoding, Takase and Okazaki, NAACL 2019).
    """

    width: int = 160
    hidden: int = 480
    heads: int = 4
    encoder: int = 1
    decoder: int = 2
    dropout: float = 0.1
    layers: list[int] = field(default_factory=lambda: [0, 3])
    rank: int = 12
    lengths: bool = False
    countdown: bool = False
    tuned: int | None = None
    kinds: list[str] = field(default_factory=list)
    read_as: str = ""

    def __post_init__(self) -> None:
        if not self.layers or self.layers != sorted(set(self.layers) & set(range(LAYERS + 1))):
            raise UserError(f"reader: layers {self.layers}; accepted: some of 0 to 6, ascending")
        if self.tuned is not None and (self.tuned not in self.layers or not self.rank):
            raise UserError(f"reader: tuned {self.tuned}, rank {self.rank}; accepted: one of layers, a rank above 0")
        if self.read_as and self.read_as not in self.kinds:
            raise UserError(f"reader: read_as {self.read_as!r}; accepted: {', '.join(self.kinds) or 'nothing'}")
        if self.countdown and not self.lengths:
            raise UserError("reader: countdown without lengths; accepted: both, or lengths alone")
        if self.rank < 0 or (self.rank and self.first == LAYERS):
            raise UserError(f"reader: rank {self.rank}; accepted: 0 or more, 0 where the last layer is among `layers`")
        if min(self.width, self.hidden, self.heads, self.encoder, self.decoder) < 1 or self.width % self.heads:
            layers = f"{self.encoder} + {self.decoder} layers"
            sizes = f"width {self.width}, hidden {self.hidden}, {self.heads} heads, {layers}"
            raise UserError(f"reader: {sizes}; accepted: 1 or more each, a width that the heads divide")
        if not 0 <= self.dropout < 1:
            raise UserError(f"reader: dropout {self.dropout}; accepted: 0 up to below 1")

    @property
    def first(self) -> int:
        """The layer of the sentence encoder whose states the changed ones begin with."""
        return self.layers[-1] if self.tuned is None else self.tuned


class ParserNetwork(nn.Module):
    """Token states of an instruction (B, N, 384 * layers) and tokens so far (B, L) -> logits (B, L, V)."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        size = len(ScoreTokens())
        layer = dict(d_model=config.width, nhead=config.heads, dim_feedforward=config.hidden, dropout=config.dropout,
                     activation="gelu", batch_first=True, norm_first=True)  # fmt: skip
        self.tuned = TunedLayers(config.first, config.rank, config.dropout) if config.rank else None
        self.kinds = nn.Parameter(torch.zeros(len(config.kinds), config.width)) if config.kinds else None
        self.enter = nn.Linear((len(config.layers) + bool(config.rank)) * WIDTH, config.width)
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**layer) for _ in range(config.encoder))  # type: ignore[arg-type]
        self.read = nn.LayerNorm(config.width)
        self.table = nn.Embedding(size + 1, config.width)  # the last one begins a sequence
        self.place = nn.Parameter(torch.zeros(MOST_TOKENS + 1, config.width))
        self.left = nn.Linear(2 * len(PERIODS), config.width) if config.countdown else None
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**layer) for _ in range(config.decoder))  # type: ignore[arg-type]
        self.leave = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.place, std=0.02)
        if self.left is not None:  # without effect at first
            nn.init.zeros_(self.left.weight)
            nn.init.zeros_(self.left.bias)

    def encode(self, states: Tensor, words: Tensor, kinds: Tensor | None = None) -> Tensor:
        """(B, N, 384 * layers) and (B, N) 1 for words -> (B, N, D).

        Args:
            kinds: (B,) of the instructions, by their place in the configuration, -1 = none; None = `read_as`.
        """
        if self.tuned is not None:
            at = self.config.layers.index(self.config.first) * WIDTH
            states = torch.cat([states, self.tuned(states[..., at : at + WIDTH], words).to(states.dtype)], -1)
        even = nn.functional.layer_norm(states.unflatten(-1, (-1, WIDTH)), (WIDTH,))
        x = self.enter(even.flatten(-2))
        if self.kinds is not None:
            if kinds is None:
                kinds = torch.full((len(x),), self.kind(self.config.read_as), device=x.device)
            x = x + nn.functional.pad(self.kinds, (0, 0, 0, 1))[kinds][:, None]  # the last one, for none, is zero
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=words == 0)
        out: Tensor = self.read(x)
        return out

    def entered(self, tokens: Tensor, place: Tensor, left: Tensor | None) -> Tensor:
        """Tokens (..., L), places (..., L, D) and what is left of a wanted length (..., L) in seconds -> (..., L, D).

        Args:
            left: NaN where no length is wanted; None = nowhere.
        """
        x: Tensor = self.table(tokens) + place
        if self.left is None or left is None:
            return x
        angle = left.nan_to_num().clamp(-MOST_LEFT, MOST_LEFT)[..., None] * self._speeds.to(x.device)
        told = self.left(torch.cat((angle.sin(), angle.cos()), -1))
        return x + torch.where(left.isnan()[..., None], 0.0, told)

    @property
    def _speeds(self) -> Tensor:
        return torch.from_numpy((2 * np.pi / PERIODS).astype(np.float32))

    def decode(self, read: Tensor, words: Tensor, tokens: Tensor, left: Tensor | None = None) -> Tensor:
        """(B, L) tokens, the first of them `begin` or a wanted length, and (B, L) seconds that are left of it, as
        `entered` takes them -> (B, L, V)."""
        length = tokens.shape[1]
        x = self.drop(self.entered(tokens, self.place[:length], left))
        ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        for layer in self.decoder:
            x = layer(x, read, tgt_mask=ahead, memory_key_padding_mask=words == 0, tgt_is_causal=True)
        return self.leave(x) @ self.table.weight[:-1].T

    @property
    def begin(self) -> int:
        return len(self.table.weight) - 1

    def kind(self, name: str) -> int:
        """Place of a kind of instructions, -1 for one that has no vector."""
        return self.config.kinds.index(name) if name in self.config.kinds else -1

    def forward(
        self, states: Tensor, words: Tensor, tokens: Tensor, kinds: Tensor | None = None, left: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        return self.decode(self.encode(states, words, kinds), words, tokens, left)

    def with_rank(self, rank: int) -> ParserNetwork:
        """The same network with changes to the sentence encoder of a lower rank, as near to its own as can be; itself
        where its rank is not above that."""
        if rank >= self.config.rank:
            return self
        state = self.state_dict()
        for name in [k.removesuffix(".up") for k in state if k.endswith(".up")]:
            up, down = best_of_rank(state[f"{name}.up"], state[f"{name}.down"], rank)
            state |= {f"{name}.up": up, f"{name}.down": down}
        out = ParserNetwork(replace(self.config, rank=rank))
        out.load_state_dict(state)
        return out.train(self.training)


def seconds_left(tokens: Sequence[int], wanted: float, score_tokens: ScoreTokens) -> list[float]:
    """How much of a wanted length is left before each token of a sequence is written."""
    clock, out = Clock(score_tokens), list[float]()
    for token in tokens:
        out.append(wanted - clock.now)
        clock.step(token)
    return out
