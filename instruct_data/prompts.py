"""Prompts: ordered segments of text and motion codes, rendered by a task from slots."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae.errors import UserError

if TYPE_CHECKING:
    from instruct_data.registry import Slot, Task

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


Segment = TextSegment | CodesSegment


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
        """One line for people: codes are shown as ``<body x 12>``."""
        parts = [s.text if isinstance(s, TextSegment) else f"<{s.modality} x {len(s.codes)}>" for s in self.segments]
        return " ".join(" ".join(parts).split())


def format_seconds(seconds: float) -> str:
    """Durations have one written form, so that the model has one form to learn: ``4.0 seconds``."""
    return f"{seconds:.1f} seconds"


def _fill(slot: Slot, value: Any, task: str) -> Segment:
    where = f"task {task}: slot {slot.name}"
    if slot.kind == "motion":
        if isinstance(value, CodesSegment):
            if value.modality != slot.modality:
                raise UserError(f"{where}: got {value.modality} codes; accepted {slot.modality}")
            return value
        return CodesSegment(slot.modality, np.asarray(value))
    if slot.kind == "text":
        text = " ".join(str(value).split())
        if not text:
            raise UserError(f"{where}: empty text")
        return TextSegment(text, ground=True)
    number = float(value)
    if not np.isfinite(number) or (slot.kind == "seconds" and number <= 0):
        raise UserError(f"{where}: {value}; accepted a finite number{' above 0' if slot.kind == 'seconds' else ''}")
    return TextSegment(format_seconds(number) if slot.kind == "seconds" else f"{number:g}")


def _join(segments: list[Segment]) -> tuple[Segment, ...]:
    """Neighbouring pieces of instruction wording become one segment."""
    out: list[Segment] = []
    for s in segments:
        last = out[-1] if out else None
        if isinstance(s, TextSegment) and isinstance(last, TextSegment) and not s.ground and not last.ground:
            out[-1] = TextSegment(last.text + s.text)
        else:
            out.append(s)
    return tuple(
        s if isinstance(s, CodesSegment) else TextSegment(" ".join(s.text.split()), s.ground)
        for s in out
        if isinstance(s, CodesSegment) or s.text.strip()
    )


def eligible(task: Task, given: set[str]) -> list[int]:
    """Templates that can say exactly what is given: no unfilled slot, and no duration left unsaid."""
    durations = {s.name for s in task.inputs if s.kind in ("seconds", "number") and s.name in given}
    out = []
    for i, template in enumerate(task.templates):
        used = set(SLOT.findall(template))
        if used <= given and durations <= used:
            out.append(i)
    return out


def render(task: Task, slots: dict[str, Any], template: int | None, rng: np.random.Generator | None) -> Prompt:
    """See :meth:`instruct_data.registry.Task.render`."""
    given = {k for k, v in slots.items() if v is not None}
    known = {s.name: s for s in task.inputs}
    if unknown := sorted(given - known.keys()):
        raise UserError(f"task {task.name}: no slot {', '.join(unknown)}; accepted: {', '.join(known)}")
    if missing := [s.name for s in task.inputs if s.required and s.name not in given]:
        raise UserError(f"task {task.name}: slot {', '.join(missing)} is needed")
    choices = eligible(task, given)
    if not choices:
        raise UserError(f"task {task.name}: no instruction template for the slots {', '.join(sorted(given))}")
    if template is None:
        template = choices[0] if rng is None else choices[int(rng.integers(len(choices)))]
    elif template not in choices:
        raise UserError(f"task {task.name}: template {template} does not take {', '.join(sorted(given))}")
    filled = {k: _fill(known[k], slots[k], task.name) for k in known if k in given}
    pieces: list[Segment] = [TextSegment(f"{INSTRUCTION} ")]
    phrase_index = SLOT.split(task.templates[template])  # text, slot, text, slot, ..., text
    for k, piece in enumerate(phrase_index):
        pieces.append(filled[piece] if k % 2 else TextSegment(piece))
    used = set(phrase_index[1::2])
    pieces.append(TextSegment(f" {INPUT} "))
    for slot in task.inputs:
        if slot.name in filled and slot.name not in used:
            if slot.label:
                pieces.append(TextSegment(f"{slot.label}: "))
            pieces += [filled[slot.name], TextSegment(" ")]
    pieces.append(TextSegment(f" {RESPONSE}"))
    return Prompt(_join(pieces), task.output, task.name)
