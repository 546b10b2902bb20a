"""Lists of prompts that others wrote: does the description of the motion name the action?

How such lists are read: `evaluation.prompt_rows`. A motion is made for every prompt (or comes from elsewhere),
described by the model, and the description is judged as readings of requests are (`requests.Judge`): against the
action, or against the whole prompt where no action is given. So what is measured is generation and description
together; the figure of real clips is that of suite ``describe``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from avatargpt.evaluation.body.prompts import Generator, generated
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from avatargpt.evaluation.text.requests import Judge
from vqvae.motion import Motion


def score(suite: Suite, model: Any, batch: int = 64, parts: Parts = UNKEPT) -> dict[str, Any]:
    """Make, describe, judge.

    Args:
        suite: of kind ``prompt_list`` (`suites.listed`).
        model: an `avatargpt.AvatarGPT`, or anything with ``describe`` that has ``body.generation.made`` or is called as
            a `Generator`.
    """
    rows = suite.options["prompts"]
    generate: Generator = (
        model if callable(model) else lambda texts, seeds: model.body.generation.made(texts, seeds=seeds)
    )
    pairs = [(row["prompt"], seed) for row in rows for seed in suite.seeds]
    answers = generated(pairs, generate, batch, parts)
    failed = [{"item": f"{text} (seed {seed})", "reason": a.reason}
              for (text, seed), a in zip(pairs, answers, strict=True) if a.motion is None]  # fmt: skip
    made: dict[int, list[Motion]] = defaultdict(list)
    for number, answer in enumerate(answers):
        if answer.motion is not None:
            made[number // len(suite.seeds)].append(answer.motion)
    return {**judged(suite, made, model, parts=parts), **({"failed": failed} if failed else {})}


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
