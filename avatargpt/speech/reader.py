"""The reader: a facial instruction in anybody's words -> its score, by a small sequence-to-sequence network.

It reads token states of the sentence encoder, whose upper layers it changes a little for itself (`tuned_layers`), and
writes the score as tokens (`score_tokens`). A grammar keeps the order of fields while decoding; everything else is the
network's choice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avatargpt.speech.folder import load_network, save_network
from avatargpt.speech.reader_network import MOST_TOKENS, ReaderConfig, ReaderNetwork
from avatargpt.speech.score_tokens import ScoreTokens
from instruct_data.face.score import Score
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.speech.direction import Grounder
    from avatargpt.text import SentenceGrounder

NAME = "reader"  # of the files
VERSION = 3  # of the folder's layout and of the tokens
MOST_WORDS = 96  # word pieces of an instruction


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

    @torch.inference_mode()
    def read(self, texts: Sequence[str], grounder: Grounder) -> list[Score]:
        """The score of each instruction; its `text` is the instruction.

        Token by token the likeliest field that the grammar allows is chosen, all its values together, then the
        likeliest of these.

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
            row.append(self._chosen(logits.softmax(-1).double().numpy(), allowed))
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
