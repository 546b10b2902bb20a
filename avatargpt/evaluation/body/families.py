"""The families suite: do keyframed clips do what their parameters say, and do those of other families not?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from avatargpt.evaluation import suites
from avatargpt.evaluation.report import figure
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.checks import holds, read_families, resembles
from instruct_data.clip import Clip


def score(suite: suites.Suite, clips: Iterable[Clip], others: int = 4) -> dict[str, Any]:
    """Do the families' own clips do what their parameters say, and do other families' clips not?

    Args:
        suite: of kind ``families``.
        clips: keyframed clips of the families.
        others: clips per family that are tried against all other families.

    Returns:
        ``own/FAMILY``: share of its clips that satisfy its checks, ``others/FAMILY``: mean over the other families of
        the share that satisfies its unconditional ones; and which families those are.
    """
    table = read_families(suite.classes, suite.name)
    signals: dict[str, list[Signals]] = defaultdict(list)
    own: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, int] = defaultdict(int)
    total = 0
    for clip in clips:
        total += 1
        if clip.action not in table:
            lost[clip.action] += 1
            continue
        s = Signals(clip.load())
        own[clip.action].append(float(holds(table[clip.action], clip, s)))
        if len(signals[clip.action]) < others:
            signals[clip.action].append(s)
    results: dict[str, Any] = {"own": figure([x for v in own.values() for x in v])}
    alien: dict[str, Any] = {}
    also: dict[str, dict[str, float]] = {}
    for name, entry in table.items():
        rates = {
            other: sum(resembles(entry, s) for s in group) / len(group)
            for other, group in signals.items()
            if group and other != name and other not in entry.also
        }
        alien[f"others/{name}"] = figure(list(rates.values()))
        also[name] = {k: round(v, 2) for k, v in sorted(rates.items(), key=lambda kv: -kv[1]) if v >= 0.5}
    results["others"] = figure([f["mean"] for f in alien.values() if f["mean"] is not None])
    results.update({f"own/{k}": figure(own.get(k, [])) for k in table})
    results.update(alien)
    return {"results": results, "clips": total, "also_true_for": also, "families_without_checks": dict(lost)}
