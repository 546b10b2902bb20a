"""``/healthz``, ``/metrics`` and ``/docs``."""

from __future__ import annotations

import json
import time
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from avatargpt import __version__
from avatargpt.server import answers
from avatargpt.server.core import AnyServer

router = APIRouter(tags=["system"])


@router.get("/healthz", summary="Whether the server works", response_model=answers.Health,
            responses={503: {"model": answers.Health}})  # fmt: skip
async def healthz(server: AnyServer) -> JSONResponse:
    """200 while requests are taken (``loading``: they wait for the model), 503 where it failed or stops."""
    row = {
        "status": server.state, "version": __version__, "queue": server.worker.depth,
        "running": server.worker.running, "uptime": round(time.time() - server.started, 1),
    }  # fmt: skip
    return JSONResponse(row, 200 if server.state in ("ok", "loading") else 503)


@router.get("/metrics", summary="Figures for Prometheus", **answers.data("text/plain"))
async def metrics(server: AnyServer) -> Response:
    """Requests, work, batches, queue, store."""
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The API as one page, without scripts."""
    return HTMLResponse(page(request.app.openapi()))


def page(schema: dict[str, Any]) -> str:
    """An OpenAPI document as HTML: each route with its parameters, and its examples as commands."""
    about = schema["info"]
    rows = [f"<h1>{escape(about['title'])} {escape(about['version'])}</h1>", f"<p>{escape(about['description'])}</p>",
            '<p>The document itself: <a href="openapi.json">/openapi.json</a></p>']  # fmt: skip
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            summary = escape(route.get("summary", ""))
            rows.append(f"<h2><b>{method.upper()}</b> {escape(path)}</h2><p><i>{summary}</i></p>")
            rows.append(f"<p>{escape(route.get('description', ''))}</p>")
            rows += [_parameter(p) for p in route.get("parameters", [])]
            rows += [_command(method, path, name, value) for name, value in _examples(route)]
    return PAGE.format("\n".join(rows))


def _parameter(row: dict[str, Any]) -> str:
    kind = row["schema"].get("type") or " or ".join(s.get("type", "") for s in row["schema"].get("anyOf", []))
    default = f", default {row['schema']['default']}" if "default" in row["schema"] else ""
    text = f"{kind}{default}. {row.get('description', '')}"
    return f"<p class=p><code>{escape(row['name'])}</code> ({escape(row['in'])}) {escape(text)}</p>"


def _examples(route: dict[str, Any]) -> list[tuple[str, Any]]:
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    named = [(name, row["value"]) for name, row in body.get("examples", {}).items()]
    return named or [("", value) for value in body.get("schema", {}).get("examples", [])]


def _command(method: str, path: str, name: str, value: Any) -> str:
    text = json.dumps(value)
    command = f"curl -X {method.upper()} http://localhost:8765{path} -H 'Content-Type: application/json' -d '{text}'"
    return f"<pre>{escape(f'# {name}' + chr(10) if name else '')}{escape(command)}</pre>"


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>AvatarGPT API</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222;
        background: #fff }}
h2 {{ font: 600 1rem ui-monospace, monospace; border-top: 1px solid #ccc; padding-top: 1rem }} h2 b {{ color: #06c }}
pre {{ background: #f4f4f4; padding: .7rem; overflow-x: auto; white-space: pre-wrap }} .p {{ margin: .2rem 0 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }} pre {{ background: #262626 }}
        h2 b {{ color: #6af }} a {{ color: #6af }} }}
</style><body>{}</body></html>"""
