"""Turns of a conversation that moves faces, too (`Conversation(faces=True)`).

The reader of turns knows bodies; `avatargpt.avatar.composition` divides a turn's words into a body's and a face's.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from avatargpt.chat.questions import OpenQuestion
from avatargpt.face.instructions.scores import joined_score, paced_score
from instruct_data.dialogue.acts import Act, read
from instruct_data.face.described import described
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.composition import Composer, Division
    from avatargpt.chat.timeline import Segment, Timeline


def with_faces(composer: Composer, text: str, acts: Sequence[Act], state: Timeline) -> list[Act]:
    """The acts of a turn, where faces are moved.

    What a segment's face shall no longer show is taken from it ("no frown"); a segment whose face alone is named keeps
    its body; a face and a body at the same time ("he smiles while he walks") are one segment.
    """
    if len(acts) == 1:
        return [_instead_of_one(composer, text, acts[0], state) or acts[0]]
    if {act.do for act in acts} <= {"make", "then", "face"} and all(act.seconds is None for act in acts):
        parts = composer.divide(text).parts
        if len(parts) < len(acts) and any(part.face for part in parts):
            return [Act("make" if act.do == "make" else "then", text=part.words)
                    for act, part in zip(acts, parts, strict=False)]  # fmt: skip
    return list(acts)


def _instead_of_one(composer: Composer, text: str, act: Act, state: Timeline) -> Act | None:
    """The act about a face that a single act stands for; None where it stands for itself."""
    if lacking := _denying_act(composer, text, act.segment, state):
        return lacking
    if act.do == "replace":
        return _face_act(composer, text, act.segment)
    if act.do == "edit" and _is_of_face(composer.divide(str(act.change)), feelings=False):
        return Act("face", segment=act.segment, text=str(act.change))
    return None


def _denying_act(composer: Composer, text: str, segment: int | None, state: Timeline) -> Act | None:
    """The act of a turn that says what a face shall not show: of the segment that is meant, else of the last one, that
    shows it.
    """
    if not any(s.score for s in state.segments) or not (names := composer.denied(text)):
        return None
    numbers = [*([segment] if segment else []), *range(len(state.segments), 0, -1)]
    scores = ((n, state.segments[state.index(n)].score) for n in numbers)
    number = next((n for n, score in scores if score is not None and names & {*score.names}), None)
    return None if number is None else Act("face", segment=number, text=text)


def instead_of(mistake: UserError, composer: Composer, text: str, state: Timeline) -> Act:
    """The act of a turn that leaves something open or names no segment, but is about a face: of the segment that all
    answers to the question mean, else of the one last spoken of. Raises the mistake where it is not.
    """
    if lacking := _denying_act(composer, text, None, state):
        return lacking
    segment = state.index(None) + 1
    if isinstance(mistake, OpenQuestion):
        numbers = {act.segment for _, line in mistake.question.options for act in read(line)}
        segment = numbers.pop() or segment if len(numbers) == 1 else segment
    act = _face_act(composer, text, segment)
    if act is None:
        raise mistake
    return act


def _face_act(composer: Composer, text: str, segment: int | None) -> Act | None:
    """The act of a text that asks a face for something and a body for nothing, else None."""
    return Act("face", segment=segment, text=text) if segment and _is_of_face(composer.divide(text)) else None


def _is_of_face(division: Division, feelings: bool = True) -> bool:
    """Whether a text names actions of a face, or `feelings` (which a body shows, too), and none of a body."""
    actions = [action for part in division.parts for action in part.face]
    acts = bool(actions) if feelings else bool(actions) and all(a.score.events for a in actions)
    return acts and all(part.waits for part in division.parts)


def with_face(composer: Composer, segment: Segment, text: str) -> tuple[Segment, str]:
    """A segment whose face does what a text says besides what it did, or no longer what it denies; and what that is.

    Raises UserError where that changes nothing.
    """
    denied = composer.denied(text)
    changed, words = _without(segment, denied) if denied else _added(composer, segment, text)
    if changed is segment:
        wrong = f"the face shows no {words}" if denied else "nothing that a face does"
        raise UserError(f"{text!r}: {wrong}; accepted: actions and feelings of a face")
    return replace(changed, faces=(*segment.faces, text)), f"without {words}" if denied else words


def faced_again(composer: Composer, segment: Segment, texts: Sequence[str]) -> Segment:
    """A segment that was made anew, with the turns about the face of the former one."""
    for text in texts:
        denied = composer.denied(text)
        segment, _ = _without(segment, denied) if denied else _added(composer, segment, text)
    return replace(segment, faces=tuple(texts))


def _added(composer: Composer, segment: Segment, text: str) -> tuple[Segment, str]:
    """A segment with what a text says of its face, and that; unchanged where it says nothing."""
    division, seconds = composer.divide(text), segment.motion.seconds
    count = len(division.parts)
    score = division.score([(k * seconds / count, (k + 1) * seconds / count) for k in range(count)], seconds)
    if score is None:
        return segment, ""
    before = [] if segment.score is None else [(0.0, paced_score(segment.score, seconds))]
    return replace(segment, score=joined_score([*before, (0.0, score)], seconds)), described(score)


def _without(segment: Segment, denied: Set[str]) -> tuple[Segment, str]:
    """A segment whose face no longer does what is denied, and that; unchanged where it did not."""
    words = ", ".join(name.replace("_", " ") for name in sorted(denied))
    if segment.score is None or not denied & {*segment.score.names}:
        return segment, words
    events = tuple(e for e in segment.score.events if e.action not in denied)
    emotions = tuple(f for f in segment.score.emotions if f.name not in denied)
    score = replace(segment.score, events=events, emotions=emotions) if events or emotions else None
    return replace(segment, score=score), words
