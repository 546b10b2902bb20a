"""``/v1/jobs``: progress, results and cancellation of what takes longer than its client waits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse

from avatargpt.server import answers
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad
from avatargpt.server.worker import Cancelled, Job, job_json

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
TICK = 0.1  # seconds between two looks at a job
SILENCE = 10.0  # seconds after which a line says that the stream lives
DEAD = 30.0  # seconds after which a job that no process writes of has none
ENDED = ("done", "failed", "cancelled")
UNCACHED = {"Cache-Control": "no-store"}


Wait = Annotated[float, Query(description="Seconds to wait for the answer; 0 = the job at once.", ge=0)]


def post(
    router: APIRouter, path: str, summary: str, submit: Callable[[Server, Any], Job], result: Any = answers.Motions,
    **examples: Any,
) -> None:  # fmt: skip
    """Add a route that answers with the result of a job, or with the job (`answer`).

    Args:
        submit: takes the server and a `body`, whose type is what the route takes; its first line describes the route.
        result: what the job gives.
        examples: of the body, as FastAPI takes them (``examples``, ``openapi_examples``).
    """

    async def route(request: Request, server: AnyServer, body: Any, wait: Wait = 60) -> JSONResponse:
        return await answer(request, server, submit(server, body), wait)

    route.__name__ = submit.__name__
    taken = get_type_hints(submit)["body"]
    route.__annotations__["body"] = Annotated[taken, Body(**examples)]
    does = (submit.__doc__ or "").partition("\n")[0]
    description = f"{does} 202 with the job where it takes longer than `wait`."
    router.post(path, summary=summary, description=description, **answers.work(result))(route)


async def wait_until_gone(request: Request) -> None:
    """Wait until the client leaves; after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def end_of(job: Job) -> asyncio.Event:
    """An event of the running loop, set at the end of a job."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def note_ended(_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended before
            loop.call_soon_threadsafe(over.set)

    job.future.add_done_callback(note_ended)
    return over


async def follow(job: Job, tick: float) -> AsyncIterator[None]:
    """Comes whenever a job has done more, looked at every `tick` seconds, until its end."""
    over, last = end_of(job), -1
    while not job.future.done():
        if job.total and job.done != last:
            last = job.done
            yield
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), tick)


async def wait_for_job(request: Request, server: Server, job: Job, wait: float) -> Any:
    """The result of a job, waited for at most `wait` seconds; None = it goes on.

    A client that leaves meanwhile cancels it.

    Raises:
        The error of the job; Refusal (503) where it was cancelled.
    """
    over = asyncio.ensure_future(end_of(job).wait())
    left = asyncio.ensure_future(wait_until_gone(request))
    try:
        await asyncio.wait({over, left}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if not job.future.done() and left.done():
            job.cancel()
            server.metrics.left.inc()
            raise Refusal(499, "the client has gone", code="gone")
        if not job.future.done():
            return None
    finally:
        left.cancel()
        over.cancel()
    try:
        return job.result()
    except Cancelled:
        raise Refusal(409, "cancelled", code="cancelled") from None


async def answer(request: Request, server: Server, job: Job, wait: float) -> JSONResponse:
    """200 with the result, or 202 with the job where it takes longer than the client waits."""
    if not 0 <= wait <= server.settings.wait_seconds:
        job.cancel()
        raise bad(f"wait: {wait:g}; accepted 0 to {server.settings.wait_seconds:g} seconds", "wait")
    result = await wait_for_job(request, server, job, wait)
    if result is not None:
        return JSONResponse(result)
    server.keep(job)
    return JSONResponse({"job": job_json(job)}, 202, {"Location": f"/v1/jobs/{job.id}"})


def state(server: Server, number: str) -> dict[str, Any]:
    """The state of a job: this process' own, or what the store has. Raises Refusal (404)."""
    if (job := server.jobs.get(number)) is not None:
        return job_json(job)
    row, at = server.store.job(number)
    if row["status"] not in ENDED and time.time() - at > DEAD:
        message = "the server that worked on it has ended; send the request again"
        row |= {"status": "failed", "error": {"code": "stopping", "message": message, "where": ""}}
    return row


@router.get("/{id}", summary="The state of a job", response_model=answers.Job)
async def get(server: AnyServer, id: str) -> JSONResponse:
    """Its status, progress and, at the end, its motions or its error."""
    return JSONResponse(state(server, id))


@router.delete("/{id}", summary="Cancel a job", response_model=answers.Job)
async def cancel(server: AnyServer, id: str) -> JSONResponse:
    """What has begun ends at its next step."""
    row = state(server, id)
    if (job := server.jobs.get(id)) is not None:
        job.cancel()
    elif row["status"] not in ENDED:
        server.store.cancel_job(id)  # for the process that works on it
    return JSONResponse(row)


@router.get("/{id}/events", summary="The progress of a job, as server-sent events", **answers.EVENTS)
async def events(server: AnyServer, id: str) -> EventSourceResponse:
    """An event ``progress`` for each step, then one ``done``, ``failed`` or ``cancelled`` with the job."""
    state(server, id)

    async def looks() -> AsyncIterator[list[str]]:
        last: dict[str, Any] = {}
        while (row := state(server, id))["status"] not in ENDED:
            yield [event_text("progress", row)] if row != last else []
            last = row
            await asyncio.sleep(TICK)
        yield [event_text(row["status"], row)]

    return stream_events(looks())


def event_text(name: str, row: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(row)}\n\n"


def stream_events(looks: AsyncIterator[list[str]]) -> EventSourceResponse:
    """What was found in each of many looks, and a comment from time to time where that is nothing."""

    async def lines() -> AsyncIterator[str]:
        last = time.monotonic()
        async for found in looks:
            silent = not found and time.monotonic() - last >= SILENCE
            for line in [": still here\n\n"] if silent else found:
                last = time.monotonic()
                yield line

    return EventSourceResponse(lines(), headers=UNCACHED)
