"""Sampling of training examples: tasks and clips by weight as a pure function of (seed, step), and batches of them."""

# Nothing is carried from step to step, so a resumed run sees exactly what it would have seen.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruct_data.clip import Clip
from instruct_data.store import ClipCodes
from instruct_data.text.captions import infer_action
from instruct_data.text.english import first_verb
from vqvae.errors import UserError


def clip_class(item: Clip | ClipCodes) -> str:
    """Class for balancing: the action, else what the captions say, else the first verb of the first caption."""
    action = item.action or infer_action(item.captions)
    return action.replace("-", "_") if action else first_verb(item.captions) or item.source


def balanced_weights(classes: Sequence[str], alpha: float) -> np.ndarray:
    """Weight of every item so that a class of n items is drawn in proportion to n^(1 - alpha).

    Args:
        classes: one name per item.
        alpha: 0 = as they come, 1 = every class alike, 0.5 = square root.

    Returns:
        (len(classes),) float64 that sums to 1.
    """
    if not len(classes):
        raise UserError("mixture: no clips to draw from")
    if not 0 <= alpha <= 1:
        raise UserError(f"mixture: alpha {alpha}; accepted 0 to 1")
    counts = Counter(classes)
    weights = np.array([counts[c] ** -alpha for c in classes], np.float64)
    return weights / weights.sum()


@dataclass(frozen=True)
class Stream:
    """Examples of one task."""

    task: str  # name of the task
    weight: float  # share of the mixture (any positive scale)
    classes: Sequence[str]  # class of every item the task can draw
    alpha: float = 0.5  # balance, see :func:`balanced_weights`


@dataclass(frozen=True)
class Draw:
    """One place in a batch."""

    task: str  # name of the task
    index: int  # which item of that task's stream
    seed: int  # for everything random in this example (template, caption, crop)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def generator(seed: int, *place: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments (step, rank, ...)."""
    return np.random.default_rng(np.random.SeedSequence([seed, *place]))


class Mixture:
    """Draws tasks by weight and, within a task, clips by balanced class weights."""

    def __init__(self, streams: Sequence[Stream], seed: int = 0) -> None:
        if not streams:
            raise UserError("mixture: no tasks")
        names = [s.task for s in streams]
        if len(set(names)) != len(names):
            raise UserError(f"mixture: a task is named twice in {', '.join(names)}")
        if bad := [s for s in streams if not s.weight > 0]:
            raise UserError(f"mixture: task {bad[0].task} has weight {bad[0].weight}; accepted above 0")
        self.streams, self.seed = list(streams), seed
        weights = np.array([s.weight for s in streams], np.float64)
        self._tasks = np.cumsum(weights / weights.sum())
        self._items = [np.cumsum(balanced_weights(s.classes, s.alpha)) for s in streams]

    def batch(self, step: int, size: int, rank: int = 0) -> list[Draw]:
        """The draws of one step; `rank` gives every process of a distributed run its own."""
        rng = generator(self.seed, step, rank)
        u, v = rng.random(size), rng.random(size)
        seeds = rng.integers(0, 2**63 - 1, size)
        tasks = np.minimum(np.searchsorted(self._tasks, u, side="right"), len(self.streams) - 1)
        out = []
        for t, x, s in zip(tasks, v, seeds, strict=True):
            cumulative = self._items[int(t)]
            index = min(int(np.searchsorted(cumulative, x, side="right")), len(cumulative) - 1)
            out.append(Draw(self.streams[int(t)].task, index, int(s)))
        return out


# Batches: examples of like lengths, padded.
def like_lengths(source: Sequence[int] | np.ndarray, target: Sequence[int] | np.ndarray, rows: int) -> np.ndarray:
    """Batches of a fixed number of examples in two levels of buckets: of like targets, and in each of like sources.

    Args:
        source, target: (N,) tokens of every example before and after the arrow; N is a multiple of `rows`.
        rows: examples in a batch.

    Returns:
        (N / rows, rows) indices; every example is in exactly one batch.
    """
    source, target = np.asarray(source, np.int64), np.asarray(target, np.int64)
    if not len(source) or len(source) % rows or len(source) != len(target):
        raise UserError(f"collate: {len(source)} sources and {len(target)} targets in batches of {rows}")
    batches = len(source) // rows
    order = np.argsort(target, kind="stable").reshape(batches, rows)
    buckets = [part.reshape(-1) for part in np.array_split(order, round(batches**0.5))]
    return np.concatenate([part[np.argsort(source[part], kind="stable")] for part in buckets]).reshape(batches, rows)


def pad(rows: Sequence[np.ndarray], value: int, multiple: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pad integer sequences at the right.

    Args:
        rows: B arrays of shape (L_b,) or (L_b, R).
        value: padding.
        multiple: the common length is a multiple of this.

    Returns:
        (B, L) or (B, L, R) int64 and a (B, L) bool mask that is True where there is data.
    """
    if not rows:
        raise UserError("collate: an empty batch")
    longest = max(len(r) for r in rows)
    longest = -(-max(longest, 1) // multiple) * multiple
    out = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.int64)
    mask = np.zeros((len(rows), longest), bool)
    for b, r in enumerate(rows):
        out[b, : len(r)] = r
        mask[b, : len(r)] = True
    return out, mask
