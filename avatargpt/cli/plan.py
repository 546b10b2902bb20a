"""``avatargpt plan``: a scene to activities and steps, and the other directions of planning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say, warn
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning import Plan, Planner


def plan(
    scene: Annotated[
        str | None, typer.Argument(metavar="SCENE", help="A situation in a sentence or two; @FILE gives one per line.")
    ] = None,
    activities: Annotated[int | None, typer.Option("--activities", metavar="N", help="How many; default 3.")] = None,
    temperature: Annotated[float, typer.Option("--temperature", metavar="T", help="Variety.")] = 0.7,
    seed: common.Seed = 0,
    planner: Annotated[
        str | None,
        typer.Option("--planner", metavar="NAME", help="retrieval, endpoint, or https://..."),
    ] = None,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Another direction, e.g. activity_to_steps.")
    ] = None,
    scene_slot: Annotated[str | None, typer.Option("--scene", metavar="TEXT", help="With --task: a scene.")] = None,
    activity: Annotated[
        str | None, typer.Option("--activity", metavar="TEXT", help="With --task: an activity.")
    ] = None,
    steps: Annotated[
        list[str] | None, typer.Option("--steps", metavar="TEXT", help="With --task: steps; semicolons or repeated.")
    ] = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """A scene to activities and their steps.

    With --task any other direction: `--task steps_to_activity --steps "he kneels; he digs with both hands"`.
    """
    from avatargpt import planning
    from avatargpt.planning.types import check_slots

    common.check_range("--temperature", temperature, 0, 2)
    planning.check_spec(planner)
    asked_llm = common.language_model(llm, llm_limits, device, threads)
    slots = {"scene": scene_slot, "activity": activity, "steps": "; ".join(steps) if steps else None}
    given = {k: v for k, v in slots.items() if v is not None}
    if task is None:
        scenes, batch = _scenes(scene, given, 3 if activities is None else activities)
    else:
        if activities is not None:
            raise UserError("--activities goes with a SCENE; --task gives one answer")
        if scene is not None:
            if scene_slot is not None:
                raise UserError("SCENE and --scene: accepted one of them")
            given["scene"] = scene
        asked = check_slots(task, given)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    found = planning.load_planner(planner, loaded, asked_llm, warn)
    if task is not None:
        with common.progress("planning", quiet):
            answer = found.answer(task, asked, temperature, seed)
        _print_answer(task, asked, answer, found, as_json)
        return
    plans: list[Plan] = []
    with common.progress("planning", quiet) as advance:
        for text in scenes:
            plans.append(found.plan(text, 3 if activities is None else activities, temperature, seed))
            if advance:
                advance(len(plans), len(scenes))
    if as_json:
        common.print_json({"results": [p.to_json() for p in plans]} if batch else plans[0].to_json())
        return
    say("\n\n".join(_told(p) for p in plans))


def _scenes(scene: str | None, given: dict[str, str], activities: int) -> tuple[list[str], bool]:
    """The scenes to plan and whether they came from a file; nobody waits for a model to learn of a mistake."""
    from avatargpt.planning.types import check_plan

    if given:
        raise UserError(f"--{next(iter(given))} goes with --task; accepted: SCENE, or --task NAME with its texts")
    if scene is None:
        raise UserError("SCENE is missing; accepted a sentence or two, @FILE with one per line, or --task NAME")
    texts, batch = common.read_texts(scene)
    for n, text in enumerate(texts, 1):
        try:
            check_plan(text, activities)
        except UserError as e:
            raise UserError(f"{scene[1:]}, scene {n}: {e}" if batch else str(e)) from None
    return texts, batch


def _told(plan: Plan) -> str:
    """A plan as numbered lines, then who planned and what was changed."""
    lines = [plan.scene]
    for i, activity in enumerate(plan.activities, 1):
        lines.append(f"{i}. {activity.task}")
        lines += [f"   {k}. {step}" for k, step in enumerate(activity.steps, 1)]
    lines.append(f"planner: {plan.planner}")
    return "\n".join([*lines, *(f"note: {n}" for n in plan.notes)])


def _print_answer(task: str, slots: dict[str, str], answer: list[str], planner: Planner, as_json: bool) -> None:
    from instruct_data.planning import STEP_TASKS

    notes = list(getattr(planner, "notes", ()))
    if as_json:
        facts: dict[str, Any] = {"task": task, "slots": slots, "answer": answer, "planner": planner.name}
        common.print_json(facts | ({"notes": notes} if notes else {}))
        return
    for k, line in enumerate(answer, 1):
        say(f"{k}. {line}" if task in STEP_TASKS else line)
    say(f"planner: {planner.name}")
    for note in notes:
        say(f"note: {note}")
