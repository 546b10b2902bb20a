"""Predicates of prompt following: the table in `predicates`, filled by one module per subject, all imported here."""

from avatargpt.metrics.geometry import (
    acts,
    arms,
    basic,
    counts,
    gait,
    hands,
    head,
    measures,
    objects,
    posture,
    predicates,
    rhythm,
    sport,
    steps,
    style,
)

__all__ = [
    "acts", "arms", "basic", "counts", "gait", "hands", "head", "measures", "objects", "posture", "predicates",
    "rhythm", "sport", "steps", "style",
]  # fmt: skip
