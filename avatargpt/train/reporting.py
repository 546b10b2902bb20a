"""Reports of a run: JSON lines, a progress bar, a table, curves, TensorBoard, W&B; and the record of its starts.

The record, ``run.json`` of the run's folder, holds command, code, versions and inputs of every start.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import WatcherName
from avatargpt.lm.hub import Origin
from avatargpt.resources import PACKAGE
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_object
from vqvae.io.files import atomic_write

MAX_LINE = 1 << 20  # bytes that the last line is looked for in
PICTURE, TABLE = "losses.png", "log.csv"
SHARE, SPEED = "mfu", "tokens_s"  # a run that reports its speed has a column for the share, blank where none is known
EXTRA = "pip install 'avatargpt[watch]'"
PROJECT, ID = "avatargpt", "wandb.id"


class TensorBoard:
    """Events in ``tensorboard`` of the run's folder."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(out / "tensorboard"))

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self.writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """A run of Weights & Biases, offline without a key; a resumed run has the same id (``wandb.id`` in its folder)."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        path = out / ID
        name = path.read_text(encoding="utf-8").strip() if path.is_file() else secrets.token_hex(4)
        if not path.is_file():
            atomic_write(path, lambda p: p.write_text(name, encoding="utf-8"))
        # Without a key wandb would stop and ask for one on the terminal.
        keyed = bool(os.environ.get("WANDB_API_KEY"))
        mode = os.environ.get("WANDB_MODE", "online" if keyed else "offline")
        self.wandb: Any = wandb
        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), id=name, resume="allow", name=out.name,
            config=dict(settings), mode=mode,  # type: ignore[arg-type]
        )  # fmt: skip

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self.run.log({name: self.wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        self.run.finish()


Watcher = TensorBoard | Wandb  # takes figures and pictures (H, W, 3) uint8 of a run as they come
WATCHERS: dict[WatcherName, type[TensorBoard] | type[Wandb]] = {"tensorboard": TensorBoard, "wandb": Wandb}


def check_watchers(names: Sequence[WatcherName]) -> None:
    """Raises UserError for one under `train: watch` that is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise UserError(f"train: watch: {name}: not installed; install it: {EXTRA}")


class Log:
    """Appends one JSON line per report to a file and prints it; on a terminal a progress bar runs on stderr.

    Figures that are not finite are left out.

    Args:
        path: the file; a resumed run goes on in it.
        main: whether this process reports at all.
        total, first: steps of the whole run and those already behind it; without `total` there is no bar.
        watchers: get the same reports.
    """

    def __init__(
        self, path: Path, main: bool, total: int = 0, first: int = 0, watchers: Sequence[Watcher] = ()
    ) -> None:  # fmt: skip
        self.path, self.main, self.begin, self.watchers = path, main, time.time(), watchers
        self._bar: Any = None
        if not main:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        if total and sys.stderr.isatty():
            self._bar = _progress_bar(total, first)

    def __call__(self, **values: Any) -> None:
        if not self.main:
            return
        # JSON has no number for the mean over no rows
        row = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items() if math.isfinite(v)}
        for watcher in self.watchers:
            watcher.figures(int(row.get("step", 0)), {k: float(v) for k, v in row.items() if k != "step"})
        row["minutes"] = round((time.time() - self.begin) / 60, 2)
        try:
            with self.path.open("a") as f:
                f.write(json.dumps(row) + "\n")
        except OSError as e:
            raise UserError(f"cannot write {self.path}: {e.strerror or e}") from None
        if self._bar is None or not sys.stdout.isatty():  # lines would tear the bar apart; the file has them all
            print(json.dumps(row), flush=True)

    def report(self, step: int, figures: Mapping[str, float]) -> None:
        """The line of a step, where there are figures."""
        if figures:
            self(step=step, **figures)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Pass a picture (H, W, 3) uint8 to the watchers."""
        for watcher in self.watchers:
            watcher.picture(step, name, pixels)

    def advance(self, loss: torch.Tensor) -> None:
        """Count one more step, with this loss."""
        if self._bar is not None:
            self._bar.update(0, advance=1, loss=f"{float(loss.detach()):.4f}")

    def close(self) -> None:
        """Take the bar off the terminal and close the watchers."""
        if self._bar is not None:
            self._bar.stop()
        for watcher in self.watchers:
            watcher.close()


def _cut_torn_line(path: Path) -> None:
    """Take a last line without an end out of a log: a full disk has cut it off."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        # The end of the file alone: logs grow long.
        file.seek(max(0, size - MAX_LINE))
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            print(f"note: {path}: its last line was cut off; it is left out", file=sys.stderr)
            file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)


def _progress_bar(total: int, first: int) -> Any:
    """A started rich bar on stderr: steps, loss, time spent, time left."""
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("step"), progress.MofNCompleteColumn(), progress.BarColumn(),
        progress.TextColumn("loss {task.fields[loss]}"), progress.TimeElapsedColumn(), progress.TextColumn("left"),
        progress.TimeRemainingColumn(), console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    bar.start()
    bar.add_task("training", total=total, completed=first, loss="-")
    return bar


def read_log(path: str | os.PathLike[str]) -> dict[str, dict[int, float]]:
    """Curves of a log.jsonl: name -> {step: value}. A step that was run again counts once, with its last value."""
    curves: dict[str, dict[int, float]] = {}
    for n, row in json_rows(path):
        try:
            step = int(row.pop("step"))
            row.pop("minutes", None)
            for name, value in row.items():
                curves.setdefault(name, {})[step] = float(value)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f"{path}: line {n}: not a report of a training step ({e})") from None
    return curves


def run_curves(folder: Path) -> dict[str, dict[int, float]]:
    """Curves of a run's folder; none where nothing was reported."""
    return read_log(folder / "log.jsonl") if (folder / "log.jsonl").is_file() else {}


def write_table(folder: Path) -> Path | None:
    """``log.csv`` beside ``log.jsonl``: a row per step, a column per figure; None where nothing was reported."""
    curves = run_curves(folder)
    steps = sorted({step for curve in curves.values() for step in curve})
    if not steps:
        return None
    # A column for the share even where no peak is known, so that tables of all devices have the same columns.
    if SPEED in curves:
        curves.setdefault(SHARE, {})
    rows = [["step", *curves]]
    rows += [[str(n), *(f"{c[n]:.6g}" if n in c else "" for c in curves.values())] for n in steps]
    text = "\n".join(",".join(row) for row in rows) + "\n"
    return atomic_write(folder / TABLE, lambda p: p.write_text(text, encoding="utf-8"))


def plot_log(folder: Path) -> Path | None:
    """Draw every curve of ``log.jsonl`` into ``losses.png`` beside it, one small plot each.

    Returns:
        The picture; None, with a note on stderr, when matplotlib is not installed or nothing was reported yet.
    """
    curves = run_curves(folder)
    if not curves:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print(f"note: no {folder / PICTURE}: matplotlib is not installed (pip install matplotlib)", file=sys.stderr)
        return None
    # Losses of training first, figures of validation behind them.
    names = sorted(curves, key=lambda name: (name.startswith("val_"), name))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, place)
        steps = sorted(curves[name])
        axes.plot(steps, [curves[name][s] for s in steps], marker="." if len(steps) < 20 else "", linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    figure.supxlabel("step", fontsize=9)
    return atomic_write(folder / PICTURE, lambda p: figure.savefig(p, dpi=120))


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


def remember_start(options: Any, argv: Sequence[str]) -> None:
    """Remember a start; `record` writes it where a run begins, since one that is refused leaves no record."""
    _pending[:] = [(options, argv)]


def record(out: Path) -> None:
    """Add the pending start to the record of a run's folder; print what differs from the one before."""
    if not _pending:
        return
    options, argv = _pending.pop()
    deepspeed = "DEEPSPEED_TIMEOUT" in os.environ or "CROSS_SIZE" in os.environ
    launcher = "torchrun" if "TORCHELASTIC_RUN_ID" in os.environ else "deepspeed" if deepspeed else "python"
    now = {
        "command": [Path(sys.argv[0]).name, *argv], "commit": commit(), "versions": versions(),
        "launcher": launcher, "processes": int(os.environ.get("WORLD_SIZE", 1)),
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
