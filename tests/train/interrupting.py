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
    "avatargpt.train.loop", "avatargpt.train.language", "avatargpt.train.tokenizer", "avatargpt.train.scorer",
    "avatargpt.train.request_reader", "matplotlib.figure", "tests.train.interrupting",
]  # fmt: skip


def _run(argv: list[str], env: dict[str, str], output: str, limit: int | None) -> None:
    """In the new process: its output goes to a file; `limit` bounds the bytes of a file."""
    os.environ.update(env)
    with open(output, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.exit(main(argv))


@dataclass
class Started:
    """A run that is going on, or is over."""

    process: Any
    output: Path

    def end(self) -> int:
        """Wait for it; its exit status, negative where a signal ended it."""
        self.process.join(LONG)
        assert self.process.exitcode is not None, "still running"
        return int(self.process.exitcode)

    def errors(self) -> list[str]:
        """Lines that it ended with."""
        return [line for line in self.output.read_text().splitlines() if line.startswith(("error:", "Traceback"))]


def _fork(target: Any, *arguments: Any) -> Any:
    """Start a function in a process, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(NEEDED)
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def start(argv: list[str], output: Path, limit: int | None = None, **env: str) -> Started:
    """Start a run as a process; its output goes to a file."""
    for name, value in (("CUDA_VISIBLE_DEVICES", ""), ("OMP_NUM_THREADS", "1")):
        os.environ.setdefault(name, value)
    output.parent.mkdir(parents=True, exist_ok=True)
    return Started(_fork(_run, argv, env, str(output), limit), output)


def warm() -> None:
    """Have everything imported, so that what is timed afterwards is a run alone."""
    _fork(time.sleep, 0).join(LONG)


def finished(argv: list[str], output: Path) -> float:
    """Run to the end; seconds."""
    begin = time.monotonic()
    assert start(argv, output).end() == 0, output.read_text()[-2000:]
    return time.monotonic() - begin


def digest(folder: Path) -> str:
    """SHA-256 of all usable weights in a run's folder."""
    files = sorted(folder.glob("*.safetensors"))
    assert files
    return hashlib.sha256(b"".join(f.name.encode() + f.read_bytes() for f in files)).hexdigest()


def writing(folder: Path) -> bool:
    """Whether a file is half-written in a folder at this moment."""
    try:
        return any(MARK in name for name in os.listdir(folder))
    except FileNotFoundError:
        return False


@dataclass
class Moment:
    """A disturbance: a signal some seconds after the start, or while file number `save` is written."""

    seconds: float
    save: int
    signal: signal.Signals

    @classmethod
    def drawn(cls, rng: random.Random, number: int, seconds: float, saves: int) -> Moment:
        """Every other one while a file is written; two in three kill. `seconds`, `saves`: of an undisturbed run."""
        save = rng.randint(1, saves) if number % 2 else 0
        return cls(rng.uniform(0.0, seconds), save, signal.SIGKILL if number % 3 else signal.SIGTERM)

    def wait(self, run: Started, out: Path) -> bool:
        """Wait for it; whether the run was still going on then."""
        begin, count, busy = time.monotonic(), 0, False
        while run.process.exitcode is None and time.monotonic() - begin < LONG:
            if self.save:
                now = writing(out)
                count, busy = count + (now and not busy), now
                if count == self.save and now:
                    return True
            elif time.monotonic() - begin >= self.seconds:
                return True
            time.sleep(0.0005)
        return False
