"""Run suites on a model or a baseline, and render what came out.

``python eval/run.py prompts_known --model runs/language``; ``python eval/run.py all --model nearest --data CORPUS``;
``python eval/run.py discriminator --model none --data CORPUS --store STORE``; ``python eval/run.py --tables``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from tables import write_page, write_tables

from avatargpt import evaluation
from avatargpt.cli.common import check_folder
from avatargpt.evaluation import parts, report
from avatargpt.evaluation.body import corpus, prompts, retrieval, synthetic
from avatargpt.evaluation.outputs import scoring
from avatargpt.evaluation.outputs.scoring import Outputs
from vqvae.errors import UserError

HERE = Path(__file__).resolve().parent
BASELINES = ("random", "nearest")
WITHOUT_WEIGHTS = (*BASELINES, "ceiling", "none")
CACHE = HERE.parent / "out" / "eval"


def _model(name: str, data: Path | None) -> Any:
    if name == "none":
        return None
    if name in BASELINES:
        clips = corpus.load_clips(data, "train")
        return retrieval.RandomClip(clips) if name == "random" else retrieval.NearestCaption(clips, CACHE)
    from avatargpt import AvatarGPT

    return AvatarGPT.from_pretrained(None if name == "packaged" else name)


def _ceiling(suite: evaluation.Suite, data: Path | None) -> dict[str, Any]:
    """What real (or keyframed) clips can reach on a prompt suite, and whether two-action checks keep the order."""
    clips = corpus.load_clips(data, "train")
    near = retrieval.NearestCaption(clips, CACHE)
    if suite.options.get("ceiling") == "keyframed":
        some = list(synthetic.made(10))
    else:
        # Every rare clip and a sixteenth of the many waves and raised hands.
        some = [c for i, c in enumerate(clips) if c.source != "bandai2" or i % 16 == 0]
    possible, order = prompts.attainable(suite, some, near), prompts.composed(suite, some)
    metrics = {"attainable": {"higher_is_better": True, "unit": "share"}, "chance": {"higher_is_better": False},
               "right_order": {"higher_is_better": True}, "wrong_order": {"higher_is_better": False}}  # fmt: skip
    head = {**report.header(suite, None), "metrics": metrics, "targets": {}}
    return {**head, **possible, "results": {**possible["results"], **order["results"]}}

JUDGED = ("humanml3d", "retrieval", "retrieval_judge", "degradations")  # by an evaluator, a folder of its own


def _chosen(names: list[str], model: str) -> list[evaluation.Suite]:
    """The suites named, checked against what the model can do.

    Raises:
        UserError: unknown suite, or one that asks for more than the baseline has.
    """
    every = names == ["all"]
    if every and model not in (*BASELINES, "ceiling"):
        raise UserError(f"all: for --model {', '.join(BASELINES)} or ceiling; suites of a model need different --data")
    suites = [evaluation.load(name) for name in (evaluation.list_suites() if every else names)]
    if model in (*BASELINES, "ceiling"):
        if every:
            return [s for s in suites if s.kind == "prompts"]
        wrong = [s.name for s in suites if s.kind != "prompts"]
        if wrong:
            raise UserError(f"--model {model} answers prompts only; not {', '.join(wrong)}")
    if model == "none":
        free = (*evaluation.WITHOUT_MODEL, "inbetween", "continuation", "gesture", "humanml3d", "retrieval",
                "degradations")  # fmt: skip
        wrong = [s.name for s in suites if s.kind not in free]
        if wrong:
            raise UserError(f"--model none: {', '.join(wrong)} needs a model; accepted {', '.join(free)}")
    return suites


def _run(
    names: list[str], model_name: str, data: Path | None, out: Path, store: Path | None = None, full: bool = False,
    outputs: Outputs | None = None, shard: tuple[int, int] = (0, 1), evaluator: Path | None = None,
) -> bool:  # fmt: skip
    """Whether all items of all suites could be made and read."""
    suites = _chosen(names, model_name)
    whole = True
    if evaluator is not None and (wrong := [s.name for s in suites if s.kind not in JUDGED]):
        raise UserError(f"--evaluator: {wrong[0]} has none; accepted: {', '.join(JUDGED)}")
    for option, folder in (("--data", data), ("--store", store), ("--evaluator", evaluator)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{option} {folder}: no such folder")
    check_folder(out / "x.json")
    free = evaluation.WITHOUT_MODEL if outputs is None else tuple(k for k in scoring.KINDS if k != "prompt_list")
    needs_model = any(s.kind not in free for s in suites) and model_name != "ceiling"
    for suite in suites:
        model = _model(model_name, data) if needs_model else None  # one that remembers nothing of other suites
        # Where clips alone are measured no model takes part, and none is in the name.
        alone = suite.kind in free
        bare = model_name not in WITHOUT_WEIGHTS or alone
        path = out / (f"{suite.name}.json" if bare else f"{suite.name}.{model_name}.json")
        start = time.monotonic()
        if model_name == "ceiling":
            result = _ceiling(suite, data)
            report.write(path, result)
            report.show(result)
        else:
            try:
                result = evaluation.run_suite(
                    suite, None if alone else model, data, path, evaluator or store, full, outputs, shard
                )
            except parts.Waiting as e:
                print(e, file=sys.stderr)
                continue
            for line in result.get("warnings", []):
                print(f"warning: {line}", file=sys.stderr)
            for line in scoring.lines(result.get("failed", [])):
                print(f"failed: {line}", file=sys.stderr)
                whole = False
        print(f"{path}  ({time.monotonic() - start:.0f} s)", file=sys.stderr)
    return whole


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"all, {', '.join(evaluation.list_suites())}")
    parser.add_argument(
        "--model", default="packaged", help="packaged (default), a folder of weights, random, nearest, ceiling or none"
    )
    parser.add_argument(
        "--data", type=Path,
        help="body corpus; speech_face, word_times: FACES; face_*: FACE_TEXT; gesture: TALKS; humanml3d: HumanML3D",
    )
    parser.add_argument("--store", type=Path, help="a prepared clip store; face suites: a cache of the speech stage; "
                        "word_times: a folder of a Whisper model; gesture: FGD")  # fmt: skip
    parser.add_argument("--evaluator", type=Path, help="humanml3d, retrieval and retrieval_judge: folder of the "
                        "evaluator; default: DATA/evaluator, and the packaged weights")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="the large sample, where a suite has two sizes")
    parser.add_argument("--outputs", type=Path, help="a folder of another system's motion files, in place of the model")
    parser.add_argument("--prompts", type=Path, help="names and prompts of --outputs, CSV or JSON")
    parser.add_argument("--fps", type=float, help="frame rate of --outputs that state none; default: 20")
    parser.add_argument("--shard", default="1/1", help="K/N: the K-th of N processes that write the same results")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of results; default: the published")
    parser.add_argument(
        "--tables", action="store_true",
        help="render docs/results.md and the README's table; with --out FOLDER: FOLDER/results.md alone",
    )  # fmt: skip
    args = parser.parse_args()
    if not args.suites and not args.tables:
        parser.error("name a suite, all, or --tables")
    whole = True
    try:
        published = args.out.resolve() == (HERE / "results").resolve()
        if args.suites:
            if published and args.model not in ("packaged", *WITHOUT_WEIGHTS):
                raise UserError(f"--model {args.model}: name a folder for its results with --out; "
                                "eval/results holds those of the packaged model")  # fmt: skip
            if published and args.outputs is not None:
                raise UserError("--outputs: name a folder for the results with --out; eval/results holds our own")
            given = None if args.outputs is None else scoring.Outputs(args.outputs, args.prompts, args.fps)
            shard = parts.read_shard(args.shard)
            whole = _run(
                args.suites, args.model, args.data, args.out, args.store, args.full, given, shard, args.evaluator
            )
        if args.tables:
            for path in write_tables(args.out, HERE.parent) if published else [write_page(args.out)]:
                print(path)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
