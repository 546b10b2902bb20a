"""`Server`: settings, results, the model and its worker; what every route and every protocol works with."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends
from starlette.requests import HTTPConnection

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.scene import OnDraft
from avatargpt.chat.timeline import Timeline
from avatargpt.server.avatar import avatar_glb
from avatargpt.server.errors import Refusal
from avatargpt.server.metrics import Metrics
from avatargpt.server.results import Results
from avatargpt.server.session_state import Drafts, Sessions
from avatargpt.server.settings import ServerSettings
from avatargpt.server.worker import Function, Job, Report, Worker, job_json
from vqvae.errors import UserError

T = TypeVar("T")
State = Literal["loading", "ok", "failed", "stopping"]
SWEEP_SECONDS, TEND_SECONDS = 300.0, 1.0
FIRST = "a person walks forward and waves"
THREADS = 4  # pieces of work that take turns with the model
FILE_THREADS = 2  # threads for files: reading uploads, writing exports
log = logging.getLogger("avatargpt.server")


class Server:
    """What a server consists of.

    Attributes:
        settings, store, worker, metrics: see their classes. state: what `/healthz` says. submit: work for the model, as
            `Worker.submit`. llm: the language model of the settings, None without one.
        jobs: those of this process that clients have not waited for, by id, until their ends are in the store. turns:
            the last one of each session.
        sessions, drafts: see `avatargpt.server.session_state`.

    Args:
        model: an `avatargpt.AvatarGPT`, or anything with its methods; None = loaded on the worker's thread.
        intent: reads turns of sessions; None = the reader of the model's folder.
    """

    def __init__(self, settings: ServerSettings, model: Any = None, intent: Any = None) -> None:
        self.settings, self._model, self.intent = settings, model, intent
        self.store = Results(settings.store, settings.result_seconds, settings.session_seconds, settings.store_bytes)
        self.metrics = Metrics(
            queue=lambda: self.worker.depth, running=lambda: self.worker.running, store_bytes=lambda: self.store.size
        )
        self.worker = Worker(
            settings.queue, settings.batch, settings.batch_wait, settings.work_seconds, self.metrics.count_work, THREADS
        )
        self.submit = self.worker.submit
        self.sessions, self.drafts = Sessions(self.store, self._conversation), Drafts()
        self.jobs: dict[str, Job] = {}
        self.turns: dict[str, Job] = {}
        self.state: State = "ok" if model is not None else "loading"
        self._files = ThreadPoolExecutor(FILE_THREADS, "files")
        self._drawing = ThreadPoolExecutor(1, "drawing")
        self._keeping = threading.Lock()
        self.llm: Any = None
        if settings.llm:
            from avatargpt.llm import load_llm

            self.llm = load_llm(settings.llm, device=settings.device or "cpu", threads=settings.threads)
        self._until = 0.0  # end of the time of grace
        self.started = time.time()
        if model is None:
            self.submit("load", self._load)

    def _load(self, report: Report) -> None:
        chosen = self.settings
        try:
            from avatargpt.api import AvatarGPT

            self._model = AvatarGPT.from_pretrained(chosen.model, chosen.device, chosen.dtype, chosen.threads)
            _warm(self._model, self.intent)
        except BaseException as e:
            self.state = "failed"
            # of the operator's own folder: no client's contents
            reason = str(e) if isinstance(e, UserError) else ""
            log.error("no model", extra={"type": type(e).__name__, "reason": reason})
            raise
        self.state = "ok" if self.state == "loading" else self.state

    @property
    def model(self) -> Any:
        """The model; used on the worker's thread alone. Raises Refusal (503) where it could not be loaded."""
        if self._model is None:
            raise Refusal(503, "the model could not be loaded; the server's log says why", code="no_model")
        return self._model

    def _conversation(self, folder: Path, outputs: Path, report: Report | None, draft: OnDraft) -> Conversation:
        def give_finished(timeline: Timeline, number: int) -> None:
            if draft is not None:  # a finished step of a plan is what there is up to it
                draft(Timeline().replace_segments(timeline.segments[:number]))

        return Conversation(
            self.model, folder, outputs=outputs, intent=self.intent, llm=self.llm, progress=report, served=True,
            on_segment=give_finished if draft else None, on_draft=draft,
        )  # fmt: skip

    async def wait_for(self, kind: str, function: Function) -> Any:
        """The result of work for the model, which ends where nobody waits any more."""
        job = self.submit(kind, function)
        try:
            return await asyncio.wrap_future(job.future)
        finally:
            job.cancel()

    def keep(self, job: Job) -> None:
        """Let a job that its client does not wait for be known to every process of the store."""

        def remove_ended(_: object) -> None:
            with self._keeping:
                self.store.write_job(job.id, job_json(job))
                self.jobs.pop(job.id, None)

        self.jobs[job.id] = job
        self._tend(job)
        job.future.add_done_callback(remove_ended)

    def _tend(self, job: Job) -> None:
        with self._keeping:
            if not job.future.done():
                self.store.write_job(job.id, job_json(job))
        if self.store.is_cancelled(job.id):
            job.cancel()

    async def tend(self) -> None:
        """Write the progress of jobs, and read who cancelled them elsewhere, until cancelled."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            for job in list(self.jobs.values()):
                with suppress(OSError, UserError):
                    await asyncio.to_thread(self._tend, job)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Work with files, beside the event loop; a few at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._files, partial(function, *args))

    async def draw_in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """As `in_thread`, for films and pictures, which take long: one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._drawing, partial(function, *args))

    def sweep(self) -> None:
        """Remove what has expired."""
        self.store.sweep()
        self.turns = {number: job for number, job in self.turns.items() if not job.future.done()}

    async def upkeep(self) -> None:
        """Sweep from time to time, until cancelled."""
        while True:
            with suppress(OSError):
                await asyncio.to_thread(self.sweep)
            await asyncio.sleep(min(SWEEP_SECONDS, self.settings.result_seconds / 4))

    def begin_stop(self) -> None:
        """Take no more requests; the time of grace begins."""
        if self.state != "stopping":
            self.state = "stopping"
            self.worker.close()
            self._until = time.monotonic() + self.settings.grace_seconds

    def stop(self) -> int:
        """Finish the work within the time of grace; how many jobs were given back."""
        self.begin_stop()
        left = self.worker.stop(max(0.0, self._until - time.monotonic()))
        for pool in (self._files, self._drawing):
            pool.shutdown(wait=False, cancel_futures=True)
        log.info("stopped", extra={"given back": left})
        return left


def _warm(model: Any, intent: Any) -> None:
    """A turn that nobody asked for: what is read or computed for the first one is there from now on."""
    with TemporaryDirectory() as folder, suppress(UserError):  # weights without a reader of turns have none
        Conversation(model, outputs=folder, intent=intent, served=True).say(FIRST)
    avatar_glb()


def server_of(connection: HTTPConnection) -> Server:
    """The server of a request or a WebSocket."""
    return connection.app.state.server


AnyServer = Annotated[Server, Depends(server_of)]
