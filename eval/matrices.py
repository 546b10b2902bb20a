"""Figures as text, and results that are tables in a form of their own."""

from __future__ import annotations

from typing import Any

from reports import number

from avatargpt.evaluation.report import better
from avatargpt.metrics.degraded import AS_IT_IS, DEGRADATIONS


def interval(figure: dict[str, Any], unit: str) -> str:
    """The interval of a figure, "" where it has none."""
    if figure.get("low") is None:
        return ""
    return f"{number(figure['low'], unit)} to {number(figure['high'], unit)}"


def predicates(about: dict[str, Any]) -> list[str]:
    """The two figures of each class side by side."""
    results = about["results"]
    lines = ["| predicate | clips of its class | 95 % | n | other classes |", "|---|---|---|---|---|"]
    for key, own in results.items():
        head, _, name = key.partition("/")
        if head != "own":
            continue
        others = results["others" + (f"/{name}" if name else "")]
        lines.append(f"| {name or 'mean'} | {number(own['mean'], 'share')} | {interval(own, 'share')} | {own['n']} | "
                     f"{number(others['mean'], 'share')} |")  # fmt: skip
    return lines


def degradations(about: dict[str, Any]) -> list[str]:
    """The suite `degradations`: a figure a line, in bold what is not punished, then why, and what is missing."""
    results, heads = about["results"], [AS_IT_IS, *DEGRADATIONS]
    kept = {(k["figure"], k["degradation"]): k["reason"] for k in about.get("not_punished", [])}
    share = results["punished"]
    lines = [
        f"Punished are {number(share['mean'], 'share')} of {share['n']} pairs of figure and degradation; of the others,"
        f" in bold, {number(results['unexplained']['mean'], '')} are unexplained.", "",
        "| " + " | ".join(["figure", "better", *heads]) + " |", "|---|" + "---|" * (1 + len(heads)),
    ]  # fmt: skip
    for name in dict.fromkeys(key.partition("/")[0] for key in results if "/" in key):
        metric = about["metrics"][name]
        unit = str(metric.get("unit", ""))
        cells = [f"{name}, {unit}" if unit not in ("", "share") else name]
        cells.append(better(metric))
        for row in heads:
            mean = results[f"{name}/{row}"]["mean"]
            cell = "refused" if mean is None else number(mean, unit)
            cells.append(f"**{cell}**" if (name, row) in kept else cell)
        lines.append("| " + " | ".join(cells) + " |")
    for told, rows in (("Not punished", [(f"{f}, {d}", why or "unexplained") for (f, d), why in kept.items()]),
                       ("Refused", [(r["item"], r["reason"]) for r in about.get("refused", [])]),
                       ("Absent", [(r["item"], r["reason"]) for r in about.get("absent", [])])):  # fmt: skip
        if rows:
            lines += ["", f"{told}:", "", *(f"- {what}: {why}" for what, why in rows)]
    return lines
