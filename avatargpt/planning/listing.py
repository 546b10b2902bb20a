"""A rule for decoding: the answer is a list of a few items of a few word pieces, and it ends."""

from __future__ import annotations

import torch
from torch import Tensor


class Listing:
    """Logits such that every answer is well-formed: no empty item, not too many, none too long, and an end.

    Args:
        separator: token between items.
        end: token that ends the answer.
        least, most: items; least >= 1. One item: a sentence, and no separator in it.
        shortest, longest: tokens of an item.
        never: tokens that no answer may hold (padding, unknown).
    """

    def __init__(
        self, separator: int, end: int, least: int, most: int, shortest: int, longest: int, never: tuple[int, ...] = ()
    ) -> None:
        self.separator, self.end, self.never = separator, end, list(never)
        self.least, self.most, self.shortest, self.longest = least, most, shortest, longest

    @property
    def tokens(self) -> int:
        """The longest answer, without its end."""
        return self.most * (self.longest + 1) - 1

    def __call__(self, logits: Tensor, said: Tensor) -> Tensor:
        """Logits (rows, n) for what may follow `said` (rows, t). Rows that have ended stay as they are, unread."""
        rows, t = said.shape
        marks = said == self.separator
        items = marks.sum(1)  # complete ones
        at = torch.arange(1, t + 1, device=said.device)
        begun = (marks * at).amax(1) if t else torch.zeros(rows, dtype=torch.long, device=said.device)
        inside = t - begun  # tokens of the running item
        full, short = inside >= self.longest, inside < self.shortest
        more = items + 1 < self.most
        out = logits.clone()
        out[:, self.never] = float("-inf")
        out[:, self.separator].masked_fill_(short | ~more, float("-inf"))
        out[:, self.end].masked_fill_(short | (items + 1 < self.least), float("-inf"))
        if bool(full.any()):
            close = torch.full_like(out, float("-inf"))
            close[:, self.separator] = logits[:, self.separator].masked_fill(~more, float("-inf"))
            close[:, self.end] = logits[:, self.end].masked_fill(items + 1 < self.least, float("-inf"))
            stuck = ~torch.isfinite(close[:, [self.separator, self.end]]).any(1)  # a loop guard forbids both
            close[:, self.end] = close[:, self.end].masked_fill(stuck & ~more, 0.0)
            close[:, self.separator] = close[:, self.separator].masked_fill(stuck & more, 0.0)
            out = torch.where(full[:, None], close, out)
        return out
