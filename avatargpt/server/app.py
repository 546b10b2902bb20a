"""`create_app`: the server as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from avatargpt import __version__
from avatargpt.server import answers, errors
from avatargpt.server.core import Server
from avatargpt.server.gate import Gate
from avatargpt.server.settings import ServerSettings

# Modules with a `router`, in the order of the documentation.
ROUTERS = (
    "motions", "uploads", "exports", "jobs", "sessions", "voices", "capture", "completions",
    "stream", "realtime", "mmcp", "tools", "mcp_server", "avatar", "system",
)  # fmt: skip
STATIC = Path(__file__).with_name("static")
DESCRIPTION = 'Human motion from text, and text from motion. Errors are `{"error": {"code", "message", "where"}}`.'


class Assets(StaticFiles):
    """Files whose names change with their contents."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def add_studio(app: FastAPI) -> None:
    """Let an application give out the studio's page and its files."""
    app.mount("/assets", Assets(directory=STATIC / "assets"), name="assets")

    @app.get("/", include_in_schema=False)
    async def studio() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def create_app(settings: ServerSettings | None = None, model: Any = None, intent: Any = None) -> FastAPI:
    """The application; `app.state.server` is its `Server`.

    Args:
        settings: None = the defaults.
        model: an `avatargpt.AvatarGPT`, or anything with its methods; None = the one of the settings, loaded beside
            the first requests.
        intent: reads turns of sessions; None = the reader of the model's folder.
    """
    server = Server(settings or ServerSettings(), model, intent)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work()) for work in (server.upkeep, server.tend)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(server.stop)

    app = FastAPI(
        title="AvatarGPT", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None,
        redoc_url=None, openapi_url="/openapi.json",
        servers=[{"url": server.settings.public_url}] if server.settings.public_url else None,
    )  # fmt: skip
    app.state.server = server
    errors.install(app)
    for name in ROUTERS:
        app.include_router(import_module(f"{__package__}.{name}").router, responses=answers.ERRORS)
    if (STATIC / "index.html").is_file():
        add_studio(app)
    app.add_middleware(Gate, server=server)
    return app
