"""Keyframed clips per CPU second: the mean over the families, each group, and the slowest families.

    OMP_NUM_THREADS=1 python benchmarks/synth.py [--batch 64] [--rounds 3] [--slowest 8] [--json] [NAMES ...]

What is timed is `keyframed` as training data uses it: draw the keys, solve the motion, fill in the captions. Each
family's figure is the best of several rounds with fresh seeds, in seconds of processor time, so that a busy machine
disturbs little. The mean is that of the families' figures; "together" is all clips over all the time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

import numpy as np

from instruct_data.factory.synth.families import families, keyframed
from instruct_data.factory.synth.format import Family
from vqvae.errors import UserError


def seconds_of(family: Family, batch: int, rounds: int) -> float:
    """Least processor time for one batch of clips, after a warm-up."""
    keyframed(family, range(4))
    best = float("inf")
    for i in range(rounds):
        seeds = range(1000 + i * batch, 1000 + (i + 1) * batch)
        started = time.process_time()
        keyframed(family, seeds)
        best = min(best, time.process_time() - started)
    return best


def report(rates: dict[str, float], groups: dict[str, str], slowest: int) -> dict[str, object]:
    """Mean, mean of each group, slowest families, and all clips over all the time."""
    members: dict[str, list[float]] = {}
    for name, rate in rates.items():
        members.setdefault(groups[name], []).append(rate)
    together = len(rates) / sum(1 / r for r in rates.values())
    low = dict(sorted(rates.items(), key=lambda item: item[1])[:slowest])
    return {"families": len(rates), "mean": float(np.mean(list(rates.values()))), "together": together,
            "groups": {g: float(np.mean(v)) for g, v in sorted(members.items())}, "slowest": low}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="families; without names all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slowest", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    available = families()
    try:
        unknown = [n for n in args.names if n not in available]
        if unknown:
            raise UserError(f"unknown family {unknown[0]!r}; accepted {', '.join(available)}")
        chosen = {n: available[n] for n in args.names or available}
        rates = {n: args.batch / seconds_of(f, args.batch, args.rounds) for n, f in chosen.items()}
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    figures = report(rates, {n: f.group for n, f in chosen.items()}, args.slowest)
    if args.json:
        print(json.dumps({"batch": args.batch, "clips_per_second": figures}))
        return 0
    print(f"{figures['families']} families, batch {args.batch}; clips per CPU second")
    print(f"{'mean of families':24s}{figures['mean']:8.0f}\n{'all together':24s}{figures['together']:8.0f}")
    for title in ("groups", "slowest"):
        print(title)
        rows = figures[title]
        assert isinstance(rows, dict)
        print("\n".join(f"  {n:22s}{r:8.0f}" for n, r in rows.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
