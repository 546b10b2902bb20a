"""Prompt following: generate, judge by geometry, count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avatargpt.body.generate import GenerationResult
from avatargpt.evaluation.body import synthetic
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import SEEN_IN, Entry, Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import KNOWN, counted_in
from vqvae.errors import UserError
from vqvae.io.files import reason
from vqvae.motion import Motion

Generator = Callable[[list[str], list[int]], Sequence[Motion | GenerationResult]]
"""(prompts, seeds), equally long -> one motion per pair, or what was made with the frames of its parts."""
LEAST_ACCURATE = 0.97
"""Share of clips with a known count that a counter must count rightly; prompts that need another are left out."""


@dataclass(frozen=True)
class Answer:
    """What was made for one item: a motion with the seconds of its seams (None = not said), or why there is none."""

    motion: Motion | None
    seams: tuple[float, ...] | None = None
    reason: str = ""


def answer_of(made: Motion | GenerationResult) -> Answer:
    """A generator's answer. Rotations are brought to length 1 once more.

    Raises:
        UserError: no motion.
    """
    if not isinstance(made, Motion | GenerationResult):
        raise UserError(f"the function gave a {type(made).__name__}; accepted vqvae.motion.Motion; for joints alone "
                        "write .npy files and measure their folder with --outputs")  # fmt: skip
    motion = made if isinstance(made, Motion) else made.motion
    seams = None if isinstance(made, Motion) else tuple(start / motion.fps for start, _ in made.spans[1:])
    return Answer(Motion(motion.rotations, motion.root, motion.fps), seams)


def seen(made: Motion | GenerationResult) -> Signals:
    """What is judged of a generator's answer."""
    return _signals(answer_of(made))


def _signals(clip: Answer) -> Signals:
    assert clip.motion is not None
    return Signals(clip.motion, clip.seams)


def score(suite: Suite, generate: Generator, batch: int = 64, parts: Parts = UNKEPT) -> dict[str, Any]:
    """Every prompt of the suite with every seed.

    Args:
        suite: of kind ``prompts``.
        generate: the model, or a baseline, under test.
        batch: how many prompts are handed over at once.
        parts: where what is made is kept until all is there.

    Returns:
        See `judged`.

    Raises:
        UserError: the generator gave another number of motions, or failed on everything.
    """
    chosen = Chosen.of(suite)
    pairs = [(text, seed) for text in chosen.texts for seed in suite.seeds]
    clips = generated(pairs, generate, batch, parts)
    failed = [{"item": f"{text} (seed {seed})", "reason": clip.reason}
              for (text, seed), clip in zip(pairs, clips, strict=True) if clip.motion is None]  # fmt: skip
    made: dict[str, dict[int, Signals]] = defaultdict(dict)
    for (text, seed), clip in zip(pairs, clips, strict=True):
        if clip.motion is not None:
            made[text][seed] = _signals(clip)
    return judged(suite, chosen, made, failed)


def generated(
    pairs: Sequence[tuple[str, int]], generate: Generator, batch: int = 64, parts: Parts = UNKEPT
) -> list[Answer]:
    """A clip per (text, seed), in the order of `pairs`.

    A chunk that cannot be made is made one by one, so that only what is at fault is missing.

    Raises:
        UserError: another number of motions than texts, or nothing could be made.
    """
    chunks = [list(pairs[i : i + batch]) for i in range(0, len(pairs), batch)]

    def work(chunk: Sequence[tuple[str, int]]) -> list[Answer]:
        try:
            return _asked(chunk, generate)
        except OutOfStep:
            raise
        except Exception as e:
            if len(chunk) == 1:
                return [Answer(None, None, reason(e))]
            return [_alone(pair, generate) for pair in chunk]

    clips = [clip for some in parts.each("prompts", work, [(chunk,) for chunk in chunks]) for clip in some]
    if clips and all(clip.motion is None for clip in clips):
        raise UserError(f"nothing could be made: {clips[0].reason}")
    return clips


class OutOfStep(UserError):
    """A generator that does not give one motion per text."""


def _asked(chunk: Sequence[tuple[str, int]], generate: Generator) -> list[Answer]:
    motions = list(generate([t for t, _ in chunk], [s for _, s in chunk]))
    if len(motions) != len(chunk):
        raise OutOfStep(f"the generator gave {len(motions)} motions for {len(chunk)} prompts")
    return [answer_of(m) for m in motions]


def _alone(pair: tuple[str, int], generate: Generator) -> Answer:
    try:
        return _asked([pair], generate)[0]
    except OutOfStep:
        raise
    except Exception as e:
        return Answer(None, None, reason(e))


@dataclass(frozen=True)
class Chosen:
    """The prompts that are asked: those whose counters are right often enough.

    Attributes:
        entries: in the suite's order. left_out: prompts that need an unsure counter. counters: accuracy of each.
    """

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    counters: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, suite: Suite) -> Chosen:
        counters = accuracy(suite)
        unsure = {name for name, f in counters.items() if f["mean"] < LEAST_ACCURATE}
        left_out = tuple(e.prompt for e in suite.entries if unsure & set(_counters(e.checks)))
        return cls(tuple(e for e in suite.entries if e.prompt not in left_out), left_out, counters)

    @property
    def texts(self) -> list[str]:
        """Prompts and neutral prompts, sorted."""
        return sorted({e.prompt for e in self.entries} | {e.neutral for e in self.entries if e.neutral})


def judged(
    suite: Suite, chosen: Chosen, made: Mapping[str, Mapping[int, Signals]], failed: Sequence[Mapping[str, str]] = (),
    unjudged: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The figures of clips that are there.

    Args:
        made: text -> seed (or number of the sample) -> what is seen. Prompts without any do not count.
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
        clips = made.get(entry.prompt, {})
        neutral = made.get(entry.neutral, {}) if entry.neutral else {}
        usable = {n: s for n, s in clips.items() if not entry.neutral or neutral}
        if not usable or entry.prompt in without:
            continue
        passed, failure = [], None
        for number, signals in usable.items():
            reference = neutral.get(number, next(iter(neutral.values()))) if neutral else None
            verdict = predicates.judge_all(entry.checks, signals, reference)
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
    apart = {"left_out": list(chosen.left_out), "unjudged": list(unjudged), "failed": list(failed)}
    return {"results": results, "prompts": rows, **{k: v for k, v in apart.items() if v}}


def _counters(check: Any) -> Iterator[str]:
    """Names of the counters that a check, or a list of them, needs."""
    if isinstance(check, list):
        for one in check:
            yield from _counters(one)
    elif isinstance(check, dict):
        for name, body in check.items():
            if name == "counted":
                yield body["what"]
            else:
                yield from _counters(body)


def accuracy(suite: Suite) -> dict[str, dict[str, Any]]:
    """Share of keyframed clips with a known count that each counter of the suite counts rightly."""
    names = sorted({name for e in suite.entries for name in _counters(e.checks)})
    clips = int(suite.options.get("counter_clips", 40))
    return {name: figure(list(_counted(name, clips))) for name in names}


def _counted(name: str, clips: int) -> Iterator[float]:
    for known in KNOWN[name]:
        for clip in synthetic.made(clips, only=[known.family]):
            if times := known.times(clip.extra["params"]):
                yield float(counted_in(Signals(clip.load()), name) == times)
