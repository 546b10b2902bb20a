"""What routes answer with, for the specification of the API: the fields of JSON, files, events, errors."""
# ruff: noqa: UP013 (a shape stands here as its JSON does where it is made)

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from fastapi import Path
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse
from pydantic import ConfigDict, Field, JsonValue
from typing_extensions import TypedDict

from avatargpt.server.worker import Status
from avatargpt.verbs.actions import KnownAction

ID = "Lr1c7WJ2P2fUwXjHh2m0Zb3q"  # in examples
Id = Annotated[str, Field(examples=[ID])]
PathId = Annotated[str, Path(description="The id that the server gave.", examples=[ID])]
Caption = Annotated[str, Field(examples=["a person walks forward"])]
Links = Annotated[dict[str, str], Field(examples=[{"glb": f"/v1/exports/{ID}.glb"}], description="Format: path.")]
Expires = Annotated[str, Field(examples=["2027-01-01T12:00:00Z"])]
Error = TypedDict("Error", {
    "code": Annotated[str, Field(examples=["bad_request"])],
    "message": Annotated[str, Field(examples=["seconds: -1; accepted 0.2 to 600"])],
    "where": Annotated[str, Field(examples=["seconds"], description="The field; empty where it is none.")],
})  # fmt: skip
Failure = TypedDict("Failure", {"error": Error})

Channels = TypedDict("Channels", {"body": bool, "hands": bool, "face": bool})
Motion = TypedDict("Motion", {
    "id": Id, "prompt": Caption, "prompt_sha256": str, "kind": Literal["body", "face", "gesture", "avatar"],
    "seconds": float, "frames": int, "fps": float, "notes": list[str], "channels": Channels,
    "caption": Caption | None, "read_as": list[Caption], "seed": int | None, "links": Links, "sound": str | None,
    "expires": Expires,
})  # fmt: skip
Motions = TypedDict("Motions", {"motions": list[Motion]})
Descriptions = TypedDict("Descriptions", {"descriptions": list[Caption], "notes": list[str]})
TaskAnswers = TypedDict("TaskAnswers", {"answers": NotRequired[list[str]], "motions": NotRequired[list[Motion]]})
Reconstructed = TypedDict("Reconstructed", {"motions": list[Motion], "figures": dict[str, float]})
Reading = TypedDict("Reading", {
    "request": NotRequired[dict[str, JsonValue]], "score": NotRequired[dict[str, JsonValue]],
})  # fmt: skip
Step = TypedDict("Step", {"text": Caption, "seconds": float | None, "note": str})
Activity = TypedDict("Activity", {"name": str, "steps": list[Step], "reason": str})
Plan = TypedDict("Plan", {
    "scene": str, "activities": list[Activity], "seconds": float | None, "planner": str, "notes": list[str],
})  # fmt: skip
LongStep = TypedDict("LongStep", {
    "text": Caption, "activity": str, "start": float, "seconds": float, "described": str, "note": str,
})  # fmt: skip
LongMotion = TypedDict("LongMotion", {"motions": list[Motion], "steps": list[LongStep]})
Actions = TypedDict("Actions", {"actions": list[KnownAction]})
Upload = TypedDict("Upload", {
    "id": Id, "kind": Literal["motion", "sound", "film", "avatar", "picture"], "name": str, "bytes": int, "href": str,
    "character": Annotated[bool, Field(description="Whether it can wear motions.")], "expires": Expires,
    "motion": NotRequired[Motion],
})  # fmt: skip
File = TypedDict("File", {"name": str, "href": str, "media_type": str, "bytes": int})
Export = TypedDict("Export", {"file": File})
# by a tool
Called = Motions | Descriptions | Reading | Actions | Reconstructed | TaskAnswers | Plan | LongMotion | Export

Progress = TypedDict("Progress", {"done": int, "total": int, "stage": str})


Job = TypedDict("Job", {
    "id": Id, "kind": str, "status": Status, "progress": Progress, "error": Error | None, "motions": list[Motion],
})  # fmt: skip
# one that is done has what its route answers with, too
Job.__pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[attr-defined]
Begun = TypedDict("Begun", {"job": Job})

Moment = TypedDict("Moment", {"caption": Caption, "at": float})
Segment = TypedDict("Segment", {
    "n": int, "caption": Caption, "name": str, "activity": str, "start": float, "seconds": float, "rounds": int,
    "note": str, "kind": str, "focus": bool, "seed": int | None, "tempo": float, "mirrored": bool,
    "actions": Annotated[list[Moment], Field(description="Where each begins, 0 to 1 of the segment.")],
    "clip": Annotated[str | None, Field(description="Frames with fingers and face.")], "sound": str | None,
})  # fmt: skip
Take = TypedDict("Take", {"n": int, "letter": str, "caption": Caption, "seconds": float})
Turn = TypedDict("Turn", {"user": str, "reply": str, "acts": list[str], "ok": bool})
Session = TypedDict("Session", {
    "id": Id, "version": int, "seconds": float, "fps": float, "frames": int, "question": str | None,
    "can_undo": bool, "can_redo": bool,
    "chosen": Annotated[int, Field(description="Number of the segment that the takes are versions of.")],
    "segments": list[Segment], "takes": list[Take], "turns": list[Turn], "motion": Links, "expires": Expires,
})  # fmt: skip
Written = TypedDict("Written", {"name": str, "href": str})
Reply = TypedDict("Reply", {
    "text": str, "ok": bool, "acts": list[str], "understood": str, "over": bool, "question": str | None,
    "files": list[Written],
})  # fmt: skip
Replied = TypedDict("Replied", {"reply": Reply, "session": Session})
Changed = TypedDict("Changed", {"version": int})
Draft = TypedDict("Draft", {
    "take": int, "n": int, "start": float, "seconds": float, "caption": Caption, "activity": str, "frames": str,
})  # fmt: skip
Idle = TypedDict("Idle", {})

Model = TypedDict("Model", {"id": str, "object": Literal["model"], "created": int, "owned_by": str})
Models = TypedDict("Models", {"object": Literal["list"], "data": list[Model]})
ToolFunction = TypedDict("ToolFunction", {"name": str, "description": str, "parameters": dict[str, JsonValue]})
ToolSchema = TypedDict("ToolSchema", {"type": Literal["function"], "function": ToolFunction})
Choice = TypedDict("Choice", {
    "index": int, "message": dict[str, JsonValue], "finish_reason": Literal["stop", "tool_calls"], "logprobs": None,
})  # fmt: skip
Completion = TypedDict("Completion", {
    "id": str, "object": Literal["chat.completion"], "created": int, "model": str, "choices": list[Choice],
    "usage": dict[str, int], "system_fingerprint": None,
})  # fmt: skip
Health = TypedDict("Health", {
    "status": Literal["loading", "ok", "failed", "stopping"], "version": str, "queue": int, "running": int,
    "uptime": float,
})  # fmt: skip

STREAMED: dict[str, Any] = {"Failure": Failure}  # shapes beside those of routes, by name


def data(media_type: str, *refused: int) -> dict[str, Any]:
    """Of a route that answers with bytes or lines, what FastAPI takes about it; `refused`: further errors."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"response_class": Response, "responses": {200: {"content": content}, **{n: {} for n in refused}}}


def work(result: Any, *refused: int) -> dict[str, Any]:
    """Of a route that answers with the result of a job, or with the job."""
    return {"response_model": result, "responses": {202: {"model": Begun}, **{n: {} for n in refused}}}


def events(**shapes: Any) -> dict[str, Any]:
    """Of a route that yields server-sent events of these names."""
    STREAMED.update({shape.__name__: shape for shape in shapes.values()})
    rows = [{"properties": {"event": {"const": name}, "data": {
        "contentMediaType": "application/json", "contentSchema": {"$ref": f"#/components/schemas/{shape.__name__}"},
    }}} for name, shape in shapes.items()]  # fmt: skip
    content = {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": {"oneOf": rows}}}
    return {"response_class": EventSourceResponse, "responses": {200: {"content": content}}}


FILE, EXPORT, FRAMES = data("*/*"), data("*/*", 415), data("application/octet-stream")
