"""The reader: a facial instruction in anybody's words -> its score, by a small sequence-to-sequence network.

It reads token states of the sentence encoder, whose upper layers it changes a little for itself (`tuned_layers`), and
writes the score as tokens (`score_tokens`). A grammar keeps the order of fields while decoding; everything else is the
network's choice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avatargpt.speech.consensus import agreed
from avatargpt.speech.folder import load_network, save_network
from avatargpt.speech.reader_network import MOST_TOKENS, ReaderConfig, ReaderNetwork
from avatargpt.speech.score_tokens import ScoreTokens
from instruct_data.face.score import Score, mirror_words
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.speech.direction import Grounder
    from avatargpt.text import SentenceGrounder

NAME = "reader"  # of the files
VERSION = 3  # of the folder's layout and of the tokens
MOST_WORDS = 96  # word pieces of an instruction
SAMPLES, WARMTH = 16, 0.4  # readings that are drawn beside the likeliest, and their temperature


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


def wordings(text: str, sided: bool) -> list[tuple[str, bool]]:
    """Other words for one instruction, and whether they ask for its mirror image.

    Politely, with another end, and, where it has a side, with left and right exchanged.
    """
    bare = text.strip().rstrip(".!")
    out = [(f"Please {bare[:1].lower()}{bare[1:]}.", False), (bare if bare != text.strip() else f"{bare}.", False)]
    other = mirror_words(text)
    return out + ([(other, True)] if sided and other != text else [])


class ScoreReader:
    """A trained reader."""

    def __init__(self, network: ReaderNetwork) -> None:
        self.network = network.eval()
        self.tokens = ScoreTokens()

    @torch.inference_mode()
    def read(
        self, texts: Sequence[str], grounder: Grounder, samples: int = SAMPLES,
        seconds: Sequence[float | None] | None = None,
    ) -> list[Score]:  # fmt: skip
        """The score of each instruction; its `text` is the instruction.

        Token by token the likeliest field that the grammar allows is chosen, all its values together, then the
        likeliest of these. Beside this reading `samples` more are drawn, of the instruction and of each of its other
        `wordings`, and the one is taken that all agree with most (`avatargpt.speech.consensus`). The same instruction
        is always read alike.

        Args:
            samples: readings that are drawn of each wording; 0 = the likeliest token by token alone.
            grounder: one that keeps at least `MOST_WORDS` + 1 word pieces and gives the layers that the network reads
                (`reading_grounder`).
            seconds: wanted length of each clip, None = as the instruction takes. A reader that learnt to heed it
                (`ReaderConfig.lengths`) reads when things happen in its light; others do not look at it.

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
        begins = [self._begin(s) for s in seconds or [None] * len(texts)]
        together = zip(given, texts, begins, strict=True)
        return [self._agreed(states, text, begin, grounder, samples) for states, text, begin in together]

    def _begin(self, seconds: float | None) -> int:
        """What a sequence begins with."""
        if seconds is None or not self.network.config.lengths:
            return self.network.begin
        return self.tokens.token("length", seconds)

    def _agreed(self, states: np.ndarray, text: str, begin: int, grounder: Grounder, samples: int) -> Score:
        first = self.tokens.decode(self._said(*self._encoded([states]), begin), text)
        if not samples:
            return first
        others = wordings(text, first.sided)
        found = [(s, flip) for s, (_, flip) in zip(grounder.states([t for t, _ in others]), others, strict=True)
                 if len(s) <= MOST_WORDS]  # fmt: skip
        rows = self._drawn(*self._encoded([states, *(s for s, _ in found)]), begin, samples)
        readings = [first]
        for some, flip in zip(rows, (False, *(flip for _, flip in found)), strict=True):
            drawn = [self.tokens.decode(row, text) for row in some]
            readings += [replace(s.mirrored(), text=text) for s in drawn] if flip else drawn
        return agreed(readings)

    def _encoded(self, states: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """What the network makes of W texts' token states: (W, N, width), and (W, N) 1 for words."""
        given, words = padded(states)
        return self.network.encode(given, words), words

    def _drawn(self, read: Tensor, words: Tensor, begin: int, samples: int) -> list[list[list[int]]]:
        """Readings of each text drawn token by token from what the grammar allows; those that come to no end are left
        out."""
        rng = np.random.default_rng(0)
        rows: list[list[int]] = [[] for _ in range(samples * len(read))]
        live = list(range(len(rows)))
        for length in range(MOST_TOKENS):
            if not live:
                break
            tokens = torch.tensor([[begin, *rows[i]] for i in live])
            of = torch.tensor(live) // samples
            chances = (self.network.decode(read[of], words[of], tokens)[:, -1].double() / WARMTH).softmax(-1).numpy()
            for i, row in zip(live, chances, strict=True):
                possible = np.zeros_like(row)
                for name in self._allowed(rows[i], length):
                    first = self.tokens.first[name]
                    possible[first : first + len(self.tokens.fields[name])] = 1
                rows[i].append(int(rng.choice(len(row), p=row * possible / (row * possible).sum())))
            live = [i for i in live if rows[i][-1] != 0]
        done = [rows[k : k + samples] for k in range(0, len(rows), samples)]
        return [[row for row in some if row[-1] == 0] for some in done]

    def _allowed(self, row: list[int], length: int) -> Sequence[str]:
        """Fields that may come next; towards the limit no further actions."""
        allowed = self.tokens.allowed(row)
        return ["length"] if length > MOST_TOKENS - 8 and "length" in allowed else allowed

    def _said(self, read: Tensor, words: Tensor, begin: int) -> list[int]:
        row: list[int] = []
        while len(row) < MOST_TOKENS and (not row or row[-1] != 0):
            logits = self.network.decode(read, words, torch.tensor([[begin, *row]]))[0, -1]
            row.append(self._chosen(logits.softmax(-1).double().numpy(), self._allowed(row, len(row))))
        return row

    def _chosen(self, chances: np.ndarray, allowed: Sequence[str]) -> int:
        """Of chances (V,) a token of the allowed fields: what is spread over many near values counts together."""
        parts = {name: chances[self.tokens.first[name] :][: len(self.tokens.fields[name])] for name in allowed}
        over = [name for name in allowed if name in ("tail", "length")]  # both say that nothing more is done
        chosen = [[name] for name in allowed if name not in over] + ([over] if over else [])
        group = max(chosen, key=lambda names: sum(parts[n].sum() for n in names))
        name = max(group, key=lambda n: parts[n].sum())
        return self.tokens.first[name] + int(parts[name].argmax())

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
