"""Two results of one suite side by side: which figures and which rows differ by more than chance.

Rows that both results have are paired: by prompt, id or text. The difference of a figure is that of the means over
the pairs, its interval a bootstrap over pairs (Efron 1979), which is narrower than two separate intervals where both
systems find the same rows hard. A row with several seeds has an interval over its seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.metrics.statistics import confidence
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

NAMES = ("id", "prompt", "text", "name")
GROUPS = ("kind", "construct", "category")
MOST_BYTES = 256 << 20


def load(path: Path) -> dict[str, Any]:
    """A result of the harness."""
    result = read_object(path, MOST_BYTES, "accepted a result of `eval run`")
    if not isinstance(result.get("results"), dict) or not isinstance(result.get("suite"), str):
        raise UserError(f"{path}: no suite and results; accepted a result of `eval run`")
    return result


def compare(first: Path, second: Path) -> dict[str, Any]:
    """What differs from the first to the second.

    Returns:
        ``figures``: paired, ``{a, b, difference, low, high, n, differs}``; ``unpaired``: figures without rows, their
        intervals taken as independent; ``rows``: those whose values differ, ``differs`` where the interval over seeds
        excludes 0 (None with one seed: nothing is known of chance); ``only``: rows of one of them; ``models``: which
        fingerprints differ, of the first and of the second (None: not stated).

    Raises:
        UserError: not results, or of different suites or versions.
    """
    a, b = load(first), load(second)
    for key in ("suite", "version"):
        if a.get(key) != b.get(key):
            raise UserError(f"{second}: {key} {b.get(key)}; accepted that of {first}, {a.get(key)}")
    figures: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    only: dict[str, list[str]] = {"first": [], "second": []}
    with parsing(second, f"comparable with {first}"):
        for name in [k for k in a if k in b]:
            if pairs := _paired(a[name], b[name], only):
                figures |= _figures(pairs)
                rows += _rows(pairs)
        unpaired = _unpaired(a["results"], b["results"])
        left, right = (dict(x.get("model", {})) for x in (a, b))
        models = {k: [left.get(k), right.get(k)] for k in {**left, **right} if left.get(k) != right.get(k)}
    return {"suite": a["suite"], "version": a["version"], "figures": figures, "rows": rows,
            "only": {k: v for k, v in only.items() if v}, "unpaired": unpaired, "models": models}  # fmt: skip


_Pair = tuple[str, Mapping[str, Any], Mapping[str, Any]]


# Rows by name, where they are rows that have one.
def _named(rows: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        return {}
    key = next((n for n in NAMES if rows and all(isinstance(r.get(n), str) for r in rows)), None)
    return {} if key is None else {r[key]: r for r in rows}


def _paired(a: Any, b: Any, only: dict[str, list[str]]) -> list[_Pair]:
    left, right = _named(a), _named(b)
    if not left or not right:
        return []
    only["first"] += [k for k in left if k not in right]
    only["second"] += [k for k in right if k not in left]
    return [(k, left[k], right[k]) for k in left if k in right]


# Numbers of a row: field -> one value per seed or event.
def _values(row: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for field, value in row.items():
        many = value if isinstance(value, list) else [value]
        if many and all(isinstance(v, bool | int | float) for v in many):
            yield field, np.array(many, np.float64)


# Paired differences of every field, over all rows and by their groups.
def _figures(pairs: Sequence[_Pair]) -> dict[str, Any]:
    by_figure: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _, left, right in pairs:
        right_values = dict(_values(right))
        for field, x in _values(left):
            if field not in right_values:
                continue
            pair = (float(x.mean()), float(right_values[field].mean()))
            by_figure[field].append(pair)
            for group in GROUPS:
                if isinstance(left.get(group), str):
                    by_figure[f"{field}/{left[group]}"].append(pair)
    out = {}
    for name, values in by_figure.items():
        x = np.array(values)
        out[name] = {"a": round(float(x[:, 0].mean()), 5), "b": round(float(x[:, 1].mean()), 5),
                     **_interval(x[:, 1] - x[:, 0])}  # fmt: skip
    return out


def _interval(difference: np.ndarray) -> dict[str, Any]:
    mean, low, high, n = confidence(difference)
    return {"difference": round(mean, 5), "low": round(low, 5), "high": round(high, 5), "n": n,
            "differs": bool(low > 0 or high < 0)}  # fmt: skip


# Rows of different values, those that surely differ first.
def _rows(pairs: Sequence[_Pair]) -> list[dict[str, Any]]:
    out = []
    for name, left, right in pairs:
        right_values = dict(_values(right))
        for field, x in _values(left):
            y = right_values.get(field)
            if y is None or x.mean() == y.mean():
                continue
            row = {"row": name, "field": field, "a": round(float(x.mean()), 5), "b": round(float(y.mean()), 5)}
            if len(x) == len(y) > 1:
                row |= {k: v for k, v in _interval(y - x).items() if k != "n"}
            else:
                row |= {"difference": round(float(y.mean() - x.mean()), 5), "differs": None}
            out.append(row)
    return sorted(out, key=lambda r: (not r["differs"], r["differs"] is None, -abs(r["difference"])))


# Differences of figures by their own intervals, as of independent samples; None where one has no interval.
def _unpaired(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    out = {}
    for name in [n for n in a if n in b]:
        x, y = a[name], b[name]
        if x.get("mean") is None or y.get("mean") is None:
            continue
        difference = y["mean"] - x["mean"]
        intervals = all(v.get("low") is not None for v in (x, y))
        row = {"a": x["mean"], "b": y["mean"], "difference": round(difference, 5), "differs": None}
        if intervals:
            half = float(np.hypot((x["high"] - x["low"]) / 2, (y["high"] - y["low"]) / 2))
            row |= {"low": round(difference - half, 5), "high": round(difference + half, 5),
                    "differs": bool(abs(difference) > half)}  # fmt: skip
        out[name] = row
    return out


def summary(result: Mapping[str, Any]) -> list[str]:
    """The comparison in lines: paired figures, unpaired ones that differ, rows that do."""
    out = [f"{result['suite']} v{result['version']}: first, second, difference (95 %, paired), * = beyond chance"]
    for name, (first, second) in result["models"].items():
        out.append(f"other {name}: {(first or 'not stated')[:12]}, {(second or 'not stated')[:12]}")
    for name, f in result["figures"].items():
        out.append(f"{'*' if f['differs'] else ' '} {name}: {_change(f)}, {f['n']} rows")
    for name, f in result["unpaired"].items():
        if f["differs"]:
            out.append(f"* {name}: {_change(f)}, unpaired")
    sure = [r for r in result["rows"] if r["differs"]]
    unknown = sum(r["differs"] is None for r in result["rows"])
    out.append(f"{len(result['rows'])} rows differ, {len(sure)} beyond chance, {unknown} of one value each: not known")
    out += [f"* {r['row']} ({r['field']}): {_change(r)}" for r in sure]
    for which, names in result["only"].items():
        out.append(f"only in the {which}: {', '.join(names)}")
    return out


def _change(f: Mapping[str, Any]) -> str:
    interval = f" ({f['low']:+.4g} to {f['high']:+.4g})" if f.get("low") is not None else ""
    return f"{f['a']:.4g}, {f['b']:.4g}, {f['difference']:+.4g}{interval}"
