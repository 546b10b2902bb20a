"""What one network reads in an instruction: rows of score tokens that follow the grammar, the likeliest or drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avatargpt.face.instructions.decoding import Decoding
from avatargpt.face.instructions.network import MOST_TOKENS, ParserNetwork
from avatargpt.face.instructions.score_tokens import ScoreTokens

MOST_WORDS = 96  # word pieces of an instruction
WARMTH = 0.4  # temperature of the readings that are drawn


def padded(states: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Token states of several texts -> (B, N, 384 * layers) and (B, N) 1 for words."""
    some = [s[:MOST_WORDS] for s in states]
    out = np.zeros((len(some), max(len(s) for s in some), some[0].shape[1]), np.float32)
    words = np.zeros(out.shape[:2], np.float32)
    for k, s in enumerate(some):
        out[k, : len(s)], words[k, : len(s)] = s, 1
    return torch.from_numpy(out), torch.from_numpy(words)


class Reading:
    """A network, and the grammar of what it writes."""

    def __init__(self, network: ParserNetwork, tokens: ScoreTokens) -> None:
        self.network, self.tokens = network, tokens

    def begin(self, seconds: float | None) -> int:
        """What a sequence begins with: a wanted length, where the network learnt to heed it."""
        if seconds is None or not self.network.config.lengths:
            return self.network.begin
        return self.tokens.token("length", seconds)

    def encoded(self, states: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """What the network makes of W texts' token states: (W, N, width), and (W, N) 1 for words."""
        given, words = padded(states)
        return self.network.encode(given, words), words

    def drawn(
        self, states: Sequence[np.ndarray], seconds: float | None, samples: int
    ) -> list[list[list[int]]]:  # fmt: skip
        """Readings of each text drawn token by token from what the grammar allows; those that come to no end are left
        out."""
        rng = np.random.default_rng(0)
        rows: list[list[int]] = [[] for _ in range(samples * len(states))]
        live = list(range(len(rows)))
        decoding = Decoding(self.network, *self.encoded(states), torch.tensor(live) // samples)
        latest = torch.full((len(rows),), self.begin(seconds))
        for length in range(MOST_TOKENS):
            chances = (decoding.step(latest).double() / WARMTH).softmax(-1).numpy()
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
            decoding.keep(torch.tensor(going))
            latest = torch.tensor([rows[i][-1] for i in live])
        done = [rows[k : k + samples] for k in range(0, len(rows), samples)]
        return [[row for row in some if row[-1] == 0] for some in done]

    def likeliest(self, states: np.ndarray, seconds: float | None) -> list[int]:
        """Token by token the likeliest field that the grammar allows, all its values together, and of these the
        likeliest."""
        row: list[int] = []
        decoding = Decoding(self.network, *self.encoded([states]), torch.tensor([0]))
        while len(row) < MOST_TOKENS and (not row or row[-1] != 0):
            latest = torch.tensor(row[-1:] or [self.begin(seconds)])
            logits = decoding.step(latest)[0]
            row.append(self.chosen(logits.softmax(-1).double().numpy(), self._allowed(row, len(row))))
        return row

    def _allowed(self, row: list[int], length: int) -> Sequence[str]:
        """Fields that may come next; towards the limit no further actions."""
        allowed = self.tokens.allowed(row)
        return ["length"] if length > MOST_TOKENS - 8 and "length" in allowed else allowed

    def chosen(self, chances: np.ndarray, allowed: Sequence[str]) -> int:
        """Of chances (V,) a token of the allowed fields: what is spread over many near values counts together."""
        parts = {name: chances[self.tokens.first[name] :][: len(self.tokens.fields[name])] for name in allowed}
        over = [name for name in allowed if name in ("tail", "length")]  # both say that nothing more is done
        chosen = [[name] for name in allowed if name not in over] + ([over] if over else [])
        group = max(chosen, key=lambda names: sum(parts[n].sum() for n in names))
        name = max(group, key=lambda n: parts[n].sum())
        return self.tokens.first[name] + int(parts[name].argmax())
