"""`run`: the application under uvicorn, with bounds on connections, and logs in lines of JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from avatargpt.server.app import create_app
from avatargpt.server.settings import ServerSettings
from vqvae.errors import UserError

STUCK_SECONDS = 60.0  # that a client may leave an answer unread
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """A line of JSON for each record: time, level, event, and its figures; never contents."""

    def format(self, record: logging.LogRecord) -> str:
        event = record.getMessage().partition("\n")[0]
        row: dict[str, Any] = {
            "time": round(record.created, 3), "level": record.levelname.lower(), "event": event,
        }  # fmt: skip
        row |= {k: v for k, v in vars(record).items() if k not in STANDARD}
        return json.dumps(row, default=str)


def protocol(header_seconds: float, connections: int) -> type[HttpToolsProtocol]:
    """HTTP connections of bounded number and patience.

    Args:
        header_seconds: in which the head of a request arrives, and what waits for a reader is read on.
        connections: at most; the next ones are closed at once.
    """

    class BoundedProtocol(HttpToolsProtocol):
        _late: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            refused = len(self.connections) >= connections
            super().connection_made(transport)
            if refused:
                transport.abort()
            else:
                self._wait()

        def _wait(self) -> None:
            self._calm()
            self._late = self.loop.call_later(header_seconds, self.transport.abort)

        def _calm(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def on_message_begin(self) -> None:
            self._wait()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._calm()
            super().on_headers_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stuck = self.loop.call_later(STUCK_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stuck is not None:
                self._stuck.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            self._calm()
            if self._stuck is not None:
                self._stuck.cancel()
            super().connection_lost(exc)

    return BoundedProtocol


class Uvicorn(uvicorn.Server):
    """Tells the application at once that it is to end: its streams do, too. The end by a signal is a usual one."""

    def __init__(self, config: uvicorn.Config, begin_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._begin_stop = begin_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._begin_stop()
        self.force_exit = self.should_exit and sig == signal.SIGINT  # a second Ctrl-C
        self.should_exit = True


def uvicorn_of(app: FastAPI, settings: ServerSettings) -> Uvicorn:
    """The application of `create_app` under uvicorn, with the bounds of the settings."""
    logging.getLogger("uvicorn.access").propagate = False  # its lines hold the queries
    config = uvicorn.Config(
        app, http=protocol(settings.header_seconds, settings.connections), log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=15, timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
        ws_max_size=1 << 20, lifespan="on", proxy_headers=False,
    )  # fmt: skip
    return Uvicorn(config, app.state.server.begin_stop)


def run(settings: ServerSettings, host: str, port: int, tell: Callable[[str], None] | None = None) -> None:
    """Serve until a signal ends it.

    Args:
        tell: takes the lines about the addresses.

    Raises:
        UserError: an address that is not free.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=256)
    except (OSError, OverflowError) as e:
        reason = getattr(e, "strerror", None) or e
        raise UserError(f"{host}:{port}: {reason}; accepted an address that is free") from None
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    try:
        app = create_app(settings)
    except UserError:
        listener.close()
        raise
    root = logging.getLogger()
    root.handlers = [handler]  # libraries add some of their own
    root.setLevel(logging.WARNING)
    logging.getLogger("avatargpt").setLevel(logging.INFO)
    server = uvicorn_of(app, settings)
    address = f"http://{host if host not in ('0.0.0.0', '::') else 'localhost'}:{listener.getsockname()[1]}/"
    if tell is not None:
        tell(f"The studio: {address}{'?key=KEY' if settings.all_keys else ''}   API: {address}docs   Ctrl-C stops it.")
    server.run(sockets=[listener])
