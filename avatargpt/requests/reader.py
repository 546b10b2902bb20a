"""`RequestReader`: words -> `MotionRequest`, by the network under a grammar."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from avatargpt.lm.checkpoint import load_part, save_part
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.assembling import assembled, assembled_face, assembled_turn
from avatargpt.requests.reader_network import MOST_WORDS, RequestConfig, RequestNetwork
from avatargpt.requests.vocabulary import LONGEST, Vocabulary
from instruct_data.requests.pairs import Target, words_of
from instruct_data.requests.spec import FaceRequest, MotionRequest, TurnPart
from vqvae.errors import UserError

NAME = "requests"  # of the files
VERSION = 1
AT_ONCE = 30  # words that are read in one go, where sentences end so
REMEMBERED = 2000  # requests


def reading_grounder(config: RequestConfig) -> SentenceGrounder:
    """A sentence encoder that keeps all words that can be read."""
    return SentenceGrounder(max_tokens=512, cache_size=500, layers=config.layers)


def word_states(texts: Sequence[Sequence[str]], grounder: SentenceGrounder, bf16: bool = False) -> list[np.ndarray]:
    """Of the words of every text the mean state of their pieces: (N, 384 * layers) float16 each."""
    joined = [" ".join(words) for words in texts]
    out = []
    for words, states in zip(texts, grounder.states(joined, bf16), strict=True):
        ends = np.cumsum([grounder.pieces(w) for w in words])
        inside = states[1:-1].astype(np.float32)
        starts = np.concatenate([[0], ends[:-1]])
        out.append((np.add.reduceat(inside, starts) / np.maximum(ends - starts, 1)[:, None]).astype(np.float16))
    return out


class RequestReader:
    """A trained network and how it is asked.

    Args:
        network: in evaluation mode. grounder: a sentence encoder of its layers; None = one of its own.
    """

    def __init__(self, network: RequestNetwork, grounder: SentenceGrounder | None = None) -> None:
        self.network, self.vocabulary = network.eval(), Vocabulary()
        self.grounder = grounder or reading_grounder(network.config)
        self._read: dict[str, MotionRequest] = {}
        self._faces: dict[str, FaceRequest] = {}

    def read(self, text: str) -> MotionRequest:
        """What a text asks for; the same text is read once, a long one sentence by sentence.

        Raises:
            UserError: nothing to read, or a sentence of more than 96 words.
        """
        if text not in self._read:
            parts = _parts(words_of(text))
            found = [assembled(t, w, s) for (t, s), w in zip(self.targets(parts), parts, strict=True)]
            some = [r for r in found if r is not None]  # the grammar begins with a clause
            if len(self._read) >= REMEMBERED:
                self._read.pop(next(iter(self._read)))
            whole = {k: v for r in some for k in ("seconds", "loop", "start", "end") if (v := getattr(r, k))}
            self._read[text] = MotionRequest(clauses=[c for r in some for c in r.clauses], text=text, **whole)
        return self._read[text]

    def read_face(self, text: str) -> FaceRequest:
        """What a text asks of a face; likewise."""
        if text not in self._faces:
            parts = _parts(words_of(text))
            found = [assembled_face(t, w, s) for (t, s), w in zip(self.targets(parts, "face"), parts, strict=True)]
            some = [r for r in found if r is not None]
            if len(self._faces) >= REMEMBERED:
                self._faces.pop(next(iter(self._faces)))
            names = ("seconds", "alternating", "rounds", "in_all")
            whole = {k: v for r in some for k in names if (v := getattr(r, k))}
            self._faces[text] = FaceRequest(clauses=[c for r in some for c in r.clauses], text=text, **whole)
        return self._faces[text]

    def read_turn(self, text: str) -> list[TurnPart]:
        """What a turn of a conversation asks for; raises as `read` does."""
        parts = _parts(words_of(text))
        found = zip(self.targets(parts, "chat"), parts, strict=True)
        return [one for (t, s), w in found for one in assembled_turn(t, w, s)]

    @torch.inference_mode()
    def targets(self, texts: Sequence[Sequence[str]], domain: str = "body") -> list[tuple[Target, list[float]]]:
        """The likeliest target of each text's words, token by token, and the probability of each token."""
        states = word_states(texts, self.grounder)
        return [self._target(s, words, domain) for s, words in zip(states, texts, strict=True)]

    def _target(self, states: np.ndarray, words: Sequence[str], domain: str) -> tuple[Target, list[float]]:
        net = self.network
        mask = torch.ones(1, len(words))
        read = net.encode(torch.from_numpy(states[None].astype(np.float32)), mask)
        before: list[int] = []
        sure: list[float] = []
        while len(before) < LONGEST:
            fed = torch.tensor([[net.begin(domain), *(net.fed(i) for i in before)]])
            logits = net.decode(read, mask, fed)[0, -1]
            open_ = torch.from_numpy(self.vocabulary.allowed(before, words, domain))
            shares = logits.masked_fill(~open_, -torch.inf).softmax(0)
            best = int(shares.argmax())
            sure.append(float(shares[best]))
            before.append(best)
            if best == 0:
                break
        return self.vocabulary.decode(before), sure

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> RequestReader | None:
        """That of a model folder, None where it has none; raises as `load` does."""
        return cls.load(folder) if (Path(folder) / f"{NAME}.json").is_file() else None

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write the network (``requests.safetensors`` and ``requests.json``)."""
        save_part(self.network, folder, NAME, VERSION, dtype)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> RequestReader:
        """Raises:
        UserError: not there, damaged, or of another version.
        """
        return cls(load_part(folder, NAME, VERSION, lambda shape: RequestNetwork(RequestConfig(**shape))))


def _parts(words: Sequence[str]) -> list[list[str]]:
    """Words of a request in parts of whole sentences."""
    parts: list[list[str]] = [[]]
    ends = [i for i, w in enumerate(words) if w in ".!?;"]
    start = 0
    for end in [*ends, len(words) - 1]:
        sentence = [*words[start : end + 1]]
        start = end + 1
        if parts[-1] and len(parts[-1]) + len(sentence) > AT_ONCE:
            parts.append([])
        parts[-1] += sentence
    some = [p for p in parts if any(w[0].isalnum() for w in p)]
    if not some or max(map(len, some)) > MOST_WORDS:
        longest = max(map(len, some), default=0)
        raise UserError(f"request with a sentence of {longest} words; accepted: 1 to {MOST_WORDS}")
    return some
