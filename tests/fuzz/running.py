"""Cases in forked children: a crash, a hang or a flood of memory ends a child, not the run, and its case is known."""

import contextlib
import io
import json
import os
import random
import resource
import select
import signal
import sys
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import mutated
from vqvae.errors import UserError

MAX_SECONDS, MAX_MEMORY, HANGS = 5.0, 1 << 30, 60.0  # CPU s of a case, bytes above the child's own, s without a word
STEERING = {*range(32), *range(127, 160)} - {9, 10}


@dataclass
class Target:
    """A reader.

    Attributes:
        seeds: good files. suffix: of the damaged ones. text: see `mutate.mutated`.
        read: takes the path of a damaged file; may raise UserError and nothing else.
        share: how often it is taken, compared with the others.
        name: what the damaged file is called instead, within a folder with the rest of `folder`.
    """

    seeds: list[bytes]
    suffix: str
    read: Callable[[Path], object]
    text: bool = False
    share: float = 1.0
    folder: Path | None = None
    name: str = ""


@dataclass
class Report:
    """What became of all cases.

    Attributes:
        slowest: processor seconds of the longest case. memory: MiB of the largest, above its process' own.
        faults: ``target:number`` -> what was wrong with it.
    """

    cases: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    memory: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def damaged(target: Target, name: str, number: int, seed: int) -> bytes:
    """The bytes of a case, by its number alone; one in fifty is good."""
    rng = random.Random(zlib.crc32(f"{seed}:{name}:{number}".encode()))
    good = rng.choice(target.seeds)
    return good if number % 50 == 0 else mutated(good, rng, target.text, target.seeds)


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def _processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def place(target: Target, folder: Path) -> Path:
    """Where a damaged file lies: where the good one does, if others lie beside it."""
    path = (target.folder or folder) / (target.name or f"case{target.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read_case(target: Target, data: bytes, folder: Path) -> tuple[str, float, int]:
    """Read one damaged file: ``read``, ``refused`` or what was wrong, processor seconds, and MiB of memory."""
    path = place(target, folder)
    path.write_bytes(data)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = _peak(), _processor_seconds()
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            target.read(path)
        result = "read"
    except UserError as e:
        result = "refused" if "\n" not in str(e) and str(e) else f"a message that is no line: {str(e)[:200]!r}"
    except BaseException as e:
        last = traceback.extract_tb(e.__traceback__)[-1]
        result = f"{type(e).__name__}: {str(e)[:200]} at {Path(last.filename).name}:{last.lineno}"
    finally:
        path.write_bytes(target.seeds[0])  # other cases have the same folder
    seconds, memory = _processor_seconds() - start, _peak() - before
    if seconds > MAX_SECONDS:
        result = f"{seconds:.1f} s ({result})"
    elif memory > MAX_MEMORY:
        result = f"{memory >> 20} MiB ({result})"
    return result, round(seconds, 2), memory >> 20


def _child(targets: dict[str, Target], cases: list[tuple[str, int]], seed: int, folder: Path, pipe: int) -> None:
    """Read cases one after the other, and tell the parent before and after each."""
    import torch

    torch.set_num_threads(1)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 3 * MAX_MEMORY, size + 3 * MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, number in cases:
        os.write(pipe, (json.dumps(["begin", name, number]) + "\n").encode())
        result = read_case(targets[name], damaged(targets[name], name, number, seed), folder)
        os.write(pipe, (json.dumps(["end", name, number, *result]) + "\n").encode())


def _lines(pipe: int, pid: int) -> Any:
    """What a child says; it is ended when it has been silent for too long."""
    unfinished = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], HANGS)
        if not ready:
            os.kill(pid, signal.SIGKILL)
            yield ["hang"]
            return
        block = os.read(pipe, 1 << 16)
        if not block:
            return
        *lines, unfinished = (unfinished + block).split(b"\n")
        yield from map(json.loads, lines)


def run(
    targets: dict[str, Target], folder: Path, total: int, seed: int = 0, batch: int = 250, log: Any = None
) -> Report:
    """Read so many damaged files, spread over the targets by their shares.

    Args:
        folder: for damaged files; those of faults stay there as ``fault-TARGET-NUMBER``.
        batch: cases of one child.
    """
    _warm(targets, folder)
    report = Report()
    shares = sum(t.share for t in targets.values())
    cases = [(n, i) for n, t in targets.items() for i in range(max(2, round(total * t.share / shares)))]
    random.Random(seed).shuffle(cases)
    while cases:
        now, cases = cases[:batch], cases[batch:]
        cases = now[_batch(targets, now, seed, folder, report) :] + cases
        if log is not None:
            print(f"{report.cases} cases, {report.read} read, {report.refused} refused, {len(report.faults)} faults",
                  file=log, flush=True)  # fmt: skip
    return report


def _warm(targets: dict[str, Target], folder: Path) -> None:
    """Read a good file of each kind, so that no child has to import what readers import when they are called."""
    import torch

    torch.set_num_threads(1)  # a pool of threads would not outlive the fork
    for target in targets.values():
        path = place(target, folder)
        path.write_bytes(target.seeds[0])
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            target.read(path)


def _batch(targets: dict[str, Target], cases: list[tuple[str, int]], seed: int, folder: Path, report: Report) -> int:
    """One child; how many of the cases it has read, the one that ended it among them."""
    receiver, sender = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(receiver)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            _child(targets, cases, seed, folder, sender)
            status = 0
        finally:
            os._exit(status)
    os.close(sender)
    count, running, hung = 0, None, False
    for event, *case in _lines(receiver, pid):
        if event == "hang":
            hung = True
        elif event == "begin":
            running, count = case, count + 1
        else:
            running = None
            _record(targets, case[0], case[1], seed, folder, report, case[2])
            report.slowest, report.memory = max(report.slowest, case[3]), max(report.memory, case[4])
    os.close(receiver)
    _, status = os.waitpid(pid, 0)
    if running:
        ended = f"ended by signal {os.WTERMSIG(status)} or status {status >> 8}"
        _record(targets, *running, seed, folder, report, f"no answer in {HANGS:.0f} s" if hung else ended)
    elif status:
        raise RuntimeError(f"a child ended with {status} between cases")
    return count


def _record(
    targets: dict[str, Target], name: str, number: int, seed: int, folder: Path, report: Report, result: str
) -> None:
    report.cases += 1
    report.read += result == "read"
    report.refused += result == "refused"
    if result not in ("read", "refused"):
        report.faults[f"{name}:{number}"] = result
        place(targets[name], folder).write_bytes(targets[name].seeds[0])
        fault = folder / f"fault-{name}-{number}{targets[name].suffix}".replace(" ", "-")
        fault.write_bytes(damaged(targets[name], name, number, seed))
