"""The network that reads requests: words and tokens so far -> the next token, or a word that is copied.

An encoder over the states of the frozen sentence encoder and a decoder with pointers (See et al. 2017, Vinyals et al.
2015): what a request says literally (actions, numbers, manners) is copied, so that it reads words it never saw.
"""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avatargpt.lm.text_encoder import LAYERS, WIDTH
from avatargpt.requests.vocabulary import LONGEST, Vocabulary
from instruct_data.requests.ways import DOMAINS
from vqvae.errors import UserError
from vqvae.strict import Dropout, PositiveInt, Strict

Layer = Annotated[int, Field(ge=0, le=LAYERS)]


class RequestConfig(Strict):
    """What a configuration may set under `model`.

    Attributes:
        width, hidden, heads: of the layers. encoder, decoder: how many of them. dropout: while training.
        layers: of the sentence encoder that are read: the first ones know words and numbers, the last ones the meaning.
    """

    width: PositiveInt = 256
    hidden: PositiveInt = 768
    heads: PositiveInt = 4
    encoder: PositiveInt = 3
    decoder: PositiveInt = 2
    dropout: Dropout = 0.1
    layers: Annotated[list[Layer], Field(min_length=1)] = [0, 2]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.layers != sorted(set(self.layers)):
            raise UserError(f"layers {self.layers}; accepted: some of 0 to {LAYERS}, ascending")
        if self.width % self.heads:
            raise UserError(f"width {self.width}, {self.heads} heads; accepted: a width that the heads divide")
        return self


class RequestNetwork(nn.Module):
    """States of N words (B, N, 384 * layers) and tokens so far (B, L) -> logits (B, L, V + N)."""

    def __init__(self, config: RequestConfig) -> None:
        super().__init__()
        self.config = config
        width, self.size = config.width, len(Vocabulary())
        layer = dict(d_model=width, nhead=config.heads, dim_feedforward=config.hidden, dropout=config.dropout,
                     activation="gelu", batch_first=True, norm_first=True)  # fmt: skip
        self.enter = nn.Linear(len(config.layers) * WIDTH, width)
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**layer) for _ in range(config.encoder))  # type: ignore[arg-type]
        self.read = nn.LayerNorm(width)
        self.table = nn.Embedding(self.size + len(DOMAINS), width)  # the last ones begin a sequence of a domain
        self.copied = nn.Linear(width, width)
        self.place = nn.Parameter(torch.zeros(LONGEST + 1, width))
        self.order = nn.Parameter(torch.zeros(MOST_WORDS, width))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**layer) for _ in range(config.decoder))  # type: ignore[arg-type]
        self.leave = nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(width, width)
        self.drop = nn.Dropout(config.dropout)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.place, std=0.02)
        nn.init.normal_(self.order, std=0.02)

    def begin(self, domain: str) -> int:
        """The number that begins a sequence."""
        return self.size + DOMAINS.index(domain)

    def fed(self, token: int) -> int:
        """A token, or V + i for word i, as `decode` is given it."""
        return token if token < self.size else token + len(DOMAINS)

    def encode(self, states: Tensor, words: Tensor) -> Tensor:
        """(B, N, 384 * layers) and (B, N) 1 for words -> (B, N, D)."""
        even = nn.functional.layer_norm(states.unflatten(-1, (-1, WIDTH)), (WIDTH,))
        x = self.drop(self.enter(even.flatten(-2)) + self.order[: states.shape[1]])
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=words == 0)
        out: Tensor = self.read(x)
        return out

    def decode(self, read: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        """(B, L) tokens as `fed`, the first of them a `begin` -> (B, L, V + N)."""
        length, last = tokens.shape[1], self.size + len(DOMAINS) - 1
        is_copy = tokens > last
        held = read.gather(1, (tokens - last - 1).clamp(min=0)[..., None].expand(-1, -1, read.shape[-1]))
        x = torch.where(is_copy[..., None], self.copied(held), self.table(tokens.clamp(max=last)))
        x = self.drop(x + self.place[:length])
        ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        for layer in self.decoder:
            x = layer(x, read, tgt_mask=ahead, memory_key_padding_mask=words == 0, tgt_is_causal=True)
        x = self.leave(x)
        said = x @ self.table.weight[: self.size].T
        copied = self.ask(x) @ self.answer(read).mT * self.config.width**-0.5
        return torch.cat([said, copied.masked_fill(words[:, None] == 0, -1e9)], -1)

    def forward(self, states: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        return self.decode(self.encode(states, words), words, tokens)


MOST_WORDS = 96  # of a request
