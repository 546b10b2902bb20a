"""The reader: a facial instruction in anybody's words -> its score, by a small sequence-to-sequence network.

It reads the token states of four layers of the sentence encoder and writes the score as tokens: feelings (name, start,
duration, intensity), then actions (name, start, duration, intensity, count), then the length. A start is told by what
it follows: at the same time as the one before, so many tenths of a second after everything before has ended, or so many
after the one before began. A grammar keeps the order of fields while decoding; everything else is the network's choice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from avatargpt.speech.folder import load_network, save_network
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.speech.direction import Grounder
    from avatargpt.text import SentenceGrounder

NAME = "reader"  # of the files
VERSION = 2  # of the folder's layout and of the tokens
MOST_TOKENS = 120  # of a score
MOST_WORDS = 96  # word pieces of an instruction
SENTENCE = 384  # width of one layer of the sentence encoder
_SAME = 0.05  # s within which two starts are one
_OVERLAP = 0.35  # s that an action may begin before the end of what it follows
_SECONDS = (*np.arange(1, 31) / 10, *np.arange(13, 25) / 4, *np.arange(13, 25) / 2, *np.arange(13.0, 31.0))
_COUNTS = (*range(1, 13), 15, 20)


class ScoreTokens:
    """Scores as token sequences and back; token 0 ends a sequence and pads."""

    def __init__(self) -> None:
        from instruct_data.face.actions import action_names
        from instruct_data.face.emotions import emotion_names

        self.fields: dict[str, list[float | str]] = {
            "end": [""], "action": [*action_names()], "emotion": [*emotion_names()], "same": [0.0],
            "after": [round(k / 10, 1) for k in range(-3, 61)], "since": [round(k / 10, 1) for k in range(1, 81)],
            "duration": [float(s) for s in _SECONDS], "intensity": [round(k / 20, 2) for k in range(1, 21)],
            "count": [float(c) for c in _COUNTS], "length": [k / 2 for k in range(1, 61)],
        }  # fmt: skip
        self.first: dict[str, int] = {}
        self.kind: list[str] = []
        for name, values in self.fields.items():
            self.first[name] = len(self.kind)
            self.kind += [name] * len(values)

    def __len__(self) -> int:
        return len(self.kind)

    def token(self, field: str, value: float | str) -> int:
        """The nearest token of a field."""
        values = self.fields[field]
        if isinstance(value, str):
            return self.first[field] + values.index(value)
        return self.first[field] + int(np.abs(np.array(values, float) - value).argmin())

    def value(self, token: int) -> float | str:
        kind = self.kind[token]
        return self.fields[kind][token - self.first[kind]]

    def _start(self, start: float, before: float | None, end: float) -> int:
        if before is not None and abs(start - before) < _SAME:
            return self.token("same", 0.0)
        if before is None or start >= end - _OVERLAP:
            return self.token("after", start - end)
        return self.token("since", start - before)

    def encode(self, score: Score) -> list[int]:
        """Tokens of a score, the end included; times are rounded as they add up, so that errors do not grow."""
        out: list[int] = []
        groups: tuple[Sequence[Emotion | Event], ...] = (score.emotions, score.events)
        for what in groups:
            before, end = None, 0.0
            items: list[Emotion | Event] = sorted(what, key=lambda e: e.start)
            for item in items:
                name = item.name if isinstance(item, Emotion) else item.action
                out.append(self.token("emotion" if isinstance(item, Emotion) else "action", name))
                out.append(self._start(item.start, before, end))
                before = self._when(out[-1], before, end)
                out.append(self.token("duration", item.end - before))
                end = max(end, before + float(self.value(out[-1])))
                out.append(self.token("intensity", item.intensity))
                if isinstance(item, Event):
                    out.append(self.token("count", float(item.repeat)))
        return [*out, self.token("length", score.length), 0]

    def _when(self, token: int, before: float | None, end: float) -> float:
        kind, value = self.kind[token], float(self.value(token))
        if kind == "same":
            return before or 0.0
        return max(0.0, (end if kind == "after" else before or 0.0) + value)

    def decode(self, tokens: Sequence[int], text: str = "") -> Score:
        """Tokens that follow the grammar -> a score."""
        events: list[Event] = []
        emotions: list[Emotion] = []
        before: float | None = None
        end, length, position = 0.0, 0.0, 0
        while position < len(tokens) and tokens[position] != 0:
            kind = self.kind[tokens[position]]
            if kind == "length":
                length = float(self.value(tokens[position]))
                break
            if kind == "action" and not events:
                before, end = None, 0.0
            name = str(self.value(tokens[position]))
            before = self._when(tokens[position + 1], before, end)
            if before >= MAX_SECONDS - 1:
                break
            lasts, intensity = (float(self.value(tokens[position + k])) for k in (2, 3))
            end = max(end, before + lasts)
            if kind == "action":
                count = int(float(self.value(tokens[position + 4])))
                events.append(Event(name, round(before, 3), lasts, intensity, count))
            else:
                emotions.append(Emotion(name, intensity, round(before, 3), round(before + lasts, 3)))
            position += 5 if kind == "action" else 4
        last = max([0.5, *(e.end for e in events), *(f.end for f in emotions)])
        return Score(min(max(length, last), MAX_SECONDS), tuple(events), tuple(emotions), text)

    def allowed(self, tokens: Sequence[int]) -> list[str]:
        """Fields that may come after these tokens."""
        if not tokens:
            return ["emotion", "action"]
        kinds = [self.kind[t] for t in tokens]
        after = {"action": ["after", "since", "same"], "same": ["duration"], "after": ["duration"],
                 "since": ["duration"], "duration": ["intensity"], "count": ["action", "length"],
                 "length": ["end"], "end": ["end"]}  # fmt: skip
        if kinds[-1] in ("action", "emotion"):
            first = kinds.count(kinds[-1]) == 1
            return ["after"] if first else ["after", "since", "same"]
        if kinds[-1] == "intensity":
            return ["count"] if "action" in kinds else ["emotion", "action", "length"]
        return after[kinds[-1]]


@dataclass
class ReaderConfig:
    """What `configs/driver/reader.yaml` may set under `model`.

    Attributes:
        width, hidden, heads: of the layers. encoder, decoder: how many of them. dropout: while training.
        layers: of the sentence encoder that are read: the last ones know the meaning, the first ones numbers and sides.
    """

    width: int = 160
    hidden: int = 480
    heads: int = 4
    encoder: int = 1
    decoder: int = 2
    dropout: float = 0.1
    layers: list[int] = field(default_factory=lambda: [0, 2, 4, 6])

    def __post_init__(self) -> None:
        if not self.layers or self.layers != sorted(set(self.layers) & set(range(7))):
            raise UserError(f"reader: layers {self.layers}; accepted: some of 0 to 6, ascending")
        if min(self.width, self.hidden, self.heads, self.encoder, self.decoder) < 1 or self.width % self.heads:
            layers = f"{self.encoder} + {self.decoder} layers"
            sizes = f"width {self.width}, hidden {self.hidden}, {self.heads} heads, {layers}"
            raise UserError(f"reader: {sizes}; accepted: 1 or more each, a width that the heads divide")
        if not 0 <= self.dropout < 1:
            raise UserError(f"reader: dropout {self.dropout}; accepted: 0 up to below 1")


class ReaderNetwork(nn.Module):
    """Token states of an instruction (B, N, 384 * layers) and tokens so far (B, L) -> logits (B, L, V)."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        size = len(ScoreTokens())
        layer = dict(d_model=config.width, nhead=config.heads, dim_feedforward=config.hidden, dropout=config.dropout,
                     activation="gelu", batch_first=True, norm_first=True)  # fmt: skip
        self.enter = nn.Linear(len(config.layers) * SENTENCE, config.width)
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**layer) for _ in range(config.encoder))  # type: ignore[arg-type]
        self.read = nn.LayerNorm(config.width)
        self.table = nn.Embedding(size + 1, config.width)  # the last one begins a sequence
        self.place = nn.Parameter(torch.zeros(MOST_TOKENS + 1, config.width))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**layer) for _ in range(config.decoder))  # type: ignore[arg-type]
        self.leave = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.place, std=0.02)

    def encode(self, states: Tensor, words: Tensor) -> Tensor:
        """(B, N, 384 * layers) and (B, N) 1 for words -> (B, N, D)."""
        even = nn.functional.layer_norm(states.unflatten(-1, (-1, SENTENCE)), (SENTENCE,))
        x = self.enter(even.flatten(-2))
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=words == 0)
        out: Tensor = self.read(x)
        return out

    def decode(self, read: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        """(B, L) tokens, the first of them `begin` -> (B, L, V)."""
        length = tokens.shape[1]
        x = self.drop(self.table(tokens) + self.place[:length])
        ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        for layer in self.decoder:
            x = layer(x, read, tgt_mask=ahead, memory_key_padding_mask=words == 0, tgt_is_causal=True)
        return self.leave(x) @ self.table.weight[:-1].T

    @property
    def begin(self) -> int:
        return len(self.table.weight) - 1

    def forward(self, states: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        return self.decode(self.encode(states, words), words, tokens)


def reading_grounder(config: ReaderConfig) -> SentenceGrounder:
    """A sentence encoder that keeps all of an instruction that can be read, and a piece more to see what is longer."""
    from avatargpt.text import SentenceGrounder

    return SentenceGrounder(max_tokens=MOST_WORDS + 1, remember=500, layers=config.layers)


def padded(states: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Token states of several texts -> (B, N, 384 * layers) and (B, N) 1 for words."""
    some = [s[:MOST_WORDS] for s in states]
    out = np.zeros((len(some), max(len(s) for s in some), some[0].shape[1]), np.float32)
    words = np.zeros(out.shape[:2], np.float32)
    for k, s in enumerate(some):
        out[k, : len(s)], words[k, : len(s)] = s, 1
    return torch.from_numpy(out), torch.from_numpy(words)


class ScoreReader:
    """A trained reader."""

    def __init__(self, network: ReaderNetwork) -> None:
        self.network = network.eval()
        self.tokens = ScoreTokens()

    @cached_property
    def _masks(self) -> dict[str, Tensor]:
        kinds = np.array(self.tokens.kind)
        return {name: torch.from_numpy(kinds == name) for name in self.tokens.fields}

    @torch.inference_mode()
    def read(self, texts: Sequence[str], grounder: Grounder) -> list[Score]:
        """The score of each instruction, by the likeliest token each time; `text` of the score is the instruction.

        Args:
            grounder: one that keeps at least `MOST_WORDS` + 1 word pieces and gives the layers that the network reads
                (`reading_grounder`).

        Raises:
            UserError: an empty instruction, or one of more than 96 word pieces.
        """
        given = grounder.states(list(texts)) if texts else []
        for text, states in zip(texts, given, strict=True):
            if not text.strip():
                raise UserError("an empty facial instruction; accepted: what the face shall do, in words")
            if len(states) > MOST_WORDS:
                start = f"{text[:40]}..."
                raise UserError(f"facial instruction {start!r}: accepted up to {MOST_WORDS} word pieces")
        # one by one: what is read must not depend on the other instructions of a file
        return [self.tokens.decode(self._said(s), text) for s, text in zip(given, texts, strict=True)]

    def _said(self, states: np.ndarray) -> list[int]:
        given, words = padded([states])
        read = self.network.encode(given, words)
        row: list[int] = []
        while len(row) < MOST_TOKENS and (not row or row[-1] != 0):
            logits = self.network.decode(read, words, torch.tensor([[self.network.begin, *row]]))[0, -1]
            allowed = self.tokens.allowed(row)
            if len(row) > MOST_TOKENS - 8 and "length" in allowed:
                allowed = ["length"]  # towards the limit no further actions
            open_ = torch.stack([self._masks[f] for f in allowed]).any(0)
            row.append(int(logits.masked_fill(~open_, -torch.inf).argmax()))
        return row

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder; `dtype` bfloat16 halves it."""
        return save_network(self.network, folder, NAME, VERSION, dtype)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ScoreReader:
        """Read ``reader.json`` and ``reader.safetensors``.

        Raises:
            UserError: missing, damaged, or of another version.
        """
        return cls(load_network(folder, NAME, VERSION, lambda about: ReaderNetwork(ReaderConfig(**about))))
