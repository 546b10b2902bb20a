"""Keyframed clips per CPU second: the mean over the families, each group, and the slowest families.

What is timed is `keyframed` as training data uses it: draw the keys, solve the motion, fill in the captions. Each
family's figure is the best of several rounds with fresh seeds, in seconds of processor time, so that a busy machine
disturbs little (OMP_NUM_THREADS=1). The mean is that of the families' figures; "together" is all clips over all the
time. Without names all families are measured.
"""

from itertools import count
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import shortest
from instruct_data.factory.synth.families import families, keyframed
from instruct_data.factory.synth.format import Family
from vqvae.errors import UserError


def seconds_of(family: Family, batch: int, rounds: int) -> float:
    """Least processor time for one batch of clips, after a warm-up."""
    keyframed(family, range(4))
    starts = count(1000, batch)

    def work() -> None:
        start = next(starts)
        keyframed(family, range(start, start + batch))

    return shortest(work, rounds)


def run(
    names: Annotated[list[str] | None, typer.Argument()] = None, batch: int = 64, rounds: int = 3, slowest: int = 8
) -> dict[str, Any]:
    """Measure."""
    available = families()
    if unknown := [n for n in names or () if n not in available]:
        raise UserError(f"unknown family {unknown[0]!r}; accepted {', '.join(available)}")
    chosen = {n: available[n] for n in names or available}
    rates = {n: batch / seconds_of(f, batch, rounds) for n, f in chosen.items()}
    groups: dict[str, list[float]] = {}
    for name, rate in rates.items():
        groups.setdefault(chosen[name].group, []).append(rate)
    figures = {
        "families": len(rates), "mean": float(np.mean(list(rates.values()))),
        "together": len(rates) / sum(1 / r for r in rates.values()),
        "groups": {g: float(np.mean(v)) for g, v in sorted(groups.items())},
        "slowest": dict(sorted(rates.items(), key=lambda item: item[1])[:slowest]),
    }  # fmt: skip
    return {"batch": batch, "clips_per_second": figures}
