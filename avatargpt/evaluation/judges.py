"""The suites `predicates`, `families` and `retrieval_judge`, which measure the judges themselves."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from avatargpt.evaluation import corpus
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.checks import KEYFRAMED_SOURCES, ClipJudge, belongs, holds, read_families, resembles
from avatargpt.metrics.degradations import AS_IT_IS, DEGRADATIONS, degrade
from avatargpt.metrics.evaluator import FPS, MotionEvaluator, fits, sides_of
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.statistics import fid
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Strict

# Figures that are compared with geometry -> 1 where higher is better.
FIGURES = {"top1": 1, "top2": 1, "top3": 1, "mm_dist": -1, "fid": -1}


def evaluate_predicates(run: Run) -> dict[str, Any]:
    """Pass rate of the suite `predicates` on the clips of each class in a corpus, and on all others.

    Returns:
        ``own/<class>`` and ``others/<class>`` figures, and which classes a predicate is also true for (overlaps are
        expected where one action contains another, as a wave contains a raised hand).
    """
    options = run.suite.options
    clips = corpus.load_clips(run.data, str(options.get("split", "val")))
    step = int(options.get("bandai2_step", 1))
    # The big classes are thinned out evenly: thousands of raised hands add time, not information.
    clips = [c for i, c in enumerate(clips) if c.source != "bandai2" or i % step == 0]
    signals = [Signals(c.load()) for c in clips]
    results: dict[str, Any] = {}
    also: dict[str, Any] = {}
    own_means, other_means = [], []
    for about in run.suite.classes:
        inside: list[float] = []
        outside: dict[str, list[float]] = defaultdict(list)
        for clip, s in zip(clips, signals, strict=True):
            passed = float(predicates.judge(about["check"], s).passed)
            if belongs(clip, about):
                inside.append(passed)
            else:
                outside[clip.action or "other clips"].append(passed)
        results[f"own/{about['name']}"] = figure(inside)
        # Averaged over classes, or the three thousand raised hands and waves would decide everything.
        means = {k: sum(v) / len(v) for k, v in outside.items()}
        results[f"others/{about['name']}"] = figure(list(means.values()))
        high = sorted(means.items(), key=lambda kv: -kv[1])
        also[about["name"]] = {k: round(v, 3) for k, v in high[:5] if v >= 0.1}
        if inside:
            own_means.append(sum(inside) / len(inside))
            other_means.append(sum(means.values()) / len(means))
    results["own"] = figure(own_means)
    results["others"] = figure(other_means)
    return {"results": results, "also_true_for": also, "clips": len(clips)}


def evaluate_families(run: Run) -> dict[str, Any]:
    """The suite `families` on keyframed clips of held-out seeds."""
    options = run.suite.options
    per_family = int(options["full" if run.full and "full" in options else "per_family"])
    return score_families(run.suite, corpus.make_keyframed_clips(per_family))


def evaluate_retrieval(run: Run) -> dict[str, Any]:
    """The suite `retrieval_judge` on recorded and keyframed clips."""
    options = run.suite.options
    recorded = corpus.load_clips(run.data, str(options.get("split", "val")))
    keyframed = list(corpus.make_keyframed_clips(int(options["keyframed"])))
    return score_evaluator(run.suite, recorded, keyframed, MotionEvaluator.load(run.store))


def score_families(suite: Suite, clips: Iterable[Clip], compared: int = 4) -> dict[str, Any]:
    """Do the families' own clips do what their parameters say, and do other families' clips not?

    Returns:
        ``own/FAMILY``: share of its clips that satisfy its checks, ``others/FAMILY``: mean over the other families of
        the share that satisfies its unconditional ones; and which families those are.
    """
    table = read_families(suite.classes, suite.name)
    signals: dict[str, list[Signals]] = defaultdict(list)
    passed: dict[str, list[float]] = defaultdict(list)
    lost: dict[str, int] = defaultdict(int)
    total = 0
    for clip in clips:
        total += 1
        if clip.action not in table:
            lost[clip.action] += 1
            continue
        s = Signals(clip.load())
        passed[clip.action].append(float(holds(table[clip.action], clip, s)))
        # All clips against all families would take hours.
        if len(signals[clip.action]) < compared:
            signals[clip.action].append(s)
    results: dict[str, Any] = {"own": figure([x for v in passed.values() for x in v])}
    alien: dict[str, Any] = {}
    also: dict[str, dict[str, float]] = {}
    for name, entry in table.items():
        rates = {
            family: sum(resembles(entry, s) for s in group) / len(group)
            for family, group in signals.items()
            if group and family != name and family not in entry.also
        }
        alien[f"others/{name}"] = figure(list(rates.values()))
        also[name] = {k: round(v, 2) for k, v in sorted(rates.items(), key=lambda kv: -kv[1]) if v >= 0.5}
    results["others"] = figure([f["mean"] for f in alien.values() if f["mean"] is not None])
    results.update({f"own/{k}": figure(passed.get(k, [])) for k in table})
    results.update(alien)
    return {"results": results, "clips": total, "also_true_for": also, "families_without_checks": dict(lost)}


class JudgeSettings(Strict):
    """Options of the suite."""

    keyframed: PositiveInt = 2  # clips of every family, from seeds that no training has seen
    # pool, repeats, captions: see `avatargpt.metrics.evaluator.fits`
    pool: PositiveInt = 32
    repeats: PositiveInt = 20
    captions: PositiveInt = 3


def score_evaluator(
    suite: Suite, recorded: list[Clip], keyframed: list[Clip], evaluator: MotionEvaluator
) -> dict[str, Any]:
    """Quality on held-out clips, and agreement with geometry over degradations.

    Returns:
        ``topK/recorded``, ``topK/keyframed``, ``topK/all`` (R-precision of real pairs); ``topK/DEGRADATION``,
        ``mm_dist/DEGRADATION``, ``fid/DEGRADATION`` of all clips, and ``geometry/DEGRADATION``, the share that passes;
        ``agreement/FIGURE``: Spearman's rank correlation of the figure (negated where lower is better) with that
        share, over the degradations and the clips as they are.
    """
    options = suite.settings(JudgeSettings)
    # Degradations need four frames.
    held_out = [c for c in (*recorded, *keyframed) if c.captions and len(c.load()) >= 4]
    if len(held_out) < options.pool:
        raise UserError(f"{suite.name}: {len(held_out)} held-out clips with captions; "
                        f"at least {options.pool} are needed")  # fmt: skip
    seed = suite.seeds[0]
    grounder = SentenceGrounder()
    captions = [grounder.sentence(c.captions[: options.captions]) for c in held_out]
    sides = [sides_of(c.captions[: options.captions]) for c in held_out]
    is_recorded = np.array([c.source not in KEYFRAMED_SOURCES for c in held_out])
    joints = [c.load().resampled(FPS).joints for c in held_out]
    groups = {"recorded": is_recorded, "keyframed": ~is_recorded, "all": np.ones(len(held_out), bool)}
    results: dict[str, Any] = {}
    vectors = evaluator.joints(joints)
    for name, mask in groups.items():
        rows = np.flatnonzero(mask)
        # Too few clips of one source have no pool of their own, but count among all.
        if len(rows) < options.pool:
            continue
        fit = fits(evaluator, [captions[i] for i in rows], [sides[i] for i in rows], vectors[rows], options.pool,
                   options.repeats, options.captions, seed)  # fmt: skip
        results |= {f"{k}/{name}": figure(fit[k]) for k in ("top1", "top2", "top3", "mm_dist")}
    results |= _degrade_clips(held_out, captions, sides, vectors, evaluator, options, seed)
    return {"results": results, "clips": len(held_out), "evaluator": evaluator.fingerprint}


# Figures and pass rates of all clips as they are and made worse, and how far both agree.
def _degrade_clips(
    held_out: list[Clip], captions: list[np.ndarray], sides: list[np.ndarray], real: np.ndarray,
    evaluator: MotionEvaluator, options: JudgeSettings, seed: int,
) -> dict[str, Any]:  # fmt: skip
    from scipy.stats import spearmanr

    geometry = ClipJudge()
    results: dict[str, Any] = {}
    table: dict[str, list[float]] = {name: [] for name in (*FIGURES, "geometry")}
    for name in (AS_IT_IS, *DEGRADATIONS):
        motions = [c.load() if name == AS_IT_IS else degrade(c.load(), name, seed + i) for i, c in enumerate(held_out)]
        passed = figure([geometry.verdict(c, m) for c, m in zip(held_out, motions, strict=True)])
        vectors = evaluator.motions(motions)
        fit = fits(evaluator, captions, sides, vectors, options.pool, options.repeats, options.captions, seed)
        row = {k: figure(v) for k, v in fit.items()} | {"fid": plain(fid(vectors, real, shrink=True))}
        row["geometry"] = passed
        for k, v in row.items():
            results[f"{k}/{name}"] = v
            table[k].append(float("nan") if v["mean"] is None else v["mean"])
    for name, sign in FIGURES.items():
        agreed = spearmanr(sign * np.array(table[name]), table["geometry"]).statistic
        results[f"agreement/{name}"] = plain(float(agreed))
    return results
