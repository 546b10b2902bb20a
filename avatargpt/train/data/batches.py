"""Rows of a training step, shared out among processes, and their tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.network import IGNORED
from avatargpt.lm.residual_decoder import FORGET
from avatargpt.lm.shape import TEXT, forward_flops
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.data.examples import Examples, Rows
from avatargpt.train.data.ragged import padded
from avatargpt.train.stage import StepContext
from avatargpt.train.throughput import Work
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
    tasks: list[str]  # of each row
    positive: np.ndarray  # (B,) the row of the batch whose answer a prompt does not fit, -1 = it fits

    @classmethod
    def of(
        cls, rows: Rows, chosen: np.ndarray, examples: Examples, grounder: SentenceGrounder | None,
        device: torch.device, multiple: int = 1,
    ) -> Batch:  # fmt: skip
        """The rows with numbers `chosen`, padded; rows without labels fill up to a `multiple`."""
        real = len(chosen)
        chosen = np.concatenate([chosen, np.repeat(chosen[:1], _even(real, multiple) - real)])
        config, table = examples.config, examples.clips
        pad_id = config.pad_token_id or 0
        starts, sources, targets = rows.starts[chosen], rows.sources[chosen], rows.targets[chosen]
        width = _even(int(sources.max()), EVEN)
        ids = padded(rows.ids, starts, sources, width, pad_id)
        places = padded(rows.places, starts, sources, width, -1)
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy((np.arange(width) < sources[:, None]).astype(np.int64)),
        }  # fmt: skip
        if (places >= 0).any():
            residual = np.where((places >= 0)[..., None], table.codes[np.maximum(places, 0)], -1).astype(np.int64)
            inputs["residual_codes"] = torch.from_numpy(residual)
        ground = rows.ground[chosen]
        if grounder is not None and (ground >= 0).any():
            inputs["extra_embeddings"] = [(*_states(ground, examples, grounder), "grounding")]
        # Answers are shorter than prompts: half of EVEN wastes less and still gives few shapes.
        length = _even(int(targets.max()), EVEN // 2)
        labels = padded(rows.answers, rows.answer_starts[chosen], targets, length, IGNORED)
        labels[real:] = IGNORED
        first = rows.codes[chosen]
        counts = np.where(first >= 0, targets - 1, 0)
        codes = padded(table.codes, np.maximum(first, 0), counts, length, -1)
        position = {int(n): b for b, n in enumerate(chosen[:real])}
        return cls(
            {k: _moved(v, device) for k, v in inputs.items()}, [config.heads[h] for h in rows.head[chosen]],
            torch.from_numpy(labels).to(device), torch.from_numpy(rows.length[chosen]).to(device),
            torch.from_numpy(codes).to(device), [examples.tasks[t] for t in rows.task[chosen]],
            np.array([position.get(int(p), -1) for p in rows.positive[chosen]], np.int64),
        )  # fmt: skip


def _even(count: int, multiple: int) -> int:
    return -(-max(count, 1) // multiple) * multiple


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return [(vectors.to(device), mask.to(device), name) for vectors, mask, name in value]


def _states(ground: np.ndarray, examples: Examples, grounder: SentenceGrounder) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states (B, G, width) of texts (B,), and mask (B, G); rows without text are all padding."""
    texts = examples.wording.texts
    known = np.flatnonzero(ground >= 0)
    states = grounder.states([texts[n] for n in ground[known]])
    longest = _even(max(len(s) for s in states), EVEN)
    out = np.zeros((len(ground), longest, states[0].shape[-1]), np.float32)
    mask = np.zeros((len(ground), longest), np.int64)
    for b, s in zip(known.tolist(), states, strict=True):
        out[b, : len(s)], mask[b, : len(s)] = s, 1
    return torch.from_numpy(out), torch.from_numpy(mask)


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
        steps: of a pool. rows: draws of a step, over all processes.
        end: steps of the run; None = no pool is made ahead.
    """

    def __init__(self, examples: Examples, seed: int, steps: int, rows: int, end: int | None = None) -> None:
        self.examples, self.mixture = examples, Mixture(examples.streams(), seed)
        self.seed, self.steps, self.rows, self.end = seed, steps, rows, end or 0
        self._current: tuple[int, Rows, np.ndarray] | None = None
        self._prefetch: Prefetch[int, tuple[Rows, np.ndarray]] = Prefetch(self._sorted)

    def step(self, step: int) -> tuple[Rows, np.ndarray]:
        """The rows of a pool and (n,) numbers of the draws of one step, in the order of their lengths; the same on
        every process (`share_of` shares them out)."""
        # A pool is a function of its first step, so that a run that resumes inside a pool makes the same one.
        first = step - step % self.steps
        if self._current is None or self._current[0] != first:
            following = first + self.steps
            self._current = first, *self._prefetch.get(first, following if following < self.end else None)
        _, rows, order = self._current
        return rows, order[step - first]

    def _sorted(self, first: int) -> tuple[Rows, np.ndarray]:
        drawn = [self.mixture.draw(s, self.rows) for s in range(first, first + self.steps)]
        streams, entries = (np.concatenate(column) for column in zip(*drawn, strict=True))
        rows = self.examples.make(streams, entries, (self.seed, first, 98))
        count = len(streams)
        order = np.lexsort((rows.sources[:count], rows.targets[:count], rows.head[:count]))
        order = order.reshape(self.steps, self.rows)
        # Sorted steps would take all short rows first; their order is random again.
        return rows, order[generator(self.seed, first, 99).permutation(self.steps)]


REFINED, FORGOTTEN = 7, 8  # seeds of draws beside the rows themselves


@dataclass(frozen=True)
class StepShare:
    """Rows of this process in this part of a step, with counts of all rows of the step.

    A mean over the step is computed here as the sum over these rows divided by the count of the full step, times
    `times`. Its mean over parts and processes, which engines take, is the mean over the step.

    Attributes:
        rows: of the pool. chosen: (B,) numbers of this share's, those that deny another behind it.
        times: number of shares of the step.
        tokens: head -> labelled tokens of the full step. by_task: task -> the same. denied: denying rows of the step.
        motion: rows of the full step with an answer in motion.
        answers: modality -> rows of the full step with an answer in it, where its residual decoder is trained.
        refined: modality -> motion tokens of the full step that train the residual decoder.
        refining: (B,) bool: rows of this share that train the residual decoder.
        forgotten: per row, (motion tokens,) bool: where the residual decoder does not see the details before.
    """

    rows: Rows
    chosen: np.ndarray
    times: int
    tokens: dict[str, int]
    by_task: dict[str, int]
    denied: int
    motion: int
    answers: dict[str, int]
    refined: dict[str, int]
    refining: np.ndarray
    forgotten: Sequence[np.ndarray]


def share_of(
    rows: Rows, step: np.ndarray, examples: Examples, context: StepContext, refiners: Collection[str], portion: float
) -> StepShare:  # fmt: skip
    """A process's share in a step.

    Args:
        rows: of the pool. step: (n,) numbers of the step's draws, over all processes and parts.
        refiners: modalities whose residual decoder is trained. portion: of its rows that train it; at least one.
    """
    # A part is a stretch of the sorted step; of it every n-th row for each process: shares have about equal lengths.
    mine = np.array_split(step, context.parts)[context.part][context.rank :: context.world]
    head, task, targets = rows.head[step], rows.task[step], rows.targets[step]
    heads, tasks = examples.config.heads, examples.tasks
    tokens = {heads[h]: int(targets[head == h].sum()) for h in np.unique(head)}
    by_task = {tasks[t]: int(targets[task == t].sum()) for t in np.unique(task)}
    # Drawn for the full step, so that it is the same on any number of processes.
    rng = generator(context.seed, context.step, REFINED)
    answers, refined, refining = {}, {}, np.zeros(len(rows), bool)
    for name in (n for n in tokens if n != TEXT and n in refiners):
        same = step[head == heads.index(name)]
        few = rng.permutation(len(same))[: max(1, round(portion * len(same)))]
        refining[same[few]] = True
        answers[name], refined[name] = len(same), int((rows.targets[same[few]] - 1).sum())
    negatives = np.flatnonzero(np.isin(rows.positive, mine)) if len(mine) else np.zeros(0, np.int64)
    chosen = np.concatenate([mine, negatives])
    forgotten = [
        generator(context.seed, context.step, FORGOTTEN, int(n)).random(max(int(rows.targets[n]) - 1, 0)) < FORGET
        if refining[n] else np.zeros(0, bool) for n in chosen
    ]  # fmt: skip
    return StepShare(
        rows, chosen, context.parts * context.world, tokens, by_task, int(np.isin(rows.positive, step).sum()),
        int((head != 0).sum()), answers, refined, refining[chosen], forgotten,
    )  # fmt: skip


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
