"""Of the steps of written plans: for which does the generated motion, described again, mean the same?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from instruct_data.planning import read_scenes
from vqvae.errors import UserError

FILES = ("train.jsonl", "val.jsonl")
Encode = Callable[[list[str]], np.ndarray]
"""(N,) sentences -> (N, D) unit vectors."""


def planning_folder(data: Path | None, files: Sequence[str]) -> Path:
    """The folder of the planning corpus that has `files`: `data`, or its `planning` or `data/planning`.

    Raises:
        UserError: not given or not found.
    """
    if data is None:
        raise UserError("this suite needs the planning corpus; name its folder, or the one above it, with --data")
    for folder in (data, data / "planning", data / "data" / "planning", data.parent / "planning"):
        if (folder / files[0]).is_file() and folder.name == "planning":
            return folder
    raise UserError(f"{data}: no planning corpus here; accepted a folder `planning` with {' and '.join(files)}")


def steps(data: Path | None) -> list[str]:
    """Every distinct step of the planning corpus, in order; `data` as in `planning_folder`.

    Raises:
        UserError: not given, not found or damaged.
    """
    folder = planning_folder(data, FILES)
    rows = (row for name in FILES for row in read_scenes(folder / name))
    return list(dict.fromkeys(s for row in rows for a in row.activities for s in a.steps))


def sample(every: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` steps, always the same for a seed; a larger sample begins with the smaller one."""
    order = np.random.default_rng(seed).permutation(len(every))
    return [every[int(i)] for i in order[:count]]


def told_again(
    model: Any, texts: Sequence[str], seed: int, batch: int, parts: Parts = UNKEPT, **more: Any
) -> list[str]:  # fmt: skip
    """Text to motion to text, each text with a seed of its own from `seed` on.

    Args:
        model: has `generate` and `describe` as `avatargpt.AvatarGPT`. batch: texts asked at once.
        more: options of `generate`.

    Raises:
        UserError: another number of motions than texts.
    """
    def said(part: list[str], seeds: list[int]) -> list[str]:
        motions = list(model.generate(part, seeds=seeds, **more))
        if len(motions) != len(part):
            raise UserError(f"the generator gave {len(motions)} motions for {len(part)} steps")
        return [str(s) for s in model.describe(motions)]

    starts = range(0, len(texts), batch)
    asked = [(part, [seed + i + k for k in range(len(part))]) for i in starts if (part := list(texts[i : i + batch]))]
    return [text for some in parts.each("told again", said, asked) for text in some]


def score(
    suite: Suite, chosen: list[str], model: Any, encode: Encode | None = None, parts: Parts = UNKEPT
) -> dict[str, Any]:
    """Text to motion to text.

    Args:
        suite: of kind ``plan_coverage``; options ``threshold`` (cosine), ``batch``, ``best_of``.
        chosen: the steps.
        model: has `generate` and `describe` as `avatargpt.AvatarGPT`.
        encode: sentence embeddings; None: all-MiniLM-L6-v2.

    Returns:
        ``covered``: share of steps whose description has a cosine above the threshold; ``covered/by chance``: the same
        against the description of another step; ``cosine``; ``retrieved``: share of steps whose own description is
        nearer than those of 31 other steps (chance 1 / 32; where n are equally near, 1 / n); and the worst and best
        steps.
    """
    if encode is None:
        from avatargpt.lm.text_encoder import SentenceGrounder

        encode = SentenceGrounder().sentence
    threshold, batch = float(suite.options["threshold"]), int(suite.options.get("batch", 32))
    seed = suite.seeds[0]
    more = {"best_of": int(suite.options["best_of"])} if "best_of" in suite.options else {}
    said = told_again(model, chosen, seed, batch, parts, **more)
    wanted, got = encode(chosen), encode(said)
    cosine = (wanted * got).sum(1)
    table = wanted @ got.T
    rng = np.random.default_rng(seed)
    other = np.roll(np.arange(len(chosen)), 1)
    ranks = []
    for i in range(len(chosen)):
        rivals = rng.choice(np.delete(np.arange(len(chosen)), i), min(31, len(chosen) - 1), replace=False)
        ranks.append(_first(table[i, i], table[i, rivals]))
    results = {
        "covered": figure(cosine > threshold),
        "covered/by chance": figure(table[np.arange(len(chosen)), other] > threshold),
        "cosine": figure(cosine),
        "retrieved": figure(ranks),
        "distinct_descriptions": plain(len(set(said)) / len(said)),
    }
    order = np.argsort(cosine)
    rows = [{"step": chosen[int(i)], "said": said[int(i)], "cosine": round(float(cosine[i]), 3)} for i in order]
    spread = rows[:: max(len(rows) // 40, 1)]
    return {"results": results, "steps": len(chosen), "threshold": threshold, "sample": spread}


def _first(own: float, rivals: np.ndarray) -> float:
    """The chance that the own one is taken for the nearest: those that are as near share the place."""
    near = np.isclose(rivals, own, rtol=0, atol=1e-6)
    return 0.0 if (rivals[~near] > own).any() else 1.0 / (1 + int(near.sum()))
