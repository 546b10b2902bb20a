"""``/v1/chat/completions`` and ``/v1/models``: the conversation about a timeline, as OpenAI's clients speak."""
# The last message of the user is a turn. The turns before are those of a session of the store, which the answer before
# names in its links: where it holds just these messages it goes on, else they are done again in a new one, which gives
# the same motion. With tools the turn is read, not done: its acts become calls of the tools that a client declares.

from __future__ import annotations

import base64
import json
import re
import secrets
import struct
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi import Body as JsonBody
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, Field, JsonValue

from avatargpt.server import answers
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad, body, refusal_of
from avatargpt.server.exports import write_form
from avatargpt.server.jobs import follow, wait_for_job
from avatargpt.server.results import SESSIONS, digest
from avatargpt.server.tool_calls import Message, NamedFunction, calls_of, last_motion, results_of
from avatargpt.server.tools import TOOLS
from avatargpt.server.worker import Job, Report
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write

router = APIRouter(prefix="/v1", tags=["OpenAI"])
MODEL = "avatargpt"
MAX_MESSAGES, MAX_TURNS = 400, 60
CHAT = "chat.json"  # in the folder of a session: what was said in it
_LINK = re.compile(r"/v1/sessions/([A-Za-z0-9_-]{22,64})")
TICK = 0.25  # seconds between two looks at a job
TEXT_PIECE = 24  # characters of a piece of a streamed answer


class CompletionBody(BaseModel):
    """What `/v1/chat/completions` takes; other fields of OpenAI's are taken and have no effect."""

    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    model: str = MODEL
    stream: bool = False
    stream_options: dict[str, JsonValue] | None = None
    tools: list[NamedFunction] | None = Field(default=None, max_length=128)
    tool_choice: str | NamedFunction | None = None
    parallel_tool_calls: bool | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    n: Literal[1] | None = None
    motion: Literal["links", "gltf"] = "links"  # gltf: the motion itself, too, as glTF 2.0 JSON


@router.get("/models", summary="The models", response_model=answers.Models)
async def list_models(server: AnyServer) -> Any:
    """One: the model that was loaded."""
    return {"object": "list", "data": [await get_model(server, MODEL)]}


@router.get("/models/{id}", summary="A model", response_model=answers.Model)
async def get_model(server: AnyServer, id: Annotated[str, Path(examples=[MODEL])]) -> Any:
    """404 for another name."""
    if id != MODEL:
        raise Refusal(404, f"no model {id[:40]!r}; accepted: {MODEL}", "model", "model_not_found")
    return {"id": MODEL, "object": "model", "created": int(server.started), "owned_by": "avatargpt"}


EXAMPLES = {
    "turn": {"value": {"model": MODEL, "messages": [{"role": "user", "content": "a person walks, then waves"}]}},
    "streamed, with the motion": {"value": {
        "model": MODEL, "stream": True, "motion": "gltf", "messages": [{"role": "user", "content": "a person jumps"}],
    }},
}  # fmt: skip


@router.post("/chat/completions", summary="Chat completions, as OpenAI's", response_model=answers.Completion,
             responses={**answers.data("text/event-stream", 409, 429)["responses"], 404: {}})  # fmt: skip
async def complete_chat(
    request: Request, server: AnyServer, row: Annotated[CompletionBody, JsonBody(openapi_examples=EXAMPLES)],
) -> Response:  # fmt: skip
    """A turn of a conversation about a timeline. Plain, streamed (SSE), or as calls of declared tools."""
    if row.model != MODEL:
        raise Refusal(404, f"no model {row.model[:40]!r}; accepted: {MODEL}", "model", "model_not_found")
    turns = [i for i, m in enumerate(row.messages) if m.role == "user"]
    if not turns or not row.messages[turns[-1]].text.strip():
        raise bad("messages: no words of the user", "messages")
    if len(turns) > MAX_TURNS:
        raise bad(f"messages: {len(turns)} turns; accepted at most {MAX_TURNS}", "messages")
    names = _list_declared(row)
    results = results_of(row.messages) if names else []
    if results:  # the client has called the tools: what they gave is the answer
        job = Job("completion")
        job.settle("done", {"text": "\n".join(results)})
    elif names:
        job = server.submit("completion", partial(_read_calls, server, row, turns[-1], names))
    else:
        base = server.settings.public_url or str(request.base_url).rstrip("/")
        job = server.submit("completion", partial(_turn, server, row, turns[-1], base))
    number, created = f"chatcmpl-{secrets.token_urlsafe(16)}", int(time.time())
    if row.stream:
        stream = _stream_answer(server, row, job, number, created)
        return EventSourceResponse(stream, headers={"Cache-Control": "no-store"})
    result = await wait_for_job(request, server, job, server.settings.wait_seconds)
    if result is None:
        job.cancel()
        raise Refusal(503, "more work than a completion waits for; POST /v1/sessions goes on without waiting",
                      code="too_long")  # fmt: skip
    message = await _message(server, row, result)
    choice = {"index": 0, "message": message, "finish_reason": _reason(result), "logprobs": None}
    return JSONResponse({
        "id": number, "object": "chat.completion", "created": created, "model": MODEL, "choices": [choice],
        "usage": _usage(row, result), "system_fingerprint": None,
    })  # fmt: skip


# A turn that is done


def _turn(server: Server, row: CompletionBody, last: int, base: str, report: Report) -> dict[str, Any]:
    """Does the last turn, after those before it."""
    before = row.messages[:last]
    number = _find_known(server, before)
    if number is None:
        number = server.sessions.create()
        if row.seed is not None:
            server.sessions.turn(number, report, f"/seed {row.seed}", ())
        earlier = [m.text for m in before if m.role == "user" and m.text.strip()]
        for done, text in enumerate(earlier):
            report(done, len(earlier) + 1, "the turns before")
            server.sessions.turn(number, report, text, ())
    replied = server.sessions.turn(number, report, row.messages[last].text, ())
    session, out = replied["session"], {"text": replied["reply"]["text"]}
    if session["segments"]:
        links = {name: base + path for name, path in session["motion"].items()}
        out["text"] += f"\n\n[motion, {session['seconds']:.1f} s]({links['glb']})"
        kept = {k: session[k] for k in ("seconds", "frames", "fps", "version", "expires")}
        out["motion"] = {**kept, "session": number, "links": links}
    said = [*row.messages[: last + 1], Message(role="assistant", content=out["text"])]
    path, known = server.store.session(number) / CHAT, json.dumps({"digest": _digest(said)})
    atomic_write(path, lambda p: p.write_text(known, encoding="utf-8"))
    return out


def _digest(messages: Sequence[Message]) -> str:
    """What tells one conversation from another: the words of its messages."""
    rows = [[m.role, " ".join(m.text.split())] for m in messages if m.role in ("user", "assistant")]
    return digest(json.dumps(rows))


def _find_known(server: Server, before: Sequence[Message]) -> str | None:
    """The session in which just these messages were said, and none after them."""
    answers = [m for m in before if m.role == "assistant"]
    links = _LINK.findall(answers[-1].text) if answers else []
    if not links:
        return None
    try:
        folder = server.store.find(SESSIONS, links[-1], "session")
    except Refusal:
        return None
    path = folder / CHAT
    known = path.is_file() and read_object(path).get("digest") == _digest(before)
    return links[-1] if known else None


def _gltf(server: Server, number: str) -> dict[str, Any]:
    """The timeline of a session as one document of glTF 2.0 JSON."""
    memory, state = server.sessions.view(number)
    folder = server.store.session(number)
    data = write_form(server, folder, memory.now.motion, ".glb", which=state.digest).read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    document: dict[str, Any] = json.loads(data[20 : 20 + length])
    binary = data[20 + length + 8 :]
    size = document["buffers"][0]["byteLength"]
    encoded = base64.b64encode(binary[:size]).decode()
    document["buffers"][0]["uri"] = f"data:application/octet-stream;base64,{encoded}"
    return document


# A turn that is read


def _list_declared(row: CompletionBody) -> list[str]:
    """Names of our tools that a client declares; no other is called. Raises Refusal for a choice of another one."""
    if not row.tools or row.tool_choice == "none":
        return []
    ours = [tool.function.name for tool in row.tools if tool.function.name in TOOLS]
    if isinstance(row.tool_choice, NamedFunction):
        chosen = row.tool_choice.function.name
        if chosen not in ours:
            raise bad(f"tool_choice: {chosen[:40]!r}; accepted a declared one of {', '.join(TOOLS)}", "tool_choice")
        return [chosen]
    return ours


def _read_calls(server: Server, row: CompletionBody, last: int, names: list[str], report: Report) -> dict[str, Any]:
    """Reads the last turn as calls of tools."""
    report(0, 1)
    calls, text = calls_of(server, row.messages[last].text, last_motion(row.messages), names)
    return {"text": text, "calls": calls}


# The answer


async def _message(server: Server, row: CompletionBody, result: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": result["text"] or None, "refusal": None}
    if calls := result.get("calls"):
        message["tool_calls"] = calls
    if "motion" in result:
        message["motion"] = await _motion(server, row, result["motion"])
    return message


async def _motion(server: Server, row: CompletionBody, about: dict[str, Any]) -> dict[str, Any]:
    """What an answer says of the motion; with the motion itself where it was asked for."""
    if row.motion == "links":
        return about
    return about | {"gltf": await server.in_thread(_gltf, server, about["session"])}


def _reason(result: dict[str, Any]) -> str:
    return "tool_calls" if result.get("calls") else "stop"


def _usage(row: CompletionBody, result: dict[str, Any]) -> dict[str, int]:
    """Words, for there are no tokens of one model."""
    prompt = sum(len(m.text.split()) for m in row.messages)
    answer = len(result["text"].split())
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


async def _stream_answer(
    server: Server, row: CompletionBody, job: Job, number: str, created: int
) -> AsyncIterator[str]:
    """Chunks of an answer: the role at once, the words when they are known, the calls, the motion at the end."""

    def chunk(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        data = {"id": number, "object": "chat.completion.chunk", "created": created, "model": MODEL,
                "choices": [] if delta is None else [choice], **more}  # fmt: skip
        return f"data: {json.dumps(data)}\n\n"

    try:
        yield chunk({"role": "assistant", "content": ""})
        async for _ in follow(job, TICK):
            yield f": {job.done} of {job.total} {job.stage}\n\n"
        error = job.future.exception()
        if error is not None:
            refusal = refusal_of(error, server.store.private)
            yield f"data: {json.dumps(body(refusal.code, refusal.message, refusal.where))}\n\n"
            return
        result = job.result()
        text = result["text"]
        for i in range(0, len(text), TEXT_PIECE):
            yield chunk({"content": text[i : i + TEXT_PIECE]})
        for index, call in enumerate(result.get("calls", [])):
            yield chunk({"tool_calls": [{"index": index, **call}]})
        more = {"motion": await _motion(server, row, result["motion"])} if "motion" in result else {}
        yield chunk({}, _reason(result), **more)
        if row.stream_options and row.stream_options.get("include_usage"):
            yield chunk(None, usage=_usage(row, result))
        yield "data: [DONE]\n\n"
    finally:
        job.cancel()  # where the client has gone
