"""`run_task`: any task of the registry, also one that a YAML file has added, by its name and its slots."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from avatargpt.export.formats import with_article
from avatargpt.options import MIN_SECONDS, UnheededText, check_number, mix
from avatargpt.verbs.request import NUMBER, SEED, Count, Flag, Seconds, Seed, request
from avatargpt.verbs.sources import load_source
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.loaded import LoadedModel
    from avatargpt.verbs.model import Model
    from instruct_data.registry import Slot, Task

MAX_WORDS = 128  # word pieces of an answer
DEFAULT_SECONDS = 4.0
DRAWN = 0.7  # temperature of several answers in words, where the task itself has 0


@request
class TaskRequest:
    """A task of the registry."""

    task: str = Field(description="Its name: one that `info` lists with its slots, or of a file of your own.")
    slots: dict[str, Any] = Field(
        description="What goes in, by the names of the task: words, numbers, attributes, motions.",
        default_factory=dict,
    )
    num: Annotated[Count, Flag("-n --num K")] = Field(default=1, le=32, description="Answers; several are drawn.")
    seconds: Annotated[Seconds, Flag("--seconds S")] | None = Field(
        default=None, description="Of an answer that is a motion: how long; usually 4."
    )
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False), NUMBER, Flag("--temperature X")] | None = (
        Field(default=None, description="Of the draw; 0: the likeliest. Usually that of the task.")
    )
    seed: Annotated[Seed, Flag("--seed N")] = SEED


def run_task(model: Model, asked: TaskRequest) -> list[Any]:
    """Answers of the network to a task as it stands in its file, without what the verbs do before and after it.

    A motion slot takes a `Motion`, `FaceMotion` or a file of one, an ``attributes`` slot a mapping.

    Returns:
        `num` answers: sentences, or motions of the task's modality.

    Raises:
        UserError: an unknown task or slot, a needed slot that is empty, a modality that the model has no tokens for.
    """
    from avatargpt.lm.loaded import CHUNK, CONTEXT
    from instruct_data.registry import MODEL_TASKS, added_tasks, get_task

    task = get_task(asked.task)
    loaded, slots = _network(model, task), dict(asked.slots)
    temperature = task.decoding.temperature if asked.temperature is None else asked.temperature
    lengths = [s.name for s in task.of_kind("seconds")]
    if task.output != "text":
        tokenizer = loaded.tokenizer(task.output)
        said = next((slots[name] for name in lengths if slots.get(name) is not None), None)
        seconds = next(x for x in (said, asked.seconds, DEFAULT_SECONDS) if x is not None)
        check_number("seconds", seconds, (MIN_SECONDS, (CHUNK + CONTEXT) / tokenizer.tokens_per_second))
        if lengths:
            slots[lengths[0]] = seconds
    elif asked.seconds is not None:
        raise UserError(f"seconds: task {task.name} answers in words; accepted with tasks that answer with motion")
    if asked.task in added_tasks() and not (Path(loaded.source) / MODEL_TASKS / f"{asked.task}.yaml").is_file():
        note = f"task {asked.task}: none of this model's; it answers what it has not learnt (train language --tasks)"
        warnings.warn(note, UnheededText, stacklevel=3)
    prompt = task.render({name: _fill(loaded, task.slots.get(name), value) for name, value in slots.items()})
    if task.output == "text":
        if asked.num > 1 and not temperature:
            temperature = DRAWN
        seeds = [mix(asked.seed, j) for j in range(asked.num)]
        drawn: dict[str, Any] = {"samples": asked.num, "temperature": temperature, "top_p": 0.9} if temperature else {}
        decoded = loaded.generator.decode(
            loaded.encode([prompt]), "text", max_tokens=MAX_WORDS, no_repeat=4, min_tokens=1, seed=seeds, **drawn
        )
        return loaded.read_sentences(decoded)
    count = max(1, round(seconds * tokenizer.tokens_per_second))
    (codes,) = loaded.sample(
        [prompt], [count], [asked.seed], asked.num, task.decoding.guidance, temperature, task.decoding.top_k
    )
    caption = next((v for v in slots.values() if isinstance(v, str)), "")
    return [tokenizer.decode(c, caption) for c in codes]


def _network(model: Model, task: Task) -> LoadedModel:
    """The network that has the tokens of all modalities of a task."""
    needed = {task.output, *(s.modality for s in task.inputs)} - {"text", ""}
    for loaded in (model.loaded, model.facial) if needed else (model.loaded,):
        if needed <= set(loaded.tokenizers):
            return loaded
    known = ", ".join(sorted({*model.loaded.tokenizers, *model.facial.tokenizers}))
    raise UserError(f"task {task.name}: needs tokens of {', '.join(sorted(needed))}; this model has {known}")


def _fill(loaded: LoadedModel, slot: Slot | None, value: Any) -> Any:
    """The value of a slot as a prompt takes it: motions as codes. Raises UserError for one of another kind."""
    if slot is None or value is None or isinstance(value, np.ndarray):
        return value
    if slot.kind == "text" and not isinstance(value, str):
        raise UserError(f"{slot.name}: {str(value)[:40]}; accepted a text")
    if slot.kind != "motion":
        return value
    motion = load_source("motion", str(value), slot.name) if isinstance(value, str | os.PathLike) else value
    if (found := getattr(motion, "modality", "")) != slot.modality:
        what = with_article(found) if found else str(value)[:40]
        raise UserError(f"{slot.name}: {what}; accepted {with_article(slot.modality)}")
    return loaded.tokenizer(slot.modality).encode(motion)
