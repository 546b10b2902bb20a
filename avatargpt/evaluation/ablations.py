"""How far trainings that differ in one choice are apart, and how far chance alone would take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def compared(runs: Mapping[str, Sequence[Mapping[str, float]]], base: str, level: float = 0.95) -> dict[str, Any]:
    """How far each training is from the base, and how far chance alone would take it.

    Chance is the spread among equal trainings with other seeds, taken as the same for all of them (pooled), as in an
    analysis of variance.

    Args:
        runs: figures of each training, one mapping for each seed.
        base: whose name the others are compared with.
        level: of the intervals.

    Returns:
        figure -> ``{base, sd, df, others: {name: {mean, difference, within, outside}}}``: chance alone stays
        `within` at this level, None without a second seed; `outside` says whether the difference does not.
    """
    from scipy.stats import t

    out: dict[str, Any] = {}
    for name in runs[base][0]:
        values = {k: np.array([r[name] for r in rows if name in r]) for k, rows in runs.items()}
        values = {k: v for k, v in values.items() if len(v)}
        df = sum(len(v) - 1 for v in values.values())
        sd = float(np.sqrt(sum(((v - v.mean()) ** 2).sum() for v in values.values()) / df)) if df else None
        here = values[base]
        others: dict[str, Any] = {}
        for k, v in values.items():
            if k == base:
                continue
            row: dict[str, Any] = {"mean": float(v.mean()), "difference": float(v.mean() - here.mean())}
            row["within"] = None
            if sd is not None:
                row["within"] = float(t.ppf((1 + level) / 2, df) * sd * np.sqrt(1 / len(v) + 1 / len(here)))
                row["outside"] = bool(abs(row["difference"]) > row["within"])
            others[k] = row
        out[name] = {"base": float(here.mean()), "sd": sd, "df": df, "others": others}
    return out
