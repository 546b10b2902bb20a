"""`RequestReader`: words to typed requests, by a network that copies words."""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from avatargpt.lm.checkpoint import load_part, save_part
from avatargpt.lm.text_encoder import LAYERS, WIDTH, SentenceGrounder
from avatargpt.reading.body import remember
from instruct_data.requests import spec
from instruct_data.requests.spec import (
    MAX_TIMES,
    FaceRequest,
)
from instruct_data.requests.targets import CHOICES, COPIED, OPENING, ORDER, VALUES, WHOLE, Target
from instruct_data.text.numerals import METRES, SECONDS, is_numeral, value_of, words_of
from vqvae.errors import UserError
from vqvae.strict import Dropout, PositiveInt, Strict

OPEN = tuple(OPENING.values())
BEGUN = ("body", "face", "chat")  # sequences whose beginning the weights know; those of faces alone are read
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
DOMAIN_TOKENS = {"face": {"new", "with", "not", "whole", *FACE}}
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
        shared = np.array([t == "end" or t[:1] == "#" for t in self.tokens])  # "end=" is of bodies alone
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

    def mask_allowed(self, before: Sequence[int], words: Sequence[str], domain: str = "face") -> np.ndarray:
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
    """The settings under `model` in a configuration."""

    # width, hidden, heads: of the layers
    width: PositiveInt = 256
    hidden: PositiveInt = 768
    heads: PositiveInt = 4
    # encoder, decoder: number of them
    encoder: PositiveInt = 3
    decoder: PositiveInt = 2
    dropout: Dropout = 0.1  # in training
    # Of the sentence encoder: the first ones know words and numbers, the last ones the meaning
    layers: Annotated[list[Layer], Field(min_length=1)] = [0, 2]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.layers != sorted(set(self.layers)):
            raise UserError(f"layers {self.layers}; accepted: some of 0 to {LAYERS}, ascending")
        if self.width % self.heads:
            raise UserError(f"width {self.width}, {self.heads} heads; accepted: a width that the heads divide")
        return self


# An encoder over the states of the frozen sentence encoder and a decoder with pointers (See et al. 2017, Vinyals et al.
# 2015): literal parts of a request (actions, numbers, manners) are copied, so that it reads words it never saw.
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
        self.table = nn.Embedding(self.size + len(BEGUN), width)  # the last ones begin a sequence of a domain
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
        return self.size + BEGUN.index(domain)

    def feed_token(self, token: int) -> int:
        """A token, or V + i for word i, as `decode` is given it."""
        return token if token < self.size else token + len(BEGUN)

    def encode(self, states: Tensor, words: Tensor) -> Tensor:
        """(B, N, 384 * layers) and (B, N) 1 for words -> (B, N, D)."""
        even = nn.functional.layer_norm(states.unflatten(-1, (-1, WIDTH)), (WIDTH,))
        x = self.drop(self.enter(even.flatten(-2)) + self.order[: states.shape[1]])
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=words == 0)
        out: Tensor = self.read(x)
        return out

    def decode(self, read: Tensor, words: Tensor | None, tokens: Tensor) -> Tensor:
        """(B, L) tokens as `feed_token`, the first of them a `begin` -> (B, L, V + N); no `words`: all places are."""
        length, last = tokens.shape[1], self.size + len(BEGUN) - 1
        is_copy = tokens > last
        sources = read.gather(1, (tokens - last - 1).clamp(min=0)[..., None].expand(-1, -1, read.shape[-1]))
        x = torch.where(is_copy[..., None], self.copied(sources), self.table(tokens.clamp(max=last)))
        x = self.drop(x + self.place[:length])
        ahead = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        blocked = None if words is None else words == 0
        for layer in self.decoder:
            x = layer(x, read, tgt_mask=ahead, memory_key_padding_mask=blocked, tgt_is_causal=True)
        x = self.leave(x)
        tokens_logits = x @ self.table.weight[: self.size].T
        copied = self.ask(x) @ self.answer(read).mT * self.config.width**-0.5
        return torch.cat([tokens_logits, copied if blocked is None else copied.masked_fill(blocked[:, None], -1e9)], -1)

    def forward(self, states: Tensor, words: Tensor, tokens: Tensor) -> Tensor:
        return self.decode(self.encode(states, words), words, tokens)


MAX_WORDS = 96  # of a request


FILE_NAME = "requests"  # of the files
VERSION = 2
# words that are read in one go, where sentences end so
MAX_WORDS_AT_ONCE = 30
T = TypeVar("T")


def make_word_grounder(config: RequestConfig) -> SentenceGrounder:
    """A sentence encoder that keeps all words that can be read."""
    return SentenceGrounder(max_tokens=512, cache_size=500, layers=config.layers)


def word_states(texts: Sequence[Sequence[str]], grounder: SentenceGrounder, bf16: bool = False) -> list[np.ndarray]:
    """Of the words of every text the mean state of their pieces: (N, 384 * layers) float16 each."""
    sentences = [" ".join(words) for words in texts]
    out = []
    for words, states in zip(texts, grounder.states(sentences, bf16), strict=True):
        ends = np.cumsum([grounder.pieces(w) for w in words])
        inside = states[1:-1].astype(np.float32)
        # A sign that the encoder leaves out has no piece: it gets the state of the next one, the last of the last one.
        starts = np.minimum(np.concatenate([[0], ends[:-1]]), len(inside) - 1)
        out.append((np.add.reduceat(inside, starts) / np.maximum(ends - starts, 1)[:, None]).astype(np.float16))
    return out


class RequestReader:
    """A trained network with its sentence encoder."""

    def __init__(self, network: RequestNetwork, grounder: SentenceGrounder | None = None) -> None:
        self.network, self.vocabulary = network.eval(), Vocabulary()
        self.grounder = grounder or make_word_grounder(network.config)
        self._faces: dict[str, FaceRequest] = {}

    def to(self, device: str | torch.device) -> None:
        """Compute there from now on."""
        self.network.to(device)
        self.grounder.to(device)

    def read_face(self, text: str) -> FaceRequest:
        """The typed request of a text to a face; likewise."""
        if text not in self._faces:
            parts = parts_of(text)  # by the grammar every part begins with a clause
            rows = zip(self.targets(parts, "face"), parts, strict=True)
            read = (assemble_face(target, words, probabilities) for (target, probabilities), words in rows)
            requests = [r for r in read if r is not None]
            # What parts say of the whole.
            names = ("seconds", "alternating", "rounds", "in_all")
            shared = {name: value for r in requests for name in names if (value := getattr(r, name))}
            clauses = [c for r in requests for c in r.clauses]
            remember(self._faces, text, FaceRequest(clauses=clauses, text=text, **shared))
        return self._faces[text]

    @torch.inference_mode()
    def targets(self, texts: Sequence[Sequence[str]], domain: str = "face") -> list[tuple[Target, list[float]]]:
        """The likeliest target of each text's words, token by token, and the probability of each token."""
        states = word_states(texts, self.grounder)
        return [self._target(s, words, domain) for s, words in zip(states, texts, strict=True)]

    @torch.inference_mode()
    def _target(self, states: np.ndarray, words: Sequence[str], domain: str) -> tuple[Target, list[float]]:
        """A target and the probabilities of its tokens."""
        net, device = self.network, self.network.place.device
        mask = torch.ones(1, len(words), device=device)
        encoded = net.encode(torch.from_numpy(states[None].astype(np.float32)).to(device), mask)
        before: list[int] = []
        probabilities: list[float] = []
        while len(before) < MAX_TARGET:
            fed = torch.tensor([[net.begin(domain), *(net.feed_token(i) for i in before)]], device=device)
            # torch's check of a mask imports its symbolic shapes and sympy, which takes half a second
            logits = net.decode(encoded, None, fed)[0, -1].cpu()
            open_ = torch.from_numpy(self.vocabulary.mask_allowed(before, words, domain))
            shares = logits.masked_fill(~open_, -torch.inf).softmax(0)
            best = int(shares.argmax())
            probabilities.append(float(shares[best]))
            before.append(best)
            if best == 0:
                break
        return self.vocabulary.decode(before), probabilities

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> Self | None:
        """That of a model folder, None where it has none; raises as `load` does."""
        return cls.load(folder) if (Path(folder) / f"{FILE_NAME}.json").is_file() else None

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write the network (``requests.safetensors`` and ``requests.json``)."""
        save_part(self.network, folder, FILE_NAME, VERSION, dtype)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Raises UserError: not there, damaged, or of another version."""
        return cls(load_part(folder, FILE_NAME, VERSION, lambda shape: RequestNetwork(RequestConfig(**shape))))


def parts_of(text: str) -> list[list[str]]:
    """The words of a request in the parts that are read one by one."""
    return _parts(words_of(text))


def _parts(words: Sequence[str]) -> list[list[str]]:
    """Words of a request in parts of whole sentences."""
    parts: list[list[str]] = [[]]
    ends = [i for i, w in enumerate(words) if w in ".!?;"]
    start = 0
    for end in [*ends, len(words) - 1]:
        sentence = [*words[start : end + 1]]
        start = end + 1
        if parts[-1] and len(parts[-1]) + len(sentence) > MAX_WORDS_AT_ONCE:
            parts.append([])
        parts[-1] += sentence
    parts = [p for p in parts if any(w[0].isalnum() for w in p)]
    longest = max(map(len, parts), default=0)
    if not 0 < longest <= MAX_WORDS:
        raise UserError(f"request with a sentence of {longest} words; accepted: 1 to {MAX_WORDS}")
    return parts


STEPS = frozenset(("step", "steps", "pace", "paces"))  # a way of so many is so many steps, however long
_TURN = {"radian": 57.2958, "radians": 57.2958, "rad": 57.2958}
_BOUNDS = {"seconds": spec.MAX_SECONDS, "turn": spec.MAX_DEGREES, "distance": 1000.0, "factor": 10.0,
           "times": MAX_TIMES, "rounds": MAX_TIMES, "in_all": MAX_TIMES, "from": 100.0, "to": 100.0}  # fmt: skip
_COUNTS = ("times", "rounds", "in_all")
_TIMES = ("seconds", "total_s", "at", "until", "wait", "every", "pause")


def assemble_face(target: Target, words: Sequence[str], probabilities: Sequence[float] = ()) -> FaceRequest | None:
    """As `assembled`, of an instruction for a face."""
    clauses, overall = _collect_attributes(target, words, probabilities)
    for clause in clauses:
        for name in ("from", "to"):
            if name in clause:
                share = clause.pop(name)
                clause[f"{name}_share"] = share if share <= 1 else share / 100
    return FaceRequest(clauses=[spec.FaceClause(**c) for c in clauses], **overall) if clauses else None


def _collect_attributes(
    target: Target, words: Sequence[str], probabilities: Sequence[float]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The attributes of each clause, and of the whole."""
    clauses: list[dict[str, Any]] = []
    overall: dict[str, Any] = {}
    i, row = 0, overall
    sure = list(probabilities or [1.0] * len(target))
    while i < len(target):
        token = target[i]
        copies = []
        after = i + 1
        while after < len(target) and isinstance(target[after], int):
            copies.append(int(target[after]))
            after += 1
        if token in OPEN:
            row = {"action": join_words(copies, words), "sure": 1.0}
            if token.startswith("act="):
                row["act"] = token.removeprefix("act=")
            row |= {"together": True} if token == "with" and clauses else {"denied": True} if token == "not" else {}
            clauses.append(row)
        elif token == "whole":
            row = overall
        elif isinstance(token, str) and "=" in token:
            name, _, value = token.partition("=")
            if value and name in CHOICES:
                row[name] = sure[i] if name == "unknown" else True if value == "yes" else value
            elif name in COPIED:
                row[name] = join_words(copies, words)
            elif name in VALUES:
                constant = target[after] if after < len(target) else None
                if isinstance(constant, str) and constant.startswith("#"):
                    _put(row, name, float(constant[1:]), 1.0)
                    after += 1
                elif copies and (number := value_of([words[k] for k in copies])) is not None:
                    unit_at = copies[-1] + 1
                    name = "times" if name == "distance" and {*words[unit_at : unit_at + 1]} & STEPS else name
                    _put(row, name, number, _unit(name, words, unit_at), True)
        if clauses and row is clauses[-1]:
            row["sure"] = min(row["sure"], *sure[i:after])
        i = after
    if clauses:
        clauses[0].pop("together", None)
    if "total_s" in overall:
        overall["seconds"] = min(overall.pop("total_s"), spec.MAX_SECONDS)
    return clauses, overall


def join_words(copies: Iterable[int], words: Sequence[str]) -> str:
    """Words by their places as text."""
    out = ""
    for i in copies:
        glued = not words[i][0].isalnum() or out.endswith("-")
        out += words[i] if glued or not out else f" {words[i]}"
    return out


def _unit(name: str, words: Sequence[str], at: int) -> float:
    """Factor of the unit behind a number."""
    units = SECONDS if name in _TIMES else {"distance": METRES, "turn": _TURN}.get(name, {})
    for word in words[at : at + 2]:
        if word in units:
            return units[word]
        if word not in ("-", "."):
            break
    return 1.0


def _put(row: dict[str, Any], name: str, number: float, unit: float, in_numerals: bool = False) -> None:
    """Set a number, within what a request may ask for; a count out of bounds is an error where it is in numerals."""
    if name in ("minutes", "total_min"):
        name, number = {"minutes": "seconds", "total_min": "total_s"}[name], 60 * number + row.get("seconds", 0.0)
    if name in _COUNTS and not 1 <= number <= MAX_TIMES:
        if not in_numerals:
            return
        raise UserError(f"{number:g} times; accepted 1 to {MAX_TIMES}")
    number *= unit
    if number <= 0 and name != "at":
        return
    limit = _BOUNDS.get(name, spec.MAX_SECONDS)
    row[name] = max(1, round(min(number, limit))) if name in _COUNTS else min(number, limit)
