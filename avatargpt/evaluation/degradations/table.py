"""The suite `degradations`: main figures of all suites on good motion, as it is and made worse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avatargpt.evaluation.degradations import bodies, faces
from avatargpt.evaluation.degradations.cases import Case, Settings, Sources, Worse
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics.degraded import AS_IT_IS, DEGRADATIONS
from vqvae.errors import UserError

LEAST = 0.1  # of the figure, by which one without an interval is worse
CASES: dict[str, Callable[[Sources], Case | list[Case]]] = {
    "families": bodies.of_families, "predicates": bodies.of_predicates, ", ".join(bodies.PROMPTS): bodies.of_prompts,
    "retrieval": bodies.of_retrieval, "inbetween": bodies.of_transitions("inbetween"),
    "continuation": bodies.of_transitions("continuation"), "tokenizer": bodies.of_tokenizer,
    "seams": bodies.of_seams, "synthetic_physics": bodies.of_physics, "describe": bodies.of_describe,
    "face_instructions": faces.of_instructions("face_instructions", "own", ("events", "auf1")),
    "face_fresh": faces.of_instructions("face_fresh", "fresh", ("events",)), "face_language": faces.of_language,
    "speech_face": faces.of_speech, "gesture": faces.of_gesture,
}  # fmt: skip
"""Suites -> how clips are brought before them."""


def score(suite: Suite, model: Any, data: Path | None, store: Path | None) -> dict[str, Any]:
    """The table.

    Args:
        suite: of kind ``degradations``; its option ``blind`` says of pairs that cannot differ why.
        model: describes motion; None leaves that out.
        data: the body corpus, with others beside it; what is missing is left out and named.
        store: folder of the learnt evaluator, None = the packaged weights.

    Returns:
        ``SUITE FIGURE/DEGRADATION`` and ``SUITE FIGURE/as it is``; ``punished``: share of the pairs of figure and
        degradation in which the figure is worse, beyond the intervals where it has one (what a suite refuses is worse);
        ``unexplained``: pairs that are not and for which no reason is stated. ``refused``: what suites said when they
        refused; ``not_punished`` with reasons; ``absent``: what could not be measured, with reasons;
        ``warnings`` say so in a line for each reason.
    """
    options = suite.settings(Settings)
    sources = Sources(data, store, model, options, suite.seeds[0])
    results: dict[str, Any] = {}
    absent, refused = [], []
    for name, build in CASES.items():
        try:
            made = build(sources)
            cases = made if isinstance(made, list) else [made]
            usual = [case.judge(Worse(AS_IT_IS, sources.seed)) for case in cases]
        except UserError as e:
            absent.append({"item": name, "reason": str(e)})
            continue
        for case, as_it_is in zip(cases, usual, strict=True):
            found, said = _judged(case, as_it_is, sources.seed)
            results |= found
            refused += said
    pairs, kept = compared(results, suite)
    told = {"warnings": _partial(absent), "refused": refused, "not_punished": kept, "absent": absent}
    figures = {"punished": figure(pairs), "unexplained": {"mean": sum(not k["reason"] for k in kept), "n": len(pairs)}}
    return {"results": {**figures, **results}, **{k: v for k, v in told.items() if v}}


def _partial(absent: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each reason for which suites are absent."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for row in absent:
        by_reason[row["reason"]].append(row["item"])
    return [f"the table is partial, without {', '.join(items)}: {reason}" for reason, items in by_reason.items()]


def _judged(case: Case, usual: Mapping[str, Any], seed: int) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Rows of one suite, and what it refused."""
    rows: dict[str, Mapping[str, Any]] = {AS_IT_IS: usual}
    refused = []
    for name in DEGRADATIONS:
        try:
            rows[name] = case.judge(Worse(name, seed))
        except UserError as e:
            rows[name] = {}
            refused.append({"item": f"{case.suite}/{name}", "reason": str(e)})
    nothing = {"mean": None, "n": 0}
    return {f"{case.name(f)}/{name}": row.get(f, nothing) for f in case.figures for name, row in rows.items()}, refused


def compared(results: Mapping[str, Mapping[str, Any]], suite: Suite) -> tuple[list[float], list[dict[str, str]]]:
    """1 for every pair of figure and degradation that is punished, else 0, and those that are not, with the reason."""
    pairs, kept = [], []
    blind: Mapping[str, Mapping[str, str]] = suite.options.get("blind") or {}
    for key, usual in results.items():
        name, _, row = key.partition("/")
        if row != AS_IT_IS or usual["mean"] is None:
            continue
        better = bool(suite.metrics[name]["higher_is_better"])
        for degradation in DEGRADATIONS:
            punished = worse(results[f"{name}/{degradation}"], usual, better)
            pairs.append(float(punished))
            if not punished:
                reason = blind.get(name, {}).get(degradation, "")
                kept.append({"figure": name, "degradation": degradation, "reason": reason})
    return pairs, kept


def worse(a: Mapping[str, Any], usual: Mapping[str, Any], higher_is_better: bool) -> bool:
    """Whether a figure is worse than `usual`: each mean beyond the other's interval, or by `LEAST` without one.

    What could not be measured is worse.
    """
    if a["mean"] is None:
        return True
    sign = 1 if higher_is_better else -1
    apart = sign * (usual["mean"] - a["mean"])
    if a.get("low") is None or usual.get("low") is None:
        return bool(apart > LEAST * abs(usual["mean"]))
    low, high = ("low", "high") if higher_is_better else ("high", "low")
    return bool(sign * (usual[low] - a["mean"]) > 0 and sign * (usual["mean"] - a[high]) > 0)
