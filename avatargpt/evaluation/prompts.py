"""Prompt suites: motions are generated for prompts and judged by geometry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avatargpt.body.generate import GenerationResult
from avatargpt.evaluation import corpus
from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import SEEN_IN, Entry, Run, Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import KNOWN, counted_in
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


def evaluate(run: Run) -> dict[str, Any]:
    """A prompt suite on a run's model."""
    return score(run.suite, run.generate, cache=run.cache)


def answer_of(result: Motion | GenerationResult) -> Answer:
    """A generator's answer. Rotations are normalised once more."""
    if not isinstance(result, Motion | GenerationResult):
        raise UserError(f"the function gave a {type(result).__name__}; accepted vqvae.motion.Motion; for joints alone "
                        "write .npy files and measure their folder with --outputs")  # fmt: skip
    motion = result if isinstance(result, Motion) else result.motion
    seams = None if isinstance(result, Motion) else tuple(start / motion.fps for start, _ in result.spans[1:])
    return Answer(Motion(motion.rotations, motion.root, motion.fps), seams)


def score(suite: Suite, generate: Generator, batch: int = 64, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
    """Every prompt of the suite with every seed.

    Args:
        suite: of kind ``prompts``.
        generate: the model, or a baseline, under test.
        batch: prompts per call.

    Returns:
        See `judged`.
    """
    # A counter that miscounts known clips would judge the counter and not the model.
    chosen = JudgeablePrompts.of(suite)
    pairs = [(text, seed) for text in chosen.texts for seed in suite.seeds]
    signals: dict[str, dict[int, Signals]] = defaultdict(dict)
    failed = []
    for (text, seed), answer in zip(pairs, generated(pairs, generate, batch, cache), strict=True):
        if answer.motion is None:
            failed.append({"item": f"{text} (seed {seed})", "reason": answer.reason})
        else:
            signals[text][seed] = Signals(answer.motion, answer.seams)
    return judged(suite, chosen, signals, failed)


def generated(
    pairs: Sequence[tuple[str, int]], generate: Generator, batch: int = 64, cache: AnswerCache = NO_CACHE
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
    """The prompts that are judged: those whose counters are right often enough.

    Attributes:
        entries: in the suite's order. left_out: prompts that need an unsure counter. counters: accuracy of each.
    """

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    counters: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, suite: Suite) -> JudgeablePrompts:
        counters = counter_accuracy(suite)
        unsure = {name for name, f in counters.items() if f["mean"] < MIN_COUNTER_ACCURACY}
        left_out = tuple(e.prompt for e in suite.entries if unsure & set(_counters(e.checks)))
        return cls(tuple(e for e in suite.entries if e.prompt not in left_out), left_out, counters)

    @property
    def texts(self) -> list[str]:
        """Prompts and neutral prompts, sorted."""
        return sorted({e.prompt for e in self.entries} | {e.neutral for e in self.entries if e.neutral})


def judged(
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
    clips = int(suite.options.get("counter_clips", 40))
    return {name: figure(list(_counted(name, clips))) for name in names}


def _counted(name: str, clips: int) -> Iterator[float]:
    for source in KNOWN[name]:
        for clip in corpus.keyframed_clips(clips, only=[source.family]):
            if times := source.times(clip.extra["params"]):
                yield float(counted_in(Signals(clip.load()), name) == times)
