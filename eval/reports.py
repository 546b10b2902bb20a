"""Results as they lie in a folder: those of one suite together, the model's beside those of its baselines."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatargpt import evaluation
from vqvae.errors import UserError

ORDER = (
    "tokenizer", "prompts_known", "prompts_everyday", "prompts_unseen", "describe", "describe_synthetic", "inbetween",
    "continuation", "plan_coverage", "families", "discriminator", "synthetic_physics", "predicates",
)  # fmt: skip
APART = ("code_ablation", "driver_ablations")  # of no suite; docs/ablations.md has them
CEILINGS = ("own caption", "rendered score", "real")  # rows that are to be reached, not to be beaten
LABELS = {"nearest": "nearest caption", "random": "random clip", "none": "baselines only"}


@dataclass
class Report:
    """All results of one suite: the model's (empty when not measured) and those of separate baseline runs."""

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def any(self) -> dict[str, Any]:
        return self.model or next(iter(self.others.values()))

    def columns(self) -> dict[str, dict[str, Any]]:
        """Baseline -> {figure: value}: from files of their own, and from the model's own file where they are in it."""
        found = {k: v["results"] for k, v in self.others.items() if k in ("nearest", "random")}
        inside = self.model or self.others.get("none", {})
        for name in inside.get("baselines", []):
            tail = f"/{name}"
            found[name] = {k.removesuffix(tail): v for k, v in inside["results"].items() if k.endswith(tail)}
        return found

    def own(self) -> dict[str, Any]:
        """{figure: value} of the model."""
        if not self.model:
            return {}
        tails = tuple(f"/{b}" for b in self.model.get("baselines", []))
        return {k: v for k, v in self.model["results"].items() if not tails or not k.endswith(tails)}


def load(folder: Path) -> list[Report]:
    """Read every ``SUITE.json`` and ``SUITE.BASELINE.json`` of a folder.

    Raises:
        UserError: nothing there, or a file that is no result.
    """
    found: dict[str, Report] = {}
    for path in sorted(folder.glob("*.json")):
        name, _, baseline = path.stem.partition(".")
        if name in APART:
            continue
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["suite"] != name or not isinstance(data["results"], dict):
                raise ValueError(f"holds suite {data['suite']}")
            outdated(name, data)
        except (ValueError, KeyError, TypeError) as e:
            raise UserError(f"{path}: not a result of a suite ({e})") from None
        report = found.setdefault(name, Report(name))
        if baseline:
            report.others[baseline] = data
        else:
            report.model = data
    if not found:
        raise UserError(f"{folder}: no results here; make some with: python eval/run.py SUITE")
    known = {name: i for i, name in enumerate(ORDER)}
    return sorted(found.values(), key=lambda r: (known.get(r.name, len(known)), r.name))


def outdated(name: str, data: dict[str, Any]) -> None:
    """Refuse a result of a suite that is another one by now.

    Raises:
        ValueError: another version, seeds or prompts.
    """
    suite = evaluation.load(name)
    if data["version"] != suite.version or data["seeds"] != list(suite.seeds):
        raise ValueError(f"of version {data['version']} with seeds {data['seeds']}; the suite changed, run it again")
    found = {p["prompt"] for p in data.get("prompts", []) if "prompt" in p}
    if found and found | {*data.get("left_out", ())} != {e.prompt for e in suite.entries}:
        raise ValueError("of other prompts; the suite changed, run it again")


def number(value: float | None, unit: str) -> str:
    """Shares in percent, all else with three digits and more where the value is large."""
    if value is None:
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
