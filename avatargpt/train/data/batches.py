"""Rows of a training step as tensors, and which rows those are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from avatargpt.lm.encoding import encoder_inputs
from avatargpt.lm.flops import forward_flops
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.network import IGNORED
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.data.ahead import Ahead
from avatargpt.train.data.examples import Example, Examples
from avatargpt.train.running.pace import Work
from instruct_data.collate import like_lengths, pad
from instruct_data.mixture import Mixture, generator

EVEN = 16  # lengths are padded up to a multiple: kernels are prepared once per shape, which takes longer than a step


@dataclass
class Batch:
    """Tensors of one step. B rows, L answer length, R levels."""

    inputs: dict[str, Any]
    heads: list[str]
    labels: torch.Tensor  # (B, L), -100 = ignored
    length: torch.Tensor  # (B,), -1 = unknown
    codes: torch.Tensor  # (B, L, R), -1 outside motion answers and for levels that a modality has not
    tasks: list[str]  # what each row is an example of

    @classmethod
    def of(
        cls, rows: Sequence[Example], grounder: SentenceGrounder | None, pad_id: int, levels: int, device: torch.device
    ) -> Batch:
        """Pad and stack rows; R = `levels`."""
        labels, _ = pad([r.labels for r in rows], IGNORED, EVEN // 2)
        codes = np.full((*labels.shape, levels), -1, np.int64)
        for b, r in enumerate(rows):
            if r.codes is not None:
                codes[b, : len(r.codes), : r.codes.shape[1]] = r.codes
        return cls(
            encoder_inputs([r.prompt for r in rows], grounder, pad_id, device, EVEN), [r.head for r in rows],
            torch.from_numpy(labels).to(device), torch.tensor([r.length for r in rows], device=device),
            torch.from_numpy(codes).to(device), [r.task for r in rows],
        )  # fmt: skip


def work_of(batch: Batch, model: AvatarGPTModel) -> Work:
    """What a step on a batch is: tokens read and spoken, and the arithmetic of going forth and back.

    Going back takes as much again for what is handed on, and once more for each weight that is trained.
    """
    read = batch.inputs["attention_mask"].sum(1)
    for _, mask, _ in batch.inputs.get("extra_embeddings", ()):
        read = read + mask.sum(1)
    spoken = (batch.labels != IGNORED).sum(1)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    share = sum(n for n, trained in sizes if trained) / sum(n for n, _ in sizes)
    forth = forward_flops(model.config, read.cpu().numpy(), spoken.cpu().numpy(), batch.heads)
    return Work(int(read.sum() + spoken.sum()), (2 + share) * forth)


class Pool:
    """Rows of every step; within a pool of steps, rows of like lengths go together. The last pool is kept, and the next
    one is made by a thread while the steps of this one are taken.

    Args:
        steps: of a pool. rows: of a step, over all processes. two: sort by two lengths, see `like_lengths`.
        end: steps of the run; no pool is made ahead for those behind. None = nothing is made ahead.
    """

    def __init__(
        self, examples: Examples, seed: int, steps: int, rows: int, two: bool = False, end: int | None = None
    ) -> None:
        self.examples, self.mixture = examples, Mixture(examples.streams(), seed)
        self.seed, self.steps, self.rows, self.two, self.end = seed, steps, rows, two, end or 0
        self._kept: tuple[int, list[list[Example]]] | None = None
        self._ahead = Ahead(self._sorted)

    def step(self, step: int) -> list[Example]:
        """The rows of a step, the same on every process (`avatargpt.train.data.shares` shares them out)."""
        first = step - step % self.steps
        if self._kept is None or self._kept[0] != first:
            following = first + self.steps
            self._kept = first, self._ahead.get(first, following if following < self.end else None)
        return self._kept[1][step - first]

    def _sorted(self, first: int) -> list[list[Example]]:
        draws = [d for s in range(first, first + self.steps) for d in self.mixture.batch(s, self.rows)]
        rows = [self.examples.make(d) for d in draws]
        order = self.order(rows)
        order = order[generator(self.seed, first, 99).permutation(self.steps)]
        return [[rows[i] for i in some] for some in order]

    def order(self, rows: Sequence[Example]) -> np.ndarray:
        """(steps, rows) which rows of a pool go together."""
        if not self.two:
            cost = [len(r.labels) * 2 + len(r.prompt.ids) for r in rows]
            return np.argsort(cost, kind="stable").reshape(self.steps, self.rows)
        return like_lengths([r.source for r in rows], [len(r.labels) for r in rows], self.rows)
