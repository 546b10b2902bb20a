"""The suite `retrieval_judge`: how good the learnt evaluator itself is, and whether it sees what geometry sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.checks import KEYFRAMED_SOURCES, ClipJudge
from avatargpt.metrics.degradations import AS_IT_IS, DEGRADATIONS, degrade
from avatargpt.metrics.evaluator import FPS, MotionEvaluator, fits
from avatargpt.metrics.retrieval import sides_of
from avatargpt.metrics.statistics import fid
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Strict

FIGURES = {"top1": 1, "top2": 1, "top3": 1, "mm_dist": -1, "fid": -1}
"""Figures that are compared with geometry -> 1 where higher is better."""


class Settings(Strict):
    """Options of the suite.

    Attributes:
        keyframed: clips of every family, from seeds that no training has seen.
        pool, repeats, captions: see `avatargpt.metrics.evaluator.fits`.
    """

    keyframed: PositiveInt = 2
    pool: PositiveInt = 32
    repeats: PositiveInt = 20
    captions: PositiveInt = 3


def score(
    suite: Suite, recorded: list[Clip], keyframed: list[Clip], evaluator: MotionEvaluator
) -> dict[str, Any]:
    """Own quality on held-out clips, and agreement with geometry over degradations.

    Args:
        suite: of kind ``retrieval_judge``.
        recorded, keyframed: held-out clips.
        evaluator: the judge that is judged.

    Returns:
        ``topK/recorded``, ``topK/keyframed``, ``topK/all`` (R-precision of real pairs); ``topK/DEGRADATION``,
        ``mm_dist/DEGRADATION``, ``fid/DEGRADATION`` of all clips, and ``geometry/DEGRADATION``, the share that passes;
        ``agreement/FIGURE``: Spearman's rank correlation of the figure (negated where lower is better) with that
        share, over the degradations and the clips as they are.

    Raises:
        UserError: fewer held-out clips with captions than a pool has.
    """
    options = suite.settings(Settings)
    held = [c for c in (*recorded, *keyframed) if c.captions and len(c.load()) >= 4]
    if len(held) < options.pool:
        raise UserError(f"{suite.name}: {len(held)} held-out clips with captions; at least {options.pool} are needed")
    seed = suite.seeds[0]
    grounder = SentenceGrounder()
    captions = [grounder.sentence(c.captions[: options.captions]) for c in held]
    sides = [sides_of(c.captions[: options.captions]) for c in held]
    is_recorded = np.array([c.source not in KEYFRAMED_SOURCES for c in held])
    joints = [c.load().resampled(FPS).joints for c in held]
    groups = {"recorded": is_recorded, "keyframed": ~is_recorded, "all": np.ones(len(held), bool)}
    results: dict[str, Any] = {}
    vectors = evaluator.joints(joints)
    for name, rows in groups.items():
        some = np.flatnonzero(rows)
        if len(some) < options.pool:
            continue
        told, side = [captions[i] for i in some], [sides[i] for i in some]
        found = fits(evaluator, told, side, vectors[some], options.pool, options.repeats, options.captions, seed)
        results |= {f"{k}/{name}": figure(found[k]) for k in ("top1", "top2", "top3", "mm_dist")}
    results |= _degraded(held, captions, sides, vectors, evaluator, options, seed)
    return {"results": results, "clips": len(held), "evaluator": evaluator.fingerprint}


def _degraded(
    held: list[Clip], captions: list[np.ndarray], sides: list[np.ndarray], real: np.ndarray,
    evaluator: MotionEvaluator, options: Settings, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Figures and pass rates of all clips as they are and made worse, and how far both agree."""
    from scipy.stats import spearmanr

    geometry = ClipJudge()
    results: dict[str, Any] = {}
    table: dict[str, list[float]] = {name: [] for name in (*FIGURES, "geometry")}
    for name in (AS_IT_IS, *DEGRADATIONS):
        motions = [c.load() if name == AS_IT_IS else degrade(c.load(), name, seed + i) for i, c in enumerate(held)]
        passed = figure([geometry.verdict(c, m) for c, m in zip(held, motions, strict=True)])
        vectors = evaluator.motions(motions)
        found = fits(evaluator, captions, sides, vectors, options.pool, options.repeats, options.captions, seed)
        row = {k: figure(v) for k, v in found.items()} | {"fid": plain(fid(vectors, real, shrink=True))}
        row["geometry"] = passed
        for k, v in row.items():
            results[f"{k}/{name}"] = v
            table[k].append(float("nan") if v["mean"] is None else v["mean"])
    for name, sign in FIGURES.items():
        agreed = spearmanr(sign * np.array(table[name]), table["geometry"]).statistic
        results[f"agreement/{name}"] = plain(float(agreed))
    return results
