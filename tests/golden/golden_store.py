"""Goldens: what a kind is, how its rows are stored, and how recomputed rows are compared with stored ones.

A kind has rows, each a key and a function that computes its value: plain JSON, or an array. What is stored says beside
the rows on which instruction set they were computed, since floating point differs between instruction sets.
"""

from __future__ import annotations

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
        every: the test computes every so manieth row; 0 = none, for what is computed in one piece.
        near: numbers may differ by so much, on any machine.
        elsewhere: on another instruction set: share of the rows that may differ; None = nothing is compared there.
        apart: on another instruction set numbers may differ by so much.
        arrays: values are float32 arrays in one safetensors file.
    """

    name: str
    rows: Callable[[], Rows]
    every: int = 1
    near: float = 0.0
    elsewhere: float | None = 0.0
    apart: float = 0.0
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
    """The instruction set that torch computes with, and whose processor it is: both decide the last digits."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    vendor = next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")
    return f"{torch.backends.cpu.get_cpu_capability()} {vendor}".strip()


def plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value, ensure_ascii=False))


def sha(*parts: bytes) -> str:
    """SHA-256 of some bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha_json(value: Any) -> str:
    """Sixteen characters of the SHA-256 of canonical JSON."""
    return sha(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())[:16]


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` indices of `count`, evenly spaced."""
    return [i * count // wanted for i in range(min(wanted, count))]


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
            made = file.metadata()["cpu"]
        return made, load_file(kind.path)
    data = json.loads(kind.path.read_text(encoding="utf-8"))
    return data["cpu"], data["rows"]


def compute(rows: Rows, keys: Iterable[str], told: Callable[[int, str], object] | None = None) -> dict[str, Any]:
    """Values of some rows, on one thread; `told` is called before each with its number and key."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        out = {}
        for i, key in enumerate(keys):
            if told is not None:
                told(i, key)
            value = rows[key]()
            out[key] = value if isinstance(value, np.ndarray) else plain(value)
        return out
    finally:
        torch.set_num_threads(threads)


def check(kind: Kind, whole: bool = False, told: Callable[[int, str], object] | None = None) -> Outcome:
    """Recompute a kind's sample, or all of it, and compare it with what is stored."""
    made, stored = read(kind)
    same = made == cpu()
    if not same and kind.elsewhere is None:
        return Outcome(0, (), (f"made with {made}, this machine has {cpu()}: floating point differs",))
    rows = kind.rows()
    differences = [f"{key}: no such row any more" for key in stored if key not in rows]
    differences += [f"{key}: a new row" for key in rows if key not in stored]
    keys = [k for k in stored if k in rows]
    if not whole:
        keys = keys[:: kind.every] if kind.every else []
    near = kind.near if same else max(kind.near, kind.apart)
    found: list[str] = []
    skipped = []
    for key, value in compute(rows, keys, told).items():
        was = stored[key]
        if isinstance(was, dict) and isinstance(value, dict) and was.get("with") != value.get("with"):
            skipped.append(f"{key}: made with {was.get('with')}, here is {value.get('with')}")
        elif said := _difference(was, value, near):
            found.append(f"{key}: {said}")
    if not same and len(found) <= (kind.elsewhere or 0.0) * len(keys):
        skipped += [f"allowed on {cpu()} (made with {made}): {line}" for line in found]
        found = []
    return Outcome(len(keys), tuple(differences + found), tuple(skipped))


def _difference(was: Any, now: Any, near: float, place: str = "") -> str:
    """The first difference of two values in words, or empty."""
    if isinstance(was, np.ndarray):
        if was.shape != np.shape(now):
            return f"shape {was.shape} became {np.shape(now)}"
        most = float(np.abs(was - np.asarray(now, np.float32)).max(initial=0.0))
        return f"differs by up to {most:.3g}" if most > near or np.isnan(most) else ""
    if isinstance(was, dict) and isinstance(now, dict):
        pairs = [(k, was.get(k), now.get(k)) for k in dict.fromkeys([*was, *now])]
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(was, now, strict=True))]
    else:
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (was, now))
        equal = was == now or (numbers and abs(was - now) <= near)
        return "" if equal else f"{place or 'value'}: {_short(was)} became {_short(now)}"
    for name, a, b in pairs:
        if said := _difference(a, b, near, f"{place}.{name}".lstrip(".")):
            return said
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]}..."
