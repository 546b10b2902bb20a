"""Damaged files for every reader: ``python -m tests.fuzz [--cases N] [--seed N] [--only NAME] [--case NAME:NUMBER]``.

Prints the figures as JSON and ends with 1 where a case was neither read nor refused with one line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import running, targets

CASES = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="a part of the names of the readers that are fed")
    parser.add_argument("--case", metavar="NAME:NUMBER", help="one case in this process, with its traceback")
    parser.add_argument("--keep", type=Path, help="folder for the files of faults")
    parser.add_argument("--report", type=Path, help="where the figures go, instead of standard output")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        targets.prepare(args.prepare)
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, "-m", "tests.fuzz", "--prepare", str(folder / "whole")], check=True)
        known = targets.all_targets(folder / "whole")
        os.chdir(folder)
        if args.case:
            name, _, number = args.case.rpartition(":")
            path = running.place(known[name], folder)
            path.write_bytes(running.damaged(known[name], name, int(number), args.seed))
            known[name].read(path)
            return 0
        chosen = {n: t for n, t in known.items() if not args.only or args.only in n}
        kept = args.keep or folder / "cases"
        kept.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        report = running.run(chosen, kept, args.cases, args.seed, log=sys.stderr)
        used = os.times()
        figures = {**report.to_json(), "cpu_seconds": round(used.children_user + used.children_system, 1),
                   "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
        text = json.dumps(figures, indent=1)
        args.report.write_text(text) if args.report else print(text)
        return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
