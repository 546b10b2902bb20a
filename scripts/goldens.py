"""Goldens: outputs of the product that a change of its structure must leave as they are.

    python scripts/goldens.py make [NAME ...]           writes tests/golden/NAME.json (or .safetensors)
    python scripts/goldens.py check [--all] [NAME ...]  computes them again (a sample, or all) and prints differences

The kinds are described in tests/golden/golden_*.py. `check` ends with 1 where something differs. `make` is for changes
that are meant to change outputs; look at the difference in git before it is committed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))

from golden_kinds import KINDS
from golden_store import SHOWN, check, compute, write

EVERY = 100  # rows between two lines that say how far it is


def _progress(name: str, begin: float) -> Callable[[int], None]:
    def show(row: int) -> None:
        if row and row % EVERY == 0:
            print(f"{name}: {row} rows, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

    return show


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("make", "check"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--all", action="store_true", help="check every row, not a sample")
    args = parser.parse_intermixed_args(argv)
    if unknown := [n for n in args.names if n not in KINDS]:
        parser.error(f"{unknown[0]}: no such kind; accepted: {', '.join(KINDS)}")
    bad = 0
    for kind in [KINDS[n] for n in args.names or KINDS]:
        begin = time.monotonic()
        progress = _progress(kind.name, begin)
        if args.do == "make":
            rows = kind.rows()
            write(kind, compute(rows, rows, progress))
            size = kind.path.stat().st_size / 1e3
            print(f"{kind.name}: {len(rows)} rows, {size:.0f} kB, {time.monotonic() - begin:.0f} s", flush=True)
            continue
        found = check(kind, args.all, progress)
        bad += len(found.differences)
        for line in [*found.differences[:SHOWN], *(f"not compared: {s}" for s in found.skipped)]:
            print(f"  {kind.name}: {line}")
        print(f"{kind.name}: {found.compared} rows compared, {len(found.differences)} differences, "
              f"{time.monotonic() - begin:.0f} s", flush=True)  # fmt: skip
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
