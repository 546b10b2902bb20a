"""`Worker`: the threads that use the model in turns, their bounded queue, and jobs with progress and cancellation."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from avatargpt.lm.engine import PAUSE
from avatargpt.server.errors import Refusal, busy, refusal_of, refuse_stopping
from vqvae.errors import OutOfTime, UserError

Status = Literal["queued", "running", "done", "failed", "cancelled"]
USUAL_SECONDS = 1.0  # of a piece of work, before any was measured
KEEPING_SECONDS = 10.0  # beyond the limit, for what is done already to be kept
TOKENS = "tokens"  # stage of work that counts nothing itself: the decode that runs
log = logging.getLogger("avatargpt.server")


class Cancelled(Exception):
    """Nobody waits for this work any more."""


Report = Callable[..., None]  # takes done, total and a stage; raises where the work is to end
Function = Callable[[Report], Any]
Together = Callable[[Sequence[Any], Report], list[Any]]  # items -> a result or an exception for each


@dataclass(frozen=True)
class Group:
    """Work that may be done together with other work of the same key.

    Attributes:
        key: equal for work that goes together. item: this piece of it. together: does several items.
    """

    key: Hashable
    item: Any
    together: Together


@dataclass(eq=False)
class Job:
    """A piece of work: where it stands, and its result."""

    kind: str
    function: Function | None = None
    group: Group | None = None
    finish: Callable[[Any], Any] | None = None  # of the result, on the same thread
    alone: Hashable = None  # of jobs with the same one, one is worked on at a time; None = with any others
    id: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    status: Status = "queued"
    done: int = 0
    total: int = 0
    stage: str = ""
    begun: float = field(default_factory=time.monotonic)
    started: float = 0.0
    future: Future[Any] = field(default_factory=Future)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def result(self, timeout: float | None = None) -> Any:
        """The result, waited for; raises the error of the work."""
        return self.future.result(timeout)

    def cancel(self) -> None:
        """End the work within a few tokens, or at its next report; what has not begun is not begun."""
        self.cancelled.set()

    def settle(self, status: Status, result: Any = None, error: BaseException | None = None) -> None:
        """The end of it."""
        if self.future.done():
            return
        self.status = status
        if error is None:
            self.done = self.total = max(self.total, 1)
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


def job_json(job: Job) -> dict[str, Any]:
    """A job as clients get it."""
    row: dict[str, Any] = {
        "id": job.id, "kind": job.kind, "status": job.status,
        "progress": {"done": job.done, "total": job.total, "stage": job.stage}, "error": None, "motions": [],
    }  # fmt: skip
    if job.status == "done":
        result = job.result()
        row |= result if isinstance(result, dict) else {}
    elif job.status == "failed":
        error = refusal_of(job.future.exception() or Cancelled())
        row["error"] = {"code": error.code, "message": error.message, "where": error.where}
    return row


class Turns:
    """The use of the model: by one thread at a time, in the order in which they ask for it."""

    def __init__(self) -> None:
        self._line: deque[int] = deque()
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._line.append(threading.get_ident())
            self._changed.wait_for(lambda: self._line[0] == threading.get_ident())

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._line.popleft()
            self._changed.notify_all()

    def give_way(self) -> float:
        """Let everyone who waits have a turn; the seconds that it took."""
        begun = time.monotonic()
        if len(self._line) > 1:
            self.__exit__()
            self.__enter__()
        return time.monotonic() - begun


class Worker:
    """Threads that use the model in turns of a few tokens, so that short work is not behind long work.

    Args:
        queue: jobs that may wait. batch: jobs of one group done together. wait: seconds that the first of a group waits
            for others. seconds: of work on one job, those of others not counted.
        observe: called with (kind, seconds, number of jobs) after each piece of work. threads: pieces of work at once.
    """

    def __init__(
        self, queue: int, batch: int, wait: float, seconds: float,
        observe: Callable[[str, float, int], None] = lambda *_: None, threads: int = 1,
    ) -> None:  # fmt: skip
        self.queue, self.batch, self.wait, self.seconds, self.observe = queue, batch, wait, seconds, observe
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._running: list[Job] = []
        self._stopping = self._ended = False
        self._usual = USUAL_SECONDS
        self._turns = Turns()
        self._threads = [threading.Thread(target=self._loop, name="model", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that are worked on."""
        return len(self._running)

    def submit(
        self, kind: str, function: Function | None = None, group: Group | None = None,
        finish: Callable[[Any], Any] | None = None, alone: Hashable = None,
    ) -> Job:  # fmt: skip
        """Put work at the end of the queue: a function, or a piece of a group; any thread may wait for the `Job`.

        Raises:
            Refusal: 429 where the queue is full, 503 where the worker stops.
        """
        job = Job(kind, function, group, finish, alone)
        with self._changed:
            if self._stopping:
                raise refuse_stopping()
            self._drop_cancelled()
            if len(self._waiting) >= self.queue:
                raise busy(f"{self.queue} requests are waiting; try again later", self._usual * self.queue / 2)
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def close(self) -> None:
        """Take no more work."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def stop(self, grace: float) -> int:
        """Finish what is there within `grace` seconds, and give back the rest; how many jobs were given back."""
        self.close()
        until = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._ended = True
            left = [*self._waiting, *self._running]
            self._waiting.clear()
            self._changed.notify_all()
        for job in left:
            job.cancel()
            job.settle("failed", error=refuse_stopping())
        return len(left)

    def _drop_cancelled(self) -> None:
        for job in [j for j in self._waiting if j.cancelled.is_set()]:
            self._waiting.remove(job)
            job.settle("cancelled", error=Cancelled())

    def _loop(self) -> None:
        while (jobs := self._take()) is not None:
            if jobs:
                self._do(jobs)

    def _take(self) -> list[Job] | None:
        """The next job, with those of its group up to a batch, out of the queue; None = the end."""
        with self._changed:
            while not (ready := self._ready()):
                if self._stopping and not self._waiting:
                    return None
                self._changed.wait()
            if ready[0].group is not None and self.batch > 1:
                until = time.monotonic() + self.wait
                while len(self._waiting) < self.batch and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            if self._ended:
                return None
            jobs = self._ready()[:1]
            if jobs and (group := jobs[0].group) is not None:
                jobs = [j for j in self._waiting if j.group is not None and j.group.key == group.key][: self.batch]
            for job in jobs:
                self._waiting.remove(job)
            self._running += jobs
            return jobs

    def _ready(self) -> list[Job]:
        """Jobs that wait and may begin."""
        self._drop_cancelled()
        taken = {job.alone for job in self._running} - {None}
        return [job for job in self._waiting if job.alone not in taken]

    def _do(self, jobs: list[Job]) -> None:
        with self._turns:
            start = time.monotonic()
            for job in jobs:
                job.status, job.started = "running", start
            try:
                results = self._results(jobs)
                for job, result in zip(jobs, results, strict=True):
                    self._settle(job, result)
            finally:
                with self._changed:
                    for job in jobs:
                        self._running.remove(job)
                    self._changed.notify_all()
                spent = time.monotonic() - start
                self._usual = 0.8 * self._usual + 0.2 * spent / len(jobs)
                self.observe(jobs[0].kind, spent, len(jobs))

    def _results(self, jobs: list[Job]) -> list[Any]:
        """A result or an exception for each."""
        until, counted = time.monotonic() + self.seconds, False

        def report(done: int, total: int, stage: str = "") -> None:
            nonlocal until, counted
            counted = counted if stage == TOKENS else total > 1
            for job in jobs if stage != TOKENS or not counted else ():
                job.done, job.total, job.stage = done, total, stage
            until += self._turns.give_way()
            if self._ended or all(job.cancelled.is_set() for job in jobs):
                raise Cancelled
            if time.monotonic() > until:
                until += KEEPING_SECONDS
                raise OutOfTime(f"more than {self.seconds:g} s of work; accepted: shorter or fewer motions")

        kept = PAUSE.set(partial(report, stage=TOKENS))
        try:
            group = jobs[0].group
            if group is None:
                assert jobs[0].function is not None
                return [jobs[0].function(report)]
            items = [j.group.item for j in jobs if j.group is not None]
            return group.together(items, report)
        except BaseException as e:  # the thread goes on whatever the work did
            return [e] * len(jobs)
        finally:
            PAUSE.reset(kept)

    @staticmethod
    def _settle(job: Job, result: Any) -> None:
        try:
            if job.cancelled.is_set():
                raise Cancelled
            if isinstance(result, BaseException):
                raise result
            result = job.finish(result) if job.finish else result
        except Cancelled as e:
            job.settle("cancelled", error=e)
        except BaseException as e:
            job.settle("failed", error=e if isinstance(e, Refusal | UserError) else refusal_of(e))
        else:
            job.settle("done", result)
