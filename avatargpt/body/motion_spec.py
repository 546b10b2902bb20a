"""`MotionSpec`: a motion that is generated in one piece, and the specs of a request with their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatargpt.body.adjustments import tempo_factor
from avatargpt.kinematics.joints import FPS
from avatargpt.lm.loaded import CHUNK
from avatargpt.options import frames_of, timed, tokens_of
from avatargpt.requests.clause_spec import ClauseSpec, Route, Turn, is_above
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.requests.spec import Clause

MIN_TOKENS = 5  # of a clause
USUAL_TOKENS = 20  # of a clause whose usual length is not known


@dataclass(frozen=True)
class MotionSpec:
    """A motion that is generated in one go.

    Attributes:
        caption: for the network. tokens: motion tokens, -1 = the model decides.
        turn: a turn by a measure. route: the shape of the path. concurrent: action of arms or head at the same time.
        upper_body: arms or the head alone do it.
        action: class of the nearest phrasing. clause: as it was typed. frames: of the result, None = free.
        notes: on parts of the clause that cannot be shown.
        alternatives: other captions and actions that the clause may mean, tried in this order where this one fails it.
        avoid: actions that were denied, and their captions.
    """

    caption: str
    tokens: int
    turn: Turn | None = None
    route: Route | None = None
    concurrent: MotionSpec | None = None
    upper_body: bool = False
    action: str = ""
    clause: Clause | None = None
    frames: int | None = None
    notes: tuple[str, ...] = ()
    alternatives: tuple[MotionSpec, ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()

    @property
    def actions(self) -> tuple[MotionSpec, ...]:
        """The motions to generate: itself, and the concurrent action."""
        return (self,) if self.concurrent is None else (self, self.concurrent)

    @property
    def description(self) -> str:
        """All of it in words."""
        if self.concurrent is not None:
            return f"{replace(self, concurrent=None).description}, and at the same time {self.concurrent.description}"
        if self.turn is not None:
            return f"{self.caption}, by {self.turn.degrees:g} degrees"
        return self.caption if self.route is None else f"{self.caption}, {self.route.description}"

    @property
    def measured(self) -> bool:
        """Whether it has a turn, a path or a count."""
        return any(a.turn or a.route or (a.clause and a.clause.times) for a in self.actions)


def motion_specs(request: ResolvedRequest, seconds: float | None, seed: int, rate: float) -> list[MotionSpec]:
    """The motions of a request, one after another.

    Args:
        seconds: of all, None = usual lengths. rate: motion tokens a second.
    """
    clauses = request.clauses
    rng = np.random.default_rng([seed % 2**32, 77])
    usual = [int(rng.choice(c.lengths)) if c.lengths else -1 for c in clauses]
    tokens = [_clause_tokens(c, n) for c, n in zip(clauses, usual, strict=True)]
    if seconds is not None:
        total = tokens_of(seconds, rate)
        if len(clauses) > 1 and total < MIN_TOKENS * len(clauses):  # no room for all of it one by one
            return [MotionSpec(request.text, total)]
        lengths = [t if t > 0 else USUAL_TOKENS for t in tokens]
        tokens = timed(total, lengths, [_seconds(c) for c in clauses], rate, MIN_TOKENS)
    return [_spec(c, t, rate, seconds is not None) for c, t in zip(clauses, tokens, strict=True)]


def _clause_tokens(clause: ClauseSpec, usual: int) -> int:
    """A turn takes as long as its degrees need (-1), a path as long as its shape, two actions as long as the longer."""
    tokens = usual
    if clause.turn:
        tokens = -1
    elif clause.route:
        tokens = clause.route.tokens or usual
    if clause.concurrent:
        tokens = min(CHUNK, max(tokens, *clause.concurrent.lengths, USUAL_TOKENS))
    return tokens


def _seconds(clause: ClauseSpec) -> float | None:
    return clause.clause.seconds if clause.clause is not None else None


def _spec(spec: ClauseSpec, tokens: int, rate: float, timed: bool) -> MotionSpec:
    """The spec of a clause; `timed`: the length of the whole request is fixed, so that each part has its frames."""
    clause, seconds = spec.clause, _seconds(spec)
    frames = None
    if timed and tokens > 0:
        frames = round(tokens / rate * FPS)
    elif seconds is not None:
        frames = frames_of(seconds, FPS)
    if frames is not None and clause is not None:
        tokens = tokens_of(frames / FPS * tempo_factor(clause), rate)
    concurrent = None if spec.concurrent is None else _spec(spec.concurrent, tokens, rate, False)
    alternatives: list[MotionSpec] = []
    if clause is not None and spec.turn is None and spec.route is None:
        for alternative in spec.alternatives:
            length = tokens if frames is not None or not alternative.lengths else _median(alternative.lengths)
            other_spec = _spec(replace(alternative, clause=clause, avoid=spec.avoid), length, rate, timed)
            alternatives.append(replace(other_spec, frames=frames))
    return MotionSpec(
        spec.caption, tokens, spec.turn, spec.route, concurrent, is_above(spec.action), spec.action, clause, frames,
        spec.not_shown, tuple(alternatives), spec.avoid,
    )  # fmt: skip


def _median(lengths: Sequence[int]) -> int:
    return lengths[len(lengths) // 2]
