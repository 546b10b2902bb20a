"""Things that are made in turn, each by a thread while the one before is in use."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made")


class Ahead(Generic[Key, Made]):
    """Makes what will be asked for next before it is asked for.

    `make` must depend on its key alone: what comes out is the same as without a thread. It runs for one key at a time,
    always in the one thread, so that what it keeps for itself needs no lock. What it raises is raised by `get`.

    Args:
        make: key -> thing.
    """

    def __init__(self, make: Callable[[Key], Made]) -> None:
        self._make = make
        self._worker: ThreadPoolExecutor | None = None  # begun with the first thing: a copy of an unused one is cheap
        self._next: tuple[Key, Future[Made]] | None = None

    def get(self, key: Key, following: Key | None = None) -> Made:
        """The thing of `key`; then `following` is begun, if there is one."""
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        foreseen = self._next is not None and self._next[0] == key
        future = self._next[1] if foreseen and self._next is not None else self._worker.submit(self._make, key)
        self._next = None
        made = future.result()
        if following is not None:
            self._next = following, self._worker.submit(self._make, following)
        return made
