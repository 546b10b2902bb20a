"""Predicates of prompt following: the table in `predicates`, filled by one module per subject, all imported here."""

from avatargpt.metrics.geometry import acts, arms, counts, gait, hands, measures, objects, predicates, rows

__all__ = ["acts", "arms", "counts", "gait", "hands", "measures", "objects", "predicates", "rows"]
