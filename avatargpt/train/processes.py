"""Pure work of a stage in several processes, with the results in order."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
_function: list[Callable[[Any], Any]] = []  # in a worker process: what it calls


def cores(threads: int | None) -> int:
    """Processes that a stage may use: `--threads`, or one for each core."""
    return threads or os.cpu_count() or 1


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, chunk: int = 1
) -> Iterator[Result]:
    """`function` of every item, in their order; several processes begin at once, one computes when asked.

    Args:
        function: without side effects; it may refer to anything in the memory of this process, CUDA tensors apart.
        items: small ones, which are sent to the processes as the results are sent back.
        workers: processes; 1 = this one. chunk: items that a process takes at a time.
    """
    iterator = iter(items)
    # Elsewhere it is not safe to fork.
    if workers <= 1 or sys.platform != "linux":
        return map(function, iterator)
    chunks = iter(lambda: list(islice(iterator, chunk)), [])
    first = list(islice(chunks, 2 * workers))
    if len(first) <= 1:
        return map(function, chain(*first))
    results = _map_forked(function, first, chunks, min(workers, len(first)))
    next(results)
    return results


def _map_forked(
    function: Callable[[Any], Any], first: list[list[Any]], chunks: Iterator[list[Any]], workers: int
) -> Iterator[Any]:
    context = get_context("fork")
    ending, end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _begin, (function, ending))
    waiting: deque[Future[list[Any]]] = deque(pool.submit(_apply, part) for part in first)
    try:
        yield None  # for `map_in_order`, which starts the processes by it
        while waiting:
            results = waiting.popleft().result()
            waiting.extend(pool.submit(_apply, part) for part in islice(chunks, 1))
            yield from results
    except BaseException:
        end.send(None)  # nobody waits for what the processes are at
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(function: Callable[[Any], Any], ending: connection.Connection) -> None:
    _function[:] = [function]
    gc.freeze()  # a collection would copy all memory that is shared with the main process
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the others
    threading.Thread(target=_end_with_parent, args=(ending,), daemon=True).start()


def _end_with_parent(ending: connection.Connection) -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel, ending])
    os._exit(1)


def _apply(items: list[Any]) -> list[Any]:
    return [_function[0](item) for item in items]
