"""Which of several candidates is taken: what fits its words, on the side they name, on feet that do not slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.body.model import BodyModel
from avatargpt.kinematics.measures import foot_skate
from instruct_data.text.mirror import mirror_text

if TYPE_CHECKING:
    from vqvae.motion import Motion

Cost = Callable[["Motion"], float]
SIDED = 1.0  # weight of how much better a motion fits its text than the text of the other side
APART = 0.5  # what each metre costs that a motion's first pose is away from the last one of the motion before it
SKATED = 0.3  # what a motion loses whose feet slide all the time, in the scorer's cosine


def pick(
    model: BodyModel, found: Sequence[Sequence[np.ndarray]], texts: Sequence[str], costs: Sequence[Cost | None] = (),
    before: Sequence[int] = (),
) -> list[np.ndarray]:  # fmt: skip
    """Of every prompt's candidates, codes (N, R), the best one.

    Args:
        costs: what a motion loses for what else was asked for, in the scorer's cosine; none = nothing was.
        before: the earlier prompt that each goes on from, -1 = none; a candidate comes after others for beginning in
            another pose than the chosen one before it ends in.
    """
    if all(len(f) == 1 for f in found):
        return [f[0] for f in found]
    # prompt by prompt, so that a choice does not depend on what else is asked for
    motions = [model.tokenizer.decode_each(some) for some in found]
    rows = [(t, cost) for f, t, cost in zip(found, texts, costs or [None] * len(found), strict=True) for _ in f]
    flat = ranked(model, [c for f in found for c in f], [m for some in motions for m in some], *zip(*rows, strict=True))
    best: list[int] = []
    at = 0
    for some, earlier in zip(motions, before or [-1] * len(found), strict=True):
        scores = flat[at : at + len(some)]
        if earlier >= 0 and len(some) > 1:
            end = _pose(motions[earlier][best[earlier]], -1)
            scores = scores - APART * np.array([np.linalg.norm(_pose(m, 0) - end, axis=-1).mean() for m in some])
        best.append(int(scores.argmax()))
        at += len(some)
    return [some[i] for some, i in zip(found, best, strict=True)]


def _pose(motion: Motion, frame: int) -> np.ndarray:
    """(J, 3) places of the joints in a frame, above the floor, about the root and in its heading, metres."""
    one = motion.slice(frame % len(motion), frame % len(motion) + 1)
    joints = one.moved(-float(one.heading[0]), np.zeros(3)).joints[0].astype(np.float64)
    return joints - joints[0] * np.array([1, 0, 1])


def ranked(
    model: BodyModel, codes: Sequence[np.ndarray], motions: Sequence[Motion], texts: Sequence[str],
    costs: Sequence[Cost | None],
) -> np.ndarray:  # fmt: skip
    """Scores (B,) of codes (N, R) and what they show: the scorer's cosine to their texts, less what they do wrong.

    Where a text names one side, it counts how much better the motion fits it than the text of the other side: the
    scorer tells the sides of one motion apart, but likes some motions so much that their side hardly counts. It does
    not see sliding feet at all. Without a scorer the likelihood of the text as the motion's description takes its
    place.
    """
    less = np.array([SKATED * foot_skate(m.joints, m.fps) for m in motions])
    less += [0.0 if cost is None else cost(m) for m, cost in zip(motions, costs, strict=True)]
    if model.motion_scorer is None or model.grounder is None:
        return model.loaded.likelihood(codes, texts) - less
    seen, said = model.motion_scorer.motions([m.joints for m in motions], motions[0].fps), list(dict.fromkeys(texts))
    vectors = model.motion_scorer.texts([*said, *map(mirror_text, said)], model.grounder)
    row = {t: i for i, t in enumerate(said)}
    own, other = ((seen * vectors[[row[t] + k for t in texts]]).sum(1) for k in (0, len(said)))
    return np.asarray(own + SIDED * (own - other) - less)
