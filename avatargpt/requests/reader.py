"""`RequestReader`: words -> `MotionRequest`, `FaceRequest` or the parts of a turn, by the network under a grammar."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from avatargpt.lm.checkpoint import load_part, save_part
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.reader_network import (
    MAX_TARGET,
    MAX_WORDS,
    OPEN,
    RequestConfig,
    RequestNetwork,
    Vocabulary,
)
from instruct_data.requests.pairs import Target, words_of
from instruct_data.requests.spec import (
    MAX_DEGREES,
    MAX_SECONDS,
    MAX_TIMES,
    Clause,
    FaceClause,
    FaceRequest,
    MotionRequest,
    TurnPart,
)
from instruct_data.requests.ways import CHOICES, COPIED, VALUES
from instruct_data.requests.wording import value_of
from vqvae.errors import UserError

FILE_NAME = "requests"  # of the files
VERSION = 1
# words that are read in one go, where sentences end so
MAX_WORDS_AT_ONCE = 30
MAX_REMEMBERED = 2000  # requests
T = TypeVar("T")


def reading_grounder(config: RequestConfig) -> SentenceGrounder:
    """A sentence encoder that keeps all words that can be read."""
    return SentenceGrounder(max_tokens=512, cache_size=500, layers=config.layers)


def word_states(texts: Sequence[Sequence[str]], grounder: SentenceGrounder, bf16: bool = False) -> list[np.ndarray]:
    """Of the words of every text the mean state of their pieces: (N, 384 * layers) float16 each."""
    sentences = [" ".join(words) for words in texts]
    out = []
    for words, states in zip(texts, grounder.states(sentences, bf16), strict=True):
        ends = np.cumsum([grounder.pieces(w) for w in words])
        inside = states[1:-1].astype(np.float32)
        starts = np.concatenate([[0], ends[:-1]])
        out.append((np.add.reduceat(inside, starts) / np.maximum(ends - starts, 1)[:, None]).astype(np.float16))
    return out


class RequestReader:
    """A trained network with its sentence encoder.

    Args:
        network: in evaluation mode. grounder: a sentence encoder of its layers; None = a new one.
    """

    def __init__(self, network: RequestNetwork, grounder: SentenceGrounder | None = None) -> None:
        self.network, self.vocabulary = network.eval(), Vocabulary()
        self.grounder = grounder or reading_grounder(network.config)
        self._requests: dict[str, MotionRequest] = {}
        self._faces: dict[str, FaceRequest] = {}

    def read(self, text: str) -> MotionRequest:
        """The typed request of a text; cached, and a long text is read sentence by sentence.

        Raises:
            UserError: nothing to read, or a sentence of more than 96 words.
        """
        if text not in self._requests:
            requests = [r for r in self._assembled(text, "body", assembled) if r is not None]
            shared = _shared(requests, ("seconds", "loop", "start", "end"))
            clauses = [c for r in requests for c in r.clauses]
            _remember(self._requests, text, MotionRequest(clauses=clauses, text=text, **shared))
        return self._requests[text]

    def read_face(self, text: str) -> FaceRequest:
        """The typed request of a text to a face; likewise."""
        if text not in self._faces:
            requests = [r for r in self._assembled(text, "face", assembled_face) if r is not None]
            shared = _shared(requests, ("seconds", "alternating", "rounds", "in_all"))
            clauses = [c for r in requests for c in r.clauses]
            _remember(self._faces, text, FaceRequest(clauses=clauses, text=text, **shared))
        return self._faces[text]

    def read_turn(self, text: str) -> list[TurnPart]:
        """The typed parts of a turn of a conversation; raises as `read` does."""
        return [part for parts in self._assembled(text, "chat", assembled_turn) for part in parts]

    def _assembled(
        self, text: str, domain: str, assemble: Callable[[Target, Sequence[str], Sequence[float]], T]
    ) -> list[T]:
        """The request of each part of a text; by the grammar every part begins with a clause."""
        parts = _parts(words_of(text))
        rows = zip(self.targets(parts, domain), parts, strict=True)
        return [assemble(target, words, probabilities) for (target, probabilities), words in rows]

    @torch.inference_mode()
    def targets(self, texts: Sequence[Sequence[str]], domain: str = "body") -> list[tuple[Target, list[float]]]:
        """The likeliest target of each text's words, token by token, and the probability of each token."""
        states = word_states(texts, self.grounder)
        return [self._target(s, words, domain) for s, words in zip(states, texts, strict=True)]

    def _target(self, states: np.ndarray, words: Sequence[str], domain: str) -> tuple[Target, list[float]]:
        net = self.network
        mask = torch.ones(1, len(words))
        encoded = net.encode(torch.from_numpy(states[None].astype(np.float32)), mask)
        before: list[int] = []
        probabilities: list[float] = []
        while len(before) < MAX_TARGET:
            fed = torch.tensor([[net.begin(domain), *(net.fed(i) for i in before)]])
            logits = net.decode(encoded, mask, fed)[0, -1]
            open_ = torch.from_numpy(self.vocabulary.allowed(before, words, domain))
            shares = logits.masked_fill(~open_, -torch.inf).softmax(0)
            best = int(shares.argmax())
            probabilities.append(float(shares[best]))
            before.append(best)
            if best == 0:
                break
        return self.vocabulary.decode(before), probabilities

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> RequestReader | None:
        """That of a model folder, None where it has none; raises as `load` does."""
        return cls.load(folder) if (Path(folder) / f"{FILE_NAME}.json").is_file() else None

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write the network (``requests.safetensors`` and ``requests.json``)."""
        save_part(self.network, folder, FILE_NAME, VERSION, dtype)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> RequestReader:
        """Raises UserError: not there, damaged, or of another version."""
        return cls(load_part(folder, FILE_NAME, VERSION, lambda shape: RequestNetwork(RequestConfig(**shape))))


def _remember(memory: dict[str, T], text: str, request: T) -> None:
    if len(memory) >= MAX_REMEMBERED:
        memory.pop(next(iter(memory)))
    memory[text] = request


def _shared(requests: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """What parts say of the whole."""
    return {name: value for r in requests for name in names if (value := getattr(r, name))}


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


# Units that stand behind a number: factors of seconds and metres.
SECONDS = {"ms": 0.001, "millisecond": 0.001, "milliseconds": 0.001, "min": 60.0, "mins": 60.0, "minute": 60.0,
           "minutes": 60.0, "hour": 3600.0, "hours": 3600.0, "h": 3600.0, "m": 60.0}  # fmt: skip
METRES = {"cm": 0.01, "centimetres": 0.01, "centimeters": 0.01, "feet": 0.3048, "foot": 0.3048, "ft": 0.3048,
          "yard": 0.9144, "yards": 0.9144, "yd": 0.9144, "inch": 0.0254, "inches": 0.0254, "km": 1000.0,
          "kilometre": 1000.0, "kilometres": 1000.0}  # fmt: skip
STEPS = frozenset(("step", "steps", "pace", "paces"))  # a way of so many is so many steps, however long
_TURN = {"radian": 57.2958, "radians": 57.2958, "rad": 57.2958}
_BOUNDS = {"seconds": MAX_SECONDS, "turn": MAX_DEGREES, "distance": 1000.0, "factor": 10.0, "times": MAX_TIMES,
           "rounds": MAX_TIMES, "in_all": MAX_TIMES, "from": 100.0, "to": 100.0}  # fmt: skip
_COUNTS = ("times", "rounds", "in_all")
_TIMES = ("seconds", "total_s", "at", "until", "wait", "every", "pause")


def assembled(target: Target, words: Sequence[str], probabilities: Sequence[float] = ()) -> MotionRequest | None:
    """The request that a target means, None where it has no clause.

    Args:
        target: as in `instruct_data.requests.pairs`. words: of the request. probabilities: of each token.
    """
    clauses, overall = _collected(target, words, probabilities)
    for clause in clauses:
        if clause.pop("unknown", False):
            clause["known"] = False
    return MotionRequest(clauses=[Clause(**c) for c in clauses], **overall) if clauses else None


def assembled_face(target: Target, words: Sequence[str], probabilities: Sequence[float] = ()) -> FaceRequest | None:
    """As `assembled`, of an instruction for a face."""
    clauses, overall = _collected(target, words, probabilities)
    for clause in clauses:
        for name in ("from", "to"):
            if name in clause:
                share = clause.pop(name)
                clause[f"{name}_share"] = share if share <= 1 else share / 100
    return FaceRequest(clauses=[FaceClause(**c) for c in clauses], **overall) if clauses else None


def assembled_turn(target: Target, words: Sequence[str], probabilities: Sequence[float] = ()) -> list[TurnPart]:
    """The acts of a turn, as `assembled`."""
    clauses, _ = _collected(target, words, probabilities)
    return [TurnPart(text=c.pop("action"), **c) for c in clauses]


def _collected(
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
            row = {"action": _copied_words(copies, words), "sure": 1.0}
            if token.startswith("act="):
                row["act"] = token.removeprefix("act=")
            row |= {"together": True} if token == "with" and clauses else {"denied": True} if token == "not" else {}
            clauses.append(row)
        elif token == "whole":
            row = overall
        elif isinstance(token, str) and "=" in token:
            name, _, value = token.partition("=")
            if value and name in CHOICES:
                row[name] = True if value == "yes" else value
            elif name in COPIED:
                row[name] = _copied_words(copies, words)
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
        overall["seconds"] = min(overall.pop("total_s"), MAX_SECONDS)
    return clauses, overall


def _copied_words(copies: Sequence[int], words: Sequence[str]) -> str:
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
    limit = _BOUNDS.get(name, MAX_SECONDS)
    row[name] = max(1, round(min(number, limit))) if name in _COUNTS else min(number, limit)
