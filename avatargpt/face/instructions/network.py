"""The network of the reader: token states of an instruction and tokens of a score so far -> the next token."""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avatargpt.face.instructions.score_tokens import ScoreTokens
from avatargpt.lm.text_encoder import LAYERS, WIDTH, TunedLayers, best_of_rank
from vqvae.errors import UserError
from vqvae.strict import Dropout, Flag, NonNegativeInt, PositiveInt, Strict

MOST_TOKENS = 120  # of a score
Layer = Annotated[int, Field(ge=0, le=LAYERS)]


class ParserConfig(Strict):
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
    """

    width: PositiveInt = 160
    hidden: PositiveInt = 480
    heads: PositiveInt = 4
    encoder: PositiveInt = 1
    decoder: PositiveInt = 2
    dropout: Dropout = 0.1
    layers: Annotated[list[Layer], Field(min_length=1)] = [0, 3]
    rank: NonNegativeInt = 12
    lengths: Flag = False
    tuned: NonNegativeInt | None = None
    kinds: list[str] = []
    read_as: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.layers != sorted(set(self.layers)):
            raise UserError(f"layers {self.layers}; accepted: some of 0 to {LAYERS}, ascending")
        if self.tuned is not None and (self.tuned not in self.layers or not self.rank):
            raise UserError(f"tuned {self.tuned}, rank {self.rank}; accepted: one of layers, a rank above 0")
        if self.read_as and self.read_as not in self.kinds:
            raise UserError(f"read_as {self.read_as!r}; accepted: {', '.join(self.kinds) or 'nothing'}")
        if self.rank and self.first == LAYERS:
            raise UserError(f"rank {self.rank}; accepted: 0 where the last layer is among `layers`")
        if self.width % self.heads:
            raise UserError(f"width {self.width}, {self.heads} heads; accepted: a width that the heads divide")
        return self

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
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**layer) for _ in range(config.decoder))  # type: ignore[arg-type]
        self.leave = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.place, std=0.02)

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

    def decode(self, read: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        """(B, L) tokens, the first of them `begin` or a wanted length -> (B, L, V)."""
        length = tokens.shape[1]
        x = self.drop(self.table(tokens) + self.place[:length])
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

    def forward(self, states: Tensor, words: Tensor, tokens: Tensor, kinds: Tensor | None = None) -> Tensor:
        return self.decode(self.encode(states, words, kinds), words, tokens)

    def with_rank(self, rank: int) -> ParserNetwork:
        """The same network with changes to the sentence encoder of a lower rank, as near to its own as can be; itself
        where its rank is not above that."""
        if rank >= self.config.rank:
            return self
        state = self.state_dict()
        for name in [k.removesuffix(".up") for k in state if k.endswith(".up")]:
            up, down = best_of_rank(state[f"{name}.up"], state[f"{name}.down"], rank)
            state |= {f"{name}.up": up, f"{name}.down": down}
        out = ParserNetwork(self.config.changed(rank=rank))
        out.load_state_dict(state)
        return out.train(self.training)
