"""The tools of MCP and of chat completions: what each takes, and the function of the server that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi import Body as JsonBody
from fastapi.responses import JSONResponse
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from avatargpt.server import answers, services
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad
from avatargpt.server.exports import TYPES, exported
from avatargpt.server.jobs import Wait, answer
from avatargpt.server.long_motion import LongBody, long
from avatargpt.server.services import Body
from avatargpt.server.speak import SpeakBody, speak
from avatargpt.server.worker import Job
from avatargpt.verbs.describe import DescribeRequest
from avatargpt.verbs.request import explain_mistake

router = APIRouter(prefix="/v1/tools", tags=["tools"])
Seconds = Annotated[float | None, Field(gt=0, le=600, description="Length in seconds; left out: as long as it takes.")]
Seed = Annotated[int, Field(ge=0, lt=2**32, description="Other seeds give other motion of the same words.")]
Id = Annotated[str, Field(description="The id of a motion that a tool gave.")]


class Make(Body):
    """What `make` takes."""

    prompt: str = Field(description="What a person does, in plain English: 'a person walks forward, then waves'.")
    seconds: Seconds = None
    seed: Seed = 0
    after: str = Field(default="", description="Id of a motion whose last posture this one goes on from.")


class Edit(Body):
    """What `edit` takes."""

    motion: Id
    change: str = Field(description="What is to be different: 'slower', 'with the left hand', 'mirrored'.")
    seed: Seed = 0


class Plan(Body):
    """What `plan` takes."""

    scene: str = Field(description="One or two sentences: who does what, and where.")
    activities: int | None = Field(default=None, ge=1, le=20, description="How many; left out: as the scene takes.")
    seconds: float | None = Field(default=None, ge=1, le=14_400, description="Of all steps together.")


class Export(Body):
    """What `export` takes."""

    motion: Id
    format: str = Field(default="glb", description="glb, bvh, vrma, fbx, npz, csv, mp4, gif or png (contact sheet).")
    fps: float | None = Field(default=None, ge=1, le=240, description="Frames a second; left out: as they are.")


def _make(server: Server, body: Make) -> Job:
    row = services.MotionBody(prompt=body.prompt, seconds=body.seconds, seed=body.seed, after=body.after)
    return services.motions(server, row)


def _edit(server: Server, body: Edit) -> Job:
    row = services.MotionBody(operation="edit", source=body.motion, text=body.change, seed=body.seed)
    return services.motions(server, row)


def _as(start: Callable[[Server, Any], Job], kind: type[Body]) -> Callable[[Server, Body], Job]:
    """What begins a tool whose arguments are fields of a route's body."""
    return lambda server, body: start(server, kind(**body.model_dump()))


def _export(server: Server, body: Export) -> Job:
    """Writes the file at once, on the calling thread."""
    query = f"fps={body.fps:g}" if body.fps else ""
    path, name = exported(server, body.motion, body.format, dict(parse_qsl(query)))
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
            raise bad(f"{self.name}: {explain_mistake(e)}", ".".join(map(str, e.errors()[0]["loc"]))) from None
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
         Make, _make),
    Tool("describe", "Say in words what a motion shows.", DescribeRequest, services.describe),
    Tool("edit", "Change a motion by words: tempo, side, size, another action. Gives a new motion.", Edit, _edit),
    Tool("plan", "Break a scene down into activities and steps, without making motion.", Plan,
         _as(services.plans, services.PlanBody)),
    Tool("long", "Make motion of minutes from a scene: it is planned, made step by step, and checked.", LongBody, long),
    Tool("speak", "Make an avatar that speaks a recording: lips, face, gestures with fingers, and a body.",
         SpeakBody, speak),
    Tool("export", "Write a motion as a file: glb, bvh, vrma, fbx, npz, mp4, gif, or png, a contact sheet.", Export,
         _export),
)}  # fmt: skip


def tool_of(name: str) -> Tool:
    """The tool of a name. Raises Refusal (404)."""
    if name not in TOOLS:
        raise Refusal(404, f"no tool {name[:40]!r}; accepted: {', '.join(TOOLS)}", "name")
    return TOOLS[name]


@router.get("", summary="The tools, as chat completions take them", response_model=list[dict[str, JsonValue]])
async def listed() -> JSONResponse:
    """For ``tools`` of `/v1/chat/completions`; each is called with POST `/v1/tools/NAME`."""
    return JSONResponse([tool.schema() for tool in TOOLS.values()])


@router.post("/{name}", summary="Call a tool", **answers.work(answers.Called))
async def called(
    request: Request, server: AnyServer, name: str,
    arguments: Annotated[dict[str, JsonValue], JsonBody(examples=[{"prompt": "a person waves"}])], wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """With the arguments of a tool call; the answer is that of the route which does the same."""
    tool = tool_of(name)
    job = await server.in_thread(tool.job, server, arguments)
    return await answer(request, server, job, wait)
