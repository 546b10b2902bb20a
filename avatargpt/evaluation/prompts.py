"""Prompt suites: motions of prompts judged by geometry, those of lists by the learnt evaluator and descriptions."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from avatargpt.body.generate import GenerationResult
from avatargpt.evaluation import corpus
from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.requests import Judge
from avatargpt.evaluation.suites import SEEN_IN, Run, Suite, SuitePrompt
from avatargpt.kinematics.joints import Signals
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.evaluator import FPS, POOL, MotionEvaluator, fits, sides_of
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import KNOWN, count_in
from vqvae.errors import UserError
from vqvae.io.files import reason
from vqvae.motion import Motion

# (prompts, seeds), equally long -> one motion per pair, or a result with the frames of its parts.
Generator = Callable[[list[str], list[int]], Sequence[Motion | GenerationResult]]
MIN_COUNTER_ACCURACY = 0.97  # of clips with a known count; prompts that need a worse counter are left out


@dataclass(frozen=True)
class Answer:
    """The answer to one prompt: a motion with the seconds of its seams (None = not stated), or why there is none."""

    motion: Motion | None
    seams: tuple[float, ...] | None = None
    reason: str = ""


def answer_of(result: Motion | GenerationResult) -> Answer:
    """A generator's answer. Rotations are normalised once more."""
    if not isinstance(result, Motion | GenerationResult):
        raise UserError(f"the function gave a {type(result).__name__}; accepted vqvae.motion.Motion; for joints alone "
                        "write .npy files and measure their folder with --outputs")  # fmt: skip
    motion = result if isinstance(result, Motion) else result.motion
    seams = None if isinstance(result, Motion) else tuple(start / motion.fps for start, _ in result.spans[1:])
    return Answer(Motion(motion.rotations, motion.root, motion.fps), seams)


def evaluate(run: Run, batch: int = 64) -> dict[str, Any]:
    """Every prompt of the suite with every seed, see `judge_motions`; `batch` at a time."""
    # A counter that miscounts known clips would judge the counter and not the model.
    chosen = JudgeablePrompts.of(run.suite)
    # Prompts and neutral prompts.
    texts = sorted({t for e in chosen.entries for t in (e.prompt, e.neutral) if t})
    pairs = [(text, seed) for text in texts for seed in run.suite.seeds]
    signals: dict[str, dict[int, Signals]] = defaultdict(dict)
    failed = []
    for (text, seed), answer in zip(pairs, generate_answers(pairs, run.generate, batch, run.cache), strict=True):
        if answer.motion is None:
            failed.append({"item": f"{text} (seed {seed})", "reason": answer.reason})
        else:
            signals[text][seed] = Signals(answer.motion, answer.seams)
    return judge_motions(run.suite, chosen, signals, failed)


def generate_answers(
    pairs: Sequence[tuple[str, int]], generate: Generator, batch: int = 64, cache: RunCache = NO_CACHE
) -> list[Answer]:
    """An answer per (text, seed), in the order of `pairs`.

    A chunk that fails is repeated one by one, so that only what is at fault is missing.
    """
    chunks = [list(pairs[i : i + batch]) for i in range(0, len(pairs), batch)]

    def work(chunk: Sequence[tuple[str, int]]) -> list[Answer]:
        try:
            motions = list(generate([t for t, _ in chunk], [s for _, s in chunk]))
            if len(motions) != len(chunk):
                raise OutOfStepError(f"the generator gave {len(motions)} motions for {len(chunk)} prompts")
            return [answer_of(m) for m in motions]
        except OutOfStepError:
            raise
        except Exception as e:
            # One prompt that cannot be generated must not take its whole chunk with it.
            if len(chunk) == 1:
                return [Answer(None, None, reason(e))]
            return [work([pair])[0] for pair in chunk]

    answers = [a for part in cache.map("prompts", work, [(chunk,) for chunk in chunks]) for a in part]
    if answers and all(a.motion is None for a in answers):
        raise UserError(f"nothing could be made: {answers[0].reason}")
    return answers


class OutOfStepError(UserError):
    """A generator that does not give one motion per text."""


@dataclass(frozen=True)
class JudgeablePrompts:
    """The prompts that are judged: those whose counters are right often enough."""

    entries: tuple[SuitePrompt, ...]  # in the suite's order
    left_out: tuple[str, ...]  # prompts that need an unsure counter
    counters: dict[str, dict[str, Any]]  # accuracy of each

    @classmethod
    def of(cls, suite: Suite) -> Self:
        counters = counter_accuracy(suite)
        unsure = {name for name, f in counters.items() if f["mean"] < MIN_COUNTER_ACCURACY}
        left_out = tuple(e.prompt for e in suite.entries if unsure & set(_counters(e.checks)))
        return cls(tuple(e for e in suite.entries if e.prompt not in left_out), left_out, counters)


def judge_motions(
    suite: Suite, chosen: JudgeablePrompts, signals: Mapping[str, Mapping[int, Signals]],
    failed: Sequence[Mapping[str, str]] = (), unjudged: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The figures of available motions.

    Args:
        signals: text -> seed (or number of the sample) -> its signals. Prompts without any do not count.
        failed: ``{item, reason}`` of what is missing. unjudged: of prompts that the format does not let judge.

    Returns:
        ``{"results": {figure: ..}, "prompts": [..]}``: the pass rate over all prompts, per kind and per acquaintance
        with the words (mean over prompts of the share of seeds right, bootstrap over prompts), and per prompt which
        seeds passed and what was measured in the first one that failed.
    """
    by_kind: dict[str, list[float]] = defaultdict(list)
    by_words: dict[str, list[float]] = defaultdict(list)
    rows = []
    without = {u["item"] for u in unjudged}
    for entry in chosen.entries:
        samples = signals.get(entry.prompt, {})
        neutral = signals.get(entry.neutral, {}) if entry.neutral else {}
        # A style check without its neutral rendition has nothing to compare with.
        usable = {n: s for n, s in samples.items() if not entry.neutral or neutral}
        if not usable or entry.prompt in without:
            continue
        passed, failure = [], None
        for number, sample in usable.items():
            # Files of other systems may have fewer neutral samples than others.
            reference = neutral.get(number, next(iter(neutral.values()))) if neutral else None
            verdict = predicates.judge_all(entry.checks, sample, reference)
            passed.append(int(verdict.passed))
            if not verdict.passed and failure is None:
                failure = {k: round(v, 3) for k, v in verdict.values.items() if v == v}
        share = sum(passed) / len(passed)
        by_kind[entry.kind].append(share)
        if entry.seen_in:
            by_words[entry.seen_in].append(share)
        if entry.seen_in == "nowhere":  # a word in no text at all is in no request either
            by_words["texts"].append(share)
        row = {"prompt": entry.prompt, "kind": entry.kind, "passed": passed}
        rows.append({**row, "measured_in_first_failure": failure} if failure is not None else row)
    results = {"pass_rate": figure([x for v in by_kind.values() for x in v])}
    results.update({f"pass_rate/{kind}": figure(values) for kind, values in sorted(by_kind.items())})
    one_action = [x for kind, v in by_kind.items() if kind != "two" for x in v]
    results["pass_rate/all but two"] = figure(one_action)
    results.update({f"pass_rate/{figures}": figure(by_words[k]) for k, figures in SEEN_IN.items() if by_words[k]})
    results.update({f"counter/{name}": f for name, f in sorted(chosen.counters.items())})
    extra = {"left_out": list(chosen.left_out), "unjudged": list(unjudged), "failed": list(failed)}
    return {"results": results, "prompts": rows, **{k: v for k, v in extra.items() if v}}


# Names of the counters that a check, or a list of them, needs.
def _counters(check: Any) -> Iterator[str]:
    if isinstance(check, list):
        for item in check:
            yield from _counters(item)
    elif isinstance(check, dict):
        for name, body in check.items():
            if name == "counted":
                yield body["what"]
            else:
                yield from _counters(body)


def counter_accuracy(suite: Suite) -> dict[str, dict[str, Any]]:
    """Share of keyframed clips with a known count that each counter of the suite counts rightly."""
    names = sorted({name for e in suite.entries for name in _counters(e.checks)})
    count = int(suite.options.get("counter_clips", 40))
    return {name: figure([
        float(count_in(Signals(clip.load()), name) == times) for source in KNOWN[name]
        for clip in corpus.make_keyframed_clips(count, only=[source.family])
        if (times := source.times(clip.extra["params"]))
    ]) for name in names}  # fmt: skip


RANDOM_PAIRING = "random pairing"
MIN_PROMPTS = 4  # prompts, of which the right one is looked for among the nearest three


def evaluate_list(run: Run) -> dict[str, Any]:
    """Generate, describe, judge a list of prompts."""
    suite = run.suite
    pairs = [(row["prompt"], seed) for row in suite.options["prompts"] for seed in suite.seeds]
    answers = generate_answers(pairs, run.generate, cache=run.cache)
    failed = [{"item": f"{text} (seed {seed})", "reason": a.reason}
              for (text, seed), a in zip(pairs, answers, strict=True) if a.motion is None]  # fmt: skip
    motions: dict[int, list[Motion]] = defaultdict(list)
    for number, answer in enumerate(answers):
        if answer.motion is not None:
            motions[number // len(suite.seeds)].append(answer.motion)
    joints = {n: [m.resampled(FPS).joints for m in samples] for n, samples in motions.items()}
    result = judge_list(suite, motions, run.model, cache=run.cache)
    result["results"] |= measure_fit(suite, joints)
    return {**result, **({"failed": failed} if failed else {})}


def measure_fit(
    suite: Suite, motions: Mapping[int, Sequence[np.ndarray]], folder: Path | None = None
) -> dict[str, Any]:
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


def judge_list(
    suite: Suite, motions: Mapping[int, Sequence[Motion]], model: Any, batch: int = 64, cache: RunCache = NO_CACHE
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
