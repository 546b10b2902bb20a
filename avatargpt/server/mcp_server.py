"""`mcp_server`: the tools for assistants that speak MCP, over stdio or streamable HTTP; results with pictures."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, ImageContent, ResourceLink, TextContent, ToolAnnotations
from pydantic.fields import FieldInfo
from starlette.types import Receive, Scope, Send

from avatargpt import __version__
from avatargpt.server.core import Server
from avatargpt.server.errors import Refusal, refusal_of
from avatargpt.server.exports import TYPES, FormQuery, export_stored
from avatargpt.server.jobs import follow
from avatargpt.server.results import ID
from avatargpt.server.tools import TOOLS, Tool
from avatargpt.server.uploads import take_file
from avatargpt.server.worker import Job
from avatargpt.verbs.request import Refers, fields_of, marker_of

PATH = "/mcp"
TICK = 0.2  # seconds between two looks at a job
URI = "motion://{id}/{format}"
SHEET = "png"
FORMATS = ("glb", "bvh", "vrma", "fbx", "npz", "npy", "csv", "json", "mp4", "gif", SHEET)
OCTETS = "application/octet-stream"
INSTRUCTIONS = (
    "Moves a person: make a motion from words, look at the contact sheet that comes with it, edit it by words, "
    "describe it, export it as a file. Notes of a motion say what could not be shown. A motion is known by its id."
)
READ_ONLY = ("describe", "plan", "actions")
# what an assistant is told of a motion
NEEDED = ("id", "prompt", "kind", "seconds", "fps", "notes", "read_as", "seed", "expires")
FILES = {"sound": "Id of an upload, or the path of a sound file.", "motion": "Id of a motion, or the path of its file."}


def mcp_server(server: Server, outputs: Path | None = None) -> MCPServer:
    """The MCP server of a server.

    Args:
        outputs: folder of this machine that `export` writes to; then arguments may name files of this machine, too.
            None: the client is elsewhere, and gets files as resources.
    """
    mcp: MCPServer = MCPServer(
        "avatargpt", title="AvatarGPT", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    for tool in TOOLS.values():
        mcp.add_tool(
            _function(server, tool, outputs), tool.name, description=tool.description, structured_output=False,
            annotations=ToolAnnotations(read_only_hint=tool.name in READ_ONLY, destructive_hint=False),
        )  # fmt: skip

    for form in FORMATS:
        uri, media = URI.format(id="{id}", format=form), TYPES.get(f".{form}", OCTETS)
        mcp.resource(uri, name=form, description=f"A motion as .{form}.", mime_type=media)(_resource(server, form))
    return mcp


def _resource(server: Server, form: str) -> Any:
    """What reads a motion as a format."""

    async def read(id: str) -> bytes:
        try:
            path, _ = await server.in_thread(export_stored, server, id, form)
        except Refusal as e:
            raise ResourceNotFoundError(e.message) from None
        return await asyncio.to_thread(path.read_bytes)

    return read


def _function(server: Server, tool: Tool, outputs: Path | None) -> Any:
    """A function with the arguments of a tool."""

    async def call(ctx: Context, **arguments: Any) -> CallToolResult:
        given = {k: v for k, v in arguments.items() if v is not None}
        try:
            if outputs is not None:
                given = await server.in_thread(_with_files, server, tool, given)
            job = await server.in_thread(tool.job, server, given)
            return await _result(server, tool, await _wait_for_job(job, ctx), given, outputs)
        except Exception as e:
            raise ToolError(refusal_of(e, server.store.private).message) from None

    rows: dict[str, Any] = {"ctx": Context}
    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=Context)]
    for name, field in fields_of(tool.body).items():
        kind = _kind_of(field)
        text = f"{field.description or ''} {FILES[kind]}".strip() if outputs is not None and kind else field.description
        about = FieldInfo.merge_field_infos(field, description=text, default=...) if text else field
        default = inspect.Parameter.empty if field.is_required() else field.default
        rows[name] = Annotated[field.annotation, about]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=rows[name], default=default)
        )
    call.__name__ = tool.name
    call.__annotations__ = {**rows, "return": CallToolResult}
    call.__signature__ = inspect.Signature(parameters, return_annotation=CallToolResult)  # type: ignore[attr-defined]
    return call


def _kind_of(field: FieldInfo) -> str:
    """What a field names, ``motion`` or ``sound``; empty = nothing."""
    mark = marker_of(field, Refers)
    return mark.kind if mark is not None and mark.kind in FILES else ""


def _with_files(server: Server, tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments with files of this machine taken into the store."""
    out = dict(arguments)
    for name, field in fields_of(tool.body).items():
        value, kind = str(out.get(name) or ""), _kind_of(field)
        if kind and value and not ID.fullmatch(value):
            path = Path(value).expanduser()
            if not path.is_file():
                raise Refusal(400, f"{name}: no file {value[:100]!r}, and no id", name)
            with server.store.work() as folder:
                copy = folder / "part"
                shutil.copyfile(path, copy)
                row = take_file(server, copy, path.name, path.stat().st_size)
            if kind == "motion" and "motion" not in row:
                raise Refusal(400, f"{name}: {path.name} is a {row['kind']}; accepted a motion file", name)
            out[name] = row["motion"]["id"] if kind == "motion" else row["id"]
    return out


async def _wait_for_job(job: Job, ctx: Context) -> Any:
    """The result of a job; its progress goes to the client, and a client that cancels ends it."""
    try:
        async for _ in follow(job, TICK):
            await ctx.report_progress(job.done, job.total, job.stage or None)
        return job.result()
    finally:
        job.cancel()  # where the client has gone


async def _result(
    server: Server, tool: Tool, row: dict[str, Any], arguments: dict[str, Any], outputs: Path | None
) -> CallToolResult:
    """What a tool gave: its JSON in words of a client, for each motion a link and a contact sheet."""
    content: list[Any] = []
    motions = row.get("motions", [])
    for motion in motions:
        picture, _ = await server.in_thread(export_stored, server, motion["id"], SHEET)
        data = base64.b64encode(await asyncio.to_thread(picture.read_bytes)).decode()
        content.append(ImageContent(type="image", data=data, mime_type="image/png"))
        content.append(_link(motion["id"], "glb" if motion["kind"] != "face" else "vrma", motion["prompt"]))
    if tool.name == "export":
        form = arguments.get("format", "glb")
        query = FormQuery(**{k: v for k, v in arguments.items() if k not in ("motion", "format")})
        path, name = await server.in_thread(export_stored, server, arguments["motion"], form, query)
        content.append(_link(arguments["motion"], path.suffix[1:], name))
        if outputs is not None:
            outputs.mkdir(parents=True, exist_ok=True)
            row["file"]["path"] = await server.in_thread(shutil.copyfile, path, str(outputs / name))
    short = {**row, "motions": [{k: m[k] for k in NEEDED} for m in motions]} if motions else row
    text = json.dumps(short, ensure_ascii=False)
    return CallToolResult(content=[TextContent(type="text", text=text), *content], structured_content=row)


def _link(number: str, form: str, title: str) -> ResourceLink:
    uri = URI.format(id=number, format=form)
    media = TYPES.get(f".{form}", OCTETS)
    return ResourceLink(type="resource_link", uri=uri, name=f"{number[:8]}.{form}", title=title[:80], mime_type=media)


# Streamable HTTP: at `/mcp` of the server, behind the same key and the same checks of host and origin


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Runs the MCP server of an application."""
    mcp = mcp_server(app.state.server)
    app.state.mcp = mcp.streamable_http_app(
        streamable_http_path=PATH, json_response=False, stateless_http=True,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )  # fmt: skip
    async with mcp.session_manager.run():
        yield


class _McpEndpoint:
    """Hands a request on to the MCP server of its application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await scope["app"].state.mcp(scope, receive, send)


router = APIRouter(lifespan=lifespan)
router.add_route(PATH, _McpEndpoint(), include_in_schema=False)  # type: ignore[arg-type]
