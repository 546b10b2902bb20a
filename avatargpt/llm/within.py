"""Work that ends in time or is left alone: nobody waits longer than was said."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from avatargpt.llm.failures import LlmFailed
from vqvae.errors import UserError
from vqvae.io.files import reason

T = TypeVar("T")


class Worker(Generic[T]):
    """One piece of work at a time, on a thread that nobody has to wait for.

    Some libraries cannot be interrupted (a name is resolved, a prompt is read): such work is left to end by itself,
    and the worker refuses more until it has.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._thread: threading.Thread | None = None

    def within(self, seconds: float, work: Callable[[threading.Event], T]) -> T:
        """What `work` gives; its event is set when it should end.

        Raises:
            LlmFailed: not done in time, still busy with what was not done in time, or whatever went wrong in `work`.
        """
        if self._thread is not None and self._thread.is_alive():
            raise LlmFailed(f"{self.name}: still busy with an earlier question")
        stop, done = threading.Event(), threading.Event()
        found: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                found.append(work(stop))
            except BaseException as e:  # it is told where it was asked for
                failed.append(e)
            finally:
                done.set()

        self._thread = threading.Thread(target=run, name="llm", daemon=True)
        self._thread.start()
        try:
            in_time = done.wait(seconds)
        finally:
            stop.set()
        if not in_time:
            raise LlmFailed(f"{self.name}: no answer within {seconds:.3g} s")
        if failed:
            error = failed[0]
            if isinstance(error, UserError):
                raise error
            raise LlmFailed(f"{self.name}: {type(error).__name__}: {reason(error)}") from None
        return found[0]
