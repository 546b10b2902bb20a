"""Results: intervals, the JSON file, the table on the terminal."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation import suites
from avatargpt.evaluation.digests import digest_of
from avatargpt.evaluation.suites import Suite
from avatargpt.lm.checkpoint import fingerprint
from avatargpt.metrics.evaluator import FILE as EVALUATOR
from avatargpt.metrics.gesture.fgd import FILE as GESTURE_FEATURES
from vqvae.motion import atomic_write

METHODS = {
    "prompts": "generate", "describe": "describe", "inbetween": "in_between", "continuation": "extend",
    "describe_synthetic": "describe", "plan_coverage": "generate", "plan_cycle": "generate",
    "humanml3d": "generate",
}  # fmt: skip
"""Kind of suite -> the method of `avatargpt.AvatarGPT` under test."""
JUDGES = (EVALUATOR, GESTURE_FEATURES)
"""Files in a folder of weights that answer nothing."""
NOT_DECODING = ("seed", "seeds", "seconds", "progress")


def figure(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Mean with a 95 % bootstrap interval, as plain JSON: ``{mean, low, high, n}``; NaN entries do not count.

    Without any applicable value the mean is None and n is 0.
    """
    from avatargpt.metrics.statistics import confidence

    x = np.asarray(values, np.float64)
    if not np.isfinite(x).any():
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean, low, high, n = confidence(x)
    return {"mean": round(mean, 5), "low": round(low, 5), "high": round(high, 5), "n": n}


def plain(value: float) -> dict[str, Any]:
    """A figure over the whole set, which has no interval of its own."""
    return {"mean": None if not np.isfinite(value) else round(float(value), 5)}


def header(suite: Suite, model: Any) -> dict[str, Any]:
    """What identifies a result: suite, version, seeds, and the model: the fingerprints that it states of itself (of the
    language network, of tokenizers), and under ``weights`` the digest of all files that it was loaded from."""
    prints = {
        name: str(getattr(model, name))
        for name in ("name", "fingerprint")
        if getattr(model, name, None)
    }
    weights = getattr(model, "model", None)
    if "fingerprint" not in prints and weights is not None:
        prints["fingerprint"] = fingerprint(weights)
    if folder := getattr(model, "source", ""):
        prints["weights"] = weights_digest(Path(folder))
    for modality, tokenizer in sorted(getattr(model, "tokenizers", {}).items()):
        prints[f"tokenizer_fingerprint/{modality}"] = str(tokenizer.fingerprint)
    return {
        "suite": suite.name, "version": suite.version, "kind": suite.kind, "description": suite.description,
        "seeds": list(suite.seeds), "model": prints, "decoding": decoding(suite, model),
        "metrics": suite.metrics, "targets": suite.targets,
    }  # fmt: skip


def weights_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all files that a model is made of: the language network, and all that reads,
    chooses, draws and moves beside it.

    These are the weights below `folder` without those of judges, and the JSON of their shapes: ``NAME.json`` beside
    ``NAME.safetensors``, and configurations. What else lies there, such as results or records, does not count.
    """
    def counts(path: Path) -> bool:
        shape = path.suffix == ".json" and (path.with_suffix(".safetensors").exists() or path.stem.endswith("config"))
        return (path.suffix in (".safetensors", ".model") or shape) and path.name not in JUDGES

    return digest_of(filter(counts, folder.rglob("*")), folder)


def digest(suite: Suite) -> str:
    """SHA-256 of a suite as it is read."""
    text = json.dumps(asdict(suite), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def decoding(suite: Suite, model: Any) -> dict[str, Any]:
    """The settings under which the suite decodes: the defaults of the public method that it calls, and its options."""
    method = getattr(model, METHODS.get(suite.kind, ""), None)
    if method is None or callable(model):
        return {}
    parameters = inspect.signature(method).parameters.values()
    asked = {p.name: suite.options[p.name] for p in parameters if p.name in suite.options}
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and p.name not in NOT_DECODING and isinstance(p.default, int | float)
    } | asked | ({"keep_place": True} if suite.kind == "inbetween" else {})


def write(path: Path, result: dict[str, Any]) -> Path:
    """Write a result: sorted by nothing, dated by nothing, so that equal runs give equal files."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def better(about: Mapping[str, Any]) -> str:
    """Which way a metric is better: ``higher``, ``lower``, ``as real`` where real motion has the right value; "" where
    nothing is said of it."""
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
