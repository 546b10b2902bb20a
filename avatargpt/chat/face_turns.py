"""Turns of a conversation that moves faces, too (`Conversation(faces=True)`).

The reader of turns knows bodies; `avatargpt.avatar.composition` divides a turn's words into a body's and a face's.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from avatargpt.chat.questions import OpenQuestion
from avatargpt.chat.view import NotThere
from avatargpt.face.instructions.scores import joined_score, paced_score
from instruct_data.dialogue.acts import Act, read
from instruct_data.face.described import described
from instruct_data.face.score import Score
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.composition import Composer, Division
    from avatargpt.chat.timeline import Segment, Timeline


def with_faces(composer: Composer, text: str, acts: Sequence[Act], state: Timeline) -> list[Act]:
    """The acts of a turn, where faces are moved.

    What a face shall no longer show, or more or less of, is that of a segment which shows it; a segment that is
    replaced by what a face alone does keeps its body.
    """
    if len(acts) != 1 or "?" in text:
        return list(acts)
    (act,) = acts
    instead = _denying_act(composer, text, act.segment, state)
    if instead is None and act.do == "replace":
        instead = _face_act(composer, text, act.segment)
    if instead is None and act.do == "face" and act.factor is not None:
        number = _showing(composer.names(str(act.text)), act.segment or state.index(None) + 1, state)
        instead = None if number is None else replace(act, segment=number)
    return [instead or act]


def _showing(names: Set[str], first: int | None, state: Timeline) -> int | None:
    """The number of a segment whose face shows any of these, of the `first` one, else of the last; None without any."""
    numbers = [*([first] if first else []), *range(len(state.segments), 0, -1)]
    scores = ((n, state.segments[state.index(n)].score) for n in numbers)
    return next((n for n, score in scores if score is not None and names & {*score.names}), None)


def _denying_act(composer: Composer, text: str, segment: int | None, state: Timeline) -> Act | None:
    """The act of a turn that says what a face shall not show, of a segment that shows it."""
    if not any(s.score for s in state.segments) or not (names := composer.denied(text)[0]):
        return None
    number = _showing(names, segment, state)
    return None if number is None else Act("face", segment=number, text=text)


def instead_of(mistake: UserError, composer: Composer, text: str, state: Timeline) -> Act:
    """The act of a turn that leaves something open or names no segment, but is about a face: of the segment that all
    answers to the question mean, else of the one last spoken of; with a body that does not stand, a movement. Raises
    the mistake where it is neither.
    """
    if lacking := _denying_act(composer, text, None, state):
        return lacking
    segment = state.index(None) + 1
    if isinstance(mistake, OpenQuestion):
        numbers = {act.segment for _, line in mistake.question.options for act in read(line)}
        segment = numbers.pop() or segment if len(numbers) == 1 else segment
    if act := _face_act(composer, text, segment):
        return act
    if isinstance(mistake, NotThere) and any(part.face for part in composer.divide(text).parts):
        return Act("then", text=text)
    raise mistake


def _face_act(composer: Composer, text: str, segment: int | None) -> Act | None:
    """The act of a text that asks a face for something and a body for nothing, else None."""
    return Act("face", segment=segment, text=text) if segment and _is_of_face(composer.divide(text)) else None


def _is_of_face(division: Division) -> bool:
    """Whether a text names what a face does, and nothing that a body does."""
    return any(part.face for part in division.parts) and all(part.waits for part in division.parts)


def with_face(composer: Composer, segment: Segment, act: Act) -> tuple[Segment, str]:
    """A segment whose face does what an act says besides what it did, and no longer what it denies; and what that is.

    Raises UserError where that changes nothing.
    """
    changed, words = _turned(composer, segment, act)
    if changed is segment:
        wrong = f"the face shows no {words}" if words else "nothing that a face does"
        raise UserError(f"{act.text!r}: {wrong}; accepted: actions and feelings of a face")
    return replace(changed, faces=(*segment.faces, act)), words


def faced_again(composer: Composer, segment: Segment, acts: Sequence[Act]) -> Segment:
    """A segment that was made anew, with the acts about the face of the former one."""
    for act in acts:
        segment, _ = _turned(composer, segment, act)
    return replace(segment, faces=tuple(acts))


def _turned(composer: Composer, segment: Segment, act: Act) -> tuple[Segment, str]:
    """The segment after an act about its face, and what that changes; the segment itself where it is nothing."""
    denied, wanted = composer.denied(str(act.text))
    without, lost = _without(segment, denied) if denied else (segment, "")
    changed, new = _added(composer, without, wanted, act.factor) if wanted else (without, "")
    gone = f"without {lost}" if without is not segment else ""
    return changed, ", ".join(w for w in (new, gone) if w) or lost


def _added(composer: Composer, segment: Segment, text: str, factor: float | None) -> tuple[Segment, str]:
    """A segment with what a text says of its face, and that; unchanged where it says nothing.

    What its face does already, said with another strength, is done with that strength.

    Args:
        factor: of the strength it has, or would have.
    """
    division, seconds = composer.divide(text), segment.motion.seconds
    count = len(division.parts)
    score = division.score([(k * seconds / count, (k + 1) * seconds / count) for k in range(count)], seconds)
    if score is None:
        return segment, ""
    before = None if segment.score is None else paced_score(segment.score, seconds)
    names = {*score.names}
    if before is None:
        score = score if factor is None else score.scaled(factor)
        return replace(segment, score=score), described(score)
    if factor is not None and names & {*before.names}:
        changed = _scaled(before, names, factor)
        return replace(segment, score=changed), described(_only(changed, names))
    score = score if factor is None else score.scaled(factor)
    if names <= {*before.names} and (changed := _with_strengths(before, score)) != before:
        return replace(segment, score=changed), described(score)
    return replace(segment, score=joined_score([(0.0, before), (0.0, score)], seconds)), described(score)


def _scaled(score: Score, names: Set[str], factor: float) -> Score:
    """A score in which what has one of these names is so many times as strong."""
    strong = score.scaled(factor)
    events = tuple(b if a.action in names else a for a, b in zip(score.events, strong.events, strict=True))
    emotions = tuple(b if a.name in names else a for a, b in zip(score.emotions, strong.emotions, strict=True))
    return replace(score, events=events, emotions=emotions)


def _only(score: Score, names: Set[str]) -> Score:
    """The actions and feelings of these names."""
    events = tuple(e for e in score.events if e.action in names)
    return replace(score, events=events, emotions=tuple(f for f in score.emotions if f.name in names))


def _with_strengths(before: Score, score: Score) -> Score:
    """A score with the strengths of another one that says the same, in part."""
    strengths = {e.action: e.intensity for e in score.events} | {f.name: f.intensity for f in score.emotions}
    events = tuple(replace(e, intensity=strengths.get(e.action, e.intensity)) for e in before.events)
    emotions = tuple(replace(f, intensity=strengths.get(f.name, f.intensity)) for f in before.emotions)
    return replace(before, events=events, emotions=emotions)


def _without(segment: Segment, denied: Set[str]) -> tuple[Segment, str]:
    """A segment whose face no longer does what is denied, and that; unchanged where it did not."""
    words = ", ".join(name.replace("_", " ") for name in sorted(denied))
    if segment.score is None or not denied & {*segment.score.names}:
        return segment, words
    left = _only(segment.score, {*segment.score.names} - denied)
    return replace(segment, score=left if left.events or left.emotions else None), words
