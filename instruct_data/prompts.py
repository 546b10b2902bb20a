"""Prompts: ordered segments of text and motion codes. A task renders them from its slots (`instruct_data.registry`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from vqvae.errors import UserError

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


def segment(kind: str, modality: str, value: Any, where: str) -> Segment:
    """What fills a slot of a kind (and, of motion, a modality); `where` begins the text of errors.

    Raises:
        UserError: a value that the kind does not accept.
    """
    if kind == "motion":
        if isinstance(value, CodesSegment):
            if value.modality != modality:
                raise UserError(f"{where}: got {value.modality} codes; accepted {modality}")
            return value
        return CodesSegment(modality, np.asarray(value))
    if kind == "text":
        text = " ".join(str(value).split())
        if not text:
            raise UserError(f"{where}: empty text")
        return TextSegment(text, ground=True)
    number = float(value)
    if not np.isfinite(number) or (kind == "seconds" and number <= 0):
        raise UserError(f"{where}: {value}; accepted a finite number{' above 0' if kind == 'seconds' else ''}")
    return TextSegment(format_seconds(number) if kind == "seconds" else f"{number:g}")


def joined(segments: list[Segment]) -> tuple[Segment, ...]:
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
