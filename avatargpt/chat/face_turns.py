"""Turns of a conversation that moves faces, too (`Conversation(faces=True)`).

The reader of turns knows bodies; `avatargpt.avatar.composition` divides a turn's words into a body's and a face's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from avatargpt.chat.questions import OpenQuestion
from avatargpt.face.instructions.scores import joined_score, paced_score
from instruct_data.dialogue.acts import Act, read
from instruct_data.face.described import described
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.composition import Composer, Division
    from avatargpt.chat.timeline import Segment


def with_faces(composer: Composer, text: str, acts: Sequence[Act]) -> list[Act]:
    """The acts of a turn, where faces are moved: a segment whose face alone is named keeps its body, and a face and a
    body at the same time ("he smiles while he walks") are one segment.
    """
    kinds = {act.do for act in acts}
    if kinds == {"replace"} and len(acts) == 1:
        return [face_act(composer, text, acts[0].segment) or acts[0]]
    if len(acts) > 1 and kinds <= {"make", "then"} and all(act.seconds is None for act in acts):
        parts = composer.divide(text).parts
        if len(parts) < len(acts) and any(part.face for part in parts):
            return [replace(act, text=part.words) for act, part in zip(acts, parts, strict=False)]
    return list(acts)


def instead_of(mistake: UserError, composer: Composer, text: str, segment: int) -> Act:
    """The act of a turn that leaves something open or names no segment, but asks for a face: of the segment that all
    answers to the question mean, else of `segment`. Raises the mistake where it does not.
    """
    if isinstance(mistake, OpenQuestion):
        numbers = {act.segment for _, line in mistake.question.options for act in read(line)}
        segment = numbers.pop() or segment if len(numbers) == 1 else segment
    act = face_act(composer, text, segment)
    if act is None:
        raise mistake
    return act


def face_act(composer: Composer, text: str, segment: int | None) -> Act | None:
    """The act of a text that asks a face for something and a body for nothing, else None."""
    return Act("face", segment=segment, text=text) if segment and _is_of_face(composer.divide(text)) else None


def _is_of_face(division: Division) -> bool:
    return all(part.waits for part in division.parts) and any(part.face for part in division.parts)


def with_face(composer: Composer, segment: Segment, text: str) -> tuple[Segment, str]:
    """A segment whose face does what a text says besides what it did, and what that is."""
    division, seconds = composer.divide(text), segment.motion.seconds
    count = len(division.parts)
    score = division.score([(k * seconds / count, (k + 1) * seconds / count) for k in range(count)], seconds)
    if score is None:
        raise UserError(f"{text!r}: nothing that a face does; accepted: actions and feelings of a face")
    if segment.score is not None:
        before = paced_score(segment.score, seconds)
        score = joined_score([(0.0, before), (0.0, score)], seconds) or score
    return replace(segment, score=score, faces=(*segment.faces, text)), described(score)
