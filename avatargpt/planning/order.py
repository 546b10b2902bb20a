"""Which candidates make a plan, and in which order: beam search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatargpt.planning.retrieve import Candidate
from avatargpt.planning.store import PlanLibrary
from avatargpt.retrieval.index import unit

BEAMS = 24
NOVEL = 0.45  # cosine of two activities from which they count as alike


@dataclass(frozen=True, eq=False)
class Memory:
    """What was done before the plan begins, K components.

    Attributes:
        tasks: (n, K). steps: (n, K) mean of each activity's steps. rows: library rows they came from, where known.
    """

    tasks: np.ndarray
    steps: np.ndarray
    rows: tuple[int, ...] = ()


def alike(one: Candidate, tasks: np.ndarray, steps: np.ndarray) -> float:
    """How much of an activity was there before: the worst cosine above `NOVEL`, of the task or of its steps."""
    if not len(tasks):
        return 0.0
    mean = unit(one.step_vectors.mean(0, keepdims=True))[0]
    return max(float((tasks @ one.task_vector).max()), float((steps @ mean).max()), NOVEL) - NOVEL


def ordered(
    library: PlanLibrary, found: Sequence[Candidate], count: int, memory: Memory, noise: np.ndarray, whole: bool = True
) -> list[Candidate]:
    """The best sequence of `count` candidates.

    Args:
        found: candidates with their fit. noise: (len(found),) added to the fits.
        memory: what came before. whole: the sequence is a whole plan with a beginning and an end.

    Returns:
        `count` candidates, or as many as there are.
    """
    if not found:
        return []
    tasks = np.stack([c.task_vector for c in found])
    means = unit(np.stack([c.step_vectors.mean(0) for c in found]))
    near = np.maximum(np.maximum(tasks @ tasks.T, means @ means.T) - NOVEL, 0)
    leads = library.projected("task_next", "from", tasks) @ library.projected("task_next", "to", tasks).T
    base = np.array([c.fit for c in found]) + noise
    base = base - np.array([3 * alike(c, memory.tasks, memory.steps) for c in found])
    base -= 5.0 * np.array([c.row >= 0 and c.row in memory.rows for c in found])
    if len(memory.tasks):
        last = library.projected("task_next", "from", memory.tasks[-1:])[0]
        base += 0.25 * (library.projected("task_next", "to", tasks) @ last)
        follows = memory.rows[-1] if memory.rows else -2
        if follows >= 0:
            scene = library.task_scene[follows]
            base += 0.15 * np.array([c.row == follows + 1 and c.scene == scene for c in found])
    most = max(1, round(2 * count / 3)) if whole else 1
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for at in range(min(count, len(found))):
        grown = []
        for score, chosen in beams:
            sources = [found[i].scene for i in chosen]
            for i, one in enumerate(found):
                if i in chosen or (one.scene >= 0 and sources.count(one.scene) >= most):
                    continue
                grown.append((score + base[i] + _joins(found, chosen, i, near, leads, at, count, whole), (*chosen, i)))
        grown.sort(key=lambda b: (-b[0], b[1]))
        beams = grown[:BEAMS] or beams
    return [found[i] for i in beams[0][1]]


def _joins(
    found: Sequence[Candidate], chosen: tuple[int, ...], i: int, near: np.ndarray, leads: np.ndarray, at: int,
    count: int, whole: bool,
) -> float:  # fmt: skip
    one = found[i]
    score = -3 * sum(float(near[j, i]) for j in chosen)
    if whole and count > 1:
        score -= 0.25 * abs(one.place - at / (count - 1))
    if chosen:
        score += 0.25 * float(leads[chosen[-1], i])
    if one.event >= 0:
        told = [found[j].event for j in chosen if found[j].event >= 0]
        score += 0.12 * bool(told) if one.event > max(told, default=-1) else -1.0
    same = [found[j].row for j in chosen if found[j].scene == one.scene and one.scene >= 0]
    if same:
        score += 0.12 if one.row > max(same) else -1.0
    elif len({found[j].scene for j in chosen}) > 1:
        score -= 0.06
    return score
