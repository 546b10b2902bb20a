"""The task registry (one YAML file per task, ours and any folder of the user's), and the prompts that tasks render."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from instruct_data import attributes
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.io.files import real_path
from vqvae.strict import Strict

# Prompts: segments of words and of motion codes.
INSTRUCTION, INPUT, RESPONSE = "[Instruction]", "[Input]", "[Response]"
SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class TextSegment:
    """Words of a prompt.

    Attributes:
        text: the words.
        ground: True for what the user said (a caption, a request), False for the instruction's wording. The model
            may ground only the former in a sentence encoder.
    """

    text: str
    ground: bool = False


@dataclass(frozen=True, eq=False)
class CodesSegment:
    """A stretch of motion as tokenizer codes.

    Attributes:
        modality: whose tokenizer made them, e.g. ``body``.
        codes: (N, R) integers, R residual levels.
    """

    modality: str
    codes: np.ndarray

    def __post_init__(self) -> None:
        codes = np.asarray(self.codes)
        if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer):
            raise UserError(f"motion codes of shape {codes.shape} {codes.dtype}; accepted (N, R) integers")
        object.__setattr__(self, "codes", codes)


@dataclass(frozen=True)
class AttributesSegment:
    """Typed attributes (`instruct_data.attributes`), ``name=value`` each, in the order of `write_attributes` there."""

    symbols: tuple[str, ...]


Segment = TextSegment | CodesSegment | AttributesSegment


@dataclass(frozen=True, eq=False)
class Prompt:
    """What goes into the encoder, and which head answers.

    Attributes:
        segments: in reading order.
        head: ``text`` or a modality.
        task: name of the task that made it.
    """

    segments: tuple[Segment, ...]
    head: str
    task: str = ""

    @property
    def text(self) -> str:
        """One readable line; codes appear as ``<body x 12>``."""
        words = [
            f"<{s.modality} x {len(s.codes)}>" if isinstance(s, CodesSegment)
            else s.text if isinstance(s, TextSegment) else " ".join(s.symbols) for s in self.segments
        ]  # fmt: skip
        return " ".join(" ".join(words).split())


def segment(kind: str, modality: str, value: Any, where: str) -> Segment:
    """What fills a slot of a kind (and, of motion, a modality); `where` begins the text of errors."""
    if kind == "motion":
        if isinstance(value, CodesSegment):
            if value.modality != modality:
                raise UserError(f"{where}: got {value.modality} codes; accepted {modality}")
            return value
        return CodesSegment(modality, np.asarray(value))
    if kind == "attributes":
        return AttributesSegment(tuple(attributes.write_attributes(value)))
    if kind == "text":
        text = " ".join(str(value).split())
        if not text:
            raise UserError(f"{where}: empty text")
        return TextSegment(text, ground=True)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or (kind == "seconds" and number <= 0):
        raise UserError(f"{where}: {value}; accepted a finite number{' above 0' if kind == 'seconds' else ''}")
    # Durations have one written form, so that the model has one form to learn.
    return TextSegment(f"{number:.1f} seconds" if kind == "seconds" else f"{number:g}")


def merge_text(segments: list[Segment]) -> tuple[Segment, ...]:
    """Neighbouring pieces of instruction wording become one segment."""
    out: list[Segment] = []
    for s in segments:
        last = out[-1] if out else None
        if isinstance(s, TextSegment) and isinstance(last, TextSegment) and not s.ground and not last.ground:
            out[-1] = TextSegment(last.text + s.text)
        else:
            out.append(s)
    return tuple(
        TextSegment(" ".join(s.text.split()), s.ground) if isinstance(s, TextSegment) else s
        for s in out
        if not isinstance(s, TextSegment) or s.text.strip()
    )


# Tasks: one YAML file each.
TASKS = Path(__file__).parent / "tasks"
MODEL_TASKS = "tasks"  # in a model folder: the files of tasks of its own
MIN_TEMPLATES = 20
# how many slots of each kind (the first of `inputs`) examples made from clips fill; the kind named first is needed
FILLED: dict[str, dict[str, int]] = {
    "text_to_motion": {"text": 1, "seconds": 1, "attributes": 1},
    "motion_to_text": {"motion": 1},
    "in_between": {"motion": 2, "text": 1, "seconds": 1},
    "continuation": {"motion": 1, "text": 1, "seconds": 1, "attributes": 1},
}


class Slot(Strict, strict=True):
    """One thing that goes into a prompt.

    Attributes:
        name: as in the templates, ``{name}``.
        kind: ``text``, ``motion`` (codes), ``number``, ``seconds`` or ``attributes`` (`instruct_data.attributes`).
        required: whether a prompt can do without it.
        modality: of a motion slot.
        label: written before it in the [Input] part when the template does not place it, e.g. ``start``.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    kind: Literal["text", "motion", "number", "seconds", "attributes"]
    required: bool = True
    modality: str = ""
    label: str = ""


class Decoding(Strict, strict=True):
    """Default decoding: sampling when temperature > 0 and num_beams is 1, else greedy or beams."""

    temperature: float = Field(1.0, ge=0)
    top_k: int = Field(0, ge=0)
    guidance: float = Field(1.0, ge=0)
    best_of: int = Field(1, ge=1)
    num_beams: int = Field(1, ge=1)


class Task(Strict, strict=True):
    """What an instruction asks for: slots in, head out, wording, decoding defaults.

    Attributes:
        examples: how training examples are made: ``pairs`` of slots and an answer in words, or from clips as that
            motion task does it.
        words: which words of a clip stand in the text slot or in the answer: a ``caption``, the ``steps`` of a clip
            that several were joined to, the ``emotion`` that a face shows, or the ``speech`` that a gesture goes with.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    description: str = Field(min_length=1)
    inputs: list[Slot] = Field(min_length=1)
    output: str
    examples: Literal["pairs", "text_to_motion", "motion_to_text", "in_between", "continuation"] = "pairs"
    words: Literal["caption", "steps", "emotion", "speech"] = "caption"
    templates: list[str]
    decoding: Decoding

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        names = [s.name for s in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError(f"inputs: a slot is named twice in {', '.join(names)}")
        heads = ["text", *modalities.names()]
        if self.output not in heads:
            raise ValueError(f"output: {self.output!r}; accepted {', '.join(heads)}")
        for s in self.inputs:
            if (s.kind == "motion") != bool(s.modality) or (s.modality and s.modality not in heads[1:]):
                raise ValueError(f"inputs: {s.name}: modality {s.modality!r}; motion slots need one of {heads[1:]}")
        if len(set(self.templates)) < MIN_TEMPLATES:
            raise ValueError(f"templates: {len(set(self.templates))} different ones; at least {MIN_TEMPLATES}")
        for i, t in enumerate(self.templates):
            if unknown := set(SLOT.findall(t)) - set(names):
                raise ValueError(f"templates: number {i} has an unknown slot {', '.join(sorted(unknown))}")
        if self.examples == "pairs" and self.output != "text":
            raise ValueError(f"examples: pairs of words for output {self.output!r}; name the motion task that does it")
        required = {s.name for s in self.inputs if s.required}
        optional = {s.name for s in self.inputs} - required
        for slots in [required, *({*required, o} for o in optional), required | optional]:
            if not self.eligible(slots):
                raise ValueError(f"templates: none can say {', '.join(sorted(slots))}")
        return self

    @model_validator(mode="after")
    def _fillable(self) -> Task:
        """Examples made from clips find what they fill, and fill all that a prompt needs."""
        if self.examples == "pairs":
            return self
        where = f"examples: {self.examples}"
        kinds = [k for k in FILLED if (k == "motion_to_text") == (self.output == "text")]
        if self.examples not in kinds:
            raise ValueError(f"{where} for output {self.output!r}; accepted {', '.join(kinds)}")
        filled = FILLED[self.examples]
        kind, count = next(iter(filled.items()))
        if (available := len(self.of_kind(kind))) < count:
            raise ValueError(f"{where} needs {count} of kind {kind}; inputs has {available}")
        filled_slots = [s for k, n in filled.items() for s in self.of_kind(k)[:n]]
        if bad := [s for s in filled_slots if s.modality not in ("", self.modality)]:
            raise ValueError(f"{where}: {bad[0].name}: modality {bad[0].modality!r}; accepted {self.modality!r}")
        if left := [s.name for s in self.inputs if s.required and s not in filled_slots]:
            listing = ", ".join(f"{n} of kind {k}" for k, n in filled.items())
            raise ValueError(f"{where} leaves slot {left[0]} empty; it fills the first {listing}; say required: false")
        return self

    def of_kind(self, kind: str) -> list[Slot]:
        """The slots of a kind, in the order of `inputs`."""
        return [s for s in self.inputs if s.kind == kind]

    @cached_property
    def slots(self) -> dict[str, Slot]:
        return {s.name: s for s in self.inputs}

    @property
    def takes(self) -> str:
        """Its slots in a line: ``caption (text), seconds (seconds, if wanted)``."""
        return ", ".join(f"{s.name} ({s.kind}{'' if s.required else ', if wanted'})" for s in self.inputs)

    @cached_property
    def modality(self) -> str:
        """What kind of motion the task is about: its output's, else its first motion slot's; empty = text alone."""
        return self.output if self.output != "text" else next((s.modality for s in self.inputs if s.modality), "")

    def eligible(self, names_given: set[str]) -> list[int]:
        """Numbers of the templates that fit the given slots: no unfilled slot, and no duration left out."""
        durations = {s.name for s in self.inputs if s.kind in ("seconds", "number") and s.name in names_given}
        used = [set(SLOT.findall(template)) for template in self.templates]
        return [i for i, names in enumerate(used) if names <= names_given and durations <= names]

    def render(
        self, slots: dict[str, Any], template: int | None = None, rng: np.random.Generator | None = None
    ) -> Prompt:
        """Make a prompt of the form ``[Instruction] ... [Input] ... [Response]``.

        Args:
            slots: slot name -> str (text), (N, R) int array or CodesSegment (motion), float (seconds, number);
                None means not given. Slots that the template does not place go to the [Input] part.
            template: which one; default: drawn with `rng`, or the first that fits when there is none.
            rng: decides the template; the same state gives the same prompt.
        """
        names_given = {k for k, v in slots.items() if v is not None}
        slots_by_name = self.slots
        if unknown := sorted(names_given - slots_by_name.keys()):
            raise UserError(f"task {self.name}: no slot {', '.join(unknown)}; accepted: {', '.join(slots_by_name)}")
        if missing := [s.name for s in self.inputs if s.required and s.name not in names_given]:
            raise UserError(f"task {self.name}: slot {', '.join(missing)} is needed; it takes {self.takes}")
        choices = self.eligible(names_given)
        if not choices:
            raise UserError(f"task {self.name}: no instruction template for the slots {', '.join(sorted(names_given))}")
        if template is None:
            template = choices[0] if rng is None else choices[int(rng.integers(len(choices)))]
        elif template not in choices:
            raise UserError(f"task {self.name}: template {template} does not take {', '.join(sorted(names_given))}")
        filled = {
            k: segment(s.kind, s.modality, slots[k], f"task {self.name}: slot {k}")
            for k, s in slots_by_name.items()
            if k in names_given
        }
        pieces: list[Segment] = [TextSegment(f"{INSTRUCTION} ")]
        words = SLOT.split(self.templates[template])  # text, slot, text, slot, ..., text
        for k, piece in enumerate(words):
            pieces.append(filled[piece] if k % 2 else TextSegment(piece))
        used = set(words[1::2])
        pieces.append(TextSegment(f" {INPUT} "))
        for slot in self.inputs:
            if slot.name in filled and slot.name not in used:
                if slot.label:
                    pieces.append(TextSegment(f"{slot.label}: "))
                pieces += [filled[slot.name], TextSegment(" ")]
        pieces.append(TextSegment(f" {RESPONSE}"))
        return Prompt(merge_text(pieces), self.output, self.name)


# The registry: our folder first, then those of the user.
_tasks: dict[str, Task] = {}
_folders: list[Path] = []


def load_task(path: str | os.PathLike[str]) -> Task:
    """Read and check one YAML file."""
    path = Path(path)
    task = Task.read(read_yaml(path), str(path))
    if task.name != path.stem:
        raise UserError(f"{path}: the task is called {task.name!r}; it must be called as its file, {path.stem!r}")
    return task


_packaged = cache(load_task)


def add_folder(path: str | os.PathLike[str]) -> list[str]:
    """Register every ``*.yaml`` of a folder; returns the names of its tasks.

    Raises:
        UserError: no such folder, no task in it, or another task of a name that is registered already.
    """
    folder = real_path(path)
    if folder in _folders:
        return [n for n, t in _tasks.items() if (folder / f"{n}.yaml").is_file()]
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of tasks")
    tasks = [load_task(p) for p in sorted(folder.glob("*.yaml"))]
    if not tasks:
        raise UserError(f"{folder}: no *.yaml in it; a task is one YAML file")
    if twice := [t.name for t in tasks if _tasks.get(t.name, t) != t]:
        raise UserError(f"{folder}: another task {twice[0]!r} is registered already")
    _tasks.update({t.name: t for t in tasks})
    _folders.append(folder)
    return [t.name for t in tasks]


def added_tasks() -> set[str]:
    """Names of the tasks that come from other folders than ours."""
    return {name for name in _tasks if not (TASKS / f"{name}.yaml").is_file()}


def list_tasks() -> list[str]:
    """Names of all registered tasks, ours first."""
    add_folder(TASKS)
    return list(_tasks)


def get_task(name: str) -> Task:
    """Look a task up."""
    if name not in _tasks and name.isidentifier() and (path := TASKS / f"{name}.yaml").is_file():
        return _packaged(path)  # without reading the others
    if name not in _tasks:
        names = list_tasks()
    if name not in _tasks:
        matches = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {matches[0]!r}? " if matches else ""
        raise UserError(f"unknown task {name!r}; {hint}available: {', '.join(names)}")
    return _tasks[name]
