"""`Helper`: a process with a model of its own, which generates what waits in the queue beside the first one."""
# On a CPU a batch costs nearly as much as its requests one by one, for eight candidates of one request fill the
# products already: what makes a server faster there is another core. Same seeds give the same bytes in every process.

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from avatargpt.server.errors import Refusal, refusal_of
from avatargpt.server.generation import Batch, Item, Loader
from avatargpt.server.worker import Report
from vqvae.errors import UserError

START_SECONDS = 120.0  # in which a model is loaded
POLL = 0.5  # seconds between two looks at whether the work is still wanted
log = logging.getLogger("avatargpt.server")


class Helper:
    """A process, started with its first work.

    Args:
        load: gives the model there; a function that can be pickled. seconds: of work after which it is ended.
    """

    def __init__(self, load: Loader, seconds: float) -> None:
        self._load, self.seconds = load, seconds
        self._process: Any = None
        self._pipe: Connection | None = None

    def start(self) -> None:
        """Load the model, where there is none yet. Raises Refusal (503) where that fails."""
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, self._load), name="generate", daemon=True)
        self._process.start()
        there.close()
        if not self._pipe.poll(START_SECONDS) or self._received() != ("ready", None):
            self.close()
            raise Refusal(503, "a process with the model could not be started", code="no_model")

    def run(self, batch: Batch, items: Sequence[Item], report: Report) -> list[Any]:
        """As `Batch.generate`. Raises what `report` raises, and Refusal (503) where the process ends."""
        self.start()
        assert self._pipe is not None
        pipe, until = self._pipe, time.monotonic() + self.seconds + POLL
        pipe.send((batch, list(items)))
        while True:
            while not pipe.poll(POLL):
                if time.monotonic() > until:
                    self.close()
                    raise Refusal(503, f"more than {self.seconds:g} s of work", code="too_long")
            kind, value = self._received()
            if kind == "result":
                return list(value)
            try:
                report(*value)
            except BaseException:
                pipe.send(False)
                self._received()  # it ends the work and answers once more
                raise
            pipe.send(True)

    def _received(self) -> tuple[str, Any]:
        assert self._pipe is not None
        try:
            message: tuple[str, Any] = self._pipe.recv()
        except (EOFError, OSError):
            self.close()
            raise Refusal(503, "a process of the server has ended; send the request again", code="stopping") from None
        return message

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(5)
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


class _Stopped(Exception):
    """Nobody waits for the work."""


def _work(pipe: Connection, load: Loader) -> None:
    """What the process does until the other end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server tells when it is to end
    warnings.simplefilter("ignore")

    def report(done: int, total: int, stage: str = "") -> None:
        pipe.send(("progress", (done, total, stage)))
        if not pipe.recv():
            raise _Stopped

    try:
        model = load()
        pipe.send(("ready", None))
        while True:
            batch, items = pipe.recv()
            try:
                out = batch.generate(model, items, report)
            except Exception as e:
                out = [e] * len(items)
            pipe.send(("result", [_portable(x) for x in out]))
    except (EOFError, OSError):
        return


def _portable(result: Any) -> Any:
    """A result; of errors that a client cannot mend what is told of them, for not all of them can be pickled."""
    if not isinstance(result, BaseException) or isinstance(result, UserError | Refusal):
        return result
    if isinstance(result, _Stopped):
        return Refusal(503, "stopped", code="stopping")
    return refusal_of(result)
