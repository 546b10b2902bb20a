"""Which of several candidates is taken: what fits its words, on the side they tell, on feet that do not slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.metrics.physics import foot_skate
from avatargpt.turning import Turn, miss
from instruct_data.mirror import mirror_text

if TYPE_CHECKING:
    from avatargpt.speaker import Speaker

SIDED = 1.0  # weight of how much better a motion fits its text than the text of the other side
SKATED = 0.3  # what a motion loses whose feet slide all the time, in the matcher's cosine


def pick(
    model: Speaker, found: Sequence[Sequence[np.ndarray]], texts: Sequence[str], turns: Sequence[Turn | None] = ()
) -> list[np.ndarray]:
    """Of every prompt's candidates, codes (N, R), the best one.

    Args:
        turns: that the texts ask for; none = no text does.
    """
    if all(len(f) == 1 for f in found):
        return [f[0] for f in found]
    rows = [(t, turn) for f, t, turn in zip(found, texts, turns or [None] * len(found), strict=True) for _ in f]
    scores = ranked(model, [c for f in found for c in f], [t for t, _ in rows], [turn for _, turn in rows])
    best, at = [], 0
    for f in found:
        best.append(f[int(scores[at : at + len(f)].argmax())])
        at += len(f)
    return best


def ranked(
    model: Speaker, codes: Sequence[np.ndarray], texts: Sequence[str], turns: Sequence[Turn | None]
) -> np.ndarray:  # fmt: skip
    """Scores (B,) of codes (N, R): the matcher's cosine to their texts, less what they do wrong.

    Where a text names one side, it counts how much better the motion fits it than the text of the other side: the
    matcher tells the sides of one motion apart, but likes some motions so much that their side hardly counts. Feet that
    slide it does not see at all. Without a matcher the likelihood of the text as the motion's description takes its
    place.
    """
    tokenizer = model._tokenizer("body")
    motions = [tokenizer.decode(c) for c in codes]
    less = np.array([SKATED * foot_skate(m.joints, m.fps) for m in motions])
    less += [0.0 if turn is None else miss(m, turn) for m, turn in zip(motions, turns, strict=True)]
    if model.matcher is None or model.grounder is None:
        return model.likelihood(codes, texts) - less
    seen, said = model.matcher.motions([m.joints for m in motions], tokenizer.spec.fps), list(dict.fromkeys(texts))
    vectors = model.matcher.texts([*said, *map(mirror_text, said)], model.grounder)
    row = {t: i for i, t in enumerate(said)}
    own, other = ((seen * vectors[[row[t] + k for t in texts]]).sum(1) for k in (0, len(said)))
    return np.asarray(own + SIDED * (own - other) - less)
