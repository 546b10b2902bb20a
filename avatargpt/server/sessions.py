"""``/v1/sessions``: conversations over a timeline, for the studio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.sse import EventSourceResponse
from pydantic import Field

from avatargpt.chat.voices import add_voices
from avatargpt.export.avatar import AvatarMotion
from avatargpt.server import answers, services
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad, unknown
from avatargpt.server.exports import DRAWN, FormQuery, check_form, download, write_form
from avatargpt.server.frames import frames
from avatargpt.server.jobs import TICK, Wait, answer, event_text, stream_events
from avatargpt.server.session_state import FILES, lines_of
from avatargpt.server.worker import Job, Report
from instruct_data.dialogue.acts import read

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])
MAX_ACTS = 50  # of one turn
MAX_CHARACTERS = 2000  # of a turn
LOOK = 1.0  # seconds between two looks at what other processes have done


class TurnBody(services.Body):
    """A turn: words, or the acts themselves."""

    text: str = Field(default="", max_length=MAX_CHARACTERS)
    acts: list[str] = Field(default=[], max_length=MAX_ACTS)


class AppendBody(services.Body):
    """A motion of the store for the end of the timeline."""

    motion: str  # id
    caption: str = Field(default="", max_length=400)


class StretchQuery(FormQuery):
    """The segments of a file, all where none is named, and its options."""

    first: int | None = Field(default=None, ge=1, le=999)
    last: int | None = Field(default=None, ge=1, le=999)


@router.post("", summary="Begin a session", response_model=answers.Session, status_code=201)
async def create(server: AnyServer, body: services.Body | None = None) -> JSONResponse:
    """An empty timeline under a new id; turns are said to it (`POST /v1/sessions/ID/turns`)."""
    number = await asyncio.to_thread(server.sessions.create)
    return JSONResponse(server.sessions.json(number), 201)


@router.get("/{id}", summary="The state of a session", response_model=answers.Session)
async def get(server: AnyServer, id: str) -> JSONResponse:
    """Segments, takes, turns, and the open question."""
    return JSONResponse(await asyncio.to_thread(server.sessions.json, id))


@router.post("/{id}/turns", summary="Say or do something", **answers.work(answers.Replied))
async def turn(
    request: Request, server: AnyServer, id: str,
    body: Annotated[TurnBody, Body(examples=[{"text": "a person walks, then waves"}, {"acts": ["loop x3"]}])],
    wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """The reply and the session; what cannot be done is told in the reply (`ok` is false)."""
    return await answer(request, server, turns(server, id, body), wait)


def turns(server: Server, number: str, body: TurnBody) -> Job:
    """A turn of a session; the result is ``{"reply", "session"}``."""
    server.store.session(number)
    if bool(body.text.strip()) == bool(body.acts):
        raise bad("text or acts: accepted one of both", "text")
    for line in body.acts:
        read(line)

    def work(report: Report) -> dict[str, Any]:
        report(0, 0)
        with server.drafts.open(number) as draft:
            return server.sessions.turn(number, report, body.text, body.acts, draft)

    return _submit(server, number, work)


def _submit(server: Server, number: str, work: Any) -> Job:
    job = server.submit("turn", work, alone=number)
    server.turns[number] = job
    server.drafts.wake(number)
    job.future.add_done_callback(lambda _: server.drafts.wake(number))
    return job


@router.post("/{id}/motions", summary="Append a motion", **answers.work(answers.Replied))
async def append(
    request: Request, server: AnyServer, id: str, body: Annotated[AppendBody, Body(examples=[{"motion": "ID"}])],
    wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """A motion of the store, such as an upload, becomes the last segment; an avatar keeps fingers, face and voice."""
    server.store.session(id)
    entry = server.store.motion(body.motion, "motion")

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        services.body_of(entry, "motion")
        return server.sessions.append(id, report, entry.clip(), body.caption or entry.about.get("prompt", ""))

    return await answer(request, server, _submit(server, id, work), wait)


@router.get("/{id}/frames", summary="The timeline as frames", **answers.FRAMES)
async def timeline_frames(
    server: AnyServer, id: str, first: Annotated[int, Query(alias="from", ge=0, le=10_000_000)] = 0
) -> Response:
    """``.frames`` of the timeline from a frame on."""

    def content() -> bytes:
        now = server.sessions.view(id)[0].now
        if not now.segments:
            raise unknown("motion in this session yet")
        if first >= len(now.motion):
            raise bad(f"from: {first}; accepted 0 to {len(now.motion) - 1}", "from")
        return frames(now.motion, first)

    return Response(await server.in_thread(content), media_type="application/octet-stream")


@router.get("/{id}/draft.frames", summary="What is being made, as far as it has come", response_class=Response,
            responses=answers.FRAMES["responses"] | {204: {"description": "Nothing"}})  # fmt: skip
async def draft_frames(server: AnyServer, id: str) -> Response:
    """``.frames`` of the last `draft` of the session's events; 204 when the turn has ended."""
    server.store.session(id)
    draft = server.drafts.of(id)
    if draft is None:
        return Response(status_code=204)
    return Response(draft.frames, media_type="application/octet-stream")


@router.get("/{id}/exports.{form}", summary="The timeline, or a stretch of it, as a file", **answers.FILE)
async def exported(server: AnyServer, id: str, form: str, query: Annotated[StretchQuery, Query()]) -> Response:
    """`first` and `last` are numbers of segments; the rest of the query as of `/v1/exports`."""
    suffix, first, last = f".{form.lower()}", query.first, query.last

    def content() -> Any:
        memory, state = server.sessions.view(id)
        now = memory.now
        check_form(suffix, "avatar" if any(s.spoken for s in now.segments) else "body", query.character is not None)
        if not now.segments:
            raise unknown("motion in this session yet")
        a, b = now.index(first or 1), now.index(last or (len(now.segments) if first is None else first))
        if b < a:
            raise bad(f"segments {a + 1} to {b + 1}; accepted a first one that is not after the last one", "first")
        whole = first is None and last is None
        motion = now.motion if whole else now.stretch(a, b)
        folder = server.store.session(id)
        with add_voices(motion, now.voices(a, b), suffix) as clip:
            return write_form(server, folder, clip, suffix, query, f"{state.digest} {a} {b} {whole}")

    work = server.draw_in_thread if suffix in DRAWN else server.in_thread
    return download(await work(content), f"motion{suffix}")


@router.get(
    "/{id}/clips/{key}.{part}", summary="Face and fingers of a segment as frames, or its voice", **answers.FILE
)
async def clip(server: AnyServer, id: str, key: str, part: Literal["frames", "sound"]) -> Response:
    """What goes with the body of a segment, by the addresses of the session."""
    found = server.sessions.view(id)[0].clips().get(key)
    if not isinstance(found, AvatarMotion) or (part == "sound" and found.sound is None):
        raise unknown("clip", "key")
    if part == "sound" and found.sound is not None:
        return FileResponse(found.sound)
    return Response(await server.in_thread(frames, found), media_type="application/octet-stream")


@router.get("/{id}/takes/{n}.frames", summary="A take as frames", **answers.FRAMES)
async def take(server: AnyServer, id: str, n: int) -> Response:
    """``.frames`` of one of the takes that are open to choice."""

    def content() -> bytes:
        takes = server.sessions.view(id)[0].now.takes
        if not 1 <= n <= len(takes):
            raise unknown("take", "n")
        return frames(takes[n - 1].motion)

    return Response(await server.in_thread(content), media_type="application/octet-stream")


@router.get("/{id}/files/{name:path}", summary="A file that a turn wrote", **answers.FILE)
async def file(server: AnyServer, id: str, name: str) -> Response:
    """What the acts `save` and `export` wrote."""
    folder = server.store.session(id) / FILES
    # looked up, for not every name that a client sends is one that a file may have
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if name not in files:
        raise unknown("file", "name")
    return download(files[name], files[name].name)


@router.get("/{id}/events", summary="Progress and changes of a session, as server-sent events", **answers.EVENTS)
async def events(server: AnyServer, id: str) -> EventSourceResponse:
    """``progress`` and ``draft`` while a turn runs, ``session`` with the version where it changed, ``idle`` when a turn
    has ended.

    A draft is a segment as far as it has come: its number, start, seconds and words; what the turn keeps may differ.
    """
    server.store.session(id)

    async def looks() -> AsyncIterator[list[str]]:
        state, version, take = "", -1, 0
        with server.drafts.watch(id) as changed:
            while server.state != "stopping":
                changed.clear()
                job = server.turns.get(id)
                running = job is not None and not job.future.done()
                out = []
                if version < 0 or not running:  # a turn that runs holds the session's lock
                    try:
                        present = server.sessions.version(id)
                    except Refusal:  # it has expired
                        return
                    if present != version:
                        version = present
                        out.append(event_text("session", {"version": version}))
                draft = server.drafts.of(id) if running else None
                if draft is not None and draft.take != take:
                    take = draft.take
                    out.append(event_text("draft", draft.row))
                row = {"done": job.done, "total": job.total, "stage": job.stage or job.status} if job else {}
                text = event_text("progress", row) if running else event_text("idle", {})
                if text != state:
                    state = text
                    out.append(text)
                yield out
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), TICK if running else LOOK)

    return stream_events(looks())


@router.get("/{id}/python", summary="What was done, as Python", **answers.data("text/x-python"))
async def python(server: AnyServer, id: str) -> Response:
    """A script that does the same turns and saves the motion."""
    memory, _ = server.sessions.view(id)
    lines = ["from avatargpt import AvatarGPT", "from avatargpt.chat import Conversation", "",
             "talk = Conversation(AvatarGPT.from_pretrained())"]  # fmt: skip
    for row in memory.turns:
        for act in row["acts"]:
            if act["do"] == "load":
                lines.append(f"# {act['file']}: from /v1/sessions/{id}/files/{act['file']}")
        if acts := lines_of(row["acts"]):
            lines.append(f"talk.do({', '.join(map(repr, acts))})")
    if memory.now.segments:
        lines += ["", 'talk.do("save: motion.glb")']
    return Response("\n".join(lines) + "\n", media_type="text/x-python")
