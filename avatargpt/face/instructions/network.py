"""The instruction parser's network: token states of an instruction and score tokens so far -> the next token.

`CachedDecoder` runs its decoder token by token, `ScoreSampler` writes score tokens that follow the grammar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.face.instructions.score_tokens import ScoreTokens
from avatargpt.lm.text_encoder import LAYERS, WIDTH, TunedLayers, best_of_rank
from vqvae.errors import UserError
from vqvae.strict import Dropout, Flag, NonNegativeInt, PositiveInt, Strict

MAX_TOKENS = 120  # of a score
MAX_WORDS = 96  # word pieces of an instruction
TEMPERATURE = 0.4  # of sampled readings
Layer = Annotated[int, Field(ge=0, le=LAYERS)]


class ParserConfig(Strict):
    """What `configs/parser/*.yaml` may set under `model`.

    Attributes:
        width, hidden, heads: of the layers. encoder, decoder: how many of them. dropout: while training.
        layers: of the sentence encoder that are read: the first ones know numbers and sides, the last ones the meaning.
        rank: of the changes to the encoder's layers above `tuned`, whose result is read as well; 0 = none.
        tuned: above which of `layers` the encoder is changed; None = the last of them.
        kinds: of instructions that have habits of their own (how long, how often, what goes together): each has a
            vector that is added to its words (tagged training data, Caswell et al. 2019). read_as: the kind that
            instructions are read as in use; "" = as of none.
        lengths: whether it learns a requested length, given in place of the token that begins a sequence.
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
        self.place = nn.Parameter(torch.zeros(MAX_TOKENS + 1, config.width))
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
        normal = nn.functional.layer_norm(states.unflatten(-1, (-1, WIDTH)), (WIDTH,))
        x = self.enter(normal.flatten(-2))
        if self.kinds is not None:
            if kinds is None:
                kinds = torch.full((len(x),), self.kind(self.config.read_as), device=x.device)
            x = x + nn.functional.pad(self.kinds, (0, 0, 0, 1))[kinds][:, None]  # the last one, for none, is zero
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=words == 0)
        out: Tensor = self.read(x)
        return out

    def decode(self, encoded: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        """(B, L) tokens, the first of them `begin` or a requested length -> (B, L, V)."""
        length = tokens.shape[1]
        x = self.drop(self.table(tokens) + self.place[:length])
        ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        for layer in self.decoder:
            x = layer(x, encoded, tgt_mask=ahead, memory_key_padding_mask=words == 0, tgt_is_causal=True)
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
        """The same network with changes to the sentence encoder of a lower rank, as close as possible to its own."""
        if rank >= self.config.rank:
            return self
        state = self.state_dict()
        for name in [k.removesuffix(".up") for k in state if k.endswith(".up")]:
            up, down = best_of_rank(state[f"{name}.up"], state[f"{name}.down"], rank)
            state |= {f"{name}.up": up, f"{name}.down": down}
        out = ParserNetwork(self.config.changed(rank=rank))
        out.load_state_dict(state)
        return out.train(self.training)


# Decoding with cached keys and values
@dataclass
class _Cache:
    """Keys and values of one layer: of the words (R, H, N, d), and of the tokens so far (R, H, L, d)."""

    words: tuple[Tensor, Tensor]
    tokens: tuple[Tensor, Tensor]


class CachedDecoder:
    """The network's decoder token by token, with cached keys and values; R rows at once, each of one of W texts.

    Args:
        network: in evaluation mode.
        encoded, words: (W, N, D) the texts by `network.encode`, and (W, N) 1 for words.
        text_of: (R,) the text of each row.
    """

    def __init__(self, network: ParserNetwork, encoded: Tensor, words: Tensor, text_of: Tensor) -> None:
        self.network, self._length = network, 0
        self._heads = network.config.heads
        self._mask = words.bool()[text_of][:, None, None]
        self._layers = [layer for layer in network.decoder if isinstance(layer, nn.TransformerDecoderLayer)]
        self._caches: list[_Cache] = []
        for layer in self._layers:
            a = layer.multihead_attn
            weights, biases = a.in_proj_weight.chunk(3), a.in_proj_bias.chunk(3)
            key, value = (self._split(F.linear(encoded, weights[i], biases[i]))[text_of] for i in (1, 2))
            empty = key[:, :, :0]
            self._caches.append(_Cache((key, value), (empty, empty)))

    def _split(self, x: Tensor) -> Tensor:
        """(R, L, D) -> (R, H, L, d)."""
        return x.unflatten(-1, (self._heads, -1)).transpose(1, 2)

    def step(self, tokens: Tensor) -> Tensor:
        """The latest token of each row (R,) -> logits of the next one (R, V)."""
        net = self.network
        x = net.table(tokens[:, None]) + net.place[self._length]
        for layer, cache in zip(self._layers, self._caches, strict=True):
            a = layer.self_attn
            q, k, v = (self._split(p) for p in F.linear(layer.norm1(x), a.in_proj_weight, a.in_proj_bias).chunk(3, -1))
            cache.tokens = (torch.cat((cache.tokens[0], k), 2), torch.cat((cache.tokens[1], v), 2))
            x = x + self._project(a, F.scaled_dot_product_attention(q, *cache.tokens))
            b = layer.multihead_attn
            q = self._split(F.linear(layer.norm2(x), b.in_proj_weight.chunk(3)[0], b.in_proj_bias.chunk(3)[0]))
            x = x + self._project(b, F.scaled_dot_product_attention(q, *cache.words, attn_mask=self._mask))
            x = x + layer.linear2(F.gelu(layer.linear1(layer.norm3(x))))
        self._length += 1
        out: Tensor = net.leave(x[:, 0]) @ net.table.weight[:-1].T
        return out

    @staticmethod
    def _project(a: nn.MultiheadAttention, x: Tensor) -> Tensor:
        out: Tensor = a.out_proj(x.transpose(1, 2).flatten(2))
        return out

    def select(self, rows: Tensor) -> None:
        """Continue with these rows (k,) alone."""
        self._mask = self._mask[rows]
        for cache in self._caches:
            cache.words = (cache.words[0][rows], cache.words[1][rows])
            cache.tokens = (cache.tokens[0][rows], cache.tokens[1][rows])


# Reading
def pad_states(states: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Token states of several texts -> (B, N, 384 * layers) and (B, N) 1 for words."""
    cut = [s[:MAX_WORDS] for s in states]
    out = np.zeros((len(cut), max(len(s) for s in cut), cut[0].shape[1]), np.float32)
    words = np.zeros(out.shape[:2], np.float32)
    for k, s in enumerate(cut):
        out[k, : len(s)], words[k, : len(s)] = s, 1
    return torch.from_numpy(out), torch.from_numpy(words)


class ScoreSampler:
    """Rows of score tokens by one network: the likeliest, or samples. All follow the grammar of `ScoreTokens`."""

    def __init__(self, network: ParserNetwork, tokens: ScoreTokens) -> None:
        self.network, self.tokens = network, tokens

    def begin(self, seconds: float | None) -> int:
        """First token of a sequence: a requested length, where the network learnt lengths."""
        if seconds is None or not self.network.config.lengths:
            return self.network.begin
        return self.tokens.token("length", seconds)

    def encode(self, states: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Token states of W texts -> (W, N, width), and (W, N) 1 for words."""
        padded, words = pad_states(states)
        return self.network.encode(padded, words), words

    def sample(self, states: Sequence[np.ndarray], seconds: float | None, samples: int) -> list[list[list[int]]]:
        """Samples for each text, token by token; those that come to no end are left out."""
        # A fixed seed: the same instruction is always read alike.
        rng = np.random.default_rng(0)
        rows: list[list[int]] = [[] for _ in range(samples * len(states))]
        live = list(range(len(rows)))
        decoder = CachedDecoder(self.network, *self.encode(states), torch.tensor(live) // samples)
        latest = torch.full((len(rows),), self.begin(seconds))
        for length in range(MAX_TOKENS):
            chances = (decoder.step(latest).double() / TEMPERATURE).softmax(-1).numpy()
            for i, row in zip(live, chances, strict=True):
                possible = np.zeros_like(row)
                for name in self._allowed(rows[i], length):
                    first = self.tokens.first[name]
                    possible[first : first + len(self.tokens.fields[name])] = 1
                rows[i].append(int(rng.choice(len(row), p=row * possible / (row * possible).sum())))
            going = [k for k, i in enumerate(live) if rows[i][-1] != 0]
            live = [live[k] for k in going]
            if not live:
                break
            decoder.select(torch.tensor(going))
            latest = torch.tensor([rows[i][-1] for i in live])
        by_text = [rows[k : k + samples] for k in range(0, len(rows), samples)]
        return [[row for row in group if row[-1] == 0] for group in by_text]

    def likeliest(self, states: np.ndarray, seconds: float | None) -> list[int]:
        """Token by token the likeliest allowed field, all its values together, and of these the likeliest."""
        row: list[int] = []
        decoder = CachedDecoder(self.network, *self.encode([states]), torch.tensor([0]))
        while len(row) < MAX_TOKENS and (not row or row[-1] != 0):
            latest = torch.tensor(row[-1:] or [self.begin(seconds)])
            logits = decoder.step(latest)[0]
            row.append(self.choose(logits.softmax(-1).double().numpy(), self._allowed(row, len(row))))
        return row

    def _allowed(self, row: list[int], length: int) -> Sequence[str]:
        """Fields that may come next; towards the limit no further actions."""
        allowed = self.tokens.allowed(row)
        return ["length"] if length > MAX_TOKENS - 8 and "length" in allowed else allowed

    def choose(self, chances: np.ndarray, allowed: Sequence[str]) -> int:
        """The likeliest token of the likeliest allowed field, of chances (V,)."""
        parts = {name: chances[self.tokens.first[name] :][: len(self.tokens.fields[name])] for name in allowed}
        # A field counts by the sum of its values; tail and length count together, for both say that no action follows.
        ends = [name for name in allowed if name in ("tail", "length")]
        groups = [[name] for name in allowed if name not in ends] + ([ends] if ends else [])
        group = max(groups, key=lambda names: sum(parts[n].sum() for n in names))
        name = max(group, key=lambda n: parts[n].sum())
        return self.tokens.first[name] + int(parts[name].argmax())
