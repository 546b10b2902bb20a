"""``/v1/jobs``: progress, results and cancellation of what takes longer than its client waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import JSONResponse
from fastapi.sse import ServerSentEvent

from avatargpt.server import answers
from avatargpt.server.core import AnyServer, Server
from avatargpt.server.errors import Refusal, bad
from avatargpt.server.worker import Cancelled, Job, job_json

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
TICK = 0.1  # seconds between two looks at a job
DEAD = 30.0  # seconds after which a job that no process writes of has none
ENDED = ("done", "failed", "cancelled")


Wait = Annotated[float, Query(description="Seconds to wait for the answer; 0 = the job at once.", ge=0)]


def post(
    router: APIRouter, path: str, summary: str, submit: Callable[[Server, Any], Job], result: Any = answers.Motions,
    refused: Sequence[int] = (), **examples: Any,
) -> None:  # fmt: skip
    """Add a route that answers with the result of a job, or with the job (`answer`).

    Args:
        submit: takes the server and a `body`, whose type is what the route takes; its first line describes the route.
        result: what the job gives. refused: errors beside those of every job.
        examples: of the body, as FastAPI takes them (``examples``, ``openapi_examples``).
    """

    async def route(request: Request, server: AnyServer, body: Any, wait: Wait = 60) -> JSONResponse:
        return await answer(request, server, submit(server, body), wait)

    route.__name__ = submit.__name__
    taken = get_type_hints(submit)["body"]
    route.__annotations__["body"] = Annotated[taken, Body(**examples)]
    does = (submit.__doc__ or "").partition("\n")[0]
    description = f"{does} 202 with the job where it takes longer than `wait`."
    router.post(path, summary=summary, description=description, **answers.work(result, *refused))(route)


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


def state(server: AnyServer, id: answers.PathId) -> dict[str, Any]:
    """The state of a job: this process' own, or what the store has. Raises Refusal (404)."""
    if (job := server.jobs.get(id)) is not None:
        return job_json(job)
    row, at = server.store.job(id)
    if row["status"] not in ENDED and time.time() - at > DEAD:
        message = "the server that worked on it has ended; send the request again"
        row |= {"status": "failed", "error": {"code": "stopping", "message": message, "where": ""}}
    return row


State = Annotated[dict[str, Any], Depends(state)]


@router.get("/{id}", summary="The state of a job", response_model=answers.Job)
async def get_job(row: State) -> Any:
    """Its status, progress and, at the end, its motions or its error."""
    return row


@router.delete("/{id}", summary="Cancel a job", response_model=answers.Job)
async def cancel_job(server: AnyServer, id: answers.PathId, row: State) -> Any:
    """What has begun ends at its next step."""
    if (job := server.jobs.get(id)) is not None:
        job.cancel()
    elif row["status"] not in ENDED:
        server.store.cancel_job(id)  # for the process that works on it
    return row


@router.get("/{id}/events", summary="The progress of a job, as server-sent events",
            **answers.events(**dict.fromkeys(("progress", *ENDED), answers.Job)))  # fmt: skip
async def watch_job(server: AnyServer, id: answers.PathId, row: State) -> AsyncIterator[ServerSentEvent]:
    """An event ``progress`` for each step, then one ``done``, ``failed`` or ``cancelled`` with the job."""
    last: dict[str, Any] = {}
    while row["status"] not in ENDED:
        if row != last:
            yield ServerSentEvent(event="progress", data=row)
        last = row
        await asyncio.sleep(TICK)
        row = state(server, id)
    yield ServerSentEvent(event=row["status"], data=row)
