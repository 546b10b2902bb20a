"""`Worker`: the one thread that uses the model, its bounded queue, and jobs with progress and cancellation."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from avatargpt.server.errors import Refusal, busy, refusal_of, stopping

Status = Literal["queued", "running", "done", "failed", "cancelled"]
USUAL_SECONDS = 1.0  # of a piece of work, before any was measured
log = logging.getLogger("avatargpt.server")


class Cancelled(Exception):
    """Nobody waits for this work any more."""


class Report(Protocol):
    """Takes how much of the work is done; raises where it is to end."""

    def __call__(self, done: int, total: int, stage: str = "") -> None: ...


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
        """End the work at its next report; what has not begun is not begun."""
        self.cancelled.set()

    def settle(self, status: Status, result: Any = None, error: BaseException | None = None) -> None:
        """The end of it."""
        if self.future.done():
            return
        self.status = status
        if error is None:
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


class Worker:
    """One thread for the model.

    Args:
        queue: jobs that may wait. batch: jobs of one group done together. wait: seconds that the first of a group waits
            for others. seconds: of work on one job.
        observe: called with (kind, seconds, number of jobs) after each piece of work.
    """

    def __init__(
        self, queue: int, batch: int, wait: float, seconds: float,
        observe: Callable[[str, float, int], None] = lambda *_: None,
    ) -> None:  # fmt: skip
        self.queue, self.batch, self.wait, self.seconds, self.observe = queue, batch, wait, seconds, observe
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._running: list[Job] = []
        self._stopping = self._ended = False
        self._usual = USUAL_SECONDS
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)
        self._thread.start()

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
        finish: Callable[[Any], Any] | None = None,
    ) -> Job:  # fmt: skip
        """Put work at the end of the queue: a function, or a piece of a group.

        Raises:
            Refusal: 429 where the queue is full, 503 where the worker stops.
        """
        job = Job(kind, function, group, finish)
        with self._changed:
            if self._stopping:
                raise stopping()
            self._drop_cancelled()
            if len(self._waiting) >= self.queue:
                raise busy(f"{self.queue} requests are waiting; try again later", self._usual * self.queue / 2)
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def run(self, kind: str, function: Function) -> Any:
        """Do work and wait for its result, from another thread."""
        return self.submit(kind, function).result()

    def stop(self, grace: float) -> int:
        """Finish what is there within `grace` seconds, and give back the rest; how many jobs were given back."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(grace)
        with self._changed:
            self._ended = True
            left = [*self._waiting, *self._running]
            self._waiting.clear()
            self._changed.notify_all()
        for job in left:
            job.cancel()
            job.settle("failed", error=stopping())
        return len(left)

    def _drop_cancelled(self) -> None:
        for job in [j for j in self._waiting if j.cancelled.is_set()]:
            self._waiting.remove(job)
            job.settle("cancelled", error=Cancelled())

    def _loop(self) -> None:
        while (jobs := self._take()) is not None:
            self._do(jobs)

    def _take(self) -> list[Job] | None:
        """The next job, with those that go with it; None = the end."""
        with self._changed:
            while not self._left():
                if self._stopping:
                    return None
                self._changed.wait()
            if self._waiting[0].group is not None and self.batch > 1:
                until = time.monotonic() + self.wait
                while len(self._waiting) < self.batch and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            return None if self._ended else self._popped()

    def _left(self) -> bool:
        """Whether work waits."""
        self._drop_cancelled()
        return bool(self._waiting)

    def _popped(self) -> list[Job]:
        """Take a job, and those of its group up to a batch, out of the queue."""
        if not self._left():
            return []
        jobs = [self._waiting[0]]
        if (group := jobs[0].group) is not None:
            jobs = [j for j in self._waiting if j.group is not None and j.group.key == group.key][: self.batch]
        for job in jobs:
            self._waiting.remove(job)
        return jobs

    def _do(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        start = time.monotonic()
        with self._changed:
            self._running += jobs
        for job in jobs:
            job.status, job.started = "running", start
        try:
            results = self._results(jobs, start)
            for job, result in zip(jobs, results, strict=True):
                self._settle(job, result)
        finally:
            with self._changed:
                for job in jobs:
                    self._running.remove(job)
            spent = time.monotonic() - start
            self._usual = 0.8 * self._usual + 0.2 * spent / len(jobs)
            self.observe(jobs[0].kind, spent, len(jobs))

    def _results(self, jobs: list[Job], start: float) -> list[Any]:
        """A result or an exception for each."""

        def report(done: int, total: int, stage: str = "") -> None:
            for job in jobs:
                job.done, job.total, job.stage = done, total, stage
            if self._ended or all(job.cancelled.is_set() for job in jobs):
                raise Cancelled
            if time.monotonic() - start > self.seconds:
                text = f"more than {self.seconds:g} s of work; accepted: shorter or fewer motions"
                raise Refusal(503, text, code="too_long")

        try:
            group = jobs[0].group
            if group is None:
                assert jobs[0].function is not None
                return [jobs[0].function(report)]
            items = [j.group.item for j in jobs if j.group is not None]
            return group.together(items, report)
        except BaseException as e:  # the thread goes on whatever the work did
            return [e] * len(jobs)

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
            job.settle("failed", error=e if isinstance(e, Refusal) else _known(e))
        else:
            job.settle("done", result)


def _known(error: BaseException) -> BaseException:
    """The error itself where a client can mend it, else one that is logged once."""
    from vqvae.errors import UserError

    return error if isinstance(error, UserError) else refusal_of(error)
