"""Prompt following: generate, judge by geometry, count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics import geometry
from avatargpt.metrics.geometry_signals import Signals
from vqvae.errors import UserError
from vqvae.motion import Motion

Generator = Callable[[list[str], list[int]], Sequence[Motion]]
"""(prompts, seeds), equally long -> one motion per pair."""


def score(suite: Suite, generate: Generator, batch: int = 64) -> dict[str, Any]:
    """Every prompt of the suite with every seed.

    Args:
        suite: of kind ``prompts``.
        generate: the model, or a baseline, under test.
        batch: how many prompts are handed over at once.

    Returns:
        ``{"results": {figure: ..}, "prompts": [..]}``: the pass rate over all prompts and per kind (mean over prompts
        of the share of seeds right, bootstrap over prompts), and per prompt which seeds passed and what was measured
        in the first one that failed.
    """
    texts = sorted({e.prompt for e in suite.entries} | {e.neutral for e in suite.entries if e.neutral})
    pairs = [(text, seed) for text in texts for seed in suite.seeds]
    made: dict[tuple[str, int], Signals] = {}
    for start in range(0, len(pairs), batch):
        chunk = pairs[start : start + batch]
        motions = list(generate([t for t, _ in chunk], [s for _, s in chunk]))
        if len(motions) != len(chunk):
            raise UserError(f"the generator gave {len(motions)} motions for {len(chunk)} prompts")
        made.update({pair: Signals(m) for pair, m in zip(chunk, motions, strict=True)})

    by_kind: dict[str, list[float]] = defaultdict(list)
    rows = []
    for entry in suite.entries:
        passed, failure = [], None
        for seed in suite.seeds:
            reference = made[entry.neutral, seed] if entry.neutral else None
            verdict = geometry.judge_all(entry.checks, made[entry.prompt, seed], reference)
            passed.append(int(verdict.passed))
            if not verdict.passed and failure is None:
                failure = {k: round(v, 3) for k, v in verdict.values.items() if v == v}
        share = sum(passed) / len(passed)
        by_kind[entry.kind].append(share)
        row = {"prompt": entry.prompt, "kind": entry.kind, "passed": passed}
        rows.append({**row, "measured_in_first_failure": failure} if failure is not None else row)
    results = {"pass_rate": figure([x for v in by_kind.values() for x in v])}
    results.update({f"pass_rate/{kind}": figure(values) for kind, values in sorted(by_kind.items())})
    one_action = [x for kind, v in by_kind.items() if kind != "two" for x in v]
    results["pass_rate/all but two"] = figure(one_action)
    return {"results": results, "prompts": rows}
