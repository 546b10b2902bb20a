"""Useful tokens per CPU second of the language stage, with rows of a pool in one level of length buckets and in two.

    OMP_NUM_THREADS=1 python benchmarks/buckets.py [--steps 32] [--pools 8,32] -- --config FILE --codes DIR ...

After ``--`` stand the options of `scripts/train.py language`, without ``-o``. One level sorts the rows of a pool by one
number, twice the answer's length and the prompt's; two levels are `instruct_data.mixture.like_lengths`. Both take the
same rows, and whole training steps are timed, in turns, so that a busy machine disturbs them alike. Useful is a token
that is not padding; the states of the sentence encoder, which is not trained, are computed before. With ``--steps 16
--pools 8,16`` and ``--set train.batch=16`` it times 42 CPU seconds of steps (`benchmarks/results/buckets.json`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time

import torch

from avatargpt.config import resolve
from avatargpt.lm.model import IGNORED
from avatargpt.train.command import parsed
from avatargpt.train.data.batches import Batch, Pool
from avatargpt.train.engines import make_engine
from avatargpt.train.language import LanguageRecipe, LanguageStage
from avatargpt.train.language_run import make_stage
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from vqvae.errors import UserError


def tokens(batch: Batch) -> tuple[int, int]:
    """How many tokens of encoder and decoder are useful, and how many there are."""
    masks = [batch.inputs["attention_mask"], *(mask for _, mask, _ in batch.inputs.get("extra_embeddings", ()))]
    useful = sum(int(m.sum()) for m in masks) + int((batch.labels != IGNORED).sum())
    return useful, sum(m.numel() for m in masks) + batch.labels.numel()


def measured(stage: LanguageStage, kinds: dict[str, Pool], steps: int, runtime: Runtime) -> dict[str, dict[str, float]]:
    """Figures of every kind of pool."""
    engine, spent, seen = make_engine(stage, runtime, None), dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, (0, 0))
    shapes: set[object] = set()
    for timed in (False, True):  # the first time around prepares texts, and kernels once for every shape
        for step in range(steps):
            for name, stage.pool in kinds.items():
                batch = stage.batch(stage.pool.step(step))
                shape = batch.inputs["input_ids"].shape, batch.labels.shape, tokens(batch)[1]
                if not timed and shape in shapes:
                    continue
                shapes.add(shape)
                torch.manual_seed(step)
                started = time.process_time()
                total, _ = stage.losses(engine.module, StepContext(step, 0, 1, 0))
                engine.descend([total], 1, 0.0)  # at a rate of nothing the model stays as it is
                if timed:
                    spent[name] += time.process_time() - started
                    a, b = tokens(batch)
                    seen[name] = seen[name][0] + a, seen[name][1] + b
    return {
        name: {"useful_tokens": a, "padded_tokens": b, "useful_share": round(a / b, 3), "seconds": round(s, 2),
               "useful_tokens_per_second": round(a / s)}
        for name, (a, b), s in ((n, seen[n], spent[n]) for n in kinds)
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=32, help="of each kind; a multiple of the pools")
    parser.add_argument("--pools", default="8,32", help="steps whose rows go together; one level: the first")
    parser.add_argument("run", nargs=argparse.REMAINDER, help="-- and the options of scripts/train.py language")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        try:
            given = parsed(["language", *(w for w in args.run if w != "--"), "-o", out])
            recipe = LanguageRecipe.read(resolve(given.config, given.set), given.config)
            runtime = Runtime.start(given.threads, given.device)
            stage = make_stage(recipe, given, runtime)
        except UserError as e:
            print(f"error: {e}", file=sys.stderr)
            return 2
        rows = recipe.train.batch
        pools = [int(p) for p in args.pools.split(",")]
        kinds: dict[str, Pool] = {
            f"one level, pool {pools[0]}": Pool(stage.examples, recipe.train.seed, pools[0], rows),
            **{f"two levels, pool {p}": Pool(stage.examples, recipe.train.seed, p, rows, True) for p in pools},
        }
        print(json.dumps(measured(stage, kinds, args.steps, runtime), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
