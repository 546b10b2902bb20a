"""Figures of plans without a model: order, repetition, copies of the library, and the separation of scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from avatargpt.planning.compose import violations
from avatargpt.planning.persons import bare_text, gender_of
from avatargpt.planning.types import Plan

Key = tuple[str, ...]


def roc_auc(true: np.ndarray, false: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a true item scores above a false one, ties half (Mann-Whitney)."""
    both = np.concatenate([true, false])
    order = both.argsort(kind="stable")
    ranks = np.empty(len(both))
    ranks[order] = np.arange(1, len(both) + 1)
    _, group = np.unique(both, return_inverse=True)
    ranks = (np.bincount(group, ranks) / np.bincount(group))[group]
    return float((ranks[: len(true)].sum() - len(true) * (len(true) + 1) / 2) / (len(true) * len(false)))


def key(task: str, steps: Sequence[str]) -> Key:
    """An activity without its person, case and punctuation, for comparisons."""
    actor = gender_of(" ".join([task, *steps]))
    return (bare_text(task, actor, False), *(bare_text(s, actor) for s in steps))


def well_formed(plan: Plan, activities: int) -> bool:
    """Whether a plan has `activities` activities, each with a task and steps, no empty or many-line text."""
    texts = [t for a in plan.activities for t in (a.task, *a.steps)]
    return (
        len(plan.activities) == activities
        and all(a.steps for a in plan.activities)
        and all(t.strip() == t and t and "\n" not in t and "{" not in t and len(t) <= 200 for t in texts)
    )


def loops(plan: Plan) -> int:
    """Number of repeated steps and activities, by their words."""
    keys = [key(a.task, a.steps) for a in plan.activities]
    steps = Counter(s for k in keys for s in k[1:])
    tasks = Counter(k[0] for k in keys)
    return sum(n - 1 for n in steps.values()) + sum(n - 1 for n in tasks.values())


def order_violations(plan: Plan) -> list[tuple[int, str]]:
    """Physically impossible steps of a plan (`avatargpt.planning.compose`)."""
    return violations([s for a in plan.activities for s in a.steps])


def same_activity_rates(plans: Sequence[Plan]) -> dict[str, float]:
    """Shares of activities that the plan of another scene has too.

    Returns:
        ``task``: with the same text, ``steps``: with the same list of steps, ``whole``: with both in one activity,
        ``either``: with one or the other, the strictest reading.
    """
    keys = [[key(a.task, a.steps) for a in p.activities] for p in plans]
    parts: dict[str, Callable[[Key], tuple[Hashable, ...]]] = {
        "task": lambda k: (k[0],),
        "steps": lambda k: (k[1:],),
        "whole": lambda k: (k,),
        "either": lambda k: (k[0], k[1:]),
    }
    out = {}
    for name, part in parts.items():
        often = Counter(x for plan_keys in keys for x in {x for k in plan_keys for x in part(k)})
        flags = [any(often[x] > 1 for x in part(k)) for plan_keys in keys for k in plan_keys]
        out[name] = float(np.mean(flags)) if flags else float("nan")
    return out


def shared_steps_rate(plans: Sequence[Plan]) -> float:
    """Share of activities at least half of whose steps are in one activity of another scene's plan, by their words."""
    sets = [(i, frozenset(key(a.task, a.steps)[1:])) for i, p in enumerate(plans) for a in p.activities]
    holders: dict[str, list[int]] = {}
    for at, (_, steps) in enumerate(sets):
        for step in steps:
            holders.setdefault(step, []).append(at)

    def shared(i: int, steps: frozenset[str]) -> bool:
        met = Counter(at for s in steps for at in holders[s] if sets[at][0] != i)
        return any(2 * n >= len(steps) for n in met.values())

    return float(np.mean([shared(i, steps) for i, steps in sets])) if sets else float("nan")


def copied(plans: Sequence[Plan], library: frozenset[Key]) -> dict[str, float]:
    """Shares of activities and of steps that are in the library word for word (but for the person).

    Args:
        library: `key` of every activity of the library.
    """
    steps = {s for k in library for s in k[1:]}
    keys = [key(a.task, a.steps) for p in plans for a in p.activities]
    return {
        "activities": float(np.mean([k in library for k in keys])),
        "steps": float(np.mean([s in steps for k in keys for s in k[1:]])),
    }
