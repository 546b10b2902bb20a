"""Runs of `scripts/train.py` in processes of their own, which are killed or told to stop."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatargpt.train.command import main
from vqvae.io.files import MARK

LONG = 300.0  # s; no run of a test takes longer
NEEDED = [
    "avatargpt.train.loop", "avatargpt.train.language_run", "avatargpt.train.tokenizer", "avatargpt.train.scorer",
    "avatargpt.train.request_reader", "avatargpt.train.tokenizer", "matplotlib.figure",
    "tests.train.disturbed.interrupting",
]  # fmt: skip


def _run(argv: list[str], env: dict[str, str], said: str, most_bytes: int | None) -> None:
    """In the new process: its output goes to the file `said`; `most_bytes` limits what a file may hold."""
    os.environ.update(env)
    with open(said, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if most_bytes is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    sys.exit(main(argv))


@dataclass
class Started:
    """A run that is going on, or is over."""

    process: Any
    said: Path

    def end(self) -> int:
        """Wait for it; its exit status, negative where a signal ended it."""
        self.process.join(LONG)
        assert self.process.exitcode is not None, "still running"
        return int(self.process.exitcode)

    def errors(self) -> list[str]:
        """Lines that it ended with."""
        return [line for line in self.said.read_text().splitlines() if line.startswith(("error:", "Traceback"))]


def start(argv: list[str], said: Path, most_bytes: int | None = None, **env: str) -> Started:
    """Start a run as a process, forked from one that has imported everything."""
    for name, value in (("CUDA_VISIBLE_DEVICES", ""), ("OMP_NUM_THREADS", "1")):
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    said.parent.mkdir(parents=True, exist_ok=True)
    process = context.Process(target=_run, args=(argv, env, str(said), most_bytes))
    process.start()
    return Started(process, said)


def _nothing() -> None:
    pass


def warm() -> None:
    """Have everything imported, so that what is timed afterwards is a run alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    process = context.Process(target=_nothing)
    process.start()
    process.join(LONG)


def finished(argv: list[str], said: Path) -> float:
    """Run to the end; seconds."""
    begin = time.monotonic()
    assert start(argv, said).end() == 0, said.read_text()[-2000:]
    return time.monotonic() - begin


def digest(folder: Path) -> str:
    """SHA-256 of all usable weights in a run's folder."""
    total = hashlib.sha256()
    files = sorted(p for p in folder.glob("*.safetensors"))
    assert files
    for file in files:
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


def writing(folder: Path) -> bool:
    """Whether a file is half-written in a folder at this moment."""
    try:
        return any(MARK in name for name in os.listdir(folder))
    except FileNotFoundError:
        return False


@dataclass
class Moment:
    """When a run is disturbed, by which signal: some time after its start, or while its so manieth file is written."""

    seconds: float
    save: int
    signal: signal.Signals

    @classmethod
    def drawn(cls, rng: random.Random, number: int, seconds: float, saves: int) -> Moment:
        """Every other one while a file is written; two in three kill. `seconds`, `saves`: of a whole run."""
        save = rng.randint(1, saves) if number % 2 else 0
        return cls(rng.uniform(0.0, seconds), save, signal.SIGKILL if number % 3 else signal.SIGTERM)

    def wait(self, run: Started, out: Path) -> bool:
        """Wait for it; whether the run was still going on then."""
        begin, seen, busy = time.monotonic(), 0, False
        while run.process.exitcode is None and time.monotonic() - begin < LONG:
            if self.save:
                now = writing(out)
                seen, busy = seen + (now and not busy), now
                if seen == self.save and now:
                    return True
            elif time.monotonic() - begin >= self.seconds:
                return True
            time.sleep(0.0005)
        return False
