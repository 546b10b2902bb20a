"""What the faces of segments do in a conversation that moves them, too (`Conversation(faces=True)`)."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from avatargpt.face.instructions.scores import join_scores, pace_score
from instruct_data.dialogue.acts import Act
from instruct_data.face.described import describe_score
from instruct_data.face.score import Score
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.composition import Composer
    from avatargpt.chat.timeline import Segment


def with_face(composer: Composer, segment: Segment, act: Act) -> tuple[Segment, str]:
    """A segment whose face does what an act says besides what it did, and no longer what it denies; and what that is.

    Raises UserError where that changes nothing.
    """
    changed, words = _change_face(composer, segment, act)
    if changed is segment:
        wrong = f"the face shows no {words}" if words else "nothing that a face does"
        raise UserError(f"{act.text!r}: {wrong}; accepted: actions and feelings of a face")
    return replace(changed, faces=(*segment.faces, act)), words


def restore_face(composer: Composer, segment: Segment, acts: Sequence[Act]) -> Segment:
    """A segment that was made anew, with the acts about the face of the former one."""
    for act in acts:
        segment, _ = _change_face(composer, segment, act)
    return replace(segment, faces=tuple(acts))


def _change_face(composer: Composer, segment: Segment, act: Act) -> tuple[Segment, str]:
    """The segment after an act about its face, and what that changes; the segment itself where it is nothing."""
    denied, wanted = composer.find_denied(str(act.text))
    without, lost = _without(segment, denied) if denied else (segment, "")
    changed, new = _add_face(composer, without, wanted, act.factor) if wanted else (without, "")
    gone = f"without {lost}" if without is not segment else ""
    return changed, ", ".join(w for w in (new, gone) if w) or lost


def _add_face(composer: Composer, segment: Segment, text: str, factor: float | None) -> tuple[Segment, str]:
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
    before = None if segment.score is None else pace_score(segment.score, seconds)
    names = {*score.names}
    if before is None:
        score = score if factor is None else score.scale(factor)
        return replace(segment, score=score), describe_score(score)
    if factor is not None and names & {*before.names}:
        changed = _scale_score(before, names, factor)
        return replace(segment, score=changed), describe_score(_only(changed, names))
    score = score if factor is None else score.scale(factor)
    if names <= {*before.names} and (changed := _with_strengths(before, score)) != before:
        return replace(segment, score=changed), describe_score(score)
    return replace(segment, score=join_scores([(0.0, before), (0.0, score)], seconds)), describe_score(score)


def _scale_score(score: Score, names: Set[str], factor: float) -> Score:
    """A score in which what has one of these names is so many times as strong."""
    strong = score.scale(factor)
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
