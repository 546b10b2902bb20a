"""Motion of minutes from one sentence, as one result; `stream` sends the same while it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import JsonValue

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.services import check_length, check_planner, keep
from avatargpt.server.worker import Job, Report
from avatargpt.verbs.plan import LongRequest
from avatargpt.verbs.request import values_of
from vqvae.errors import OutOfTime

if TYPE_CHECKING:
    from avatargpt.long.loop import Chunk
    from avatargpt.long.spans import Span

FPS = 20


def chunks(server: Server, body: LongRequest) -> Iterator[Chunk]:
    """Frames as they are made; on the model's thread."""
    from avatargpt import planning

    planner = planning.load_planner(body.planner or "", server.model, None if body.planner else server.llm)
    return server.model.long(**values_of(replace(body, planner=planner)))


def step_json(span: Span) -> dict[str, JsonValue]:
    """A step that is done: what was asked for, what is seen, and when, in seconds."""
    return {
        "text": span.text, "activity": span.task, "start": span.start / FPS, "seconds": (span.end - span.start) / FPS,
        "described": span.described, "note": span.note,
    }  # fmt: skip


def long(server: Server, body: LongRequest) -> Job:
    """All of it; the result is ``{"motions": [Motion], "steps": [{"text", "start", "seconds"}]}``."""
    check_text(body.scene)
    check_planner(body.planner)
    check_length(server, body.seconds)
    frames = round(body.seconds * FPS)

    def work(report: Report) -> JsonValue:
        from vqvae.motion import concatenate

        pieces, count, notes = [], 0, []
        steps: list[JsonValue] = []
        report(0, frames)
        try:
            for chunk in chunks(server, body):
                pieces.append(chunk.motion)
                steps += [step_json(span) for span in chunk.spans]
                count += len(chunk.motion)
                report(count, frames)
        except OutOfTime as e:
            if not pieces:
                raise
            notes = [f"{count / FPS:g} s of {body.seconds:g}: {e}"]
        motion = concatenate(pieces).with_caption(body.scene)
        entry = keep(server, motion, body.scene, body.seed, operation="long", notes=notes)
        return {"motions": [server.store.motion_json(entry)], "steps": steps}

    return server.submit("long", work)
