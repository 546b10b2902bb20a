"""Rows of a training step, shared out among processes, and their tensors."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.residual_decoder import FORGET
from avatargpt.lm.shape import IGNORED, TEXT, forward_flops
from avatargpt.lm.text_encoder import ResidentStates, SentenceGrounder
from avatargpt.train.data.examples import Examples, Rows
from avatargpt.train.data.ragged import pad_stretches
from avatargpt.train.stage import StepContext
from avatargpt.train.throughput import Work
from instruct_data.factory.mixture import Mixture, generator
from vqvae.errors import UserError

EVEN = 16  # lengths are padded up to a multiple: kernels are prepared once per shape, which takes longer than a step


@dataclass
class Batch:
    """Rows of one step: arrays in host memory, from `to` on tensors.

    B rows, S prompt length, L answer length, G states of the sentence encoder, R levels.
    """

    inputs: dict[str, Any]
    heads: list[str]
    labels: Any  # (B, L), -100 = ignored
    length: Any  # (B,), -1 = unknown
    codes: Any  # (B, L, R), -1 outside motion answers and for levels that a modality has not
    tasks: list[str]  # of each row
    positive: np.ndarray  # (B,) the row of the batch whose answer a prompt does not fit, -1 = it fits
    read: np.ndarray  # (B,) tokens and states that are read. written: (B,) labels, both without padding
    written: np.ndarray
    ground: np.ndarray  # (B,) numbers of the texts that the sentence encoder reads, -1 = none
    places: dict[str, Any] = field(default_factory=dict)  # what a device gathers from its tables

    @classmethod
    def of(
        cls, rows: Rows, chosen: np.ndarray, examples: Examples, grounder: SentenceGrounder | None = None,
        multiple: int = 1,
    ) -> Batch:  # fmt: skip
        """The rows with numbers `chosen`, padded, in host memory; rows without labels fill up to a `multiple`."""
        real = len(chosen)
        chosen = np.concatenate([chosen, np.repeat(chosen[:1], _even(real, multiple) - real)])
        config, heads = examples.config, examples.config.heads
        pad_id = config.pad_token_id or 0
        starts, sources, targets = rows.starts[chosen], rows.sources[chosen], rows.targets[chosen]
        width = _even(int(sources.max()), EVEN)
        ids = pad_stretches(rows.ids, starts, sources, width, pad_id)
        places = pad_stretches(rows.places, starts, sources, width, -1)
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": (np.arange(width) < sources[:, None]).astype(np.int64),
        }  # fmt: skip
        read, gathered = sources.copy(), {}
        if (places >= 0).any():
            gathered["residual_codes"] = places
        ground = rows.ground[chosen]
        if grounder is not None and (ground >= 0).any():
            states, state_mask = _states(ground, examples, grounder)
            inputs["extra_embeddings"] = [(states, state_mask, "grounding")]
            read += state_mask.sum(1).numpy()
        inputs["longest"] = int(read.max())
        # Answers are shorter than prompts: half of EVEN wastes less and still gives few shapes.
        length = _even(int(targets.max()), EVEN // 2)
        labels = pad_stretches(rows.answers, rows.answer_starts[chosen], targets, length, IGNORED)
        labels[real:] = IGNORED
        first = rows.codes[chosen]
        counts = np.where(first >= 0, targets - 1, 0)
        gathered["codes"] = np.where(
            np.arange(length) < counts[:, None], np.maximum(first, 0)[:, None] + np.arange(length), -1
        )  # fmt: skip
        position = np.full(len(rows), -1, np.int64)
        position[chosen[:real]] = np.arange(real)
        positive = rows.positive[chosen]
        written = targets.copy()
        written[real:] = 0
        return cls(
            inputs, [heads[h] for h in rows.head[chosen]], labels,
            rows.length[chosen], np.zeros(0, np.int64), [examples.tasks[t] for t in rows.task[chosen]],
            np.where(positive >= 0, position[positive], -1), read, written, ground, gathered,
        )  # fmt: skip

    def place_states(self, states: ResidentStates) -> Batch:
        """With the places of the texts' states on their device."""
        if not (self.ground >= 0).any():
            return self
        at, mask = states.places(self.ground, EVEN)
        places = {**self.places, "grounding": at, "grounding_mask": mask}
        read = self.read + mask.sum(1)
        return replace(self, read=read, places=places, inputs={**self.inputs, "longest": int(read.max())})

    def pin(self) -> Batch:
        """The same in memory that a GPU reads while it computes."""
        def pin(value: Any) -> Any:
            return torch.from_numpy(value).pin_memory() if isinstance(value, np.ndarray) else value

        inputs, places = ({k: pin(v) for k, v in d.items()} for d in (self.inputs, self.places))
        return replace(self, inputs=inputs, labels=pin(self.labels), length=pin(self.length), places=places)

    def to(self, device: torch.device, table: torch.Tensor, states: torch.Tensor | None = None) -> Batch:
        """On a device, with what is gathered there.

        Args:
            table: (C, R) codes of all clips. states: (M, width) of the sentence encoder.
        """
        at = {k: _move_value(v, device) for k, v in self.places.items()}
        inputs = {k: _move_value(v, device) for k, v in self.inputs.items()}
        if "residual_codes" in at:
            inputs["residual_codes"] = _rows(table, at["residual_codes"])
        if states is not None and "grounding" in at:
            inputs["extra_embeddings"] = [(states[at["grounding"]], at["grounding_mask"], "grounding")]
        return replace(
            self, inputs=inputs, labels=_move_value(self.labels, device), length=_move_value(self.length, device),
            codes=_rows(table, at["codes"]), places={},
        )  # fmt: skip


def _rows(table: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rows of a table at places (...,) -> (..., R) int64; -1 where the place is below 0."""
    if not len(table):  # words alone
        return places.new_full((*places.shape, table.shape[1]), -1)
    return torch.where((places >= 0)[..., None], table[places.clamp(min=0)].long(), -1)


def _even(count: int, multiple: int) -> int:
    return -(-max(count, 1) // multiple) * multiple


def _move_value(value: Any, device: torch.device) -> Any:
    if isinstance(value, int):
        return value
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
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
    # Frozen weights need no gradient of their own, but the one for activations still passes through them.
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    share = sum(n for n, trained in sizes if trained) / sum(n for n, _ in sizes)
    forward = forward_flops(model.config, batch.read, batch.written, batch.heads)
    return Work(int(batch.read.sum() + batch.written.sum()), (2 + share) * forward)


READ_COST, WRITTEN_COST = 2, 3  # of a token, in proportion: decoders are the deeper ones


def arranged(read: np.ndarray, written: np.ndarray, steps: int) -> np.ndarray:
    """(steps, n / steps) numbers of n rows with so many tokens that are read and written: in a step they are alike.

    The rows are halved, along the side that leaves less padding, and so are the halves.
    """
    def halved(rows: np.ndarray, count: int) -> list[np.ndarray]:
        if count == 1:
            return [rows]
        cut, ways = len(rows) // count * (count // 2), []
        for first, then in ((read, written), (written, read)):
            halves = np.split(rows[np.lexsort((then[rows], first[rows]))], [cut])
            cost = sum(len(h) * (READ_COST * read[h].max() + WRITTEN_COST * written[h].max()) for h in halves)
            ways.append((cost, halves))
        short, long = min(ways, key=lambda way: way[0])[1]
        return halved(short, count // 2) + halved(long, count - count // 2)

    return np.stack(halved(np.arange(len(read)), steps))


Prepared = tuple["StepShare", Batch]


class Pool:
    """Rows of every step; within a pool of steps, rows of similar lengths are put into one step (`arranged`).

    The next pools are made during the steps of this one: by a thread, or, batches included, by processes.

    Args:
        steps: of a pool. rows: draws of a step, over all processes of the run.
        end: steps of the run; None = no pool is made ahead.
        workers: processes that make pools, 0 = a thread of this one. The rows are the same with any number.
        refiners, portion: see `share_of`. place: rank and number of this process in the run.
        even: rows of a batch are filled up to a multiple.
    """

    def __init__(
        self, examples: Examples, seed: int, steps: int, rows: int, end: int | None = None, workers: int = 0,
        refiners: Collection[str] = (), portion: float = 0.0, place: tuple[int, int] = (0, 1), even: int = EVEN,
    ) -> None:  # fmt: skip
        self.examples, self.mixture = examples, Mixture(examples.streams(), seed)
        self.seed, self.steps, self.rows, self.end = seed, steps, rows, end or 0
        self.even = even
        self.refiners, self.portion, self.place = tuple(refiners), portion, place
        self._current: tuple[int, Any] | None = None
        self._ahead: deque[tuple[int, Future[Any]]] = deque()
        self._executor: Executor | None = None
        self.workers = workers if end else 0
        if self.workers:
            if "fork" not in multiprocessing.get_all_start_methods():
                raise UserError(f"train: workers: {workers}; processes cannot be forked here; accepted: 0")
            examples.prepare()
            self._known = len(examples.wording.texts)  # texts with the same number in all processes
            fork = multiprocessing.get_context("fork")  # the tables of texts and codes are shared, not copied
            self._executor = ProcessPoolExecutor(self.workers, fork, _adopt, (self,))
            # All processes start now, before anything is computed on a device.
            list(self._executor.map(_awake, range(self.workers)))

    def step(self, step: int) -> tuple[Rows, np.ndarray]:
        """The rows of a pool and (n,) numbers of the draws of one step, in the order of their lengths; the same on
        every process (`share_of` shares them out). Without workers."""
        rows, order = self._fetch(step)
        return rows, order[step % self.steps]

    def prepare_part(self, context: StepContext, grounder: SentenceGrounder | None = None) -> Prepared:
        """This process's share of a part of a step, and its rows in host memory."""
        if not self.workers:
            rows, step = self.step(context.step)
            share = share_of(rows, step, self.examples, context, self.refiners, self.portion)
            return share, Batch.of(rows, share.chosen, self.examples, grounder, self.even)
        parts, texts = self._fetch(context.step)
        share, batch = parts[context.step % self.steps]
        if texts:  # texts that a process met first have a number of their own here
            ground = batch.ground.copy()
            for number, text in texts.items():
                ground[batch.ground == number] = self.examples.wording.number(text)
            batch = replace(batch, ground=ground)
        return share, batch

    def _fetch(self, step: int) -> Any:
        # A pool is a function of its first step, so that a run that resumes inside a pool makes the same one.
        first = step - step % self.steps
        if self._current is None or self._current[0] != first:
            self._current = first, self._make_ahead(first)
        return self._current[1]

    def _make_ahead(self, first: int) -> Any:
        if self._executor is None:
            # In the thread, too, when nothing was prepared: rows then are never made in two threads.
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="pool")
        if not self._ahead or self._ahead[0][0] != first:
            for _, future in self._ahead:
                future.cancel()
            self._ahead = deque([(first, self._submit(first))])
        ahead = 2 * self.workers or 1
        while len(self._ahead) <= ahead and (following := self._ahead[-1][0] + self.steps) < self.end:
            self._ahead.append((following, self._submit(following)))
        return self._ahead.popleft()[1].result()

    def _submit(self, first: int) -> Future[Any]:
        assert self._executor is not None
        return (
            self._executor.submit(_make_in_process, first)
            if self.workers
            else self._executor.submit(self.make_pool, first)
        )

    def make_pool(self, first: int) -> tuple[Rows, np.ndarray]:
        """Rows of the pool that begins with a step, and the order (steps, rows) in which they are used."""
        drawn = [self.mixture.draw(s, self.rows) for s in range(first, first + self.steps)]
        streams, entries = (np.concatenate(column) for column in zip(*drawn, strict=True))
        rows = self.examples.make(streams, entries, (self.seed, first, 98))
        count = len(streams)
        # What the sentence encoder makes of a text has about as many states as the text has pieces.
        pieces = np.where(rows.ground >= 0, self.examples.wording.pieces.lengths[rows.ground], 0)
        order = arranged((rows.sources + pieces)[:count], rows.targets[:count], self.steps)
        # Sorted steps would take all short rows first; their order is random again.
        return rows, order[generator(self.seed, first, 99).permutation(self.steps)]

    def batches(self, first: int) -> tuple[list[Prepared], dict[int, str]]:
        """Shares and batches of the pool's steps, and texts that are new since the processes were started."""
        rows, order = self.make_pool(first)
        out = []
        for n, step in enumerate(order):
            context = StepContext(first + n, *self.place, self.seed)
            share = share_of(rows, step, self.examples, context, self.refiners, self.portion)
            out.append((share, Batch.of(rows, share.chosen, self.examples, None, self.even)))
        new = np.unique(rows.ground[rows.ground >= self._known]).tolist()
        return out, {n: self.examples.wording.texts[n] for n in new}

    def close(self) -> None:
        """End the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


_pool: Pool | None = None  # of a process that makes rows


def _adopt(pool: Pool) -> None:
    global _pool
    _pool = pool


def _awake(number: int) -> int:
    return number


def _make_in_process(first: int) -> tuple[list[Prepared], dict[int, str]]:
    assert _pool is not None
    return _pool.batches(first)


REFINED, FORGOTTEN = 7, 8  # seeds of draws beside the rows themselves


@dataclass(frozen=True)
class StepShare:
    """Rows of this process in this part of a step, with counts of all rows of the step.

    A mean over the step is computed here as the sum over these rows divided by the count of the full step, times
    `times`. Its mean over parts and processes, which engines take, is the mean over the step.

    Attributes:
        chosen: (B,) numbers of this share's rows, those that deny another behind it.
        times: number of shares of the step.
        tokens: head -> labelled tokens of the full step. by_task: task -> the same. denied: denying rows of the step.
        motion: rows of the full step with an answer in motion.
        answers: modality -> rows of the full step with an answer in it, where its residual decoder is trained.
        refined: modality -> motion tokens of the full step that train the residual decoder.
        refining: (B,) bool: rows of this share that train the residual decoder.
        forgotten: (B, T) bool: motion tokens before which the residual decoder does not see the details.
    """

    chosen: np.ndarray
    times: int
    tokens: dict[str, int]
    by_task: dict[str, int]
    denied: int
    motion: int
    answers: dict[str, int]
    refined: dict[str, int]
    refining: np.ndarray
    forgotten: np.ndarray


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
    # Drawn for all rows of the step at once, so that a row has the same on any number of processes.
    drawn = generator(context.seed, context.step, FORGOTTEN).random((len(step), int(targets.max())), np.float32)
    place = np.full(len(rows), -1, np.int64)
    place[step] = np.arange(len(step))
    forgotten = (drawn < FORGET)[place[chosen]]  # rows that deny another train no residual decoder
    return StepShare(
        chosen, context.parts * context.world, tokens, by_task, int(np.isin(rows.positive, step).sum()),
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
