"""What HTTP, MCP, chat completions and sockets ask for, as plain functions that start a `Job`."""
# A function checks what it is given before any work is queued, and raises `Refusal` or `UserError`; the job's result is
# the JSON of the answer. Protocols without an event loop wait with `job.result()`.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from pydantic import ConfigDict, Field

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.generation import GenerationBatch, GenerationItem, body_alone, body_of, check_seconds_of
from avatargpt.server.results import Clip, Stored, digest
from avatargpt.server.worker import Group, Job, Report
from avatargpt.verbs.actions import ActionsRequest
from avatargpt.verbs.describe import DescribeRequest, ReadRequest, request_row, score_row
from avatargpt.verbs.generate import GenerateRequest, make_motions, read_prompts
from avatargpt.verbs.join import EditRequest, ExtendRequest, InbetweenRequest, ReconstructRequest
from avatargpt.verbs.plan import PlanRequest
from avatargpt.verbs.request import PythonOnly, Refers, fields_of, marker_of, request, resolve_sources, values_of
from avatargpt.verbs.task import TaskRequest
from instruct_data.registry import get_task
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import Strict


class Body(Strict):
    """The JSON of a request: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


WHOLE = ("motion", "start", "end")  # fields whose motions are taken with all their parts
ADAPTER = Field(default="", max_length=100, description="Name of one of the model's LoRA adapters.")


@request
class AdaptedGenerate(GenerateRequest):
    """What `/v1/motions` takes."""

    adapter: str = ADAPTER


@request
class AdaptedExtend(ExtendRequest):
    """What `/v1/extend` takes."""

    adapter: str = ADAPTER


@request
class AdaptedInbetween(InbetweenRequest):
    """What `/v1/inbetween` takes."""

    adapter: str = ADAPTER


def check_json(body: Any) -> None:
    """Raises Refusal (400) for a field that Python alone takes, or a name that is no text."""
    for name, field in fields_of(type(body)).items():
        value = getattr(body, name)
        if marker_of(field, PythonOnly) and value is not field.default:
            raise bad(f"{name}: not a field of this request", name)
        if (mark := marker_of(field, Refers)) and value is not None and not isinstance(value, str):
            raise bad(f"{name}: accepted the id of a {mark.kind}", name)


def stored_sources(server: Server, body: Any) -> dict[str, Stored]:
    """What the fields of a request name, by field.

    Raises:
        Refusal: (404) no such motion; (400) a field that Python alone takes, or a name that is no text.
    """
    check_json(body)
    found: dict[str, Stored] = {}

    def find(kind: str, value: str, name: str) -> str:
        found[name] = server.store.motion(value.partition(":")[0] if kind == "pose" else value, name)
        return value

    resolve_sources(body, find)
    return found


def with_bodies(body: Any, entries: dict[str, Stored]) -> Any:
    """The request with the bodies that it names in place of their ids."""
    from avatargpt.body.edit import frame_of
    from vqvae.io.data_files import finite_number

    def find(kind: str, value: str, name: str) -> Any:
        if name in WHOLE:
            return entries[name].clip()
        motion = body_of(entries[name], name)
        if kind != "pose":
            return motion
        try:
            second = finite_number(value.partition(":")[2]) if ":" in value else None
        except ValueError:
            raise bad(f"{name}: accepted ID or ID:SECOND", name) from None
        return frame_of(motion, second, name)

    return resolve_sources(body, find)


def generate(server: Server, body: AdaptedGenerate) -> Job:
    """Motions by words or by a typed request; the result is ``{"motions": [...]}``."""
    entries = stored_sources(server, body)
    if isinstance(body.seconds, list):
        raise bad("seconds: accepted one number", "seconds")
    if (body.request is None) == (not body.prompt):
        raise bad("a prompt and a request; accepted: one of both" if body.prompt else "prompt: needed", "prompt")
    if body.request is None:
        check_text(body.prompt)
    body.check()
    if body.seconds is not None:
        check_length(server, body.seconds * body.num)
    prompt = body.prompt or (body.request.text or body.request.compact if body.request else "")
    alone = body.kind == "avatar" or body.controls or body.strict or body.fps or {*entries} - {"after"}
    if alone:
        return server.submit("generate", partial(_generate, server, body, entries, prompt))
    after = entries.get("after")
    batch = GenerationBatch(replace(body.config, seed=0), after, server.settings.motion_seconds)
    key = (batch.config, body.after, body.adapter)
    item = GenerationItem(body.request or body.prompt, body.seconds, body.seed)

    def together(items: Sequence[GenerationItem], report: Report) -> list[Any]:
        return batch.generate(load_adapted(server, body.adapter), items, report)

    def finish(result: tuple[list[Motion], tuple[str, ...]]) -> dict[str, Any]:
        return keep_motions(server, "generate", prompt, body.seed, *result)

    return server.submit("generate", group=Group(key, item, together), finish=finish)


def _generate(
    server: Server, body: AdaptedGenerate, entries: dict[str, Stored], prompt: str, report: Report
) -> dict[str, Any]:
    """A request that is not made together with others."""
    model, asked = load_adapted(server, body.adapter), with_bodies(body, entries)
    reading = read_prompts(model, asked)
    (request_read,) = reading.requests
    (length,) = model.expected_seconds([request_read], [body.seconds])
    check_seconds_of(length * body.num, server.settings.motion_seconds, "seconds")
    clips = [made.motion for made in make_motions(model, asked, reading, report)]
    return keep_motions(server, "generate", prompt, body.seed, clips, request_read.captions)


def load_adapted(server: Server, name: str) -> Any:
    """The model with the adapter of a request. Raises Refusal (400) for a name that the model's folder does not have:
    folders of the machine are nobody's business here."""
    if not name:
        return server.model
    if name not in (names := server.model.adapters):
        raise bad(f"adapter: {name!r}; accepted: {', '.join(names) or 'none, this model has none'}", "adapter")
    return server.model.with_adapter(name)


def extend(server: Server, body: AdaptedExtend) -> Job:
    """A motion that goes on; the result is ``{"motions": [Motion]}``."""
    return _joined(server, body, "extend", ("motion",), lambda model: model.extend)


def in_between(server: Server, body: AdaptedInbetween) -> Job:
    """Two motions with a new one between them; the result is ``{"motions": [Motion]}``."""
    return _joined(server, body, "inbetween", ("start", "end"), lambda model: model.in_between)


def _joined(
    server: Server, body: Any, operation: str, needed: Sequence[str], method: Callable[[Any], Callable[..., Clip]]
) -> Job:
    """One motion of the method of the model that takes the request."""
    check_needed(body, needed)
    entries = stored_sources(server, body)
    if body.text:
        check_text(body.text)
    check_length(server, body.seconds)

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        asked = replace(with_bodies(body, entries), adapter="")
        clip = method(load_adapted(server, body.adapter))(**values_of(asked))
        return keep_motions(server, operation, body.text, body.seed, [clip], [body.text] if body.text else [])

    return server.submit(operation, work)


def check_needed(body: Any, names: Sequence[str]) -> None:
    """Raises Refusal (400) for a field that is empty."""
    for name in names:
        if not getattr(body, name):
            raise bad(f"{name}: needed, the id of a motion", name)


def edit(server: Server, body: EditRequest) -> Job:
    """A motion, changed by words; the result is ``{"motions": [Motion]}``."""
    from avatargpt.server.session_state import edit_motion

    check_needed(body, ("motion",))
    source = stored_sources(server, body)["motion"]
    check_text(body.text)

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        motion = body_alone(source, "motion")
        clip = edit_motion(server.model, motion, source.about, body.text, body.seed, server.intent)
        return keep_motions(server, "edit", clip.caption, body.seed, [clip], [clip.caption])

    return server.submit("edit", work)


def check_length(server: Server, seconds: float, where: str = "seconds") -> None:
    """Raises Refusal (400) for more seconds of motion than one request may ask for."""
    check_seconds_of(seconds, server.settings.motion_seconds, where)


def keep(server: Server, clip: Clip, prompt: str, seed: int, read_as: Sequence[str] = (), **about: Any) -> Stored:
    """A motion into the store, counted."""
    server.metrics.motion.labels(clip.modality).inc(clip.seconds)
    return server.store.put_motion(
        clip, prompt=prompt, prompt_sha256=digest(prompt), seed=seed, read_as=list(read_as), **about
    )


def keep_motions(
    server: Server, operation: str, prompt: str, seed: int, clips: Sequence[Clip], read_as: Sequence[str]
) -> dict[str, Any]:
    """The answer of a request for motions, which go into the store."""
    rows = [keep(server, clip, prompt, seed, read_as, operation=operation) for clip in clips]
    return {"motions": [server.store.motion_json(row) for row in rows]}


def find_motion(server: Server, body: Any) -> Stored:
    """The motion of a request about one. Raises Refusal for none, an unknown id, and one that is too long."""
    check_needed(body, ("motion",))
    entry = stored_sources(server, body)["motion"]
    check_length(server, float(entry.about["seconds"]), "motion")
    return entry


def describe(server: Server, body: DescribeRequest) -> Job:
    """Sentences about a motion; the result is ``{"descriptions": [...], "notes": [...]}``."""
    entry = find_motion(server, body)

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        (answer,) = server.model.describe(**values_of(replace(body, motion=[entry.clip()])))
        sentences = [answer] if isinstance(answer, str) else list(answer)
        return {"descriptions": sentences, "notes": list(entry.about.get("notes", ()))}

    return server.submit("describe", work)


def run_task(server: Server, body: TaskRequest) -> Job:
    """A task of the registry; the result is ``{"answers": [...]}``, or ``{"motions": [Motion]}``.

    A motion slot takes the id of a motion.
    """
    try:
        task = get_task(body.task)
    except UserError as e:
        raise bad(str(e), "task") from None
    filled = dict(body.slots)
    for slot in task.of_kind("motion"):
        if slot.name in filled:
            if not isinstance(number := filled[slot.name], str):
                raise bad(f"slots.{slot.name}: {str(number)[:40]}; accepted the id of a motion", f"slots.{slot.name}")
            entry = server.store.motion(number, f"slots.{slot.name}")
            check_length(server, float(entry.about["seconds"]), slot.name)
            filled[slot.name] = entry.clip()
    prompt = "; ".join(f"{name}: {value}" for name, value in body.slots.items())
    check_text(f"{task.name}: {prompt}")

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        try:
            made = server.model.run_task(**values_of(replace(body, slots=filled)))
        except UserError as e:
            raise bad(str(e), "seconds" if str(e).startswith("seconds: ") else "slots") from None
        return {"answers": made} if task.output == "text" else keep_motions(server, "task", prompt, body.seed, made, [])

    return server.submit("task", work)


def reconstruct(server: Server, body: ReconstructRequest) -> Job:
    """A motion through its tokens and back; the result is ``{"motions": [Motion], "figures": {...}}``."""
    entry = find_motion(server, body)

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        clip, figures = server.model.reconstruct(body_alone(entry, "motion"))
        return {**keep_motions(server, "reconstruct", clip.caption, 0, [clip], []), "figures": figures}

    return server.submit("reconstruct", work)


def read(server: Server, body: ReadRequest) -> Job:
    """What a text asks for; the result is ``{"request": {...}}``, of a face ``{"score": {...}}``."""
    check_text(body.text)

    def work(report: Report) -> dict[str, Any]:
        report(0, 1)
        found = server.model.read(**values_of(body))
        return {"score": score_row(found)} if body.face else {"request": request_row(found)}

    return server.submit("read", work)


def actions(server: Server, body: ActionsRequest) -> Job:
    """Actions that the model knows; the result is ``{"actions": [...]}``."""
    return server.submit("actions", lambda _: {"actions": [asdict(a) for a in server.model.actions(**values_of(body))]})


def plan(server: Server, body: PlanRequest) -> Job:
    """A scene as activities and steps; the result is ``{"scene", "activities", "seconds", "planner", "notes"}``."""
    check_text(body.scene)
    check_planner(body.planner)

    def work(report: Report) -> dict[str, Any]:
        from avatargpt import planning

        report(0, 1)
        planner = planning.load_planner(body.planner or "", server.model, None if body.planner else server.llm)
        made = planner.plan(body.scene, body.activities, body.temperature, body.seed, body.seconds)
        activities = []
        for activity in made.activities:
            lengths: Sequence[float | None] = activity.seconds or [None] * len(activity.steps)
            rows = zip(activity.steps, lengths, strict=True)
            steps: list[Any] = [{"text": step, "seconds": seconds, "note": ""} for step, seconds in rows]
            activities.append({"name": activity.task, "steps": steps, "reason": activity.reason})
        total = sum(s for a in made.activities for s in a.seconds) or None
        return {"scene": made.scene, "activities": activities, "seconds": total, "planner": made.planner,
                "notes": list(made.notes)}  # fmt: skip

    return server.submit("plan", work)


def check_planner(planner: Any) -> None:
    """Raises Refusal (400) for a planner that a client may not choose: addresses are the operator's."""
    if planner not in (None, "", "retrieval"):
        raise bad(f"planner: {str(planner)[:40]!r}; accepted: retrieval, or left out", "planner")
