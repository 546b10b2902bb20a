"""`run`: the application under uvicorn, with bounds on connections, and logs in lines of JSON."""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from avatargpt.server.app import create_app
from avatargpt.server.settings import ServerSettings
from vqvae.errors import UserError

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """A line of JSON for each record: time, level, event, and its figures; never contents."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {
            "time": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage(),
        }  # fmt: skip
        row |= {k: v for k, v in vars(record).items() if k not in STANDARD}
        return json.dumps(row, default=str)


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
    for name in ("avatargpt", "uvicorn.error"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.INFO if name == "avatargpt" else logging.WARNING)
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds)), ws_max_size=1 << 20, lifespan="on",
        h11_max_incomplete_event_size=1 << 16, proxy_headers=False,
    ))  # fmt: skip
    address = f"http://{host if host not in ('0.0.0.0', '::') else 'localhost'}:{listener.getsockname()[1]}/"
    if tell is not None:
        tell(f"The studio: {address}{'?key=KEY' if settings.api_key else ''}   API: {address}docs   Ctrl-C stops it.")
    server.run(sockets=[listener])
