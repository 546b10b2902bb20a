"""What a running turn has made so far, for those who watch its session; kept in memory until the turn ends."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from avatargpt.chat.timeline import FPS, Timeline
from avatargpt.server.frames import frames


@dataclass(frozen=True)
class Draft:
    """The last segment of a timeline, as far as it has come.

    Attributes:
        take: rises with each draft of the process. row: what clients get of it. frames: a ``.frames`` file of it.
    """

    take: int
    row: dict[str, Any]
    frames: bytes


class Drafts:
    """The last draft of every session of which a turn is running, and who waits for the next one."""

    def __init__(self) -> None:
        self._present: dict[str, Draft] = {}
        self._count = 0
        self._watchers: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    def of(self, session: str) -> Draft | None:
        """The draft of a session, None where there is none."""
        return self._present.get(session)

    @contextmanager
    def watch(self, session: str) -> Iterator[asyncio.Event]:
        """An event of the running loop, set by each draft of a session and by each `wake`; the block clears it."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(event.set)

        self._watchers[session].append(wake)
        try:
            yield event
        finally:
            self._watchers[session].remove(wake)
            if not self._watchers[session]:
                del self._watchers[session]

    def wake(self, session: str) -> None:
        """Let those who watch a session look at it, from any thread."""
        for wake in tuple(self._watchers.get(session, ())):
            wake()

    @contextmanager
    def open(self, session: str) -> Iterator[Callable[[Timeline], None]]:
        """Takes the drafts of one turn, on the model's thread."""

        def put(timeline: Timeline) -> None:
            last, (start, end) = timeline.segments[-1], timeline.spans[-1]
            self._count += 1
            row = {
                "take": self._count, "n": len(timeline.segments), "start": start / FPS, "seconds": (end - start) / FPS,
                "caption": last.caption, "activity": last.activity, "frames": f"/v1/sessions/{session}/draft.frames",
            }  # fmt: skip
            self._present[session] = Draft(self._count, row, frames(timeline.motion.slice(start, end)))
            self.wake(session)

        try:
            yield put
        finally:
            self._present.pop(session, None)
