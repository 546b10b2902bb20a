"""Damaged files for every reader: ``python -m tests.fuzz [--cases N] [--seed N] [--only NAME] [--case NAME:NUMBER]``.

Prints the figures as JSON and ends with 1 where a case was neither read nor refused with one line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
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
        subprocess.run([sys.executable, "-m", "tests.fuzz", "--prepare", str(folder / "good")], check=True)
        readers = targets.all_targets(folder / "good")
        os.chdir(folder)
        if args.case:
            name, _, number = args.case.rpartition(":")
            path = running.place(readers[name], folder)
            path.write_bytes(running.damaged(readers[name], name, int(number), args.seed))
            readers[name].read(path)
            return 0
        chosen = {n: t for n, t in readers.items() if not args.only or args.only in n}
        cases = args.keep or folder / "cases"
        cases.mkdir(parents=True, exist_ok=True)
        report = running.run(chosen, cases, args.cases, args.seed, log=sys.stderr)
        used = os.times()
        figures = {**vars(report), "cpu_seconds": round(used.children_user + used.children_system, 1)}
        text = json.dumps(figures, indent=1)
        args.report.write_text(text) if args.report else print(text)
        return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
