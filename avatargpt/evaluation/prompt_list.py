"""Lists of prompts: fit of motions to their prompts, and naming of the action by descriptions.

The learnt evaluator says how near a motion is to its prompt among the other prompts' motions. And the model describes
it, which is judged as readings of requests are (`requests.Judge`): against the action, or against the prompt where no
action is given. The description measures both models together, and other words for the same are missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.prompts import Generator, generated
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.requests import Judge
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.evaluator import FPS, MotionEvaluator, fits
from avatargpt.metrics.retrieval import POOL, sides_of
from vqvae.motion import Motion

RANDOM_PAIRING = "random pairing"
MIN_PROMPTS = 4  # prompts, of which the right one is looked for among the nearest three


def evaluate(run: Run) -> dict[str, Any]:
    """A list of prompts on a run's model."""
    return score(run.suite, run.model, run.generate, cache=run.cache)


def score(suite: Suite, model: Any, generate: Generator, batch: int = 64, cache: AnswerCache = NO_CACHE
          ) -> dict[str, Any]:  # fmt: skip
    """Generate, describe, judge.

    Args:
        suite: of kind ``prompt_list`` (`suites.read_list`). model: anything with ``describe``.
    """
    rows = suite.options["prompts"]
    pairs = [(row["prompt"], seed) for row in rows for seed in suite.seeds]
    answers = generated(pairs, generate, batch, cache)
    failed = [{"item": f"{text} (seed {seed})", "reason": a.reason}
              for (text, seed), a in zip(pairs, answers, strict=True) if a.motion is None]  # fmt: skip
    motions: dict[int, list[Motion]] = defaultdict(list)
    for number, answer in enumerate(answers):
        if answer.motion is not None:
            motions[number // len(suite.seeds)].append(answer.motion)
    joints = {n: [m.resampled(FPS).joints for m in samples] for n, samples in motions.items()}
    result = judged(suite, motions, model, cache=cache)
    result["results"] |= fitting(suite, joints)
    return {**result, **({"failed": failed} if failed else {})}


def fitting(suite: Suite, motions: Mapping[int, Sequence[np.ndarray]], folder: Path | None = None) -> dict[str, Any]:
    """How well the motions fit their prompts, by the learnt evaluator.

    Args:
        motions: number of the row (from 0) -> (T, 22, 3) joints at 20 fps of its motions; the first one counts.
        folder: of the evaluator; None = the packaged weights.

    Returns:
        ``top1`` to ``top3`` (R-precision in pools of 32, or of all where there are fewer prompts), ``mm_dist``, and the
        same with ``/random pairing``, the motions of other prompts; {} for fewer than four prompts.
    """
    rows = [n for n in sorted(motions) if motions[n]]
    if len(rows) < MIN_PROMPTS:
        return {}
    evaluator, seed = MotionEvaluator.load(folder), suite.seeds[0]
    texts = [str(suite.options["prompts"][n]["prompt"]) for n in rows]
    captions, sides = [v[None] for v in SentenceGrounder().sentence(texts)], list(sides_of(texts)[:, None])
    vectors = evaluator.joints([motions[n][0] for n in rows])
    # Rolled, so that few motions keep their own prompt.
    shuffled = vectors[np.roll(np.random.default_rng(seed).permutation(len(rows)), 1)]
    results: dict[str, Any] = {}
    for name, rated in (("", vectors), (f"/{RANDOM_PAIRING}", shuffled)):
        fit = fits(evaluator, captions, sides, rated, min(POOL, len(rows)), 20, 1, seed)
        results |= {f"{k}{name}": figure(v) for k, v in fit.items()}
    return results


def judged(
    suite: Suite, motions: Mapping[int, Sequence[Motion]], model: Any, batch: int = 64, cache: AnswerCache = NO_CACHE
) -> dict[str, Any]:
    """The figures of available motions.

    Args:
        motions: number of the row (from 0) -> its motions. model: something with ``describe``.

    Returns:
        ``named``: mean over prompts of the share of motions whose description names the action or prompt, also by
        category and for rows with an action and without; one row per prompt with the descriptions.
    """
    rows, judge = suite.options["prompts"], Judge()
    flat = [(number, motion) for number in sorted(motions) for motion in motions[number]]
    descriptions: dict[int, list[str]] = defaultdict(list)
    describe = cache.wrap("describe", model.describe)
    for start in range(0, len(flat), batch):
        chunk = flat[start : start + batch]
        for (number, _), text in zip(chunk, describe([m for _, m in chunk]), strict=True):
            descriptions[number].append(str(text))
    by: dict[str, list[float]] = defaultdict(list)
    judged_rows = []
    for number, texts in descriptions.items():
        row = rows[number]
        named = [int(judge.matches(text, row["action"] or row["prompt"])) for text in texts]
        share = sum(named) / len(named)
        by["named"].append(share)
        by["named_by_action" if row["action"] else "named_by_prompt"].append(share)
        if row["category"]:
            by[f"named/{row['category']}"].append(share)
        judged_rows.append({k: v for k, v in row.items() if v} | {"named": named, "described": texts})
    return {"results": {k: figure(v) for k, v in sorted(by.items())} or {"named": figure([])}, "prompts": judged_rows}
