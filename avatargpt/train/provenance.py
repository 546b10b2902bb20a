"""What made a run: command, code, versions and inputs of every start, in ``run.json`` of its folder."""

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
from types import SimpleNamespace
from typing import Any

from avatargpt.lm.hub import Origin
from avatargpt.resources import PACKAGE
from avatargpt.train.reporting import read_log
from vqvae.io.data_files import read_object
from vqvae.motion import atomic_write

RECORD = "run.json"
PACKAGES = ("avatargpt", "torch", "numpy", "transformers", "peft", "deepspeed", "datasets", "bitsandbytes")
MANIFESTS = ("manifest.json", "config.json", "driver.json")  # that stand for a folder
WHOLE = 64 << 20  # bytes of a file that is read as a whole for its fingerprint; larger ones count by size and name
MOST_STARTS = 100


def fingerprint(path: Path) -> str:
    """What a file or folder is known by: SHA-256 of the file, of a folder's manifest, else of names and sizes."""
    digest = hashlib.sha256()
    if path.is_dir():
        manifest = next((path / name for name in MANIFESTS if (path / name).is_file()), None)
        if manifest is not None:
            return fingerprint(manifest)
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
    elif path.stat().st_size > WHOLE:
        digest.update(f"{path.name} {path.stat().st_size}".encode())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def inputs_of(options: Mapping[str, Any], output: Path) -> dict[str, dict[str, str]]:
    """Options that name files or folders which are there, with their fingerprints; lists with commas one by one."""
    out: dict[str, dict[str, str]] = {}
    for name, value in sorted(options.items()):
        for number, one in enumerate(str(value).split(",") if isinstance(value, str) else ()):
            path = Path(one.rpartition(":")[0]) if not Path(one).exists() and ":" in one else Path(one)
            if one and path.exists() and path.resolve() != output.resolve():
                out[f"{name}{f'[{number}]' if number else ''}"] = {"path": one, "sha256": fingerprint(path)}
    return out


RENDERED = ("eval/results", "docs", "README.md")  # what evaluation writes


def commit(root: Path = PACKAGE.parent) -> str:
    """Git's commit of the checkout that runs, ``-dirty`` where it was changed since, published results and pages apart;
    empty for an installed package, which may well lie inside somebody else's checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "--no-optional-locks", *words], cwd=root, capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return ""
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{p}" for p in RENDERED))
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Of Python and of those of the packages that are installed."""
    out = {"python": platform.python_version()}
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return out


def launcher() -> str:
    """Who started this process: deepspeed, torchrun or python."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    return "deepspeed" if "DEEPSPEED_TIMEOUT" in os.environ or "CROSS_SIZE" in os.environ else "python"


def started(args: SimpleNamespace, argv: Sequence[str]) -> dict[str, Any]:
    """What this start of a stage is: see `record`."""
    return {
        "command": [Path(sys.argv[0]).name, *argv], "commit": commit(), "versions": versions(), "launcher": launcher(),
        "processes": int(os.environ.get("WORLD_SIZE", 1)), "inputs": inputs_of(vars(args), Path(args.output)),
    }  # fmt: skip


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two starts, a line each: code, versions, processes, launcher and inputs."""
    out = [f"{k}: {before.get(k)}, now {now.get(k)}" for k in ("commit", "processes", "launcher")
           if before.get(k) != now.get(k)]  # fmt: skip
    for kind in ("versions", "inputs"):
        a, b = before.get(kind) or {}, now.get(kind) or {}
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                one, other = (_short(x.get(name)) for x in (a, b))
                out.append(f"{kind[:-1]} {name}: {one}, now {other}")
    return out


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('path')} ({str(value.get('sha256'))[:12]})"
    return str(value)


_start: list[tuple[SimpleNamespace, Sequence[str]]] = []  # what `starting` was told of, until a run begins


def starting(args: SimpleNamespace, argv: Sequence[str]) -> None:
    """Remember what is being started; `record` writes it where a run begins, for one that is refused leaves none."""
    _start[:] = [(args, argv)]


def record(out: Path) -> None:
    """Add the start that `starting` was told of to the record of a run's folder; say what differs from the one before.

    Raises:
        UserError: a record that cannot be read.
    """
    if not _start:
        return
    path, now = out / RECORD, started(*_start.pop())
    starts: list[dict[str, Any]] = list(read_object(path).get("starts", [])) if path.is_file() else []
    for line in differences(starts[-1], now) if starts else ():
        print(f"note: {out}: {line}", file=sys.stderr)
    text = json.dumps({"starts": [*starts, now][-MOST_STARTS:]}, indent=1)
    atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


MANIFEST = "manifest.json"
CLIPS = ("codes", "store")
"""Options of stages that name folders of clips."""


def origin_of(runs: Sequence[str | Path]) -> Origin:
    """Sources of the clips and last validation of several runs; what was not recorded, or is gone, is left out.

    Raises:
        UserError: a record, manifest or log that cannot be read.
    """
    sources: dict[str, Mapping[str, Any]] = {}
    figures: dict[str, float] = {}
    for run in map(Path, runs):
        sources |= _sources(run)
        figures |= {f"{run.name}: {name}": value for name, value in _figures(run).items()}
    return Origin(sources, figures)


def _sources(run: Path) -> dict[str, Mapping[str, Any]]:
    out: dict[str, Mapping[str, Any]] = {}
    starts = read_object(run / RECORD).get("starts", []) if (run / RECORD).is_file() else []
    for name, given in (starts[-1].get("inputs", {}) if starts else {}).items():
        manifest = Path(given["path"]) / MANIFEST
        if name.partition("[")[0] in CLIPS and manifest.is_file():
            out |= read_object(manifest).get("sources", {})
    return out


def _figures(run: Path) -> dict[str, float]:
    curves = read_log(run / "log.jsonl") if (run / "log.jsonl").is_file() else {}
    return {name: curve[max(curve)] for name, curve in curves.items() if name.startswith("val_")}
