"""Train and measure ablations on equal terms, with several seeds each: of the speech driver, and of how codes enter.

    python eval/ablations.py driver --speech out/speech --expressions out/expressions --texts TEXTS/face_text \
        -o out/ablations
    python eval/ablations.py codes --tokenizer avatargpt/weights/body --codes out/codes --texts TEXTS --data CORPUS \
        --evaluator out/evaluator -o out/code_ablation

What is finished is not done again, and a training that was stopped goes on. The results file is written after every
run; the table of docs/ablations.md goes to stdout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from code_study import CodeStudy
from driver_study import DriverStudy

from avatargpt.config import resolve
from avatargpt.evaluation import report
from avatargpt.evaluation.ablations import compared
from vqvae.errors import UserError
from vqvae.io.data_files import read_object

RESULTS = Path(__file__).resolve().parent / "results"
FIGURES = "figures.json"


class Study(Protocol):
    """Trainings that are compared."""

    @property
    def command(self) -> str:
        """That does it all."""

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Name -> trainings that are compared with the first of them."""

    @property
    def shown(self) -> Mapping[str, tuple[str, ...]]:
        """Group -> figures, in their order."""

    def address(self, name: str) -> str:
        """The configuration of a training."""

    def queue(self, seeds: int) -> Iterator[tuple[str, int]]:
        """Names and seeds in the order in which they are trained."""

    def run(self, name: str, seed: int, out: Path) -> dict[str, float] | None:
        """Train and measure one: figures by name. None: another process measures."""

    def about(self) -> dict[str, Any]:
        """What the results file says of the data."""


def results(runs: dict[str, list[dict[str, float]]], study: Study, about: dict[str, Any]) -> dict[str, Any]:
    """What the results file holds: the recipe, every run's figures, and the comparisons."""
    groups = {k: [n for n in names if n in runs] for k, names in study.groups.items()}

    def shown(group: str, name: str) -> list[dict[str, float]]:
        return [{k: r[k] for k in study.shown[group] if k in r} for r in runs[name]]

    return {
        "command": study.command, "seeds": {k: len(v) for k, v in runs.items()}, "data": about,
        "configs": {name: resolve(study.address(name)) for name in runs}, "runs": runs,
        "compared": {k: compared({n: shown(k, n) for n in some}, some[0])
                     for k, some in groups.items() if some and some[0] == study.groups[k][0]},
    }  # fmt: skip


def table(compared: dict[str, Any], names: tuple[str, ...]) -> str:
    """Markdown: a row for each figure; base, spread among seeds, the others, bold where chance does not reach."""
    there = [n for n in names if n in compared]
    others = list(dict.fromkeys(k for n in there for k in compared[n]["others"]))
    rows = [["figure", "base", "sd", *others], ["---"] * (len(others) + 3)]
    for name in there:
        row = compared[name]
        cells = [f"`{name}`", _digits(row["base"]), _digits(row["sd"])]
        for x in (row["others"].get(k, {}) for k in others):
            said = _digits(x.get("mean"))
            cells.append(f"**{said}**" if x.get("outside") else said)
        rows.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _digits(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 5 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"


STUDIES: dict[str, Callable[[argparse.Namespace], Study]] = {"driver": DriverStudy, "codes": CodeStudy}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    studies = parser.add_subparsers(dest="study", required=True)
    driver = studies.add_parser("driver", help="choices in the speech-to-face driver")
    driver.add_argument("--speech", required=True, help="folders of the speech stage, with commas between")
    driver.add_argument("--expressions", required=True, help="folder of the expressions stage")
    driver.add_argument("--texts", type=Path, help="folder with val.jsonl of the facial instructions")
    driver.set_defaults(seeds=2, results=RESULTS / "driver_ablations.json")
    codes = studies.add_parser("codes", help="how motion codes enter the language model")
    codes.add_argument("--tokenizer", type=Path, required=True, help="folder of the body's tokenizer")
    codes.add_argument("--codes", type=Path, required=True, help="folder of the codes stage, made with it")
    codes.add_argument("--texts", type=Path, required=True, help="folder of caption bank and rewrites")
    codes.add_argument("--data", type=Path, required=True, help="folder of the body corpus")
    codes.add_argument("--evaluator", type=Path, help="folder of the text-motion stage, for its figures as well")
    codes.set_defaults(seeds=3, results=RESULTS / "code_ablation.json")
    for one in (driver, codes):
        one.add_argument("-o", "--output", type=Path, required=True, help="folder of the trainings")
        one.add_argument("--results", type=Path)
        one.add_argument("--seeds", type=int)
        one.add_argument("--finished", action="store_true", help="train nothing, compare what is finished")
        one.add_argument("--threads", type=int, default=1)
        one.add_argument("--device", default=None)
    return parser


def main() -> int:
    args = _parser().parse_args()
    try:
        study = STUDIES[args.study](args)
        runs: dict[str, list[dict[str, float]]] = {}
        about = study.about()
        for name, seed in study.queue(args.seeds):
            done = args.output / f"{name}.{seed}" / FIGURES
            if not done.is_file():
                if args.finished or (figures := study.run(name, seed, done.parent)) is None:
                    continue
                report.write(done, figures)
            runs.setdefault(name, []).append(dict(read_object(done)))
            print(f"{name} {seed}", file=sys.stderr, flush=True)
            report.write(args.results, results(runs, study, about))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    for group, rows in read_object(args.results)["compared"].items():
        print(table(rows, study.shown[group]), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
