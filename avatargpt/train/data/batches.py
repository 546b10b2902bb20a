"""Rows of a training step, shared out among processes, and their tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from avatargpt.lm.encoder import encoder_inputs
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.network import IGNORED
from avatargpt.lm.residual_decoder import FORGET
from avatargpt.lm.shape import TEXT, forward_flops
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.data.examples import Example, Examples
from avatargpt.train.stage import StepContext
from avatargpt.train.throughput import Work
from instruct_data.mixture import Mixture, generator, like_lengths, pad

EVEN = 16  # lengths are padded up to a multiple: kernels are prepared once per shape, which takes longer than a step


@dataclass
class Batch:
    """Tensors of one step. B rows, L answer length, R levels."""

    inputs: dict[str, Any]
    heads: list[str]
    labels: torch.Tensor  # (B, L), -100 = ignored
    length: torch.Tensor  # (B,), -1 = unknown
    codes: torch.Tensor  # (B, L, R), -1 outside motion answers and for levels that a modality has not
    tasks: list[str]  # of each row

    @classmethod
    def of(
        cls, rows: Sequence[Example], grounder: SentenceGrounder | None, pad_id: int, levels: int, device: torch.device
    ) -> Batch:
        """Pad and stack rows; R = `levels`."""
        # Answers are shorter than prompts: half of EVEN wastes less and still gives few shapes.
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
    """Work of a step: tokens read and written, and the arithmetic of forward and backward pass.

    The backward pass takes as much as the forward one for the activations, and once more for each trained weight.
    """
    read = batch.inputs["attention_mask"].sum(1)
    for _, mask, _ in batch.inputs.get("extra_embeddings", ()):
        read = read + mask.sum(1)
    written = (batch.labels != IGNORED).sum(1)
    # Frozen weights need no gradient of their own, but the one for activations still passes through them.
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    share = sum(n for n, trained in sizes if trained) / sum(n for n, _ in sizes)
    forward = forward_flops(model.config, read.cpu().numpy(), written.cpu().numpy(), batch.heads)
    return Work(int(read.sum() + written.sum()), (2 + share) * forward)


class Pool:
    """Rows of every step; within a pool of steps, rows of similar lengths are put into one step. A thread makes the
    next pool during the steps of this one.

    Args:
        steps: of a pool. rows: of a step, over all processes. two: sort by two lengths, see `like_lengths`.
        end: steps of the run; None = no pool is made ahead.
    """

    def __init__(
        self, examples: Examples, seed: int, steps: int, rows: int, two: bool = False, end: int | None = None
    ) -> None:
        self.examples, self.mixture = examples, Mixture(examples.streams(), seed)
        self.seed, self.steps, self.rows, self.two, self.end = seed, steps, rows, two, end or 0
        self._current: tuple[int, list[list[Example]]] | None = None
        self._prefetch = Prefetch(self._sorted)

    def step(self, step: int) -> list[Example]:
        """The rows of a step, the same on every process (`share_of` shares them out)."""
        # A pool is a function of its first step, so that a run that resumes inside a pool makes the same one.
        first = step - step % self.steps
        if self._current is None or self._current[0] != first:
            following = first + self.steps
            self._current = first, self._prefetch.get(first, following if following < self.end else None)
        return self._current[1][step - first]

    def _sorted(self, first: int) -> list[list[Example]]:
        draws = [d for s in range(first, first + self.steps) for d in self.mixture.batch(s, self.rows)]
        rows = [self.examples.make(d) for d in draws]
        order = self.order(rows)
        # Sorted steps would take all short rows first; their order is random again.
        order = order[generator(self.seed, first, 99).permutation(self.steps)]
        return [[rows[i] for i in step] for step in order]

    def order(self, rows: Sequence[Example]) -> np.ndarray:
        """(steps, rows) rows of each step of a pool."""
        if not self.two:
            cost = [len(r.labels) * 2 + len(r.prompt.ids) for r in rows]
            return np.argsort(cost, kind="stable").reshape(self.steps, self.rows)
        return like_lengths([r.source for r in rows], [len(r.labels) for r in rows], self.rows)


REFINED, FORGOTTEN = 7, 8  # seeds of draws beside the rows themselves


@dataclass(frozen=True)
class StepShare:
    """Rows of this process in this part of a step, with counts of all rows of the step.

    A mean over the step is computed here as the sum over these rows divided by the count of the full step, times
    `times`. Its mean over parts and processes, which engines take, is the mean over the step.

    Attributes:
        rows: of this share. times: number of shares of the step.
        tokens: head -> labelled tokens of the full step. by_task: task -> the same.
        motion: rows of the full step with an answer in motion.
        answers: modality -> rows of the full step with an answer in it, where its residual decoder is trained.
        refined: modality -> motion tokens of the full step that train the residual decoder.
        chosen: (rows,) bool: rows of this share that train the residual decoder.
        forgotten: per row, (motion tokens,) bool: where the residual decoder does not see the details before.
    """

    rows: Sequence[Example]
    times: int
    tokens: dict[str, int]
    by_task: dict[str, int]
    motion: int
    answers: dict[str, int]
    refined: dict[str, int]
    chosen: np.ndarray
    forgotten: Sequence[np.ndarray]


def share_of(rows: Sequence[Example], context: StepContext, refiners: Collection[str], portion: float) -> StepShare:
    """A process's share in a step.

    Args:
        rows: of the whole step, over all processes and parts.
        refiners: modalities whose residual decoder is trained. portion: of its rows that train it; at least one.
    """
    # Every n-th row of a sorted step: the shares have about equal lengths.
    place = context.rank + context.world * context.part
    mine = range(len(rows))[place :: context.world * context.parts]
    tokens: Counter[str] = Counter()
    by_task: Counter[str] = Counter()
    for row in rows:
        tokens[row.head] += len(row.labels)
        by_task[row.task] += len(row.labels)
    # Drawn for the full step, so that it is the same on any number of processes.
    rng, chosen = generator(context.seed, context.step, REFINED), np.zeros(len(rows), bool)
    answers, refined = {}, {}
    for name in (n for n in tokens if n != TEXT and n in refiners):
        same = [i for i, r in enumerate(rows) if r.head == name]
        # At least one row: a modality whose decoder is trained must not miss a step for being rare.
        keep = rng.permutation(same)[: max(1, round(len(same) * portion))]
        chosen[keep] = True
        answers[name], refined[name] = len(same), sum(_motion_tokens(rows[int(i)]) for i in keep)
    forgotten = [
        generator(context.seed, context.step, FORGOTTEN, i).random(_motion_tokens(rows[i])) < FORGET for i in mine
    ]
    return StepShare(
        [rows[i] for i in mine], context.world * context.parts, dict(tokens), dict(by_task),
        sum(r.head != TEXT for r in rows), answers, refined, chosen[mine.start :: mine.step], forgotten,
    )  # fmt: skip


def _motion_tokens(row: Example) -> int:
    return 0 if row.codes is None else len(row.codes)


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Prefetch(Generic[Key, Value]):
    """Computes the next value in a thread before it is needed.

    Args:
        make: key -> value, a function of the key alone. It runs for one key at a time, always in the same thread, so
            that it needs no lock; its exceptions are raised by `get`.
    """

    def __init__(self, make: Callable[[Key], Value]) -> None:
        self._make = make
        self._worker: ThreadPoolExecutor | None = None  # started with the first value: unused objects stay cheap
        self._next: tuple[Key, Future[Value]] | None = None

    def get(self, key: Key, following: Key | None = None) -> Value:
        """The value of `key`; then `following` is started, if there is one."""
        # In the worker, too, when nothing was prefetched: `make` then never runs in two threads.
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        expected = self._next is not None and self._next[0] == key
        future = self._next[1] if expected and self._next is not None else self._worker.submit(self._make, key)
        self._next = None
        value = future.result()
        if following is not None:
            self._next = following, self._worker.submit(self._make, following)
        return value
