"""Lists of prompts that others wrote: do motions fit their prompts, and do descriptions name the action?

How such lists are read: `evaluation.prompt_rows`. A motion is made for every prompt (or comes from elsewhere). The
learnt evaluator says how near it is to its prompt among the other prompts' motions. And the model describes it, which
is judged as readings of requests are (`requests.Judge`): against the action, or against the whole prompt where no
action is given. The description measures both models together, and other words for the same are missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.body.prompts import Generator, generated
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from avatargpt.evaluation.text.requests import Judge
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.evaluator import FPS, MotionEvaluator, fits
from avatargpt.metrics.retrieval import POOL, sides_of
from vqvae.motion import Motion

RANDOM = "random pairing"
LEAST = 4  # prompts, of which the right one is looked for among the nearest three


def score(suite: Suite, model: Any, batch: int = 64, parts: Parts = UNKEPT) -> dict[str, Any]:
    """Make, describe, judge.

    Args:
        suite: of kind ``prompt_list`` (`suites.listed`).
        model: an `avatargpt.AvatarGPT`, or anything with ``describe`` that has ``body.generation.made`` or is called as
            a `Generator`.
    """
    rows = suite.options["prompts"]
    generate: Generator = (
        model if callable(model) else lambda texts, seeds: model.body.generation.results(texts, seeds=seeds)
    )
    pairs = [(row["prompt"], seed) for row in rows for seed in suite.seeds]
    answers = generated(pairs, generate, batch, parts)
    failed = [{"item": f"{text} (seed {seed})", "reason": a.reason}
              for (text, seed), a in zip(pairs, answers, strict=True) if a.motion is None]  # fmt: skip
    made: dict[int, list[Motion]] = defaultdict(list)
    for number, answer in enumerate(answers):
        if answer.motion is not None:
            made[number // len(suite.seeds)].append(answer.motion)
    joints = {n: [m.resampled(FPS).joints for m in some] for n, some in made.items()}
    told = judged(suite, made, model, parts=parts)
    told["results"] |= fitting(suite, joints)
    return {**told, **({"failed": failed} if failed else {})}


def fitting(suite: Suite, made: Mapping[int, Sequence[np.ndarray]], folder: Path | None = None) -> dict[str, Any]:
    """How well the motions fit their prompts, as the learnt evaluator sees it.

    Args:
        made: number of the row (from 0) -> (T, 22, 3) joints at 20 fps of its motions; the first is looked at.
        folder: of the evaluator; None = the packaged weights.

    Returns:
        ``top1`` to ``top3`` (R-precision in pools of 32, or of all where there are fewer prompts), ``mm_dist``, and the
        same with ``/random pairing``, the motions of other prompts; {} for fewer than four prompts.
    """
    rows = [n for n in sorted(made) if made[n]]
    if len(rows) < LEAST:
        return {}
    evaluator, seed = MotionEvaluator.load(folder), suite.seeds[0]
    texts = [str(suite.options["prompts"][n]["prompt"]) for n in rows]
    captions, sides = [v[None] for v in SentenceGrounder().sentence(texts)], list(sides_of(texts)[:, None])
    own = evaluator.joints([made[n][0] for n in rows])
    others = own[np.roll(np.random.default_rng(seed).permutation(len(rows)), 1)]
    results: dict[str, Any] = {}
    for name, vectors in (("", own), (f"/{RANDOM}", others)):
        found = fits(evaluator, captions, sides, vectors, min(POOL, len(rows)), 20, 1, seed)
        results |= {f"{k}{name}": figure(v) for k, v in found.items()}
    return results


def judged(
    suite: Suite, made: Mapping[int, Sequence[Motion]], model: Any, batch: int = 64, parts: Parts = UNKEPT
) -> dict[str, Any]:
    """The figures of motions that are there.

    Args:
        made: number of the row (from 0) -> its motions. model: something with ``describe``.

    Returns:
        ``named``: mean over prompts of the share of motions whose description names what was asked, also by category
        and apart for rows with an action and without; one row per prompt with the descriptions.
    """
    rows, judge = suite.options["prompts"], Judge()
    flat = [(number, motion) for number in sorted(made) for motion in made[number]]
    said: dict[int, list[str]] = defaultdict(list)
    describe = parts.remembering("describe", model.describe)
    for start in range(0, len(flat), batch):
        chunk = flat[start : start + batch]
        for (number, _), text in zip(chunk, describe([m for _, m in chunk]), strict=True):
            said[number].append(str(text))
    by: dict[str, list[float]] = defaultdict(list)
    told = []
    for number, texts in said.items():
        row = rows[number]
        named = [int(judge.alike(text, row["action"] or row["prompt"])) for text in texts]
        share = sum(named) / len(named)
        by["named"].append(share)
        by["named_by_action" if row["action"] else "named_by_prompt"].append(share)
        if row["category"]:
            by[f"named/{row['category']}"].append(share)
        told.append({k: v for k, v in row.items() if v} | {"named": named, "described": texts})
    return {"results": {k: figure(v) for k, v in sorted(by.items())} or {"named": figure([])}, "prompts": told}
