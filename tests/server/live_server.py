"""A server of the packaged weights on a free port, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile
import uvicorn

from avatargpt.server.app import create_app
from avatargpt.server.settings import ServerSettings

RATE = 16_000


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[str]:
    """The address of a server whose store is a folder."""
    app = create_app(ServerSettings(store=folder, **settings))
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join(30)


def voice(seconds: float) -> np.ndarray:
    """(n,) int16 samples at `RATE` of a buzz whose loudness goes up and down as that of syllables."""
    t = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12))
    return np.asarray(6000 * buzz * np.sin(np.pi * 4 * t).clip(0), np.int16)


def sound_file(folder: Path, seconds: float = 1.5) -> Path:
    """A .wav of `voice`."""
    path = folder / "voice.wav"
    soundfile.write(path, voice(seconds), RATE)
    return path


def uploaded(address: str, path: Path) -> dict[str, Any]:
    """What a server says of a file that it was sent."""
    answer = httpx.post(f"{address}/v1/uploads", params={"name": path.name}, content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()
    return row
