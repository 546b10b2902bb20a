"""What routes answer with, for the specification of the API: the fields of JSON, files, events, errors."""
# ruff: noqa: UP013 (a shape stands here as its JSON does where it is made)

from __future__ import annotations

from typing import Any, NotRequired

from fastapi.responses import Response
from pydantic import JsonValue
from typing_extensions import TypedDict

from avatargpt.server.errors import CODES
from avatargpt.verbs.actions import KnownAction

Links = dict[str, str]  # format -> path
Error = TypedDict("Error", {"code": str, "message": str, "where": str})
Failure = TypedDict("Failure", {"error": Error})

Motion = TypedDict("Motion", {
    "id": str, "prompt": str, "prompt_sha256": str, "kind": str, "seconds": float, "frames": int, "fps": float,
    "notes": list[str] | None, "channels": dict[str, bool], "caption": str | None, "read_as": list[str],
    "seed": int | None, "links": Links, "sound": str | None, "expires": str,
})  # fmt: skip
Motions = TypedDict("Motions", {"motions": list[Motion]})
Descriptions = TypedDict("Descriptions", {"descriptions": list[str], "notes": list[str]})
TaskAnswers = TypedDict("TaskAnswers", {"answers": NotRequired[list[str]], "motions": NotRequired[list[Motion]]})
Reconstructed = TypedDict("Reconstructed", {"motions": list[Motion], "figures": dict[str, float]})
Reading = TypedDict("Reading", {
    "request": NotRequired[dict[str, JsonValue]], "score": NotRequired[dict[str, JsonValue]],
})  # fmt: skip
Step = TypedDict("Step", {"text": str, "seconds": float | None, "note": str})
Activity = TypedDict("Activity", {"name": str, "steps": list[Step], "reason": str})
Plan = TypedDict("Plan", {
    "scene": str, "activities": list[Activity], "seconds": float | None, "planner": str, "notes": list[str],
})  # fmt: skip
Actions = TypedDict("Actions", {"actions": list[KnownAction]})
Upload = TypedDict("Upload", {
    "id": str, "kind": str, "name": str, "bytes": int, "href": str, "character": bool, "expires": str,
    "motion": NotRequired[Motion],
})  # fmt: skip
File = TypedDict("File", {"name": str, "href": str, "media_type": str, "bytes": int})
Export = TypedDict("Export", {"file": File})
Called = Motions | Descriptions | Reading | Actions | Reconstructed | TaskAnswers | Plan | Export  # by a tool

Progress = TypedDict("Progress", {"done": int, "total": int, "stage": str})
# a job that is done has what its route answers with, too
Job = TypedDict("Job", {
    "id": str, "kind": str, "status": str, "progress": Progress, "error": Error | None, "motions": list[Motion],
})  # fmt: skip
Begun = TypedDict("Begun", {"job": Job})

Moment = TypedDict("Moment", {"caption": str, "at": float})
Segment = TypedDict("Segment", {
    "n": int, "caption": str, "name": str, "activity": str, "start": float, "seconds": float, "rounds": int,
    "note": str, "kind": str, "focus": bool, "seed": int | None, "tempo": float, "mirrored": bool,
    "actions": list[Moment], "clip": str | None, "sound": str | None,
})  # fmt: skip
Take = TypedDict("Take", {"n": int, "letter": str, "caption": str, "seconds": float})
Turn = TypedDict("Turn", {"user": str, "reply": str, "acts": list[str], "ok": bool})
Session = TypedDict("Session", {
    "id": str, "version": int, "seconds": float, "fps": float, "frames": int, "question": str | None,
    "can_undo": bool, "can_redo": bool, "chosen": int, "segments": list[Segment], "takes": list[Take],
    "turns": list[Turn], "motion": Links, "expires": str,
})  # fmt: skip
Reply = TypedDict("Reply", {
    "text": str, "ok": bool, "acts": list[str], "understood": str, "over": bool, "question": str | None,
    "files": list[Links],
})  # fmt: skip
Replied = TypedDict("Replied", {"reply": Reply, "session": Session})

Model = TypedDict("Model", {"id": str, "object": str, "created": int, "owned_by": str})
Models = TypedDict("Models", {"object": str, "data": list[Model]})
Choice = TypedDict("Choice", {
    "index": int, "message": dict[str, JsonValue], "finish_reason": str, "logprobs": None,
})  # fmt: skip
Completion = TypedDict("Completion", {
    "id": str, "object": str, "created": int, "model": str, "choices": list[Choice], "usage": dict[str, int],
    "system_fingerprint": None,
})  # fmt: skip
Health = TypedDict("Health", {"status": str, "version": str, "queue": int, "running": int, "uptime": float})


ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": Failure, "description": ", ".join(f"{n} {word}" for n, word in CODES.items())}
}


def data(media_type: str) -> dict[str, Any]:
    """Of a route that answers with bytes or lines, what FastAPI takes about it."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"response_class": Response, "responses": {200: {"content": content}}}


def work(result: Any) -> dict[str, Any]:
    """Of a route that answers with the result of a job, or with the job."""
    return {"response_model": result, "responses": {202: {"model": Begun}}}


FILE, FRAMES, EVENTS = data("*/*"), data("application/octet-stream"), data("text/event-stream")
