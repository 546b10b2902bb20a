"""``avatargpt plan`` and ``long``: a scene to activities and steps, and to motion of any length."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from avatargpt.cli import common
from avatargpt.cli.common import Progress, argument, option, print_json, progress, say, takes, warn
from vqvae.errors import UserError
from vqvae.io.files import parsing

if TYPE_CHECKING:
    from avatargpt.long.stream import LongWriter
    from avatargpt.planning import Plan
    from avatargpt.planning.types import Activity


@takes("plan")
def plan(
    *,
    asked: dict[str, Any],
    scene: Annotated[str | None, argument("SCENE", "A situation in a sentence or two; @FILE: one per line.")] = None,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    task: Annotated[str | None, option("--task NAME", "Another direction, e.g. activity_to_steps.")] = None,
    scene_slot: Annotated[str | None, option("--scene TEXT", "With --task: a scene.")] = None,
    activity: Annotated[str | None, option("--activity TEXT", "With --task: an activity.")] = None,
    steps: Annotated[list[str] | None, option("--steps TEXT", "With --task: steps; semicolons or repeated.")] = None,
    setup: common.Setup,
) -> None:
    """A scene to activities and their steps.

    With --task any other direction: `--task steps_to_activity --steps "he kneels; he digs with both hands"`.
    """
    from avatargpt import planning
    from avatargpt.planning.types import check_slots
    from avatargpt.verbs.plan import PlanRequest
    from avatargpt.verbs.request import make_request
    from instruct_data.planning import STEP_TASKS

    how = make_request(PlanRequest, scene or "", **asked)
    planning.check_spec(how.planner)
    llm_helper = setup.load_llm(llm, llm_limits)
    texts = {"scene": scene_slot, "activity": activity, "steps": "; ".join(steps) if steps else None}
    slots = {k: v for k, v in texts.items() if v is not None}
    if task is None:
        scenes, batch = _scenes(scene, slots, how.activities, how.seconds)
    else:
        for name, value in (("activities", how.activities), ("seconds", how.seconds)):
            if value is not None:
                raise UserError(f"--{name} goes with a SCENE; --task gives one answer")
        if scene is not None:
            if scene_slot is not None:
                raise UserError("SCENE and --scene: accepted one of them")
            slots["scene"] = scene
        slots = check_slots(task, slots)
    loaded = setup.load()
    chosen = planning.load_planner(how.planner, loaded, llm_helper, warn)
    if task is not None:
        with progress("planning", setup.quiet):
            answer = chosen.answer(task, slots, how.temperature, how.seed)
        notes = list(getattr(chosen, "notes", ()))
        if setup.as_json:
            facts: dict[str, Any] = {"task": task, "slots": slots, "answer": answer, "planner": chosen.name}
            print_json(facts | ({"notes": notes} if notes else {}))
            return
        for k, line in enumerate(answer, 1):
            say(f"{k}. {line}" if task in STEP_TASKS else line)
        say("\n".join([f"planner: {chosen.name}", *(f"note: {line}" for line in notes)]))
        return
    scenes_tracked = common.show_progress(scenes, len(scenes), "planning", setup.quiet)
    plans = [chosen.plan(text, how.activities, how.temperature, how.seed, how.seconds) for text in scenes_tracked]
    if setup.as_json:
        print_json({"results": [p.to_json() for p in plans]} if batch else plans[0].to_json())
        return
    say("\n\n".join(_lines(p) for p in plans))


def _scenes(
    scene: str | None, slots: dict[str, str], activities: int | None, seconds: float | None
) -> tuple[list[str], bool]:
    """The scenes to plan, checked before a model is loaded, and whether they came from a file."""
    from avatargpt.planning.types import check_plan

    if slots:
        raise UserError(f"--{next(iter(slots))} goes with --task; accepted: SCENE, or --task NAME with its texts")
    if scene is None:
        raise UserError("SCENE is missing; accepted a sentence or two, @FILE with one per line, or --task NAME")
    texts, batch = common.read_texts(scene)
    for n, text in enumerate(texts, 1):
        try:
            check_plan(text, activities, seconds)
        except UserError as e:
            raise UserError(f"{scene[1:]}, scene {n}: {e}" if batch else str(e)) from None
    return texts, batch


def _lines(plan: Plan) -> str:
    """A plan as numbered lines, then the planner and its notes."""
    lines = [plan.scene]
    for i, activity in enumerate(plan.activities, 1):
        lines.append(f"{i}. {activity.task}" + (f" (for: {activity.reason})" if activity.reason else ""))
        times = [f" ({s:.1f} s)" for s in activity.seconds] or [""] * len(activity.steps)
        lines += [f"   {k}. {step}{time}" for k, (step, time) in enumerate(zip(activity.steps, times, strict=True), 1)]
    lines.append(f"planner: {plan.planner}")
    return "\n".join([*lines, *(f"note: {n}" for n in plan.notes)])


@takes("long")
def long(
    output: common.Outputs,
    *,
    asked: dict[str, Any],
    scene: Annotated[str | None, argument("SCENE", "What it is about, in one sentence.")] = None,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    activities: Annotated[
        Path | None, option("--activities FILE", "A plan (JSON of `avatargpt plan`) to be acted out first.")
    ] = None,
    worn: common.Worn,
    join: Annotated[bool, option("--join", "Make the files of a run that was killed; needs no SCENE.")] = False,
    setup: common.Setup,
) -> None:
    """Motion of any length from one sentence: plan, act, describe, plan again.

    Parts are written while it runs; interrupted (Ctrl-C), it writes what there is. A timeline lies beside the motion.
    """
    target = _target(output, worn.character)
    on = worn.options("body")
    if join:
        if scene is not None:
            raise UserError("--join takes no SCENE; it makes files of the parts beside -o")
        _finish(output, target, setup.as_json, {}, on)
        return
    if scene is None:
        raise UserError('SCENE: missing; accepted a sentence, e.g. avatargpt long "a boy plays in the snow" -o o.npz')
    if scene.startswith("@"):
        raise UserError("SCENE: accepted one sentence, not a file; run the command once for each line")
    from avatargpt import planning
    from avatargpt.long import loop
    from avatargpt.long.stream import LongWriter
    from avatargpt.planning.types import check_plan
    from avatargpt.verbs.plan import LongRequest
    from avatargpt.verbs.plan import long as make_long
    from avatargpt.verbs.request import make_request

    scene = common.read_texts("".join(c if c.isprintable() else " " for c in scene))[0][0]
    check_plan(scene, 1)
    request = make_request(LongRequest, scene, activities=_activities(activities), **asked)
    seconds = request.seconds
    loop.check_long(scene, seconds, request.radius)
    planning.check_spec(request.planner)
    llm_helper = setup.load_llm(llm, llm_limits)
    head = {"scene": scene, "fps": 20.0, "seed": request.seed, "radius": request.radius, "planner": ""}
    writer = LongWriter(target, head)
    interrupted = False
    try:
        loaded = setup.load()
        plans = planning.load_planner(request.planner, loaded, llm_helper, warn)
        writer.update_head(planner=plans.name)
        began = time.perf_counter()
        with progress("living on", setup.quiet) as advance:
            chunks = make_long(loaded, replace(request, planner=plans))
            interrupted = _write(chunks, writer, round(seconds * 20), advance)
    except BaseException as e:
        writer.abandon()
        if isinstance(e, UserError) and writer.shards:
            raise UserError(f"{e}; {_join_command(output, on)} makes a file of what was made before") from None
        if isinstance(e, KeyboardInterrupt) and writer.shards:
            _stop_for_good(output, on)
        raise
    if writer.frames == 0:
        writer.abandon()
        say("error: interrupted before anything was made", err=True)
        raise typer.Exit(130)
    took = time.perf_counter() - began
    try:
        _finish(output, target, setup.as_json, {"ratio_to_real_time": round(writer.frames / 20 / took, 2)}, on)
    except KeyboardInterrupt:
        # without the folder of parts the motion is complete, and another format takes the time
        if not writer.folder.exists():
            say(f"error: interrupted; {target} is whole, `avatargpt export` makes other formats of it", err=True)
            raise typer.Exit(130) from None
        _stop_for_good(output, on)
    finally:
        writer.close()
    if interrupted:
        say(f"interrupted: {writer.frames / 20:.1f} s of {seconds:g} s were made", err=True)
        raise typer.Exit(130)


def _join_command(output: list[Path], on: dict[str, Any]) -> str:
    """The command that makes files of the parts."""
    options = [*(f"-o {path}" for path in output), *(f"--{name} {value}" for name, value in on.items())]
    return f"`avatargpt long --join {' '.join(options)}`"


def _stop_for_good(output: list[Path], on: dict[str, Any]) -> NoReturn:
    """End for good at a further Ctrl-C; the parts stay."""
    say(f"error: interrupted; {_join_command(output, on)} makes a file of what was made", err=True)
    raise typer.Exit(130)


def _write(chunks: Any, writer: LongWriter, frames: int, advance: Progress | None) -> bool:
    """Write chunks as they come; True when interrupted from the keyboard."""
    try:
        for chunk in chunks:
            writer.add(chunk.frames, chunk.spans)
            if advance:
                advance(writer.frames, frames)
    except KeyboardInterrupt:
        if writer.frames:
            say("interrupted: what there is is being written; Ctrl-C again leaves that to --join", err=True)
        writer.flush()
        return True
    except UserError:
        with suppress(UserError):
            writer.flush()
        raise
    writer.flush()
    return False


def _target(output: list[Path], character: Path | None) -> Path:
    """The .npz that the parts are named after: the one asked for, or what it would be called."""
    common.check_targets(output, False, "body", character=character)
    stems = {p.with_suffix("") for p in output}
    if len(stems) > 1:
        raise UserError(f"-o {output[-1]}: accepted several formats of one name, e.g. -o life.npz -o life.glb")
    return next((p for p in output if p.suffix.lower() == ".npz"), output[0].with_suffix(".npz"))


def _finish(output: list[Path], target: Path, as_json: bool, details: dict[str, Any], on: dict[str, Any]) -> None:
    """Join the parts, export the other formats, print the files."""
    from avatargpt import export
    from avatargpt.long.stream import join, lock_parts, parts_folder, remove_parts, timeline_file

    exports = [p for p in output if p.suffix.lower() != ".npz"]
    # an .npz that is no output stays among the parts: a file of this name may be the user's
    hidden = parts_folder(target) / "whole.npz" if len(exports) == len(output) else None
    with lock_parts(target):
        run = join(target, hidden, common.note)
        if exports:
            motion = export.load(hidden or target)
            for path in exports:
                export.save(motion, path, **on)
        if hidden:
            remove_parts(target)
    files = [str(p) for p in output]
    steps = [step for activity in run["activities"] for step in activity["steps"]]
    notes = [f"{s['start'] / run['fps']:.1f} s, {s['text']!r}: {s['note']}" for s in steps if s.get("note")]
    for line in notes:
        common.note(line)
    details |= {"notes": notes} if notes else {}
    if as_json:
        row = {"text": run["scene"], "seconds": round(run["frames"] / run["fps"], 3), "frames": run["frames"],
               "fps": run["fps"], "files": files}  # fmt: skip
        source = {"timeline": str(timeline_file(target)), "planner": run.get("planner", "")}
        print_json({"results": [row], **source, "activities": len(run["activities"]), **details})
        return
    for name in (*files, str(timeline_file(target))):
        say(name)


def _activities(path: Path | None) -> list[Activity]:
    """The activities of a plan as ``avatargpt plan --json`` prints it."""
    if path is None:
        return []
    from avatargpt.planning.types import MAX_ACTIVITIES, MAX_STEPS, Activity
    from avatargpt.requests.english import check_words
    from vqvae.io.data_files import read_object

    accepted = '{"activities": [{"task": "...", "steps": ["...", ...]}, ...]}'
    data = read_object(path, accepted=f"accepted {accepted}")
    with parsing(f"--activities {path}", "a plan", f"accepted {accepted}"):
        rows = data["activities"]
        plan = [Activity.from_json(row) for row in rows]
    if not plan or not all(a.task and a.steps for a in plan):
        raise UserError(f"--activities {path}: a plan without steps; accepted {accepted}")
    if len(plan) > MAX_ACTIVITIES or max(len(a.steps) for a in plan) > MAX_STEPS:
        raise UserError(f"--activities {path}: accepted {MAX_ACTIVITIES} activities with {MAX_STEPS} steps each")
    try:
        for text in (t for a in plan for t in (a.task, *a.steps)):
            check_words(text, "a step or task")
    except UserError as e:
        raise UserError(f"--activities {path}: {e}") from None
    return plan
