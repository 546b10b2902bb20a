"""The tools of MCP and of chat completions: what each takes, and the function of the server that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from fastapi import Body as JsonBody
from fastapi.responses import JSONResponse
from pydantic import JsonValue, TypeAdapter, ValidationError

from avatargpt.server import answers, services
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad
from avatargpt.server.exports import TYPES, FormQuery, export_stored
from avatargpt.server.jobs import Wait, answer
from avatargpt.server.long_motion import long
from avatargpt.server.voices import speak
from avatargpt.server.worker import Job
from avatargpt.verbs.actions import ActionsRequest
from avatargpt.verbs.describe import DescribeRequest, ReadRequest
from avatargpt.verbs.files import ExportRequest
from avatargpt.verbs.join import EditRequest, ReconstructRequest
from avatargpt.verbs.plan import LongRequest, PlanRequest
from avatargpt.verbs.request import explain_mistake, values_of
from avatargpt.verbs.speech import SpeakRequest
from avatargpt.verbs.task import TaskRequest

router = APIRouter(prefix="/v1/tools", tags=["tools"])


def _export(server: Server, body: ExportRequest) -> Job:
    """Writes the file at once, on the calling thread."""
    asked = {k: v for k, v in values_of(body).items() if k not in ("motion", "format")}
    path, name = export_stored(server, body.motion, body.format, FormQuery(**asked))
    query = urlencode({k: f"{v:g}" if isinstance(v, float) else v for k, v in asked.items()})
    job = Job("export")
    media = TYPES.get(path.suffix, "application/octet-stream")
    job.settle("done", {"file": {
        "name": name, "href": f"/v1/exports/{body.motion}{path.suffix}{'?' * bool(query)}{query}",
        "media_type": media, "bytes": path.stat().st_size,
    }})  # fmt: skip
    return job


@dataclass(frozen=True)
class Tool:
    """A tool.

    Attributes:
        body: its arguments. start: begins it; the `Job` has the JSON of the answer.
    """

    name: str
    description: str
    body: type[Any]
    start: Callable[[Server, Any], Job]

    def job(self, server: Server, arguments: dict[str, Any]) -> Job:
        """Begin it with arguments that a client sent. Raises Refusal (400) for wrong ones."""
        try:
            body = TypeAdapter(self.body).validate_python(arguments)
        except ValidationError as e:
            place = ".".join(map(str, e.errors()[0]["loc"]))
            raise bad(f"{self.name}: {explain_mistake(e, self.body)}", place) from None
        return self.start(server, body)

    def schema(self) -> dict[str, JsonValue]:
        """As chat completions take it under ``tools``."""
        parameters = TypeAdapter(self.body).json_schema()
        for row in (parameters, *parameters["properties"].values()):
            row.pop("title", None)
        parameters.pop("description", None)
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": parameters},
        }


TOOLS = {tool.name: tool for tool in (
    Tool("make", "Make a motion of a person from words. Gives its id, notes on what could not be shown, and links.",
         services.AdaptedGenerate, services.generate),
    Tool("extend", "Let a motion go on, by words or as it comes.", services.AdaptedExtend, services.extend),
    Tool("inbetween", "Join two motions by a new one between them.", services.AdaptedInbetween, services.in_between),
    Tool("describe", "Say in words what a motion shows.", DescribeRequest, services.describe),
    Tool("task", "Run one of the model's tasks as it stands, by its name and slots.", TaskRequest, services.run_task),
    Tool("read", "Say what a text asks a body or a face for: actions, sides, counts, what is not known.", ReadRequest,
         services.read),
    Tool("actions", "Look up which moves the model knows, with captions to make them by; the nearest to a query first.",
         ActionsRequest, services.actions),
    Tool("reconstruct", "Let a motion go through its tokens and back.", ReconstructRequest, services.reconstruct),
    Tool("edit", "Change a motion by words: tempo, side, size, another action. Gives a new motion.",
         EditRequest, services.edit),
    Tool("plan", "Break a scene down into activities and steps, without making motion.", PlanRequest, services.plan),
    Tool("long", "Make motion of minutes from a scene: it is planned, made step by step, and checked.", LongRequest,
         long),
    Tool("speak", "Make an avatar that speaks a recording: lips, face, gestures with fingers, and a body.",
         SpeakRequest, speak),
    Tool("export", "Write a motion as a file: glb, bvh, vrma, fbx, npz, mp4, gif, or png, a contact sheet.",
         ExportRequest, _export),
)}  # fmt: skip


@router.get("", summary="The tools, as chat completions take them", response_model=list[answers.ToolSchema])
async def list_tools() -> Any:
    """For ``tools`` of `/v1/chat/completions`; each is called with POST `/v1/tools/NAME`."""
    return [tool.schema() for tool in TOOLS.values()]


@router.post("/{name}", summary="Call a tool", **answers.work(answers.Called, 415))
async def call_tool(
    request: Request, server: AnyServer, name: Annotated[str, Path(examples=["make"])],
    arguments: Annotated[dict[str, JsonValue], JsonBody(examples=[{"prompt": "a person waves"}])], wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """With the arguments of a tool call; the answer is that of the route which does the same."""
    if name not in TOOLS:
        raise Refusal(404, f"no tool {name[:40]!r}; accepted: {', '.join(TOOLS)}", "name")
    job = await server.in_thread(TOOLS[name].job, server, arguments)
    return await answer(request, server, job, wait)
