"""The record of a run: command, code, versions and inputs of every start, in ``run.json`` of its folder."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from avatargpt.lm.hub import Origin
from avatargpt.resources import PACKAGE
from avatargpt.train.reporting import run_curves
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write

RECORD, MANIFEST = "run.json", "manifest.json"
PACKAGES = ("avatargpt", "torch", "numpy", "transformers", "peft", "deepspeed", "datasets", "bitsandbytes")
MANIFESTS = (MANIFEST, "config.json", "driver.json")  # that stand for a folder
CLIP_OPTIONS = ("codes", "store")  # of stages, that name folders of clips
MAX_BYTES = 64 << 20  # of a file that is read for its fingerprint; larger ones count by size and name
MAX_STARTS = 100
RENDERED = ("eval/results", "docs", "README.md")  # written by evaluation


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, of a folder's manifest, else of names and sizes."""
    digest = hashlib.sha256()
    if path.is_dir():
        manifest = next((path / name for name in MANIFESTS if (path / name).is_file()), None)
        if manifest is not None:
            return fingerprint(manifest)
        # Names and sizes: reading gigabytes at every start would take minutes.
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
    elif path.stat().st_size > MAX_BYTES:
        digest.update(f"{path.name} {path.stat().st_size}".encode())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def inputs_of(options: Mapping[str, Any], output: Path) -> dict[str, dict[str, str]]:
    """Options that name existing files or folders, with their fingerprints; lists with commas item by item."""
    out: dict[str, dict[str, str]] = {}
    for name, value in sorted(options.items()):
        for number, item in enumerate(value.split(",") if isinstance(value, str) else ()):
            # ``FILE:VARIANT`` of a configuration.
            path = Path(item.rpartition(":")[0]) if not Path(item).exists() and ":" in item else Path(item)
            if item and path.exists() and path.resolve() != output.resolve():
                out[f"{name}{f'[{number}]' if number else ''}"] = {"path": item, "sha256": fingerprint(path)}
    return out


def commit(root: Path = PACKAGE.parent) -> str:
    """Git's commit of the checkout that runs, ``-dirty`` where it was changed since, published results and pages apart;
    empty for an installed package, which may well lie inside somebody else's checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "--no-optional-locks", *words], cwd=root, capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()

    try:
        # An installed package may lie in a virtual environment inside another project's checkout.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return ""
        # Results and pages are rendered by evaluation itself and do not change the code.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{p}" for p in RENDERED))
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    out = {"python": platform.python_version()}
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def _launcher() -> str:
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    return "deepspeed" if "DEEPSPEED_TIMEOUT" in os.environ or "CROSS_SIZE" in os.environ else "python"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences between two starts, a line each: code, versions, processes, launcher and inputs."""
    out = [f"{k}: {before.get(k)}, now {now.get(k)}" for k in ("commit", "processes", "launcher")
           if before.get(k) != now.get(k)]  # fmt: skip
    for kind in ("versions", "inputs"):
        a, b = before.get(kind) or {}, now.get(kind) or {}
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                out.append(f"{kind[:-1]} {name}: {_short(a.get(name))}, now {_short(b.get(name))}")
    return out


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('path')} ({str(value.get('sha256'))[:12]})"
    return str(value)


_pending: list[tuple[Any, Sequence[str]]] = []  # options and command of a start that has not begun to run


def starting(options: Any, argv: Sequence[str]) -> None:
    """Remember a start; `record` writes it where a run begins, since one that is refused leaves no record."""
    _pending[:] = [(options, argv)]


def record(out: Path) -> None:
    """Add the pending start to the record of a run's folder; print what differs from the one before."""
    if not _pending:
        return
    options, argv = _pending.pop()
    now = {
        "command": [Path(sys.argv[0]).name, *argv], "commit": commit(), "versions": versions(),
        "launcher": _launcher(), "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "inputs": inputs_of(vars(options), Path(options.output)),
    }  # fmt: skip
    path, starts = out / RECORD, _starts(out)
    for line in differences(starts[-1], now) if starts else ():
        print(f"note: {out}: {line}", file=sys.stderr)
    text = json.dumps({"starts": [*starts, now][-MAX_STARTS:]}, indent=1)
    atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def _starts(run: Path) -> list[dict[str, Any]]:
    return list(read_object(run / RECORD).get("starts", [])) if (run / RECORD).is_file() else []


def origin_of(runs: Sequence[str | Path]) -> Origin:
    """Sources of the clips and last validation of several runs, for a model card, as far as they are recorded."""
    sources: dict[str, Mapping[str, Any]] = {}
    figures: dict[str, float] = {}
    for run in map(Path, runs):
        starts = _starts(run)
        for name, source in (starts[-1].get("inputs", {}) if starts else {}).items():
            manifest = Path(source["path"]) / MANIFEST
            if name.partition("[")[0] in CLIP_OPTIONS and manifest.is_file():
                sources |= read_object(manifest).get("sources", {})
        # The last validation of each run goes onto the model's card.
        for name, curve in run_curves(run).items():
            if name.startswith("val_"):
                figures[f"{run.name}: {name}"] = curve[max(curve)]
    return Origin(sources, figures)
