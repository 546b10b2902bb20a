"""How well the predicates themselves separate real clips: own-class and other-class pass rates."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.checks import belongs
from avatargpt.metrics.geometry import predicates
from instruct_data.clip import Clip


def score(suite: Suite, clips: list[Clip]) -> dict[str, Any]:
    """Pass rate on the clips of each class and on all others.

    Returns:
        ``own/<class>`` and ``others/<class>`` figures, and which classes a predicate is also true for (overlaps are
        expected where one action contains another, as a wave contains a raised hand).
    """
    signals = [Signals(c.load()) for c in clips]
    results: dict[str, Any] = {}
    also: dict[str, Any] = {}
    own_means, other_means = [], []
    for about in suite.classes:
        own: list[float] = []
        others: dict[str, list[float]] = defaultdict(list)
        for clip, s in zip(clips, signals, strict=True):
            passed = float(predicates.judge(about["check"], s).passed)
            if belongs(clip, about):
                own.append(passed)
            else:
                others[clip.action or "other clips"].append(passed)
        results[f"own/{about['name']}"] = figure(own)
        # Averaged over classes, or the three thousand raised hands and waves would decide everything.
        means = {k: sum(v) / len(v) for k, v in others.items()}
        results[f"others/{about['name']}"] = figure(list(means.values()))
        high = sorted(means.items(), key=lambda kv: -kv[1])
        also[about["name"]] = {k: round(v, 3) for k, v in high[:5] if v >= 0.1}
        if own:
            own_means.append(sum(own) / len(own))
            other_means.append(sum(means.values()) / len(means))
    results["own"] = figure(own_means)
    results["others"] = figure(other_means)
    return {"results": results, "also_true_for": also, "clips": len(clips)}
