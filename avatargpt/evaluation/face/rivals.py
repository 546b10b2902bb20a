"""Faces that need no model: the written score itself, that of another instruction, and a face at rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.metrics.degradations import fitting
from instruct_data.face.score import Score
from vqvae.face import FaceMotion

RENDERED, SHUFFLED, NEUTRAL = "rendered score", "shuffled score", "neutral face"
REAL, SHUFFLED_TAKE, MEAN = "real", "shuffled recording", "mean face"
ANOTHER = 2  # seed of a rendering that is not the one compared with
WIDTH = 55


def of_scores(wanted: Sequence[Score]) -> dict[str, list[FaceMotion]]:
    """Baseline -> a clip per instruction: its score rendered once more with other chances (what is to be reached), that
    of an instruction far from it in the list, and a face at rest."""
    from instruct_data.face.render import render

    shown = [render(s, ANOTHER) for s in wanted]
    apart = max(len(shown) // 2, 1)
    return {
        RENDERED: shown,
        SHUFFLED: [fitting(shown[(i + apart) % len(shown)], len(m)) for i, m in enumerate(shown)],
        NEUTRAL: [FaceMotion.from_curves(np.zeros((len(m), WIDTH), np.float32), m.fps) for m in shown],
    }


def of_recordings(held: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Baseline -> curves per recorded take.

    Args:
        held: (T, 55) curves of held-out takes. training: of training takes, at least one.

    Returns:
        The takes themselves, the curves of training takes in their place (begun anew where these are shorter), their
        mean held, and a face at rest.
    """
    mean = np.concatenate(training).mean(0)
    others = [training[i % len(training)] for i in range(len(held))]
    return {
        REAL: [*held],
        SHUFFLED_TAKE: [np.resize(o, x.shape) for o, x in zip(others, held, strict=True)],
        MEAN: [np.tile(mean, (len(x), 1)) for x in held],
        NEUTRAL: [np.zeros_like(x) for x in held],
    }
