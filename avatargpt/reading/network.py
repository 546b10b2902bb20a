"""The reading network: word pieces in, items out, one after another.

Shapes: B texts, N word pieces, I items, F fields of a kind, D = 384.
"""
# An encoder that begins as all-MiniLM-L6-v2 and is trained on. A small decoder takes a step an item, not a step a
# token: what it is fed is the mean state of the words of the item before and what that item was read as. From each
# step's state an item's fields are read at once: its words by a score for every piece, its name by the cosine of the
# words' mean state to a vector of each name, numbers by a score of each numeral and of a few constants.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field as Bounds
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.text_encoder import EPSILON, HEADS, LAYERS, WIDTH, encoder_weights
from instruct_data.reading.programs import CONSTANTS, PROGRAMS, Kind, Program
from vqvae.strict import Dropout, PositiveInt, Strict

KEY = 96  # width of what words are found by
MAX_ITEMS = 24  # of a text
PIECES = 30522  # word pieces that the encoder has vectors of
KINDS_OF_PIECES = 3  # held by an item, not shown, neither
SHARP = 8.0  # by which the writer's logits are larger than cosines
RARE = 3.0  # logit by which fields begin as none
TAGS = 3  # begins an item, goes on in one, neither


class ReadingConfig(Strict):
    """The settings under `model` in a configuration."""

    # hidden, heads, layers: of the decoder
    hidden: PositiveInt = 1024
    heads: PositiveInt = 6
    layers: PositiveInt = 2
    wide: PositiveInt = 768  # of the layers that fields are read by
    dropout: Dropout = 0.1
    # first layer of the encoder that is trained: 0 = all are, 6 = none is
    trained: Annotated[int, Bounds(ge=0, le=LAYERS)] = 0
    writer: list[Annotated[int, Bounds(ge=0, lt=LAYERS)]] = [2, 5]  # layers of the encoder that the writer begins as
    tables: dict[str, list[str]] = {}  # names of each table, *none* not among them
    spoken: list[Annotated[int, Bounds(ge=0, lt=PIECES)]] = [0]  # word pieces that the writer knows, ascending


class EncoderLayer(nn.Module):
    """One layer of the sentence encoder."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mix = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.even, self.leave = nn.LayerNorm(WIDTH, EPSILON), nn.LayerNorm(WIDTH, EPSILON)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """(B, N, D) and `blocked` (B, 1, 1, N), 0 or -1e9 -> (B, N, D)."""
        return self.think(self.attend(x, blocked))

    def attend(self, x: Tensor, blocked: Tensor) -> Tensor:
        """The first half: what is seen from each place."""
        q, k, v = (f(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        # Written out: the backward pass of torch's fused kernel is slow on a CPU with so few words.
        shares = (q @ k.mT * q.shape[-1] ** -0.5 + blocked).softmax(-1)
        out: Tensor = self.even(x + self.drop(self.mix((shares @ v).transpose(1, 2).flatten(2))))
        return out

    def think(self, x: Tensor) -> Tensor:
        """The second half: what is made of it."""
        out: Tensor = self.leave(x + self.drop(self.narrow(F.gelu(self.widen(x)))))
        return out


_PLACES = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "mix": "attention.output.dense", "even": "attention.output.LayerNorm", "widen": "intermediate.dense",
    "narrow": "output.dense", "leave": "output.LayerNorm",
}  # fmt: skip


class ReadingEncoder(nn.Module):
    """all-MiniLM-L6-v2 with layers that can be trained; its tables stay as they are and are not stored.

    `start`: the layers begin as those of all-MiniLM-L6-v2; else the tables are still empty, too (`fill_tables`).
    """

    table: Tensor
    places: Tensor

    def __init__(self, dropout: float, start: bool = True) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(0, WIDTH), persistent=False)
        self.register_buffer("places", torch.zeros(0, WIDTH), persistent=False)
        self.even = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(EncoderLayer(dropout) for _ in range(LAYERS))
        if start:
            self.fill_tables()
            self._start()

    def fill_tables(self) -> None:
        """Take the tables of word pieces and places from all-MiniLM-L6-v2."""
        weights = encoder_weights("embeddings.")
        self.table = weights["embeddings.word_embeddings.weight"].float()
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        self.places = (weights["embeddings.position_embeddings.weight"] + kind).float()

    def _start(self) -> None:
        weights = encoder_weights()
        with torch.no_grad():
            for part in ("weight", "bias"):
                getattr(self.even, part).copy_(weights[f"embeddings.LayerNorm.{part}"])
                for number, layer in enumerate(self.layers):
                    for ours, theirs in _PLACES.items():
                        getattr(getattr(layer, ours), part).copy_(weights[f"encoder.layer.{number}.{theirs}.{part}"])

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Word pieces (B, N), N <= 512, and their mask (B, N), 1 = piece -> (B, N, D)."""
        x = self.even(F.embedding(ids, self.table) + self.places[: ids.shape[1]])
        blocked = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(mask == 0, -1e9)[:, None, None]
        for layer in self.layers:
            x = layer(x, blocked)
        return x


class Heads(nn.Module):
    """What reads the fields of one program from the state of a step. Counts of logits: a choice has one for none before
    its words; a number one for none, one for each constant, and one for each piece; a place one for none and one for
    each piece.
    """

    def __init__(self, program: Program, wide: int, dropout: float) -> None:
        super().__init__()
        self.program, kinds = program, program.by_kind
        self.find = nn.Linear(WIDTH, KEY * max(len(kinds["words"]), 1))
        self.bias = nn.Parameter(torch.full((max(len(kinds["words"]), 1),), -2.0))
        self.sizes = [len(f.choices) + 1 for f in kinds["choice"]]
        self.flag_count, self.number_count = len(kinds["flag"]), len(kinds["number"])
        self.place_count = len(kinds["place"])
        self.constants = 1 + len(CONSTANTS)
        width = sum(self.sizes) + self.flag_count + self.number_count * self.constants + self.place_count
        self.read = nn.Sequential(nn.Linear(2 * WIDTH, wide), nn.GELU(), nn.Dropout(dropout), nn.Linear(wide, width))
        self.count = nn.Linear(2 * WIDTH, KEY * (self.number_count + self.place_count))
        self.whole_sizes = [
            {"flag": 1, "choice": len(f.choices) + 1}.get(f.kind, self.constants) for f in program.whole
        ]
        self.whole = nn.Linear(WIDTH, max(sum(self.whole_sizes), 1))
        self.whole_count = nn.Linear(WIDTH, KEY * max(sum(f.kind == "number" for f in program.whole), 1))
        # what the next step is told of the choices of an item
        self.chosen = nn.Embedding(max(self.sizes[0] if self.sizes else 1, 1), WIDTH)
        nn.init.normal_(self.chosen.weight, std=0.02)
        self._begin_with_none()

    def _begin_with_none(self) -> None:
        """Most fields of most items are none: that is where their logits begin."""
        if self.whole.weight.is_meta:  # weights follow
            return
        with torch.no_grad():
            last: Any = self.read[-1]
            for layer in (last, self.whole):
                layer.weight.mul_(0.1)
                layer.bias.zero_()
            at = 0
            for size in self.sizes:
                last.bias[at] = RARE
                at += size
            last.bias[at : at + self.flag_count] = -RARE
            at += self.flag_count
            for _ in range(self.number_count):
                last.bias[at] = 2 * RARE
                at += self.constants
            last.bias[at:] = RARE
            at = 0
            for f, size in zip(self.program.whole, self.whole_sizes, strict=True):
                self.whole.bias[at] = {"flag": -RARE, "number": 2 * RARE}.get(f.kind, 0.0)
                at += size

    def words(self, steps: Tensor, keys: Tensor) -> Tensor:
        """(B, I, D) and keys (B, N, KEY) -> (B, I, F, N)."""
        asked = self.find(steps).unflatten(-1, (-1, KEY))
        return torch.einsum("bifk,bnk->bifn", asked, keys) * KEY**-0.5 + self.bias[:, None]

    def values(self, steps: Tensor, pooled: Tensor, keys: Tensor, place_keys: Tensor) -> dict[Kind, list[Tensor]]:
        """States of steps, mean states of their words (B, I, D), keys of numerals and places (B, N, KEY) -> logits of
        each field by kind (B, I, ...).
        """
        both = torch.cat([steps, pooled], -1)
        sizes = [*self.sizes, self.flag_count, *[self.constants] * self.number_count, *[1] * self.place_count]
        parts = list(self.read(both).split(sizes, -1))
        choices, flags = parts[: len(self.sizes)], parts[len(self.sizes)]
        fixed = parts[len(self.sizes) + 1 :]
        asked = self.count(both).unflatten(-1, (-1, KEY))
        of_both = asked.split((self.number_count, self.place_count), -2)
        rows = [torch.einsum("bifk,bnk->bifn", a, k) for a, k in zip(of_both, (keys, place_keys), strict=True)]
        scores = (torch.cat(rows, -2) * KEY**-0.5).unbind(-2)
        pointed = [torch.cat(pair, -1) for pair in zip(fixed, scores, strict=True)]
        return {
            "choice": choices, "flag": list(flags.unbind(-1)), "number": pointed[: self.number_count],
            "place": pointed[self.number_count :],
        }  # fmt: skip

    def wholes(self, mean: Tensor, keys: Tensor) -> list[Tensor]:
        """Mean states (B, D) -> of each field of the whole (B, 1) a flag, (B, C + 1) a choice, or a number."""
        logits, asked = self.whole(mean), self.whole_count(mean).unflatten(-1, (-1, KEY))
        places = torch.einsum("bfk,bnk->bfn", asked, keys) * KEY**-0.5
        out, number = [], 0
        parts = logits.split(self.whole_sizes, -1) if self.whole_sizes else ()
        for f, part in zip(self.program.whole, parts, strict=True):
            if f.kind == "number":
                part = torch.cat([part, places[:, number]], -1)
                number += 1
            out.append(part)
        return out


class WriterLayer(nn.Module):
    """A layer of the encoder that sees what is written so far, and then the text that is read."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.own = EncoderLayer(dropout)
        self.query, self.key, self.value, self.mix = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.even, self.drop = nn.LayerNorm(WIDTH, EPSILON), nn.Dropout(dropout)

    def forward(self, x: Tensor, ahead: Tensor, states: Tensor, blocked: Tensor) -> Tensor:
        """(M, L, D), `ahead` (L, L) and `blocked` (M, 1, 1, N) 0 or -1e9, states (M, N, D) -> (M, L, D)."""
        x = self.own.attend(x, ahead)
        q = self.query(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = (f(states).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.key, self.value))
        shares = (q @ k.mT * q.shape[-1] ** -0.5 + blocked).softmax(-1)
        x = self.even(x + self.drop(self.mix((shares @ v).transpose(1, 2).flatten(2))))
        return self.own.think(x)


class ItemWriter(nn.Module):
    """Writes an item in words: pieces that it knows, or pieces of the text (a pointer network, See et al. 2017)."""

    spoken: Tensor

    def __init__(self, encoder: ReadingEncoder, layers: Sequence[int], spoken: Sequence[int], dropout: float) -> None:
        super().__init__()
        if not spoken or list(spoken) != sorted({*spoken}):
            raise ValueError("spoken: not rising numbers of word pieces")
        self.enter = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList(WriterLayer(dropout) for _ in layers)
        with torch.no_grad():
            for layer, number in zip(self.layers, layers, strict=True):
                own: Any = encoder.layers[number]
                mine: Any = layer
                mine.own.load_state_dict(own.state_dict())
                for name in ("query", "key", "value", "mix", "even"):
                    getattr(mine, name).load_state_dict(getattr(own, name).state_dict())
        self.leave = nn.Linear(WIDTH, WIDTH)
        self.bias = nn.Parameter(torch.zeros(len(spoken)))
        self.ask, self.answer, self.gate = nn.Linear(WIDTH, KEY), nn.Linear(WIDTH, KEY), nn.Linear(WIDTH, 1)
        # the pieces that it knows, by their numbers in the encoder's vocabulary
        self.register_buffer("spoken", torch.tensor(spoken), persistent=False)

    def forward(
        self, encoder: ReadingEncoder, step: Tensor, before: Tensor, states: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log probabilities of the next piece: of the S that are known, and of a copy of each of the text's N pieces,
        (M, L + 1, S) and (M, L + 1, N); both together sum to 1.

        Args:
            step: (M, D) of the items. before: (M, L) pieces so far. states, mask: (M, N, ...) of their texts.
        """
        known = F.embedding(before, encoder.table)
        x = torch.cat([self.enter(step)[:, None], known], 1) + encoder.places[: before.shape[1] + 1]
        x = encoder.even(x)
        size = x.shape[1]
        later = torch.ones(size, size, dtype=torch.bool, device=x.device).triu(1)
        ahead = torch.zeros(size, size, dtype=x.dtype, device=x.device).masked_fill(later, -1e9)
        blocked = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(mask == 0, -1e9)
        for layer in self.layers:
            x = layer(x, ahead, states, blocked[:, None, None])
        table = encoder.table[self.spoken].to(x.dtype)
        words = (self.leave(x) @ table.mT * (SHARP * WIDTH**-0.5) + self.bias).float().log_softmax(-1)
        copies = (self.ask(x) @ self.answer(states).mT * KEY**-0.5 + blocked[:, None]).float().log_softmax(-1)
        gate = self.gate(x).float()
        return words + F.logsigmoid(gate), copies + F.logsigmoid(-gate)

    def likelihood(self, words: Tensor, copies: Tensor, ids: Tensor, text: Tensor) -> Tensor:
        """Log probabilities (M, L) of the pieces of texts (M, L), by the results of `forward` and the pieces (M, N)."""
        place = torch.searchsorted(self.spoken, text).clamp(max=len(self.spoken) - 1)
        known = self.spoken[place] == text
        told = words.gather(-1, place[..., None])[..., 0].masked_fill(~known, -1e4)
        copied = copies.masked_fill(ids[:, None] != text[..., None], -1e4).logsumexp(-1)
        return torch.logaddexp(told, copied).clamp(min=-20.0)

    def likeliest(self, words: Tensor, copies: Tensor, ids: Tensor, size: int, before: Tensor) -> Tensor:
        """The likeliest piece (M,) of (M, S) and (M, N) log probabilities and the pieces of the texts (M, N), but none
        that is written twice in a row; `before` (M, L).
        """
        shares = torch.zeros(len(ids), size, device=ids.device).index_add(-1, self.spoken, words.exp())
        shares = shares.scatter_add(-1, ids, copies.exp())
        return (shares.scatter(-1, before[:, -1:], -1.0) if before.shape[1] else shares).argmax(-1)


class ReadingNetwork(nn.Module):
    """Texts -> items, for the programs of several tasks."""

    def __init__(self, config: ReadingConfig, start: bool = True) -> None:
        super().__init__()
        self.config, programs = config, PROGRAMS
        # tasks that another network of the same shape reads, which is loaded when they come
        self.apart: dict[str, Callable[[], ReadingNetwork]] = {}
        self.encoder = ReadingEncoder(config.dropout, start)
        for number, layer in enumerate(self.encoder.layers):
            layer.requires_grad_(number >= config.trained)
        self.encoder.even.requires_grad_(config.trained == 0)
        self.tasks = list(programs)
        self.task = nn.Embedding(len(programs), WIDTH)
        self.first = nn.Embedding(len(programs), WIDTH)
        self.place = nn.Embedding(MAX_ITEMS + 1, WIDTH)
        self.enter, self.told = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.even = nn.LayerNorm(WIDTH)
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(
                WIDTH, config.heads, config.hidden, config.dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.layers)
        )
        self.leave = nn.LayerNorm(WIDTH)
        self.more = nn.Linear(WIDTH, 1)
        self.keys, self.number_keys, self.line_keys = (nn.Linear(WIDTH, KEY) for _ in range(3))
        self.tags, self.kinds = nn.Linear(WIDTH, TAGS), nn.Linear(WIDTH, KINDS_OF_PIECES)
        self.heads = nn.ModuleDict({t: Heads(p, config.wide, config.dropout) for t, p in programs.items()})
        # names: unit vectors that the words of an item are compared with
        self.names = nn.ParameterDict(
            {table: nn.Parameter(torch.empty(len(names) + 1, WIDTH))
             for table, names in config.tables.items()}
        )
        self.name_bias = nn.ParameterDict(
            {table: nn.Parameter(torch.zeros(len(names) + 1)) for table, names in config.tables.items()}
        )
        self.sharp = nn.Parameter(torch.tensor(3.0))
        self.writer = ItemWriter(self.encoder, config.writer, config.spoken, config.dropout)
        self.turn = nn.Sequential(
            nn.Linear(3 * WIDTH, config.wide), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(config.wide, WIDTH)
        )
        for table in (self.task, self.first, self.place):
            nn.init.normal_(table.weight, std=0.02)
        for vectors in self.names.values():
            nn.init.normal_(vectors, std=WIDTH**-0.5)
        last: Any = self.turn[-1]
        for layer in (last, self.line_keys):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def of_task(self, task: str) -> ReadingNetwork:
        """The network that reads a task: this one, or one apart, where this one is."""
        return self.apart[task]().to(self.more.weight.device) if task in self.apart else self

    def fill_tables(self) -> None:
        """Take what is not stored with the weights: the encoder's tables, and the pieces that the writer knows."""
        self.encoder.fill_tables()
        self.writer.spoken = torch.tensor(self.config.spoken)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, N) pieces and mask -> (B, N, D)."""
        out: Tensor = self.encoder(ids, mask)
        return out

    def place_keys(self, keys: Tensor, states: Tensor, lines: Tensor) -> Tensor:
        """What marked places are found by, at their first pieces (B, N, KEY): that piece's key, and the mean state of
        all of the place. `lines` (B, N): of each piece of a place 1 + its first piece, else 0.
        """
        if not lines.any():  # most texts have none
            return keys
        size = lines.shape[1]
        inside = (lines[:, None] == 1 + torch.arange(size, device=lines.device)[:, None]).to(states.dtype)  # (B, N, N)
        out: Tensor = keys + self.line_keys(pool(states, inside))
        return out

    def steps(self, states: Tensor, mask: Tensor, task: str, before: Tensor, chosen: Tensor, names: Tensor) -> Tensor:
        """States of the steps of a task (B, I + 1, D).

        Args:
            before: (B, I, D) mean states of the words of the items so far. chosen: (B, I) their first choices.
            names: (B, I) their names.
        """
        number, program = self.tasks.index(task), PROGRAMS[task]
        heads: Any = self.heads[task]
        fed = self.enter(before) + heads.chosen(chosen) + self.task.weight[number]
        if program.table:
            fed = fed + self.told(F.normalize(self.names[program.table][names], dim=-1))
        first = self.first.weight[number].expand(len(states), 1, -1)
        x = self.even(torch.cat([first, fed], 1) + self.place.weight[: before.shape[1] + 1])
        size = x.shape[1]
        ahead = torch.ones(size, size, dtype=torch.bool, device=x.device).triu(1)
        # (B * heads, I + 1, N); not a mask of keys, to check whose shape torch imports a computer algebra system
        unread = (mask == 0).repeat_interleave(self.config.heads, 0)[:, None].expand(-1, size, -1)
        for layer in self.decoder:
            x = layer(x, states, tgt_mask=ahead, memory_mask=unread, tgt_is_causal=True)
        out: Tensor = self.leave(x)
        return out

    def name_logits(self, table: str, steps: Tensor, pooled: Tensor, mean: Tensor) -> Tensor:
        """States of steps and of their words (B, I, D), of the whole (B, D) -> (B, I, V + 1), the last = none."""
        return self.compare(table, self.turn_vectors(steps, pooled, mean))

    def compare(self, table: str, z: Tensor) -> Tensor:
        """(B, I, D) -> logits of the names of a table (B, I, V + 1)."""
        return z @ F.normalize(self.names[table], dim=-1).mT * self.sharp.exp() + self.name_bias[table]

    def turn_vectors(self, steps: Tensor, pooled: Tensor, mean: Tensor) -> Tensor:
        """What items are compared with names by, unit vectors (B, I, D)."""
        v, whole = F.normalize(pooled, dim=-1), F.normalize(mean, dim=-1)[:, None].expand_as(pooled)
        return F.normalize(v + self.turn(torch.cat([v, whole, steps], -1)), dim=-1)


def pool(states: Tensor, weights: Tensor) -> Tensor:
    """(B, N, D) and weights (B, I, N) -> their means (B, I, D); zero where there are no weights."""
    weights = weights.to(states.dtype)
    return weights @ states / weights.sum(-1, keepdim=True).clamp(min=1e-3)


def mean_state(states: Tensor, mask: Tensor) -> Tensor:
    """(B, N, D) and mask (B, N) -> (B, D)."""
    return pool(states, mask[:, None])[:, 0]
