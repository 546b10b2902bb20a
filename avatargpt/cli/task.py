"""``avatargpt task``: any task of the registry by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import Output, argument, option, takes
from vqvae.errors import UserError


@takes("task")
def task(
    name: Annotated[str, argument("NAME", "A task: see `info`, or one of --tasks.")],
    *,
    asked: dict[str, Any],
    slots: Annotated[list[str] | None, argument("SLOT=VALUE...", "What goes in; of a motion slot a file.")] = None,
    output: common.AnyOutputs = None,
    tasks: Annotated[Path | None, option("--tasks DIR", "Folder of tasks of your own, a .yaml each.")] = None,
    setup: common.Setup,
) -> None:
    """The answer of the network to a task, without what other commands do before and after it.

    Prints a sentence a line, or writes motion. A task is a YAML file (docs/data.md).
    """
    from avatargpt.verbs.request import make_request, values_of
    from avatargpt.verbs.task import TaskRequest
    from instruct_data.registry import MODEL_TASKS, add_folder, get_task

    for folder in (tasks, None if setup.model is None else setup.model / MODEL_TASKS):
        if folder is not None and (folder == tasks or folder.is_dir()):
            add_folder(folder)
    chosen = get_task(name)
    kinds = {s.name: s.kind for s in chosen.inputs}
    given = {}
    for part in slots or []:
        slot, sign, value = part.partition("=")
        if not sign or slot in given:
            raise UserError(f"{part[:40]}: accepted SLOT=VALUE, each slot once")
        given[slot] = _read_slot(kinds.get(slot, "text"), slot, value)
    request = make_request(TaskRequest, name, given, **asked)
    paths = output or []
    if chosen.output == "text" and paths:
        raise UserError(f"{paths[0]}: task {name} answers in words; accepted without -o")
    if chosen.output != "text":
        if not paths:
            raise UserError(f"task {name} answers with motion; name a file with -o")
        out = Output.check(paths, chosen.output, setup, many=request.num > 1, count=request.num)
    loaded = setup.load()
    with common.progress("answering", setup.quiet):
        answers = loaded.run_task(**values_of(request))
    if chosen.output != "text":
        out.finish(answers)
    elif setup.as_json:
        common.print_json({"answers": answers})
    else:
        for line in answers:
            common.say(line)


def _read_slot(kind: str, name: str, value: str) -> Any:
    """The value of a slot of a kind; attributes are JSON, motions stay files."""
    from vqvae.io.data_files import finite_number, parse_json

    if kind in ("number", "seconds"):
        try:
            return finite_number(value)
        except ValueError:
            raise UserError(f"{name}: {value[:40]!r}; accepted a number") from None
    return parse_json(value, name) if kind == "attributes" else value
