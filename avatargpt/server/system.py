"""``/healthz``, ``/metrics`` and ``/docs``."""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from avatargpt import __version__
from avatargpt.server.core import AnyServer

router = APIRouter(tags=["system"])


@router.get("/healthz", summary="Whether the server works")
async def healthz(server: AnyServer) -> JSONResponse:
    """200 while requests are taken (``loading``: they wait for the model), 503 where it failed or stops."""
    row = {
        "status": server.state, "version": __version__, "queue": server.worker.depth,
        "running": server.worker.running, "uptime": round(time.time() - server.started, 1),
    }  # fmt: skip
    return JSONResponse(row, 200 if server.state in ("ok", "loading") else 503)


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(server: AnyServer) -> Response:
    """Requests, work, batches, queue, store."""
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
