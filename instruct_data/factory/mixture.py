"""Sampling of training examples: tasks and clips by weight as a pure function of (seed, step); padded rows."""

# Nothing is carried from step to step, so a resumed run sees exactly what it would have seen.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.text.captions import infer_action
from instruct_data.text.english import first_verb
from vqvae.errors import UserError

if TYPE_CHECKING:  # it brings pyarrow
    from instruct_data.store import ClipCodes


def clip_class(item: Clip | ClipCodes) -> str:
    """Class for balancing: the action, else what the captions say, else the first verb of the first caption."""
    action = item.action or infer_action(item.captions)
    return action.replace("-", "_") if action else first_verb(item.captions) or item.source


def balance_weights(classes: Sequence[str], alpha: float) -> np.ndarray:
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
class ExampleStream:
    """Examples of one task."""

    task: str  # name of the task
    weight: float  # share of the mixture (any positive scale)
    classes: Sequence[str]  # class of every item the task can draw
    alpha: float = 0.5  # balance, see :func:`balance_weights`


def generator(seed: int, *place: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments (step, rank, ...)."""
    return np.random.default_rng(np.random.SeedSequence([seed, *place]))


class Mixture:
    """Draws tasks by weight and, within a task, clips by balanced class weights."""

    def __init__(self, streams: Sequence[ExampleStream], seed: int = 0) -> None:
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
        self._items = [np.cumsum(balance_weights(s.classes, s.alpha)) for s in streams]

    def draw(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(size,) numbers of streams and of items in them, a function of seed and step."""
        rng = generator(self.seed, step)
        u, v = rng.random(size), rng.random(size)
        streams = np.minimum(np.searchsorted(self._tasks, u, side="right"), len(self.streams) - 1)
        items = np.empty(size, np.int64)
        for t in np.unique(streams):
            at, cumulative = streams == t, self._items[int(t)]
            items[at] = np.minimum(np.searchsorted(cumulative, v[at], side="right"), len(cumulative) - 1)
        return streams, items


