"""What HTTP, MCP, chat completions and sockets ask for, as plain functions that start a `Job`."""
# A function checks what it is given before any work is queued, and raises `Refusal` or `UserError`; the job's result is
# the JSON of the answer. Protocols without an event loop wait with `job.result()`.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import ConfigDict, Field

from avatargpt.options import GenerationConfig, check_seconds, check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.generation import Batch, Item, body_of, check_seconds_of
from avatargpt.server.results import Clip, Stored, digest
from avatargpt.server.worker import Group, Job, Report
from avatargpt.verbs.describe import DescribeRequest
from avatargpt.verbs.request import values_of
from instruct_data.requests.spec import MotionRequest
from vqvae.motion import Motion
from vqvae.strict import Strict

MAX_NUM, MAX_BEST_OF = 16, 64


class Body(Strict):
    """The JSON of a request: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class MotionBody(Body):
    """What `/v1/motions` takes."""

    prompt: str = ""  # what happens, in words
    request: MotionRequest | None = None  # the same, typed
    operation: Literal["generate", "extend", "inbetween", "edit"] = "generate"
    source: str = ""  # id of the motion that is extended, edited, or before the middle
    target: str = ""  # id of the motion after the middle
    text: str = ""  # of the new part, or how it is to be edited
    seconds: float | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)
    best_of: int = Field(default=8, ge=1, le=MAX_BEST_OF)
    guidance: float = GenerationConfig.guidance
    temperature: float = GenerationConfig.temperature
    num: int = Field(default=1, ge=1, le=MAX_NUM)
    literal: bool = False
    after: str = ""  # id of the motion that it goes on from
    adapter: str = Field(default="", max_length=100)  # name of one of the model's LoRA adapters


def motions(server: Server, body: MotionBody) -> Job:
    """Motions by words or by a typed request; the result is ``{"motions": [...]}``."""
    config = GenerationConfig(body.seed, body.guidance, body.temperature, body.best_of, body.num, body.literal)
    if body.seconds is not None:
        check_seconds(body.seconds)
        check_length(server, body.seconds * body.num)
    starts = {"generate": _generate, "extend": _extend, "inbetween": _in_between, "edit": _edit}
    return starts[body.operation](server, body, config)


def check_length(server: Server, seconds: float, where: str = "seconds") -> None:
    """Raises Refusal (400) for more seconds of motion than one request may ask for."""
    check_seconds_of(seconds, server.settings.motion_seconds, where)


def keep(server: Server, clip: Clip, prompt: str, seed: int, read_as: Sequence[str] = (), **about: Any) -> Stored:
    """A motion into the store, counted."""
    server.metrics.motion.labels(clip.modality).inc(clip.seconds)
    return server.store.put_motion(
        clip, prompt=prompt, prompt_sha256=digest(prompt), seed=seed, read_as=list(read_as), **about
    )


def kept(
    server: Server, body: MotionBody, prompt: str, clips: Sequence[Clip], read_as: Sequence[str]
) -> dict[str, Any]:
    """The answer of a request for motions, which go into the store."""
    rows = [server.store.motion_json(keep(server, clip, prompt, body.seed, read_as, operation=body.operation))
            for clip in clips]  # fmt: skip
    return {"motions": rows}


def _generate(server: Server, body: MotionBody, config: GenerationConfig) -> Job:
    unused(body, "source", "target", "text")
    if (body.request is None) == (not body.prompt):
        raise bad("a prompt and a request; accepted: one of both" if body.prompt else "prompt: needed", "prompt")
    if body.request is None:
        check_text(body.prompt)
    request = body.request or body.prompt
    prompt = body.prompt or (body.request.text or body.request.compact if body.request else "")
    after = server.store.motion(body.after, "after") if body.after else None
    batch = Batch(replace(config, seed=0), after, server.settings.motion_seconds)
    key = (config.guidance, config.temperature, config.best_of, config.num, config.literal, body.after, body.adapter)
    group = Group(key, Item(request, body.seconds, body.seed), partial(_together, server, body, batch))

    def finish(result: tuple[list[Motion], tuple[str, ...]]) -> dict[str, Any]:
        return kept(server, body, prompt, *result)

    return server.submit("generate", group=group, finish=finish)


def _together(server: Server, body: MotionBody, batch: Batch, items: Sequence[Item], report: Report) -> list[Any]:
    return batch.generate(adapted(server, body), items, report)


def adapted(server: Server, body: MotionBody) -> Any:
    """The model with the adapter of a request. Raises Refusal (400) for a name that the model's folder does not have:
    folders of the machine are nobody's business here."""
    if not body.adapter:
        return server.model
    if body.adapter not in (names := server.model.adapters):
        raise bad(f"adapter: {body.adapter!r}; accepted: {', '.join(names) or 'none, this model has none'}", "adapter")
    return server.model.with_adapter(body.adapter)


def unused(body: MotionBody, *names: str) -> None:
    """Raises Refusal (400) for a field that the operation does not take."""
    for name in names:
        if getattr(body, name) not in ("", None):
            raise bad(f"{name}: not taken by the operation {body.operation}", name)


def needed(server: Server, body: MotionBody, name: str) -> Stored:
    """The motion that a field names. Raises Refusal."""
    if not (number := getattr(body, name)):
        raise bad(f"{name}: needed by the operation {body.operation}, the id of a motion", name)
    return server.store.motion(number, name)


def _extend(server: Server, body: MotionBody, config: GenerationConfig) -> Job:
    unused(body, "target", "after", "request")
    source = needed(server, body, "source")
    return _made(server, body, 3.0, lambda model, *how: model.extend(body_of(source, "source"), *how))


def _in_between(server: Server, body: MotionBody, config: GenerationConfig) -> Job:
    unused(body, "after", "request")
    ends = [(needed(server, body, name), name) for name in ("source", "target")]
    return _made(server, body, 1.0, lambda model, *how: model.in_between(*(body_of(*end) for end in ends), *how))


def _made(server: Server, body: MotionBody, seconds: float, make: Callable[..., Motion]) -> Job:
    """As many motions as are asked for, of a function that takes the model, seconds, text and seed."""
    text = body.text or body.prompt

    def work(report: Report) -> dict[str, Any]:
        report(0, body.num)
        model, clips = adapted(server, body), []
        for k in range(body.num):
            clips.append(make(model, body.seconds or seconds, text, body.seed + k))
            report(k + 1, body.num)
        return kept(server, body, text, clips, [text] if text else [])

    if text:
        check_text(text)
    return server.submit(body.operation, work)


def _edit(server: Server, body: MotionBody, config: GenerationConfig) -> Job:
    from avatargpt.server.session_state import edited

    unused(body, "target", "after", "request", "seconds")
    source, text = needed(server, body, "source"), body.text or body.prompt
    check_text(text)

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        clip = edited(server.model, body_of(source, "source"), source.about, text, config.seed)
        return kept(server, body, clip.caption, [clip], [clip.caption])

    return server.submit("edit", work)


def describe(server: Server, body: DescribeRequest) -> Job:
    """Sentences about a motion; the result is ``{"descriptions": [...], "notes": [...]}``."""
    entry = server.store.motion(body.motion, "motion")
    check_length(server, float(entry.about["seconds"]), "motion")

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        (answer,) = server.model.describe(**values_of(replace(body, motion=[entry.clip()])))
        sentences = [answer] if isinstance(answer, str) else list(answer)
        return {"descriptions": sentences, "notes": list(entry.about.get("notes", ()))}

    return server.submit("describe", work)


class PlanBody(Body):
    """What `/v1/plans` takes."""

    scene: str
    activities: int | None = Field(default=None, ge=1, le=20)
    seconds: float | None = Field(default=None, ge=1, le=14_400)
    planner: Literal["", "retrieval"] = ""  # empty: the server's language model where it has one
    seed: int = Field(default=0, ge=0, lt=2**32)


def plans(server: Server, body: PlanBody) -> Job:
    """A scene as activities and steps; the result is ``{"scene", "activities", "seconds", "planner", "notes"}``."""
    check_text(body.scene)

    def work(report: Report) -> dict[str, Any]:
        from avatargpt import planning

        report(0, 1)
        llm = server.llm() if not body.planner else None
        planner = planning.load_planner(body.planner, server.model, llm)
        plan = planner.plan(body.scene, body.activities, seed=body.seed, seconds=body.seconds)
        activities = []
        for activity in plan.activities:
            lengths: Sequence[float | None] = activity.seconds or [None] * len(activity.steps)
            rows = zip(activity.steps, lengths, strict=True)
            steps: list[Any] = [{"text": step, "seconds": seconds, "note": ""} for step, seconds in rows]
            activities.append({"name": activity.task, "steps": steps})
        total = sum(s for a in plan.activities for s in a.seconds) or None
        return {"scene": plan.scene, "activities": activities, "seconds": total, "planner": plan.planner,
                "notes": list(plan.notes)}  # fmt: skip

    return server.submit("plan", work)
