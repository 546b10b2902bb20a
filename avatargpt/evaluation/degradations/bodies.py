"""Bodies before the suites that judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from avatargpt.evaluation import suites
from avatargpt.evaluation.body import (
    families,
    predicates,
    prompts,
    reconstruction,
    seams,
    synthetic_physics,
    transitions,
)
from avatargpt.evaluation.degradations.cases import Case, Sources, Worse
from avatargpt.evaluation.degradations.shown import Pool
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.degraded import fitting
from avatargpt.metrics.seams import WINDOW, mean_jerk
from avatargpt.metrics.verdicts import belongs
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

PROMPTS = ("prompts_known", "prompts_everyday", "prompts_unseen", "requests_joints")
Builder = Callable[[Sources], Case]


def made_worse(clips: list[Clip], worse: Worse) -> list[Clip]:
    """The clips with other motions."""
    return [replace(c, motion=worse(c.load(), i)) for i, c in enumerate(clips)]


def of_families(sources: Sources) -> Case:
    """Held-out keyframed clips against what their parameters promise."""
    suite, clips = suites.load("families"), sources.keyframed
    return Case(suite.name, ("own",), lambda worse: families.score(suite, made_worse(clips, worse), 0)["results"])


def of_predicates(sources: Sources) -> Case:
    """Recorded clips of every class against the predicates of their classes."""
    suite = suites.load("predicates")
    clips: list[Clip] = []
    for about in suite.classes:
        own = [c for c in sources.recorded if belongs(c, about)]
        clips += [c for c in own[: sources.options.of_class] if c not in clips]
    return Case(suite.name, ("own",), lambda worse: predicates.score(suite, made_worse(clips, worse))["results"])


def of_prompts(sources: Sources) -> list[Case]:
    """Motions known to show the prompts of each suite as its answers; neutral answers stay as they are."""
    try:
        recorded = sources.held
    except UserError:
        recorded = []  # keyframed clips alone show most prompts
    pool = Pool([*recorded, *sources.keyframed], sources.options.tried)
    return [_prompts(name, pool, sources.options.prompts) for name in PROMPTS]


def _prompts(name: str, pool: Pool, most: int) -> Case:
    suite = suites.load(name)
    entries = suite.entries[:: -(-len(suite.entries) // most)]
    chosen = prompts.Chosen(entries, (), {})  # a clip that a counter gets wrong shows no prompt here
    shown, neutral = pool.shown(entries)

    def judge(worse: Worse) -> Mapping[str, Any]:
        made = {text: {0: Signals(worse(m, i))} for i, (text, m) in enumerate(shown.items())}
        plain = {text: {0: Signals(m)} for text, m in neutral.items()}
        found: dict[str, Any] = prompts.judged(suite, chosen, {**plain, **made})["results"]
        return found

    return Case(name, ("pass_rate",), judge)


def of_transitions(name: str) -> Builder:
    """The true middle or rest of held-out clips, made worse where it stands, as the answer."""

    def build(sources: Sources) -> Case:
        suite = replace(suites.load(name), seeds=(sources.seed,))
        tasks = transitions.tasks_of(suite, sources.held)
        numbers = {id(t): i for i, t in enumerate(tasks)}

        def judge(worse: Worse) -> Mapping[str, Any]:
            def answer(task: transitions.Task, seed: int) -> Motion:
                real = task.real
                true = worse(real.slice(task.first, task.last), numbers[id(task)], in_place=True)
                after = [real.slice(task.last, len(real))] if task.last < len(real) else []
                return concatenate([real.slice(0, task.first), true, *after])

            found: dict[str, Any] = transitions.judged(suite, tasks, {"model": answer})["results"]
            return found

        return Case(name, ("ade", "kinematic_fid"), judge)

    return build


def of_tokenizer(sources: Sources) -> Case:
    """Held-out clips as if this had come out of the codes; cut or held to their length, which the suite demands."""
    suite = suites.load("tokenizer")
    suite = replace(suite, options={**suite.options, "long_clips": 1, "long_seconds": 60})
    clips = sources.held[::3]

    def judge(worse: Worse) -> Mapping[str, Any]:
        found: dict[str, Any] = reconstruction.score(
            suite, clips, lambda m: fitting(worse(m, len(m)), len(m))
        )["results"]  # fmt: skip
        return found

    return Case(suite.name, ("mpjpe_heading", "checks_kept"), judge)


def of_seams(sources: Sources) -> Case:
    """Stretches of recordings where transitions would be, beside others of the same recordings."""
    long = [c.load() for c in sources.held if len(c.load()) > 2 * WINDOW]
    count, usual = sources.options.windows, mean_jerk([m.joints for m in long])

    def judge(worse: Worse) -> Mapping[str, Any]:
        made = [worse(m, i).joints for i, m in enumerate(long)]
        cut = {"": seams.real_windows(made, count, sources.seed),
               "/real": seams.real_windows([m.joints for m in long], count, sources.seed + 1)}  # fmt: skip
        return seams.judged(cut, usual)

    return Case("seams", ("area_under_jerk", "peak_jerk_ratio"), judge)


def of_physics(sources: Sources) -> Case:
    """Held-out recorded clips in the place of made ones, beside training clips."""
    suite, held = suites.load("synthetic_physics"), sources.held
    real = sources.recorded[:: max(len(sources.recorded) // sources.options.compared, 1)]

    def judge(worse: Worse) -> Mapping[str, Any]:
        found: dict[str, Any] = synthetic_physics.score(suite, real, made_worse(held, worse))["results"]
        return found

    return Case(suite.name, ("peak_jerk/overlap", "foot_skate"), judge)


def of_retrieval(sources: Sources) -> Case:
    """Held-out recorded clips as answers to their own captions, before the learnt evaluator."""
    from avatargpt.evaluation.body import text_retrieval
    from avatargpt.metrics.evaluator.evaluator import MotionEvaluator

    evaluator = MotionEvaluator.load(sources.store)
    suite, held = suites.load("retrieval"), [c for c in sources.held if c.captions]
    told, real = [c.captions[0] for c in held], evaluator.motions([c.load() for c in held])

    def judge(worse: Worse) -> Mapping[str, Any]:
        vectors = evaluator.motions([worse(c.load(), i) for i, c in enumerate(held)])
        return text_retrieval.judged(suite, told, evaluator, {"real": real, "model": vectors})

    return Case(suite.name, ("top3", "mm_dist", "fid"), judge)


def of_describe(sources: Sources) -> Case:
    """Held-out recorded clips before the model that describes them."""
    from avatargpt.evaluation.body import describe

    if sources.model is None:
        raise UserError("no model that describes them")
    suite, model = suites.load("describe"), sources.model
    clips = sources.held[:: max(len(sources.held) // sources.options.described, 1)]

    def judge(worse: Worse) -> Mapping[str, Any]:
        found: dict[str, Any] = describe.score(suite, made_worse(clips, worse), model.describe)["results"]
        return found

    return Case(suite.name, ("action",), judge)
