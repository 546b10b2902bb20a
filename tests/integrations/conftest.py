"""A server in this process, behind a real socket, with a model whose answers can be computed."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avatargpt.requests.resolver import ResolvedRequest
from tests.clips import gliding
from vqvae.motion import Motion, concatenate


class StandIn:
    """As much of `avatargpt.AvatarGPT` as the routes need; a prompt's length sets the speed of its motion."""

    def resolve(self, texts: list[Any], seconds: list[float | None], literal: bool = False) -> list[ResolvedRequest]:
        return [ResolvedRequest(t, captions=(str(t),)) for t in texts]

    def expected_seconds(self, texts: list[Any], seconds: list[float | None]) -> list[float]:
        return [s or 2.0 for s in seconds]

    def generate(self, texts: list[Any], seconds: list[float | None], num: int = 1, **_: Any) -> list[Motion]:
        return [self.motion(t.source, s or 2.0) for t, s in zip(texts, seconds, strict=True) for _ in range(num)]

    def motion(self, prompt: str, seconds: float) -> Motion:
        return gliding(round(20 * seconds), 0.2 + 0.05 * len(prompt), caption=prompt)

    def describe(self, motions: list[Motion], num: int = 1, seed: int = 0) -> list[Any]:
        answers = [[f"{len(m)} frames, version {k}" for k in range(num)] for m in motions]
        return answers if num > 1 else [a[0] for a in answers]

    def in_between(self, start: Motion, end: Motion, seconds: float, text: str = "", seed: int = 0) -> Motion:
        return concatenate([start, self.motion(text, seconds), end])

    def extend(self, motion: Motion, seconds: float, text: str = "", seed: int = 0) -> Motion:
        return concatenate([motion, self.motion(text, seconds)])


@pytest.fixture
def model() -> StandIn:
    return StandIn()


@pytest.fixture
def address(model: StandIn, tmp_path: Path) -> Iterator[str]:
    """The address of a running server without a key."""
    uvicorn = pytest.importorskip("uvicorn")
    from avatargpt.server.app import create_app
    from avatargpt.server.settings import ServerSettings

    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(ServerSettings(store=tmp_path / "store"), model)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
