"""Run suites on a model or a baseline: ``python eval/run.py prompts_known --model nearest --data DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from avatargpt import evaluation
from avatargpt.evaluation import corpus, prompts, report, retrieval
from vqvae.errors import UserError

HERE = Path(__file__).resolve().parent
BASELINES = ("random", "nearest")
CACHE = HERE.parent / "out" / "eval"


def _model(name: str | None, data: Path | None) -> Any:
    if name == "none":
        return None
    if name in BASELINES:
        clips = corpus.load_clips(data, "train")
        return retrieval.RandomClip(clips) if name == "random" else retrieval.NearestCaption(clips, CACHE)
    from avatargpt import AvatarGPT

    return AvatarGPT.from_pretrained(name)


def _ceiling(suite: evaluation.Suite, data: Path | None) -> dict[str, Any]:
    """What real clips can reach on a prompt suite, and whether two-action checks keep the order."""
    clips = corpus.load_clips(data, "train")
    near = retrieval.NearestCaption(clips, CACHE)
    # Every rare clip and a sixteenth of the many waves and raised hands.
    some = [c for i, c in enumerate(clips) if c.source != "bandai2" or i % 16 == 0]
    possible, order = prompts.attainable(suite, some, near), prompts.composed(suite, some)
    metrics = {"attainable": {"higher_is_better": True, "unit": "share"}, "chance": {"higher_is_better": False},
               "right_order": {"higher_is_better": True}, "wrong_order": {"higher_is_better": False}}  # fmt: skip
    head = {**report.header(suite, None), "metrics": metrics}
    return {**head, **possible, "results": {**possible["results"], **order["results"]}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", metavar="SUITE", help=", ".join(evaluation.list_suites()))
    parser.add_argument(
        "--model", help="folder of weights, random, nearest, ceiling or none; default: the packaged weights"
    )
    parser.add_argument("--data", type=Path, help="folder of the body corpus")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the results")
    args = parser.parse_args()
    suffix = f".{args.model}" if args.model in (*BASELINES, "ceiling", "none") else ""
    try:
        suites = [evaluation.load(name) for name in args.suites]
        if args.model == "ceiling":
            for suite in suites:
                result = _ceiling(suite, args.data)
                report.write(args.out / f"{suite.name}{suffix}.json", result)
                report.show(result)
            return 0
        model = _model(args.model, args.data)
        for suite in suites:
            evaluation.run_suite(suite, model, args.data, args.out / f"{suite.name}{suffix}.json")
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
