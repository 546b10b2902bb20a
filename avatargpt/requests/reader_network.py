"""The network that reads requests: words and tokens so far -> the next token, or a word that is copied."""
# An encoder over the states of the frozen sentence encoder and a decoder with pointers (See et al. 2017, Vinyals et al.
# 2015): literal parts of a request (actions, numbers, manners) are copied, so that it reads words it never saw.

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avatargpt.lm.text_encoder import LAYERS, WIDTH
from instruct_data.requests.pairs import OPENING, ORDER
from instruct_data.requests.spec import ATTRIBUTES
from instruct_data.requests.ways import CHOICES, COPIED, DOMAINS, VALUES, WHOLE
from instruct_data.requests.wording import is_numeral
from vqvae.errors import UserError
from vqvae.strict import Dropout, PositiveInt, Strict

OPEN = tuple(OPENING.values())
CONSTANTS = tuple(
    f"#{v:g}"
    for v in (*range(1, 21), 24, 25, 30, 40, 45, 50, 60, 70, 72, 75, 80, 90, 99, 100, 120, 135, 150, 180, 200, 225, 240,
              270, 300, 315, 360, 450, 480, 540, 600, 630, 720, 900, 1000, 1080, 1440, 1800,
              0.1, 0.2, 0.25, 0.3, 0.33, 0.4, 0.5, 0.6, 0.67, 0.7, 0.75,
              0.8, 0.9, 1.1, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2.5, 3.5, 4.5, 5.5, 7.5, 12.5, 22.5)
)  # fmt: skip
MAX_TARGET = 110  # tokens of a target
MAX_CLAUSES = 12  # of one
LINKS = ("-", "and", "a")  # within a number
FACE = (
    "times", "seconds", "minutes", "until_end", "tempo", *ORDER[ORDER.index("at") : ORDER.index("of")],
    "total_s", "total_min",
    "alternating", "rounds", "in_all",
)  # fmt: skip
DOMAIN_TOKENS = {
    "body": {"new", "with", "not", *ATTRIBUTES, "minutes", "unknown", "whole", *WHOLE[: WHOLE.index("alternating")]},
    "face": {"new", "with", "not", "whole", *FACE},
    "chat": {"act", "times", "seconds", "minutes", "factor", "size", "of", "where", "to_of", "what", "topic"},
}
"""Tokens of each domain's requests."""
BARE = tuple(t for t in OPEN if t.startswith("act="))  # openings that need no words


class Vocabulary:
    """The V `tokens` by number; places of words follow them: V + i is word i."""

    def __init__(self) -> None:
        tokens: list[str] = ["end", *OPEN, "whole"]
        for name in (*ORDER, *WHOLE):
            if name in CHOICES:
                tokens += [f"{name}={v}" for v in CHOICES[name]]
            elif name in VALUES or name in COPIED:
                tokens.append(f"{name}=")
        self.tokens = list(dict.fromkeys([*tokens, *CONSTANTS]))
        self.number = {t: i for i, t in enumerate(self.tokens)}
        # of an attribute: its place in the order of a clause, or of the whole
        self.place = np.full(len(self.tokens), -1)
        for i, token in enumerate(self.tokens):
            name = token.partition("=")[0]
            if "=" in token and token not in OPEN:
                self.place[i] = ORDER.index(name) if name in ORDER else len(ORDER) + 1 + WHOLE.index(name)
        self.place[self.number["whole"]] = len(ORDER)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _domains(self) -> dict[str, np.ndarray]:
        names = [t.partition("=")[0] for t in self.tokens]
        shared = np.array([n == "end" or n[:1] == "#" for n in names])
        return {domain: shared | np.isin(names, [*tokens]) for domain, tokens in DOMAIN_TOKENS.items()}

    @cached_property
    def _kind(self) -> dict[str, np.ndarray]:
        names = [t.partition("=")[0] for t in self.tokens]
        return {
            "value": np.array([t.endswith("=") and n in VALUES for t, n in zip(self.tokens, names, strict=True)]),
            "copied": np.array([t.endswith("=") and n in COPIED for t, n in zip(self.tokens, names, strict=True)]),
            "constant": np.array([t.startswith("#") for t in self.tokens]),
            "open": np.array([t in OPEN for t in self.tokens]),
        }

    def encode(self, target: Sequence[str | int]) -> list[int]:
        """Numbers of a target's tokens and words; raises KeyError for an unknown token."""
        return [len(self) + t if isinstance(t, int) else self.number[t] for t in target]

    def decode(self, numbers: Sequence[int]) -> list[str | int]:
        return [self.tokens[i] if i < len(self) else i - len(self) for i in numbers]

    def allowed(self, before: Sequence[int], words: Sequence[str], domain: str = "body") -> np.ndarray:
        """(V + N,) tokens, and words of N, that may follow in a request of a domain."""
        # an action has a word at least; attributes stand in their order, each at most once; a number is one constant or
        # numerals in a row
        size, n = len(self), len(words)
        out = np.zeros(size + n, bool)
        if len(before) >= MAX_TARGET - 2:
            out[0] = True
            return out
        if not before:
            out[:size] = self._kind["open"] & self._domains[domain]
            out[self.number["with"]] = False
            return out
        last = before[-1]
        head = next(
            (i for i in range(len(before) - 1, -1, -1) if before[i] < size and not self._kind["constant"][before[i]]), 0
        )
        heading = before[head]
        copies = [i - size for i in before[head + 1 :] if i >= size]
        fresh = np.ones(n, bool)
        if copies:
            fresh[copies] = False
        if self._kind["value"][heading] and last == heading or copies and self._kind["value"][heading]:
            numerals = np.array([is_numeral(w) for w in words], bool)
            if last == heading:
                out[:size] = self._kind["constant"]
                out[size:] = numerals
                return out
            following = last - size + 1
            # "forty-five", "a hundred and ten", "two and a half"
            for _ in range(2):
                following += following < n - 1 and words[following] in LINKS
            if following < n and numerals[following]:
                out[size + following] = True
        elif self._kind["open"][heading] or self._kind["copied"][heading]:
            out[size:] = fresh
            if last == heading and self.tokens[heading] not in BARE:
                return out
        # what may stand behind something complete
        place = self.place[heading]
        if self._kind["open"][heading]:
            place = -1
        overall = place >= len(ORDER)
        out[:size] |= (self.place > place) & ((self.place <= len(ORDER)) | overall)
        if heading != self.number["whole"]:
            out[self.number["end"]] = True
        if not overall and sum(self._kind["open"][i] for i in before if i < size) < MAX_CLAUSES:
            out[:size] |= self._kind["open"]
        out[:size] &= self._domains[domain]
        return out


Layer = Annotated[int, Field(ge=0, le=LAYERS)]


class RequestConfig(Strict):
    """The settings under `model` in a configuration.

    Attributes:
        width, hidden, heads: of the layers. encoder, decoder: number of them. dropout: in training.
        layers: of the sentence encoder: the first ones know words and numbers, the last ones the meaning.
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
        self.place = nn.Parameter(torch.zeros(MAX_TARGET + 1, width))
        self.order = nn.Parameter(torch.zeros(MAX_WORDS, width))
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
        tokens_logits = x @ self.table.weight[: self.size].T
        copied = self.ask(x) @ self.answer(read).mT * self.config.width**-0.5
        return torch.cat([tokens_logits, copied.masked_fill(words[:, None] == 0, -1e9)], -1)

    def forward(self, states: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        return self.decode(self.encode(states, words), words, tokens)


MAX_WORDS = 96  # of a request
