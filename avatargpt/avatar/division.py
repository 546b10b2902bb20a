"""`Division`: what of a prompt a body does, and what a face (`avatargpt.avatar.composition`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from avatargpt.body.generate import GenerationResult
from avatargpt.face.instructions.scores import arrange, join_scores, pace_score
from avatargpt.face.pipeline import MIN_CERTAINTY_READABLE
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.face.actions import actions
from instruct_data.face.described import describe_score
from instruct_data.face.score import Emotion, Score
from instruct_data.requests.spec import FaceClause, FaceRequest

MIN_SECONDS = 0.5  # of a part in which a face acts
# Times of a clause within all of the face's; here the clauses of the body are its clock.
UNTIMED: dict[str, Any] = dict.fromkeys(("at", "until", "wait", "from_share", "to_share", "moment")) | {"word": ""}


class FaceAction(NamedTuple):
    """A clause of the face and what of it is shown.

    Attributes:
        paced: its times are shares of the body's action: a mood that changes over it.
    """

    clause: FaceClause
    score: Score
    paced: bool = False

    @property
    def names(self) -> list[str]:
        """Of its actions and feelings."""
        return self.score.names

    @property
    def changes(self) -> bool:
        """Whether it is to grow, to fade, or to become something else."""
        return self.paced or self.clause.course is not None

    @property
    def lasts(self) -> bool:
        """Whether it goes on as long as the body acts: held actions and rhythms, not a wink or a nod."""
        forms = {actions()[e.action].form for e in self.score.events if e.repeat == 1}
        return forms <= {"hold", "cycle"} and len(forms) <= 1


@dataclass(frozen=True)
class DivisionPart:
    """What is done at one time.

    Attributes:
        specs: places [first, end) in `Division.specs`. face: empty = it does nothing.
        waits: whether the body keeps its posture for the face.
    """

    words: str
    specs: tuple[int, int]
    face: tuple[FaceAction, ...] = ()
    waits: bool = False

    def score(self, seconds: float | None = None) -> Score | None:
        """The face's score from second 0 on; None where there is none, or no room for it."""
        if not self.face:
            return None
        if self.face[0].paced:
            return pace_score(self.face[0].score, seconds or self.face[0].score.length)
        scores, clauses = {}, []
        for k, (clause, score, _) in enumerate(self.face):
            name = f"{k} {clause.action}"
            whole = not self.waits and self.face[k].lasts and clause.seconds is None
            together = bool(k) and (clause.together or not self.waits)
            change = UNTIMED | {"action": name, "together": together, "until_end": clause.until_end or whole}
            clauses.append(clause.model_copy(update=change))
            scores[name] = score
        return arrange(FaceRequest(clauses=clauses, text=self.words), scores.__getitem__, seconds)


@dataclass(frozen=True)
class Division:
    """A prompt divided into what a body and what a face does.

    Attributes:
        parts: one after another. feelings: of all of it ("a tired waitress").
        constant: words of the face's clauses whose change is not shown.
    """

    request: ResolvedRequest
    parts: tuple[DivisionPart, ...]
    feelings: tuple[Emotion, ...] = ()
    constant: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each clause of the face with another time than its place among the body's, or whose change is not
        shown.
        """
        clauses = [a.clause for part in self.parts for a in part.face if a.clause.sure >= MIN_CERTAINTY_READABLE]
        timed = [c for c in clauses if c.word or any(x is not None for x in (c.at, c.until, c.from_share, c.to_share))]
        changes = (f"{words!r}: how the face changes meanwhile is not shown" for words in self.constant)
        return (*(f"{c.action!r}: its time is not kept; it comes in the order of the words" for c in timed), *changes)

    @property
    def lines(self) -> list[str]:
        """A line for each part: its words, the captions of the body, and the description of the face."""
        out = [f"{row['words']} -> body: {row['body']}" + f"; face: {row['face']}" * bool(row["face"])
               for row in self.rows]  # fmt: skip
        words = ", ".join(f.name for f in self.feelings)
        return [*out, *([f"all of it -> face: {words}"] if words else [])]

    @property
    def rows(self) -> list[dict[str, str]]:
        """``words``, ``body`` and ``face`` of each part."""
        out = []
        for part in self.parts:
            captions = [s.request for s in self.request.clauses[slice(*part.specs)]]
            body = "keeps its posture" if part.waits else ", then ".join(captions)
            face = ", ".join(describe_score(action.score) for action in part.face)
            out.append({"words": part.words, "body": body, "face": face})
        return out

    def score(self, spans: Sequence[tuple[float, float]], seconds: float) -> Score | None:
        """The face's score, with each part in its span (start, end) in seconds; None where the face does nothing."""
        throughout = tuple(replace(f, start=0.0, end=seconds) for f in self.feelings)
        parts = [(0.0, Score(seconds, emotions=throughout))]
        for part, (start, end) in zip(self.parts, spans, strict=True):
            if (score := part.score(max(end - start, MIN_SECONDS))) is not None:
                emotions = tuple(f for f in score.emotions if f.name not in {t.name for t in throughout})
                parts.append((start, replace(score, emotions=emotions)))
        return join_scores(parts, seconds, self.request.text)

    def spans(self, result: GenerationResult) -> tuple[tuple[float, float], ...]:
        """The span of each part in seconds; equal shares where the body had no room for one after another."""
        motion, count = result.motion, len(self.parts)
        if len(result.spans) != len(self.request.clauses):
            return tuple((k * motion.seconds / count, (k + 1) * motion.seconds / count) for k in range(count))
        rows = [(result.spans[p.specs[0]][0], result.spans[p.specs[1] - 1][1]) for p in self.parts]
        return tuple((start / motion.fps, end / motion.fps) for start, end in rows)
