"""Engines: tasks in worker processes of this machine, or on a Ray cluster (Ray Data); both only run what is missing.

A process that loses its parent ends at once, unless it asks a language model: then it waits for the answer, which is
paid, and stores it. Whoever repeats the question meanwhile waits for it (`avatargpt.llm.ledger`). Ray ends the workers
of a driver that is killed, so there `avatargpt.curate.detached` asks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol

from avatargpt.curate.detached import Detached
from avatargpt.curate.stages import (
    REJECTED,
    STAGES,
    Outcome,
    Result,
    StageSettings,
    StageTask,
    Stopped,
    Workshop,
    attempt,
)
from vqvae.errors import UserError

NAMES = ("local", "ray")
INSTALL_RAY = 'pip install "avatargpt[ray]"'
BREAKS = 2  # ends of a worker process after which the tasks that were in work are tried one at a time


class StageEngine(Protocol):
    """Runs tasks of one stage."""

    def run(self, tasks: Sequence[StageTask]) -> Iterator[tuple[int, Result]]:
        """The number of each task with its result, in any order.

        Raises:
            Stopped: the run cannot go on (bounds of calls, no connection, an extra that is missing).
        """
        ...

    def close(self) -> None:
        """End its processes."""
        ...


def engine(name: str, settings: StageSettings, workers: int) -> StageEngine:
    """The engine of that name. Raises UserError: unknown, or its extra is not installed."""
    if name == "local":
        return LocalEngine(settings, workers)
    if name == "ray":
        return RayEngine(settings, workers)
    raise UserError(f"--engine {name}; accepted: {', '.join(NAMES)}")


class LocalEngine:
    """Worker processes, as many as `workers`; 1 = this process, where one that is cut off takes the run with it."""

    def __init__(self, settings: StageSettings, workers: int) -> None:
        self.settings, self.workers = settings, workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, tasks: Sequence[StageTask]) -> Iterator[tuple[int, Result]]:
        """See `StageEngine`."""
        left = dict(enumerate(tasks))
        breaks = 0
        while left:
            # after several breaks one at a time, so that it is known whose task ends processes
            share = dict(list(left.items())[:1]) if breaks >= BREAKS else left
            try:
                for number, result in self._round(dict(share)):
                    del left[number]
                    yield number, result
            except BrokenProcessPool:
                self.close()
                breaks += 1
                if breaks > BREAKS:
                    (number,) = share
                    del left[number]
                    yield number, {REJECTED: "reading it ends the process (out of memory, or a defect of a decoder)"}

    def _round(self, tasks: dict[int, StageTask]) -> Iterator[tuple[int, Result]]:
        """All tasks in the pool; a bounded number waits in it."""
        pool = self._start_pool()
        waiting: set[Future[Outcome]] = set()
        numbers = iter(sorted(tasks))
        stop = ""
        try:
            while True:
                while not stop and len(waiting) < 2 * self.workers and (k := next(numbers, None)) is not None:
                    waiting.add(pool.submit(_work, k, tasks[k]))
                if not waiting:
                    break
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    number, result, problem, ends = future.result()
                    stop = stop or (problem if ends else "")
                    if not ends:
                        yield number, result
        except (GeneratorExit, KeyboardInterrupt):
            self._end.send(None)  # nobody waits for what the processes are at
            raise
        if stop:
            raise Stopped(stop)

    def _start_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = get_context("spawn")
            ending, self._end = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(self.workers, context, _begin, (self.settings, ending))
        return self._pool

    def close(self) -> None:
        """End the processes; what they are at is finished."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


_shop: list[Workshop] = []  # of a worker process
_asking = threading.Lock()  # held while a question may be on its way
_orphaned = threading.Event()


def _begin(settings: StageSettings, ending: connection.Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the others
    _shop[:] = [settings.workshop()]
    threading.Thread(target=_end_with_parent, args=(ending,), daemon=True).start()


def _end_with_parent(ending: connection.Connection) -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel, ending])
    _orphaned.set()
    with _asking:
        os._exit(1)


def _work(number: int, task: StageTask) -> Outcome:
    if not STAGES[task.stage].model:
        return attempt(_shop[0], number, task)
    with _asking:
        if _orphaned.is_set():
            os._exit(1)
        return attempt(_shop[0], number, task)


class RayEngine:
    """Tasks as rows of a Ray Data set; the folder of results has to be the same on every machine."""

    def __init__(self, settings: StageSettings, workers: int) -> None:
        if find_spec("ray") is None:
            raise UserError(f"--engine ray: Ray is not installed; install it: {INSTALL_RAY}")
        self.settings, self.workers = settings, workers
        self._own = False

    def run(self, tasks: Sequence[StageTask]) -> Iterator[tuple[int, Result]]:
        """See `StageEngine`; results come when all are there."""
        import ray

        if not ray.is_initialized():
            # the address of a cluster is in RAY_ADDRESS; without it, Ray starts on this machine
            local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": self.workers}
            paths = os.pathsep.join(p for p in sys.path if p)
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False,
                     runtime_env={"env_vars": {"PYTHONPATH": paths}}, **local)  # fmt: skip
            ray.data.DataContext.get_current().enable_progress_bars = False
            self._own = True
        rows = [{"number": k, "task": (t.stage, dict(t.inputs), dict(t.files))} for k, t in enumerate(tasks)]
        blocks = min(len(rows), 4 * self.workers)
        data = ray.data.from_items([{"row": json.dumps(r)} for r in rows], override_num_blocks=blocks)
        # .count() would run nothing; written out, every task runs once
        row_class: Any = _RowTask
        done = data.map(row_class, fn_constructor_args=(self.settings,), concurrency=self.workers).materialize()
        stop = ""
        for row in done.iter_rows():
            number, result, problem, ends = json.loads(row["row"])
            stop = stop or (problem if ends else "")
            if not ends:
                yield number, result
        if stop:
            raise Stopped(stop)

    def close(self) -> None:
        """Leave Ray, where this engine started it."""
        if self._own:
            import ray

            ray.shutdown()
            self._own = False


class _RowTask:
    """Runs the task of a row, in a process of Ray's."""

    def __init__(self, settings: StageSettings) -> None:
        self.shop, self.questions = settings.workshop(), Detached(settings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        value = json.loads(row["row"])
        number, task = value["number"], StageTask(*value["task"])
        if STAGES[task.stage].model:
            return {"row": json.dumps(self.questions.attempt(number, task))}
        return {"row": json.dumps(attempt(self.shop, number, task))}
