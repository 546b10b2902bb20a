"""`create_app`: the server as an ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from avatargpt import __version__
from avatargpt.server import answers, errors
from avatargpt.server.contract import Api
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.gate import Gate
from avatargpt.server.settings import ServerSettings

# Modules with a `router`, in the order of the documentation.
ROUTERS = (
    "motions", "uploads", "exports", "jobs", "sessions", "voices", "completions", "stream",
    "realtime", "mmcp", "tools", "mcp_server", "avatar", "talk",
)  # fmt: skip
STATIC = Path(__file__).with_name("static")
DESCRIPTION = 'Human motion from text, and text from motion. Errors are `{"error": {"code", "message", "where"}}`.'
router = APIRouter(tags=["system"])


@router.get("/healthz", summary="Whether the server works", response_model=answers.Health,
            responses={503: {"model": answers.Health}})  # fmt: skip
async def get_health(server: AnyServer) -> JSONResponse:
    """200 while requests are taken (``loading``: they wait for the model), 503 where it failed or stops."""
    row = {
        "status": server.state, "version": __version__, "queue": server.worker.depth,
        "running": server.worker.running, "uptime": round(time.time() - server.started, 1),
    }  # fmt: skip
    return JSONResponse(row, 200 if server.state in ("ok", "loading") else 503)


@router.get("/metrics", summary="Figures for Prometheus", **answers.data("text/plain"))
async def get_metrics(server: AnyServer) -> Response:
    """Requests, work, batches, queue, store."""
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """The API as one page, without scripts; written by `scripts/contract.py`."""
    return FileResponse(STATIC.with_name("api.html"))


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

    app = Api(
        title="AvatarGPT", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None,
        redoc_url=None, openapi_url="/openapi.json", generate_unique_id_function=attrgetter("name"),
        servers=[{"url": server.settings.public_url}] if server.settings.public_url else None,
    )  # fmt: skip
    app.state.server, app.has_key = server, bool(server.settings.all_keys)
    errors.install(app)
    for name in ROUTERS:
        app.include_router(import_module(f"{__package__}.{name}").router)
    app.include_router(router)
    if (STATIC / "index.html").is_file():
        add_studio(app)
    app.add_middleware(Gate, server=server)
    if server.settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=server.settings.origins, allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("Authorization", "X-API-Key"), expose_headers=("Location", "Retry-After"),
        )  # fmt: skip
    return app
