"""`MotionMaker`: the motion of a caption in a conversation, judged, and made again where it does not show its words."""
# The closed loop of long motion (`avatargpt.long.outcome`), with `AvatarGPT.generate` in place of the stream: paths,
# counts and lengths of a turn are kept to, and what a note says is on the motion.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from avatargpt.body.generate import Draft, GenerationResult
from avatargpt.body.judge import Judgement, unseen
from avatargpt.long.outcome import Try, Verifier, best_of_tries
from avatargpt.long.pipeline import StepClause
from avatargpt.options import GenerationConfig
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.fidelity import doubts
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.face.score import Score
from vqvae.motion import Motion

Actions = tuple[tuple[str, float], ...]  # captions, and where each begins: its share of the whole


@dataclass(frozen=True)
class GeneratedMotion:
    """A motion, and its actions where there are several, one after another."""

    motion: Motion
    actions: Actions = ()
    score: Score | None = None  # of the face, where it does anything


@dataclass(frozen=True)
class _Result:
    """A motion with what it was made for."""

    request: ResolvedRequest
    generation: GenerationResult


@dataclass(frozen=True)
class _Order:
    """What is asked for."""

    seconds: float | None
    seed: int
    after: Motion | None


@dataclass(eq=False)
class MotionMaker:
    """Makes motions.

    Args:
        model: an `AvatarGPT`, or anything with its `generate`, whose motions are taken as they are.
        faces: whether captions are divided into what a body and what a face does.
    """

    model: Any
    faces: bool = False

    @cached_property
    def verifier(self) -> Verifier | None:
        """What judges motions; None without the networks for that."""
        body = getattr(getattr(self.model, "body", None), "model", None)
        verifier = None if body is None else Verifier(body)
        return verifier if verifier is not None and verifier.able else None

    def make(
        self, caption: str, seconds: float | None, seed: int, after: Motion | None = None, draft: Draft = None
    ) -> GeneratedMotion:
        """The motion that shows a caption best, which goes on from another one; its notes say what is not shown.

        Args:
            draft: takes what there is first, while more is made or something better is looked for.
        """
        verifier = self.verifier
        if verifier is None:
            motions: list[Motion] = self.model.generate([caption], seconds=seconds, seed=seed, after=after)
            return GeneratedMotion(motions[0])
        division = self.model.composer.divide(caption) if self.faces else None
        request = verifier.model.resolve(caption) if division is None else division.request
        order = _Order(seconds, seed, after)
        first = self._result(request, order, draft)
        if draft:
            draft(first.generation.motion)
        best = best_of_tries(first, partial(self._judge_result, verifier), self._tries(verifier, first, order))
        motion = best.result.generation.motion
        assert verifier.model.grounder is not None
        doubt_lines = doubts(request.clauses, verifier.model.grounder) if not best.note else []
        of_face = () if division is None else division.notes
        lines = (*motion.notes, *of_face, *doubt_lines, best.note, unseen(caption, best.verdict))
        motion = replace(motion, notes=tuple(dict.fromkeys(filter(None, lines))))
        score = None if division is None else division.score(division.spans(best.result.generation), motion.seconds)
        return GeneratedMotion(motion, _actions(best.result), score)

    def _result(self, request: ResolvedRequest, order: _Order, draft: Draft = None) -> _Result:
        generation, config = self.model.body.generation, GenerationConfig(order.seed)
        (result,) = generation.results([request], order.seconds, config, after=order.after, draft=draft)
        return _Result(request, result)

    def _judge_result(self, verifier: Verifier, result: _Result) -> Judgement:
        return Judgement.of([judgement for judgement, _ in self._parts(verifier, result)])

    @staticmethod
    def _parts(verifier: Verifier, result: _Result) -> list[tuple[Judgement, int]]:
        """A judgement of each clause, and its number; none where time made one of all."""
        clauses, spans = result.request.clauses, result.generation.spans
        if len(clauses) != len(spans):
            return []
        rows = [(i, c, a, b) for i, (c, (a, b)) in enumerate(zip(clauses, spans, strict=True)) if b - a > 1]
        return [(verifier.judge_motion(result.generation.motion.slice(a, b), _step(c, 0)), i) for i, c, a, b in rows]

    def _tries(self, verifier: Verifier, first: _Result, order: _Order) -> Iterator[Try[_Result]]:
        """Other motions for what is shown worst."""
        parts = self._parts(verifier, first)
        if not parts:
            return
        _, worst = min(parts, key=lambda p: p[0].score)
        clauses = first.request.clauses
        for step, note, instead in verifier.tries(_step(clauses[worst], order.seed)):
            clause = clauses[worst]
            if note:
                clause = _reword_clause(verifier, clause, step)
            request = replace(first.request, clauses=(*clauses[:worst], clause, *clauses[worst + 1 :]))
            yield Try(partial(self._result, request, replace(order, seed=step.seed)), note, instead)


def _actions(result: _Result) -> Actions:
    """The actions of a motion that has several, in the user's words."""
    clauses, spans, frames = result.request.clauses, result.generation.spans, len(result.generation.motion)
    words = result.generation.captions if len(clauses) != len(spans) else [c.words or c.caption for c in clauses]
    return tuple((w, a / frames) for w, (a, b) in zip(words, spans, strict=True) if b > a) if len(spans) > 1 else ()


def _step(clause: ClauseSpec, seed: int) -> StepClause:
    return StepClause(
        0, clause.bent_caption, 0, seed, clause.turn, clause.action, clause=clause.clause,
        attributes=clause.attributes, words=clause.words, known=clause.known,
    )  # fmt: skip


def _reword_clause(verifier: Verifier, clause: ClauseSpec, step: StepClause) -> ClauseSpec:
    """A clause with another caption."""
    index = verifier.model.phrase_index
    assert index is not None
    return replace(
        clause, caption=step.caption, action=step.action, lengths=tuple(index.lengths.get(step.caption, ())),
        measured=index.measured.get(step.caption, {}), alternatives=(),
    )  # fmt: skip
