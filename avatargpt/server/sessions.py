"""``/v1/sessions``: conversations over a timeline, for the studio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.sse import ServerSentEvent
from pydantic import Field

from avatargpt.chat.keying import Keys
from avatargpt.chat.voices import add_voices
from avatargpt.export.avatar import AvatarMotion
from avatargpt.server import answers, services
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad, unknown
from avatargpt.server.exports import DRAWN, FormQuery, check_form, download, write_form
from avatargpt.server.frames import frames
from avatargpt.server.jobs import TICK, Wait, answer
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
    keys: Keys | None = Field(default=None, description="Of the acts `hold` and `repaint`, whose file is `keys.json`.")


class AppendBody(services.Body):
    """A motion of the store for the end of the timeline."""

    motion: str  # id
    caption: str = Field(default="", max_length=400)


class StretchQuery(FormQuery):
    """The segments of a file, all where none is named, and its options."""

    first: int | None = Field(default=None, ge=1, le=999)
    last: int | None = Field(default=None, ge=1, le=999)


@router.post("", summary="Begin a session", response_model=answers.Session, status_code=201)
async def create_session(server: AnyServer, body: services.Body | None = None) -> Any:
    """An empty timeline under a new id; turns are said to it (`POST /v1/sessions/ID/turns`)."""
    return await asyncio.to_thread(lambda: server.sessions.json(server.sessions.create()))


@router.get("/{id}", summary="The state of a session", response_model=answers.Session)
async def get_session(server: AnyServer, id: answers.PathId) -> Any:
    """Segments, takes, turns, and the open question."""
    return await asyncio.to_thread(server.sessions.json, id)


@router.post("/{id}/turns", summary="Say or do something", **answers.work(answers.Replied))
async def take_turn(
    request: Request, server: AnyServer, id: answers.PathId,
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
            return server.sessions.turn(number, report, body.text, body.acts, draft, body.keys)

    return _submit(server, number, work)


def _submit(server: Server, number: str, work: Any) -> Job:
    job = server.submit("turn", work, alone=number)
    server.turns[number] = job
    server.drafts.wake(number)
    job.future.add_done_callback(lambda _: server.drafts.wake(number))
    return job


@router.post("/{id}/motions", summary="Append a motion", **answers.work(answers.Replied))
async def append_motion(
    request: Request, server: AnyServer, id: answers.PathId,
    body: Annotated[AppendBody, Body(examples=[{"motion": answers.ID}])], wait: Wait = 60,
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
async def get_frames(
    server: AnyServer, id: answers.PathId, first: Annotated[int, Query(alias="from", ge=0, le=10_000_000)] = 0
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
async def get_draft(server: AnyServer, id: answers.PathId) -> Response:
    """``.frames`` of the last `draft` of the session's events; 204 when the turn has ended."""
    server.store.session(id)
    draft = server.drafts.of(id)
    if draft is None:
        return Response(status_code=204)
    return Response(draft.frames, media_type="application/octet-stream")


@router.get("/{id}/exports.{form}", summary="The timeline, or a stretch of it, as a file", **answers.EXPORT)
async def export_session(
    server: AnyServer, id: answers.PathId, form: str, query: Annotated[StretchQuery, Query()]
) -> Response:
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


@router.get("/{id}/clips/{key}.{part}", summary="Face and fingers of a segment as frames, or its voice", **answers.FILE)
async def get_clip(server: AnyServer, id: answers.PathId, key: str, part: Literal["frames", "sound"]) -> Response:
    """What goes with the body of a segment, by the addresses of the session."""
    found = server.sessions.view(id)[0].clips().get(key)
    if not isinstance(found, AvatarMotion) or (part == "sound" and found.sound is None):
        raise unknown("clip", "key")
    if part == "sound" and found.sound is not None:
        return FileResponse(found.sound)
    return Response(await server.in_thread(frames, found), media_type="application/octet-stream")


@router.get("/{id}/takes/{n}.frames", summary="A take as frames", **answers.FRAMES)
async def get_take(server: AnyServer, id: answers.PathId, n: int) -> Response:
    """``.frames`` of one of the takes that are open to choice."""

    def content() -> bytes:
        takes = server.sessions.view(id)[0].now.takes
        if not 1 <= n <= len(takes):
            raise unknown("take", "n")
        return frames(takes[n - 1].motion)

    return Response(await server.in_thread(content), media_type="application/octet-stream")


@router.get("/{id}/files/{name:path}", summary="A file that a turn wrote", **answers.FILE)
async def get_file(server: AnyServer, id: answers.PathId, name: str) -> Response:
    """What the acts `save` and `export` wrote."""
    folder = server.store.session(id) / FILES
    # looked up, for not every name that a client sends is one that a file may have
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if name not in files:
        raise unknown("file", "name")
    return download(files[name], files[name].name)


def known(server: AnyServer, id: answers.PathId) -> str:
    """The id of a session. Raises Refusal (404) for another one."""
    server.store.session(id)
    return id


@router.get("/{id}/events", summary="Progress and changes of a session, as server-sent events",
            **answers.events(progress=answers.Progress, draft=answers.Draft, session=answers.Changed,
                             idle=answers.Idle))  # fmt: skip
async def watch_session(server: AnyServer, id: Annotated[str, Depends(known)]) -> AsyncIterator[ServerSentEvent]:
    """``progress`` and ``draft`` while a turn runs, ``session`` with the version where it changed, ``idle`` when a turn
    has ended.

    A draft is a segment as far as it has come: its number, start, seconds and words; what the turn keeps may differ.
    """
    state: tuple[str, dict[str, Any]] = "", {}
    version, take = -1, 0
    with server.drafts.watch(id) as changed:
        while server.state != "stopping":
            changed.clear()
            job = server.turns.get(id)
            running = job is not None and not job.future.done()
            if version < 0 or not running:  # a turn that runs holds the session's lock
                try:
                    present = server.sessions.version(id)
                except Refusal:  # it has expired
                    return
                if present != version:
                    version = present
                    yield ServerSentEvent(event="session", data={"version": version})
            draft = server.drafts.of(id) if running else None
            if draft is not None and draft.row["take"] != take:
                take = draft.row["take"]
                yield ServerSentEvent(event="draft", data=draft.row)
            row = {"done": job.done, "total": job.total, "stage": job.stage or job.status} if job else {}
            found = ("progress", row) if running else ("idle", {})
            if found != state:
                state = found
                yield ServerSentEvent(event=state[0], data=state[1])
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), TICK if running else LOOK)


@router.get("/{id}/python", summary="What was done, as Python", **answers.data("text/x-python"))
async def get_python(server: AnyServer, id: answers.PathId) -> Response:
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
