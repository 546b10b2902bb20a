"""Results of a folder: those of one suite together, and its figures with baselines and targets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatargpt import evaluation
from avatargpt.evaluation import suites
from avatargpt.evaluation.report import better
from vqvae.errors import UserError

# Suites that come first on a page; the others follow by name.
ORDER = (
    "tokenizer", "prompts_known", "prompts_everyday", "prompts_unseen", "describe", "describe_synthetic", "inbetween",
    "continuation", "plan_coverage", "families", "predicates",
)  # fmt: skip
MODEL = "model"
# Suite whose figures end in the name of their row -> the row of the model.
MODEL_ROW = {
    "gesture": "full", "gesture_made": "full", "gesture_words": "words on", "plans": "plan",
    "speech_face": "paired", "word_times": "network", "retrieval": "model", "humanml3d": "model",
}  # fmt: skip
# Rows that stand beside a figure of the same name without a row, which is the model's.
COMPARED = ("real", "by chance", "concatenation", "interpolation")
# Figures of suites that measure each class on its own clips and on all others.
CLASS_FIGURES = {"own", "others"}
LABELS = {"nearest": "nearest caption", "random": "random clip", "none": "baselines only"}


@dataclass
class Line:
    """One figure of a suite.

    Attributes:
        better: see `report.better`. marks: row -> ``{mean, low, high}``, the model's under `MODEL`. target: a number to
            reach, the name of a row to beat, or None.
    """

    name: str
    unit: str
    better: str
    marks: dict[str, dict[str, Any]] = field(default_factory=dict)
    target: float | str | None = None

    @property
    def size(self) -> float:
        """Largest absolute value."""
        values = [f.get(k) for f in self.marks.values() for k in ("mean", "low", "high")]
        return max(abs(v) for v in values if v is not None)

    @property
    def reached(self) -> bool | None:
        """Whether the model meets the target; None where there is none, or nothing to compare."""
        limit = self.target
        if isinstance(limit, str):
            rival = self.marks.get(limit) or self.marks.get(LABELS.get(limit, limit)) or {}
            limit = rival.get("mean")
        if limit is None or MODEL not in self.marks:
            return None
        mean = float(self.marks[MODEL]["mean"])
        if mean == limit:
            return not isinstance(self.target, str)
        return (mean > limit) == (self.better == "higher")


@dataclass
class Report:
    """All results of one suite: the model's (empty when not measured) and those of separate baseline runs."""

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def any(self) -> dict[str, Any]:
        return self.model or next(iter(self.baselines.values()))

    @property
    def of_classes(self) -> bool:
        return set(self.any["metrics"]) == CLASS_FIGURES

    def columns(self) -> dict[str, dict[str, Any]]:
        """Baseline -> {figure: value}: from files of their own, and from the model's own file where they are in it."""
        columns = {k: v["results"] for k, v in self.baselines.items() if k in ("nearest", "random")}
        inside = self.model or self.baselines.get("none", {})
        for name in inside.get("baselines", []):
            tail = f"/{name}"
            columns[name] = {k.removesuffix(tail): v for k, v in inside["results"].items() if k.endswith(tail)}
        return columns

    def lines(self) -> list[Line]:
        """All figures that have a value: those with a target first, then the more general ones."""
        tails = tuple(f"/{b}" for b in self.model.get("baselines", []))
        results = self.model.get("results", {})
        model_figures = {k: v for k, v in results.items() if not tails or not k.endswith(tails)}
        targets = {self._row(n, model_figures)[0]: t for n, t in self.any.get("targets", {}).items()}
        values = [(n, MODEL, f) for n, f in model_figures.items()]
        values += [(n, LABELS.get(c, c), f) for c, figures in self.columns().items() for n, f in figures.items()]
        lines: dict[str, Line] = {}
        depth: dict[str, int] = {}
        for name, row, figure in values:
            if figure.get("mean") is None:
                continue
            key, row = self._row(name, model_figures) if row == MODEL else (name, row)
            metric = suites.about(self.any["metrics"], name)
            line = lines.setdefault(key, Line(key, str(metric.get("unit") or ""), better(metric)))
            line.marks[row] = figure
            line.target = targets.get(key)
            depth.setdefault(key, name.count("/"))
        return sorted(lines.values(), key=lambda line: (line.target is None, depth[line.name]))

    # Figure of a result -> the figure without its row, and the row.
    def _row(self, name: str, model_figures: dict[str, Any]) -> tuple[str, str]:
        head, _, tail = name.partition("/")
        if self.of_classes:
            return tail or "mean", MODEL if head == "own" else "other classes"
        front, _, last = name.rpartition("/")
        model_row = MODEL_ROW.get(self.name)
        if model_row and front and f"{front}/{model_row}" in model_figures:
            return front, MODEL if last == model_row else last
        return (front, last) if front in model_figures and last in COMPARED else (name, MODEL)


def load(folder: Path) -> list[Report]:
    """Read every ``SUITE.json`` and ``SUITE.BASELINE.json`` of a folder."""
    reports: dict[str, Report] = {}
    for path in sorted(folder.glob("*.json")):
        name, _, baseline = path.stem.partition(".")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["suite"] != name or not isinstance(data["results"], dict):
                raise ValueError(f"holds suite {data['suite']}")
            check_current(name, data)
        except (ValueError, KeyError, TypeError) as e:
            raise UserError(f"{path}: not a result of a suite ({e})") from None
        report = reports.setdefault(name, Report(name))
        if baseline:
            report.baselines[baseline] = data
        else:
            report.model = data
    if not reports:
        raise UserError(f"{folder}: no results here; make some with: avatargpt eval run SUITE -o {folder}/SUITE.json")
    order = {name: i for i, name in enumerate(ORDER)}
    return sorted(reports.values(), key=lambda r: (order.get(r.name, len(order)), r.name))


def check_current(name: str, data: dict[str, Any]) -> None:
    """Refuse a result of a suite that has changed since."""
    suite = evaluation.load(name)
    if data["version"] != suite.version or data["seeds"] != list(suite.seeds):
        raise ValueError(f"of version {data['version']} with seeds {data['seeds']}; the suite changed, run it again")
    prompts = {p["prompt"] for p in data.get("prompts", []) if "prompt" in p}
    if prompts and prompts | {*data.get("left_out", ())} != {e.prompt for e in suite.entries}:
        raise ValueError("of other prompts; the suite changed, run it again")


def number(value: float | None, unit: str) -> str:
    """Shares in percent, all else with three digits and more where the value is large."""
    if value is None:
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
