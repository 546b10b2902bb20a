"""What is made one after another for a request, and how long each takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatargpt.body.fulfilment.scaling import speed_asked
from avatargpt.body.model import BodyModel
from avatargpt.body.spec import MotionSpec
from avatargpt.kinematics.joints import FPS
from avatargpt.lm.loaded import CHUNK
from avatargpt.options import Request, frames_of, said, timed, tokens_of
from avatargpt.requests.concurrent import is_above
from avatargpt.requests.motion_spec import ClauseSpec

SHORTEST = 5  # motion tokens a clause needs at least


def specs(model: BodyModel, request: Request, duration: float | None, seed: int, literal: bool) -> list[MotionSpec]:
    """What is made one after another for a request.

    Args:
        duration: seconds, None = as long as such motion usually is. literal: the words as they are, in one go.
    """
    found = model.clauses(request, literal)
    rng = np.random.default_rng([seed % 2**32, 77])
    usual = [int(rng.choice(p.lengths)) if p.lengths else -1 for p in found]
    # a turn takes as long as its degrees need, a path as long as its shape
    tokens = [-1 if p.turn else (p.route.tokens or t) if p.route else t for p, t in zip(found, usual, strict=True)]
    tokens = [min(CHUNK, max(t, *p.besides.lengths, 20)) if p.besides else t
              for p, t in zip(found, tokens, strict=True)]  # fmt: skip
    rate = model.tokenizer.tokens_per_second
    if duration is not None:
        total = tokens_of(duration, rate)
        if len(found) > 1 and total < SHORTEST * len(found):  # no room for all of it one by one
            return [MotionSpec(said(request), total)]
        tokens = timed(total, [t if t > 0 else 20 for t in tokens], [_seconds(p) for p in found], rate, SHORTEST)
    return [_spec(p, t, rate, duration is not None) for p, t in zip(found, tokens, strict=True)]


def _seconds(clause: ClauseSpec) -> float | None:
    return clause.asked.seconds if clause.asked is not None else None


def _spec(clause: ClauseSpec, tokens: int, rate: float, timed: bool) -> MotionSpec:
    """What is made of a clause of so many tokens (-1 = as many as it needs).

    Args:
        rate: tokens a second. timed: the length of the whole is given, so that each part has its frames.
    """
    asked, seconds = clause.asked, _seconds(clause)
    frames = None
    if timed and tokens > 0:
        frames = round(tokens / rate * FPS)
    elif seconds is not None:
        frames = frames_of(seconds, FPS)
    if frames is not None and asked is not None:
        tokens = tokens_of(frames / FPS * speed_asked(asked), rate)
    besides = None if clause.besides is None else _spec(clause.besides, tokens, rate, False)
    others: list[MotionSpec] = []
    for one in clause.others if asked is not None and clause.turn is None and clause.route is None else ():
        takes = tokens if frames is not None or not one.lengths else one.lengths[len(one.lengths) // 2]
        others.append(replace(_spec(replace(one, asked=asked, avoid=clause.avoid), takes, rate, timed), frames=frames))
    return MotionSpec(
        clause.text, tokens, clause.turn, clause.route, besides, is_above(clause.action), clause.action, asked, frames,
        clause.unshown, tuple(others), clause.avoid,
    )  # fmt: skip
