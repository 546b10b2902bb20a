"""A server in this process behind a real socket, as `avatargpt serve` runs it, with a model of computed answers."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avatargpt.requests.resolver import ResolvedRequest
from tests.chat.stand_ins import LineIntent
from tests.clips import gliding
from vqvae.motion import Motion, concatenate


class StandIn:
    """As much of `avatargpt.AvatarGPT` as the routes need; a prompt's length sets the speed of its motion.

    Args:
        pause: seconds that a call of `generate` takes.
    """

    grounder = phrase_index = None
    source = ""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def resolve(self, texts: list[Any], seconds: list[float | None], literal: bool = False) -> list[ResolvedRequest]:
        return [ResolvedRequest(t, captions=(str(t),)) for t in texts]

    def expected_seconds(self, texts: list[Any], seconds: list[float | None]) -> list[float]:
        return [s or 2.0 for s in seconds]

    def generate(self, texts: list[Any], seconds: list[float | None], num: int = 1, **_: Any) -> list[Motion]:
        time.sleep(self.pause)
        words = [getattr(t.source, "text", "") or str(t.source) for t in texts]
        return [self.motion(w, s or 2.0) for w, s in zip(words, seconds, strict=True) for _ in range(num)]

    def motion(self, prompt: str, seconds: float) -> Motion:
        return gliding(max(4, round(20 * seconds)), 0.2 + 0.001 * (sum(map(ord, prompt)) % 1000), caption=prompt[:200])

    def describe(self, motion: list[Motion], num: int = 1, seed: int = 0, **_: Any) -> list[Any]:
        answers = [[f"{len(m)} frames, version {k}" for k in range(num)] for m in motion]
        return answers if num > 1 else [a[0] for a in answers]

    def describe_face(self, motions: list[Any], **_: Any) -> list[str]:
        return ["a face" for _ in motions]

    def in_between(self, start: Motion, end: Motion, seconds: float = 1.0, text: str = "", **_: Any) -> Motion:
        return concatenate([start.resampled(20), self.motion(text, seconds), end.resampled(20)])

    def extend(self, motion: Motion, seconds: float = 3.0, text: str = "", seed: int = 0) -> Motion:
        return concatenate([motion, self.motion(text, seconds)])


@contextmanager
def running(store: Path, model: Any, **settings: Any) -> Iterator[str]:
    """The address of a server on a free port, stopped at the end; of the packaged weights where the model is None."""
    from avatargpt.server.app import create_app
    from avatargpt.server.run import uvicorn_of
    from avatargpt.server.settings import ServerSettings

    chosen = ServerSettings(store=store, **{"grace_seconds": 2.0, **settings})
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = uvicorn_of(create_app(chosen, model, None if model is None else LineIntent()), chosen)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert server.started, "the server did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
