"""``avatargpt plan``: a scene to activities and steps, and the other directions of planning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, option, print_json, progress, say, tracked, warn
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning import Plan, Planner


def plan(
    scene: Annotated[str | None, argument("SCENE", "A situation in a sentence or two; @FILE: one per line.")] = None,
    activities: Annotated[int | None, option("--activities N", "How many; default 3.")] = None,
    temperature: Annotated[float, option("--temperature T", "Variety.")] = 0.7,
    seed: common.Seed = 0,
    planner: Annotated[str | None, option("--planner NAME", "retrieval, endpoint, or https://...")] = None,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    task: Annotated[str | None, option("--task NAME", "Another direction, e.g. activity_to_steps.")] = None,
    scene_slot: Annotated[str | None, option("--scene TEXT", "With --task: a scene.")] = None,
    activity: Annotated[str | None, option("--activity TEXT", "With --task: an activity.")] = None,
    steps: Annotated[
        list[str] | None, option("--steps TEXT", "With --task: steps; semicolons or repeated.")
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
    llm_helper = common.language_model(llm, llm_limits, device, threads)
    texts = {"scene": scene_slot, "activity": activity, "steps": "; ".join(steps) if steps else None}
    slots = {k: v for k, v in texts.items() if v is not None}
    count = 3 if activities is None else activities
    if task is None:
        scenes, batch = _scenes(scene, slots, count)
    else:
        if activities is not None:
            raise UserError("--activities goes with a SCENE; --task gives one answer")
        if scene is not None:
            if scene_slot is not None:
                raise UserError("SCENE and --scene: accepted one of them")
            slots["scene"] = scene
        slots = check_slots(task, slots)
    loaded = common.load_model(model, device, threads, quiet, dtype)
    chosen = planning.load_planner(planner, loaded, llm_helper, warn)
    if task is not None:
        with progress("planning", quiet):
            answer = chosen.answer(task, slots, temperature, seed)
        _print_answer(task, slots, answer, chosen, as_json)
        return
    plans = [chosen.plan(text, count, temperature, seed) for text in tracked(scenes, len(scenes), "planning", quiet)]
    if as_json:
        print_json({"results": [p.to_json() for p in plans]} if batch else plans[0].to_json())
        return
    say("\n\n".join(_lines(p) for p in plans))


def _scenes(scene: str | None, slots: dict[str, str], activities: int) -> tuple[list[str], bool]:
    """The scenes to plan, checked before a model is loaded, and whether they came from a file."""
    from avatargpt.planning.types import check_plan

    if slots:
        raise UserError(f"--{next(iter(slots))} goes with --task; accepted: SCENE, or --task NAME with its texts")
    if scene is None:
        raise UserError("SCENE is missing; accepted a sentence or two, @FILE with one per line, or --task NAME")
    texts, batch = common.read_texts(scene)
    for n, text in enumerate(texts, 1):
        try:
            check_plan(text, activities)
        except UserError as e:
            raise UserError(f"{scene[1:]}, scene {n}: {e}" if batch else str(e)) from None
    return texts, batch


def _lines(plan: Plan) -> str:
    """A plan as numbered lines, then the planner and its notes."""
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
        print_json(facts | ({"notes": notes} if notes else {}))
        return
    for k, line in enumerate(answer, 1):
        say(f"{k}. {line}" if task in STEP_TASKS else line)
    say(f"planner: {planner.name}")
    for note in notes:
        say(f"note: {note}")
