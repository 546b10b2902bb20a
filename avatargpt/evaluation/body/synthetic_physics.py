"""Are made clips as sound as real ones: skate, penetration, joint limits, jerk, speeds against the real range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.kinematics.measures import foot_skate, peak_jerk, peak_speeds, penetration
from avatargpt.metrics.limits import beyond_limits
from instruct_data.clip import Clip
from vqvae.errors import UserError

FPS = 20.0
SHORTEST = 4  # frames a third difference needs
BINS = 20
COMPARED = ("wrist_speed", "ankle_speed", "peak_jerk")


def measures(clip: Clip) -> dict[str, float]:
    """Figures of one clip; speeds are the larger of left and right, m/s."""
    motion = clip.load().resampled(FPS)
    joints = motion.joints
    speed = peak_speeds(joints, FPS)
    beyond = beyond_limits(motion.rotations)
    out = {
        "foot_skate": foot_skate(joints, FPS), "penetration": penetration(joints, FPS),
        "deepest": float(1000 * max(-joints[..., 1].min(), 0.0)), "peak_jerk": peak_jerk(joints, FPS),
        "limit_violations": float(np.any(list(beyond.values()), axis=0).mean()),
        "wrist_speed": max(speed["l_wrist"], speed["r_wrist"]),
        "ankle_speed": max(speed["l_ankle"], speed["r_ankle"]),
    }  # fmt: skip
    return out | {f"limit_violations/{k}": float(v.mean()) for k, v in beyond.items()}


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Shared area of two histograms over the same 20 bins of log(1 + x), 0..1; 1: the same distribution."""
    x, y = np.log1p(a), np.log1p(b)
    edges = np.linspace(0, max(x.max(), y.max(), 1e-6), BINS + 1)
    p, q = (np.histogram(z, edges)[0] / len(z) for z in (x, y))
    return float(np.minimum(p, q).sum())


def score(suite: Suite, real: Iterable[Clip], made: Iterable[Clip], worst: int = 10) -> dict[str, Any]:
    """Means of both, the real range (5th to 95th percentile), how much of the made clips is in it, and the overlap.

    Args:
        suite: of kind ``synthetic_physics``.
        real: clips of the corpus.
        made: synthetic clips; their action is the family.
        worst: how many families are listed per figure.

    Returns:
        ``FIGURE`` of the made clips, ``FIGURE/real``, ``FIGURE/within real range`` (90 % of real clips are in it),
        ``FIGURE/overlap``; the clips' counts, percentiles, and the families that are worst in each figure.
    """
    mine: dict[str, list[float]] = defaultdict(list)
    family: list[str] = []
    for clip in made:
        if len(clip.load()) < SHORTEST:
            continue
        family.append(clip.action)
        for k, v in measures(clip).items():
            mine[k].append(v)
    theirs: dict[str, list[float]] = defaultdict(list)
    for clip in real:
        if len(clip.load()) >= SHORTEST:
            for k, v in measures(clip).items():
                theirs[k].append(v)
    if not family or not theirs:
        raise UserError(f"suite {suite.name}: no clips to compare")
    results: dict[str, Any] = {}
    percentiles: dict[str, Any] = {}
    bad: dict[str, Any] = {}
    for name, values in mine.items():
        a, b = np.array(values), np.array(theirs[name])
        if "/" in name:
            results[name] = figure(a)
            results[f"{name}/real"] = figure(b)
            continue
        low, high = np.percentile(b, [5, 95])
        results[name] = figure(a)
        results[f"{name}/real"] = figure(b)
        if name in COMPARED:
            results[f"{name}/within real range"] = figure(((a >= low) & (a <= high)).astype(float))
            results[f"{name}/overlap"] = plain(overlap(a, b))
        percentiles[name] = {
            "made": [round(float(v), 4) for v in np.percentile(a, [5, 50, 95])],
            "real": [round(float(v), 4) for v in np.percentile(b, [5, 50, 95])],
        }
        means = {f: float(a[[g == f for g in family]].mean()) for f in sorted(set(family))}
        top = sorted(means.items(), key=lambda kv: -kv[1])[:worst]
        bad[name] = {k: round(v, 4) for k, v in top if v > high}
    return {"results": results, "percentiles_5_50_95": percentiles, "families_beyond_real": bad,
            "clips": len(family), "real_clips": len(theirs["foot_skate"])}  # fmt: skip
