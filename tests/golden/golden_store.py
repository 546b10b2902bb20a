"""Goldens: what a kind is, how its rows are stored, how recomputed rows are compared, and the models they need.

A row is a key and a function that computes its value: plain JSON, or an array. A file names the instruction set that
its rows were computed on, since floating point differs between instruction sets.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
SHOWN = 40  # differences of a kind that are printed

Rows = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Kind:
    """One kind of goldens.

    Attributes:
        name: of the file.
        rows: key -> how its value is computed; called anew for every run.
        every: the test computes every n-th row; 0 = none, for rows that depend on one another.
        tolerance: of numbers, on any machine.
        other_cpu_share: on another instruction set: share of rows that may differ; None = nothing is compared there.
        other_cpu_tolerance: of numbers on another instruction set.
        arrays: values are float32 arrays in one safetensors file.
    """

    name: str
    rows: Callable[[], Rows]
    every: int = 1
    tolerance: float = 0.0
    other_cpu_share: float | None = 0.0
    other_cpu_tolerance: float = 0.0
    arrays: bool = False

    @property
    def path(self) -> Path:
        """The stored file."""
        return FOLDER / f"{self.name}.{'safetensors' if self.arrays else 'json'}"


@dataclass(frozen=True)
class Outcome:
    """What a comparison found.

    Attributes:
        compared: how many rows. differences: one line each. skipped: why nothing or not everything was compared.
    """

    compared: int
    differences: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def cpu() -> str:
    """The instruction set that torch computes with, the processor's vendor, its family and model: all decide digits."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = [about.get(key, "") for key in ("vendor_id", "cpu family", "model")]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *filter(None, named)])


def is_same_cpu(stored: str) -> bool:
    """Whether a stored description is this machine's; earlier ones have no family and model."""
    return f"{cpu()} ".startswith(f"{stored} ")


def sha(*parts: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def sha_json(value: Any) -> str:
    """Sixteen characters of the SHA-256 of canonical JSON."""
    return sha(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())[:16]


def evenly(count: int, number: int) -> list[int]:
    """`number` indices below `count`, evenly spaced."""
    return [i * count // number for i in range(min(number, count))]


def write(kind: Kind, values: Mapping[str, Any]) -> None:
    """Store a kind's rows, one a line."""
    part = kind.path.with_suffix(".tmp")
    if kind.arrays:
        save_file({k: np.ascontiguousarray(v, np.float32) for k, v in values.items()}, part, {"cpu": cpu()})
    else:
        lines = [f"  {json.dumps(k, ensure_ascii=False)}: {json.dumps(v, ensure_ascii=False)}"
                 for k, v in values.items()]  # fmt: skip
        text = f'{{\n "cpu": {json.dumps(cpu())},\n "rows": {{\n' + ",\n".join(lines) + "\n }\n}\n"
        part.write_text(text, encoding="utf-8")
    os.replace(part, kind.path)


def read(kind: Kind) -> tuple[str, dict[str, Any]]:
    """The instruction set and the rows of a stored kind."""
    if kind.arrays:
        with safe_open(kind.path, "numpy") as file:
            return file.metadata()["cpu"], load_file(kind.path)
    data = json.loads(kind.path.read_text(encoding="utf-8"))
    return data["cpu"], data["rows"]


def compute(rows: Rows, keys: Iterable[str], progress: Callable[[int], object] = lambda i: None) -> dict[str, Any]:
    """Values of some rows, on one thread; `progress` is called before each with its number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        out = {}
        for i, key in enumerate(keys):
            progress(i)
            value = rows[key]()
            out[key] = value if isinstance(value, np.ndarray) else json.loads(json.dumps(value, ensure_ascii=False))
        return out
    finally:
        torch.set_num_threads(threads)


def check(kind: Kind, every_row: bool = False, progress: Callable[[int], object] = lambda i: None) -> Outcome:
    """Recompute a kind's sample, or all of it, and compare it with what is stored."""
    stored_cpu, stored = read(kind)
    same_cpu = is_same_cpu(stored_cpu)
    if not same_cpu and kind.other_cpu_share is None:
        return Outcome(0, (), (f"made with {stored_cpu}, this machine has {cpu()}: floating point differs",))
    rows = kind.rows()
    differences = [f"{key}: no such row any more" for key in stored if key not in rows]
    differences += [f"{key}: a new row" for key in rows if key not in stored]
    keys = [k for k in stored if k in rows]
    if not every_row:
        keys = keys[:: kind.every] if kind.every else []
    tolerance = kind.tolerance if same_cpu else max(kind.tolerance, kind.other_cpu_tolerance)
    changed: list[str] = []
    skipped = []
    for key, value in compute(rows, keys, progress).items():
        old = stored[key]
        if isinstance(old, dict) and isinstance(value, dict) and old.get("with") != value.get("with"):
            skipped.append(f"{key}: made with {old.get('with')}, here is {value.get('with')}")
        elif difference := _difference(old, value, tolerance):
            changed.append(f"{key}: {difference}")
    if not same_cpu and len(changed) <= (kind.other_cpu_share or 0.0) * len(keys):
        skipped += [f"allowed on {cpu()} (made with {stored_cpu}): {line}" for line in changed]
        changed = []
    return Outcome(len(keys), tuple(differences + changed), tuple(skipped))


def _difference(old: Any, new: Any, tolerance: float, place: str = "") -> str:
    """The first difference of two values in words, or empty."""
    if isinstance(old, np.ndarray):
        if old.shape != np.shape(new):
            return f"shape {old.shape} became {np.shape(new)}"
        most = float(np.abs(old - np.asarray(new, np.float32)).max(initial=0.0))
        return f"differs by up to {most:.3g}" if most > tolerance or np.isnan(most) else ""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(k, old.get(k), new.get(k)) for k in dict.fromkeys([*old, *new])]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(old, new, strict=True))]
    else:
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (old, new))
        equal = old == new or (numbers and abs(old - new) <= tolerance)
        a, b = (json.dumps(v, ensure_ascii=False)[:160] for v in (old, new))
        return "" if equal else f"{place or 'value'}: {a} became {b}"
    return next(filter(None, (_difference(a, b, tolerance, f"{place}.{name}".lstrip(".")) for name, a, b in pairs)), "")
