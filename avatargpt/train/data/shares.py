"""Which rows of a step a process has, and what its losses are parts of: the same step on any number of processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from avatargpt.lm.residual_decoder import FORGET
from avatargpt.lm.shape import TEXT
from avatargpt.train.data.examples import Example
from avatargpt.train.running.stage import StepContext
from instruct_data.mixture import generator

REFINED, FORGOTTEN = 7, 8  # what is drawn with the seed and the step besides the rows themselves


@dataclass(frozen=True)
class Share:
    """Rows of a step that are this process's in this part of it, with counts of all rows of the step.

    A loss that is a mean over the step is here the sum over these rows divided by what the whole step has of it, times
    `times`. Engines descend the mean of that over parts and processes, which is the mean over the step.

    Attributes:
        rows: of this share. times: into how many shares the step is divided.
        tokens: head -> labelled tokens of the whole step. by_task: task -> the same.
        motion: rows of the whole step that answer in motion.
        answers: modality -> rows of the whole step that answer in it, where the residual decoder learns from it.
        refined: modality -> motion tokens of the whole step that the residual decoder learns from.
        chosen: (rows,) bool: rows of this share that the residual decoder learns from.
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


def share_of(rows: Sequence[Example], context: StepContext, refiners: Collection[str], portion: float) -> Share:
    """A process's share in a step.

    Args:
        rows: of the whole step, over all processes and parts.
        refiners: modalities whose residual decoder learns.
        portion: of each one's rows, from which it learns; at least one row.
    """
    place = context.rank + context.world * context.part
    own = range(len(rows))[place :: context.world * context.parts]
    tokens: Counter[str] = Counter()
    by_task: Counter[str] = Counter()
    for row in rows:
        tokens[row.head] += len(row.labels)
        by_task[row.task] += len(row.labels)
    rng, chosen = generator(context.seed, context.step, REFINED), np.zeros(len(rows), bool)
    answers, refined = {}, {}
    for name in (n for n in tokens if n != TEXT and n in refiners):
        same = [i for i, r in enumerate(rows) if r.head == name]
        keep = rng.permutation(same)[: max(1, round(len(same) * portion))]
        chosen[keep] = True
        answers[name], refined[name] = len(same), sum(_motion(rows[int(i)]) for i in keep)
    forgotten = [generator(context.seed, context.step, FORGOTTEN, i).random(_motion(rows[i])) < FORGET for i in own]
    return Share(
        [rows[i] for i in own], context.world * context.parts, dict(tokens), dict(by_task),
        sum(r.head != TEXT for r in rows), answers, refined, chosen[own.start :: own.step], forgotten,
    )  # fmt: skip


def _motion(row: Example) -> int:
    return 0 if row.codes is None else len(row.codes)
