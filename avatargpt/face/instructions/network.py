"""The instruction parser's network: token states of an instruction and score tokens so far -> the next token.

Score tokens: feelings come first (name, intensity, start, end), then actions (name, count, intensity, start, end), then
the length. Times are relative, as people state them, so that little has to be added up:

- a start by what it follows: together with the one before, so long after everything before has ended, or so long
  after the one before began; or by the clock, where the instruction names that second;
- an end by its duration, by the clock where the instruction names that second, or as lasting to the end: of the clip
  for feelings, of all that is done meanwhile for actions;
- the length by what it adds to the last action, in half seconds, or in seconds. A text that asks a face for nothing has
  a length alone.

`CachedDecoder` runs its decoder token by token, `ScoreSampler` writes score tokens that follow the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.text_encoder import LAYERS, WIDTH, TunedLayers, best_of_rank
from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from vqvae.errors import UserError
from vqvae.strict import Dropout, Flag, NonNegativeInt, PositiveInt, Strict

_SAME = 0.05  # s within which two starts are one
_OVERLAP = 0.35  # s that an action may begin before the end of what it follows
_LATER = 0.15  # s by which an action has to begin later to be done during another one
_TO_END = 0.3  # s between two ends that are one
_SHORTEST = 0.3  # s that something lasts to the end at least
_NAMED = 0.03  # s between a time and a number that names it
_REST = 0.15  # s at least between the last end and the clip's
_SECONDS = (*np.arange(1, 31) / 10, *np.arange(13, 25) / 4, *np.arange(13, 25) / 2, *np.arange(13.0, 31.0))
_CLOCK = (*np.arange(0, 81) / 10, *np.arange(17, 61) / 2)
_COUNTS = (*range(1, 13), 15, 20)
START, LAST = ("after", "since", "same", "at"), ("duration", "until", "throughout")
ORDERED_FIELDS = ("after", "since", "duration", "intensity", "length", "tail")  # neighbours mean nearly the same
# Seconds named in an instruction. Narrower than `requests.numbers`, because the parser was trained so.
_NUMERALS = "zero one two three four five six seven eight nine ten".split()
_NUMERAL = rf"\d+(?:\.\d+)?|{'|'.join(_NUMERALS)}"
_CLOCKS = re.compile(
    r"(?:\b(?:at|from|after|by|until|till|til|to|between|and|second|mark|t)\b|[@=:\u2013-])\s*"
    rf"(?:about |around |exactly |the |second |sec |t ?)?[=:]?\s*({_NUMERAL})\b"
    r"(?! thirds?| times| quarters?| ?percent| ?%)((?: seconds?)? and a half)?",
    re.I,
)
_BEFORE = re.compile(rf"\b({_NUMERAL})\s*(?:s|sec|seconds)?\s*(?:[:\u2013-]|\b(?:to|till|until)\b)", re.I)
_WHEN = re.compile(
    r"\d|second|\b(?:one|two|three|four|five|six|half|first|last|end|until|till|while|whole|all|again|then)\b", re.I
)


def lasts_to_end(events: Sequence[Event]) -> list[bool]:
    """Of events in the order of their starts: which go on to the end of what is done meanwhile."""
    if not events:
        return []
    last = max(e.start for e in events)
    out = [e.start < last - _LATER for e in events]
    while True:
        end = max(e.end for e, through in zip(events, out, strict=True) if not through)
        still = [t and abs(e.end - end) <= _TO_END for e, t in zip(events, out, strict=True)]
        if still == out:
            return out
        out = still


class _Course:
    """Position in time: the previous start, and the end of all that is over before the clip ends."""

    def __init__(self) -> None:
        self.before: float | None = None
        self.end = 0.0
        self.through = False

    def step(self, start: float, end: float | None) -> None:
        """An item from `start` to `end`, None = to the end."""
        self.before, self.through = start, end is None
        self.end = max(self.end, end or 0.0)


class ScoreTokens:
    """Scores as token sequences and back; token 0 ends a sequence and pads."""

    def __init__(self) -> None:
        self.fields: dict[str, list[float | str]] = {
            "end": [""], "action": [*action_names()], "emotion": [*emotion_names()], "same": [0.0],
            "after": [round(k / 10, 1) for k in range(-3, 61)], "since": [round(k / 10, 1) for k in range(1, 81)],
            "at": [float(s) for s in _CLOCK], "duration": [float(s) for s in _SECONDS],
            "until": [float(s) for s in _CLOCK], "throughout": [0.0],
            "intensity": [round(k / 20, 2) for k in range(1, 21)], "count": [float(c) for c in _COUNTS],
            "length": [k / 2 for k in range(1, 61)], "tail": [k / 2 for k in range(-1, 7)],
        }  # fmt: skip
        self.first: dict[str, int] = {}
        self.kind: list[str] = []
        for name, values in self.fields.items():
            self.first[name] = len(self.kind)
            self.kind += [name] * len(values)

    def __len__(self) -> int:
        return len(self.kind)

    def token(self, field: str, value: float | str = 0.0) -> int:
        """The nearest token of a field."""
        values = self.fields[field]
        if isinstance(value, str):
            return self.first[field] + values.index(value)
        return self.first[field] + int(np.abs(np.array(values, float) - value).argmin())

    def value(self, token: int) -> float | str:
        kind = self.kind[token]
        return self.fields[kind][token - self.first[kind]]

    def neighbours(self, spread: float) -> np.ndarray:
        """(V, V) rows that add up to 1: a token, and those of its field within about `spread` steps."""
        out = np.eye(len(self), dtype=np.float32)
        for name in ORDERED_FIELDS if spread > 0 else ():
            a, n = self.first[name], len(self.fields[name])
            steps = np.subtract.outer(np.arange(n), np.arange(n)) / spread
            weights = np.exp(-0.5 * steps**2) * (np.abs(steps) < 3)
            out[a : a + n, a : a + n] = weights / weights.sum(1, keepdims=True)
        return out

    def _start(self, start: float, course: _Course, named: Sequence[float]) -> int:
        if course.before is not None and abs(start - course.before) < _SAME:
            return self.token("same")
        if _is_named(start, named):
            return self.token("at", start)
        if course.before is None or (start >= course.end - _OVERLAP and not course.through):
            return self.token("after", start - course.end)
        return self.token("since", start - course.before)

    def when(self, token: int, course: _Course) -> float:
        """The second of a start token."""
        kind, value = self.kind[token], float(self.value(token))
        if kind == "same":
            return course.before or 0.0
        origin = {"after": course.end, "since": course.before or 0.0, "at": 0.0}[kind]
        return max(0.0, origin + value)

    def encode(self, score: Score) -> list[int]:
        """Tokens of a score, the end included; times are rounded as they add up, so that errors do not grow."""
        named, out = clock_times(score.text), list[int]()
        emotions, events = sorted(score.emotions, key=_start_of), sorted(score.events, key=_start_of)
        emotion_course, event_course = _Course(), _Course()
        for emotion in emotions:
            out += [self.token("emotion", emotion.name), self.token("intensity", emotion.intensity)]
            through = emotion.end >= score.length - _SAME
            out += self._times(emotion, emotion_course, named, "throughout" if through else "")
        for event, through in zip(events, lasts_to_end(events), strict=True):
            out += [self.token("action", event.action), self.token("count", float(event.repeat))]
            out.append(self.token("intensity", event.intensity))
            through = through and not _is_named(event.end, named)
            out += self._times(event, event_course, named, "throughout" if through else "")
        tail = score.length - _min_length(max(emotion_course.end, event_course.end))
        shortest, longest = self.fields["tail"][0], self.fields["tail"][-1]
        if events and float(shortest) <= tail <= float(longest):
            return [*out, self.token("tail", tail), 0]
        return [*out, self.token("length", score.length), 0]

    def _times(self, item: Emotion | Event, course: _Course, named: Sequence[float], last: str) -> list[int]:
        """Start and end of the next item; `last` ``throughout`` or empty."""
        begin = self._start(item.start, course, named)
        start = self.when(begin, course)
        last = last or ("until" if _is_named(item.end, named) else "duration")
        end = self.token(last, item.end - start if last == "duration" else item.end)
        course.step(start, self.over(end, start))
        return [begin, end]

    def over(self, token: int, start: float) -> float | None:
        """The end of an item that starts at `start`; None = it lasts to the end."""
        kind, value = self.kind[token], float(self.value(token))
        if kind == "throughout":
            return None
        return max(start + 0.1, value) if kind == "until" else start + value

    def decode(self, tokens: Sequence[int], text: str = "") -> Score:
        """Tokens that follow the grammar -> a score."""
        emotion_rows: list[tuple[str, float, float, float | None]] = []
        event_rows: list[tuple[str, float, float, float | None, int]] = []
        course, ends, length, position = _Course(), 0.0, 0.0, 0
        while position < len(tokens) and tokens[position] != 0:
            kind = self.kind[tokens[position]]
            if kind in ("length", "tail"):
                length = float(self.value(tokens[position])) + (_min_length(ends) if kind == "tail" else 0.0)
                break
            act = kind == "action"
            if act and not event_rows:
                course = _Course()
            name, count, at = str(self.value(tokens[position])), 1, position + 1
            if act:
                count, at = int(float(self.value(tokens[at]))), at + 1
            strength, start = float(self.value(tokens[at])), self.when(tokens[at + 1], course)
            # What would begin beyond the longest score is dropped, and all that follows.
            if start >= MAX_SECONDS - 1:
                break
            end = self.over(tokens[at + 2], start)
            course.step(start, end)
            ends = max(ends, course.end)
            if act:
                event_rows.append((name, strength, start, end, count))
            else:
                emotion_rows.append((name, strength, start, end))
            position = at + 3
        over = max([0.0, *(end for *_, end, _ in event_rows if end is not None)])
        events = []
        for name, strength, start, end, count in event_rows:
            lasts = (max(over, start + _SHORTEST) if end is None else end) - start
            events.append(Event(name, round(start, 3), round(lasts, 3), strength, count))
        ends_of_emotions = (start + 0.5 if end is None else end for *_, start, end in emotion_rows)
        last = max([0.5, *(e.end for e in events), *ends_of_emotions])
        length = min(max(length, last), MAX_SECONDS)
        emotions = [Emotion(n, s, round(a, 3), round(length if b is None else b, 3)) for n, s, a, b in emotion_rows]
        return Score(length, tuple(events), tuple(emotions), text)

    def list_allowed(self, tokens: Sequence[int]) -> list[str]:
        """Fields that may come after these tokens."""
        if not tokens:
            return ["emotion", "action", "length"]
        kinds = [self.kind[t] for t in tokens]
        if kinds[-1] == "intensity":
            first = kinds.count("action" if "action" in kinds else "emotion") == 1
            return ["after", "at"] if first else [*START]
        if kinds[-1] in LAST:
            return ["action", "tail", "length"] if "action" in kinds else ["emotion", "action", "length"]
        after = {"action": ["count"], "count": ["intensity"], "emotion": ["intensity"]}
        return [*LAST] if kinds[-1] in START else after.get(kinds[-1], ["end"])


def _start_of(item: Emotion | Event) -> float:
    return item.start


def _is_named(time: float, named: Sequence[float]) -> bool:
    """Whether an instruction names this second."""
    return any(abs(time - t) <= _NAMED for t in named)


def _min_length(end: float) -> float:
    """Length in half seconds that leaves some rest after `end`."""
    return float(np.ceil(2 * (end + _REST) - 1e-6)) / 2


# Times in words
def clock_times(text: str) -> list[float]:
    """Seconds that an instruction names by the clock ("at 2.5", "until second four", "from one to three")."""
    times = [(m[1], 0.5 if m[2] else 0.0) for m in _CLOCKS.finditer(text)]
    times += [(m[1], 0.0) for m in _BEFORE.finditer(text)]
    return [(float(_NUMERALS.index(n.lower())) if n.lower() in _NUMERALS else float(n)) + half for n, half in times]


def says_when(text: str) -> bool:
    """Whether an instruction has words of time at all: numbers, "first", "until", "all the while"."""
    return _WHEN.search(text) is not None


MAX_TOKENS = 120  # of a score
MAX_WORDS = 96  # word pieces of an instruction
TEMPERATURE = 0.4  # of sampled readings
Layer = Annotated[int, Field(ge=0, le=LAYERS)]


class ParserConfig(Strict):
    """What `configs/parser/*.yaml` may set under `model`."""

    # width, hidden, heads: of the layers
    width: PositiveInt = 160
    hidden: PositiveInt = 480
    heads: PositiveInt = 4
    # encoder, decoder: how many of them
    encoder: PositiveInt = 1
    decoder: PositiveInt = 2
    dropout: Dropout = 0.1  # while training
    # layers: of the sentence encoder that are read: the first ones know numbers and sides, the last ones the
    # meaning
    layers: Annotated[list[Layer], Field(min_length=1)] = [0, 3]
    # rank: of the changes to the encoder's layers above `tuned`, whose result is read as well; 0 = none
    rank: NonNegativeInt = 12
    lengths: Flag = False  # whether it learns a requested length, given in place of the token that begins a sequence
    tuned: NonNegativeInt | None = None  # above which of `layers` the encoder is changed; None = the last of them
    # kinds: of instructions that have habits of their own (how long, how often, what goes together): each has a
    # vector that is added to its words (tagged training data, Caswell et al. 2019).
    kinds: list[str] = []
    read_as: str = ""  # the kind that instructions are read as in use; "" = as of none

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
        out = ParserNetwork(self.config.replace_fields(rank=rank))
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


def draw(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(R,) one of V for each row of chances (R, V) that add up to 1: as ``rng.choice`` row after row."""
    upto = chances.cumsum(1)
    upto /= upto[:, -1:]
    return np.asarray((upto <= rng.random(len(chances))[:, None]).sum(1))


class ScoreSampler:
    """Rows of score tokens by one network: the likeliest, or samples. All follow the grammar of `ScoreTokens`."""

    def __init__(self, network: ParserNetwork, tokens: ScoreTokens) -> None:
        self.network, self.tokens = network, tokens
        self._masks: dict[tuple[str, ...], np.ndarray] = {}  # of allowed fields

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
        # A fixed seed: the same instruction is always read alike. Rows are drawn together: what holds the interpreter
        # holds up a live face, which is made on another thread.
        rng = np.random.default_rng(0)
        rows: list[list[int]] = [[] for _ in range(samples * len(states))]
        live = list(range(len(rows)))
        decoder = CachedDecoder(self.network, *self.encode(states), torch.tensor(live) // samples)
        latest = torch.full((len(rows),), self.begin(seconds))
        for length in range(MAX_TOKENS):
            chances = (decoder.step(latest).double() / TEMPERATURE).softmax(-1).numpy()
            chances = chances * np.stack([self._possible(rows[i], length) for i in live])
            drawn = draw(chances / chances.sum(1, keepdims=True), rng)
            for i, token in zip(live, drawn.tolist(), strict=True):
                rows[i].append(token)
            going = np.flatnonzero(drawn)
            live = [live[k] for k in going.tolist()]
            if not live:
                break
            decoder.select(torch.from_numpy(going))
            latest = torch.from_numpy(drawn[going])
        by_text = [rows[k : k + samples] for k in range(0, len(rows), samples)]
        return [[row for row in group if row[-1] == 0] for group in by_text]

    def likeliest(self, states: np.ndarray, seconds: float | None) -> list[int]:
        """Token by token the likeliest allowed field, all its values together, and of these the likeliest."""
        row: list[int] = []
        decoder = CachedDecoder(self.network, *self.encode([states]), torch.tensor([0]))
        while len(row) < MAX_TOKENS and (not row or row[-1] != 0):
            latest = torch.tensor(row[-1:] or [self.begin(seconds)])
            logits = decoder.step(latest)[0]
            row.append(self.choose(logits.softmax(-1).double().numpy(), self._list_allowed(row, len(row))))
        return row

    def _possible(self, row: list[int], length: int) -> np.ndarray:
        """(V,) 1 at the tokens that may come next."""
        fields = tuple(self._list_allowed(row, length))
        if fields not in self._masks:
            mask = np.zeros(len(self.tokens))
            for name in fields:
                mask[self.tokens.first[name] :][: len(self.tokens.fields[name])] = 1
            self._masks[fields] = mask
        return self._masks[fields]

    def _list_allowed(self, row: list[int], length: int) -> Sequence[str]:
        """Fields that may come next; towards the limit no further actions."""
        allowed = self.tokens.list_allowed(row)
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
