"""How good plans are: form, physical order, likeness to references, coherence, and what was copied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.evaluation.text.plan_coverage import Encode, planning_folder, told_again
from avatargpt.evaluation.text.plan_judge import JudgeTraining, measure, tabulate, train_scorer
from avatargpt.metrics import text
from avatargpt.planning import measures as measures
from avatargpt.planning.library import PlanLibrary
from avatargpt.planning.persons import fill, gender_of, neutral
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.scorer import Overlap, Question, Scorer
from avatargpt.planning.types import Activity, Plan
from instruct_data.planning import PlannedScene, read_scenes

JUDGE = JudgeTraining(dim=48, epochs=8)  # another size and seed than the scorer that chooses
JUDGE_SEED = 101


def corpus(data: Path | None) -> list[PlannedScene]:
    """The validation plans.

    Args:
        data: the folder ``planning``, or one that has it as `planning` or `data/planning`.

    Raises:
        UserError: not given or not found.
    """
    return read_scenes(planning_folder(data, ("val.jsonl",)) / "val.jsonl")


def reference(row: PlannedScene) -> Plan:
    """A corpus plan as a `Plan`."""
    return Plan(row.scene, tuple(Activity(a.task, a.steps) for a in row.activities), "corpus")


def nearest(planner: RetrievalPlanner, scene: str, activities: int) -> Plan:
    """The baseline: the plan of the library's nearest scene, as it stands."""
    library = planner.library
    row = planner.retriever.nearest(scene, 1)[0]
    gender = library.genders[row]
    found = [
        Activity(fill(library.tasks[t], gender), tuple(fill(library.steps[i], gender) for i in library.steps_of(t)))
        for t in library.tasks_of(row)
    ]
    return Plan(scene, tuple(found[:activities]), "nearest")


def judged(judge: Scorer, planner: RetrievalPlanner, plans: Sequence[Plan]) -> np.ndarray:
    """The judge's probability of every activity of every plan, each with what came before it."""
    retriever, overlap = planner.retriever, Overlap(planner.library)
    questions = []
    for plan in plans:
        actor = gender_of(" ".join(s for a in plan.activities for s in a.steps)) or "they"
        scene = retriever.scene(plan.scene)[: retriever.width]
        last, before = "", np.zeros(retriever.width, np.float32)
        for activity in plan.activities:
            texts = [neutral(activity.task, actor, False), *(neutral(s, actor) for s in activity.steps)]
            vectors = retriever.embed(texts)
            words = overlap(plan.scene, texts[0], last, texts[1:])
            questions.append(Question(scene, vectors[0], before, vectors[1:], words))
            last, before = texts[-1], vectors[-1]
    return judge.score(questions)


def _bleu1(candidate: str, reference: str) -> float:
    return text.bleu([candidate], [[reference]], 1, text.lemma_tokens)


def likeness(plans: Sequence[Plan], references: Sequence[Plan], planner: RetrievalPlanner) -> dict[str, np.ndarray]:
    """BLEU-1, BLEU-4 and ROUGE-L of the lemmas of all steps, and the cosine of their sentence vectors, per plan."""
    said = [" . ".join(s for a in p.activities for s in a.steps) for p in plans]
    wanted = [" . ".join(s for a in p.activities for s in a.steps) for p in references]
    encode = planner.retriever.grounder.sentence
    means = [np.stack([encode([s for a in p.activities for s in a.steps]).mean(0) for p in side])
             for side in (plans, references)]  # fmt: skip
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in means]
    pairs = list(zip(said, wanted, strict=True))
    return {
        "bleu1": np.array([_bleu1(s, w) for s, w in pairs]),
        "bleu4": np.array([text.bleu([s], [[w]], 4, text.lemma_tokens) for s, w in pairs]),
        "rouge_l": np.array([text.rouge_l([s], [[w]], text.lemma_tokens) for s, w in pairs]),
        "cosine": (unit[0] * unit[1]).sum(1),
    }


def run(
    suite: Suite, model: Any, data: Path | None, full: bool = False, parts: Parts = UNKEPT
) -> dict[str, Any]:
    """The suites of the kinds ``plans`` and ``plan_cycle``.

    Args:
        model: for ``plans`` a `RetrievalPlanner`, or anything else for the one of the packaged weights; for
            ``plan_cycle`` it has `generate` and `describe` as `avatargpt.AvatarGPT`.
        data: see `corpus`. full: the large sample of ``plan_cycle``.
    """
    rows = corpus(data)
    if suite.kind == "plan_cycle":
        return cycle(suite, model, rows, full, parts=parts)
    if isinstance(model, RetrievalPlanner):
        return score(suite, model, rows, parts)
    from avatargpt import resources
    from avatargpt.lm.text_encoder import SentenceGrounder

    return score(suite, RetrievalPlanner.from_folder(resources.weights(), SentenceGrounder()), rows, parts)


def score(
    suite: Suite, planner: RetrievalPlanner, rows: Sequence[PlannedScene], parts: Parts = UNKEPT
) -> dict[str, Any]:
    """Plan every validation scene and every scene of the suite.

    Args:
        suite: of kind ``plans``; options ``activities``, ``temperature``, ``scenes``.
        planner: with its library. rows: validation plans (`corpus`).

    Returns:
        The figures and all plans. ``/plan``: the planner, ``/nearest``: the nearest scene's plan as it stands,
        ``/shuffled``: the planner's plans against the references of other scenes.
    """
    text.needs_packages()
    count, temperature = int(suite.options["activities"]), float(suite.options["temperature"])
    seed = suite.seeds[0]
    references = [reference(r) for r in rows]
    scenes = [p.scene for p in references] + [str(s) for s in suite.options["scenes"]]
    plan = parts.remembering("plan", planner.plan)
    plans = [plan(s, count, temperature, seed) for s in scenes]
    bases = [nearest(planner, p.scene, count) for p in references]
    held = plans[: len(references)]
    results = _form(plans, count)
    others = [*references[1:], *references[:1]]
    for name, against, to in (("plan", held, references), ("nearest", bases, references), ("shuffled", held, others)):
        results |= {f"{k}/{name}": figure(v) for k, v in likeness(against, to, planner).items()}
    results |= _coherence(planner, plans, bases, rows)
    library = planner.library
    known = frozenset(
        measures.key(fill(t, "he"), [fill(library.steps[i], "he") for i in library.steps_of(row)])
        for row, t in enumerate(library.tasks)
    )
    shares = measures.copied(plans, known)
    results |= {f"copied/{k}": plain(v) for k, v in shares.items()}
    for part, share in measures.same_activity_rates(plans).items():
        results["same_activity" if part == "either" else f"same_activity/{part}"] = plain(share)
    results["shared_steps"] = plain(measures.shared_steps_rate(plans))
    return {"results": results, "plans": [p.to_json() for p in plans]}


def _form(plans: Sequence[Plan], count: int) -> dict[str, Any]:
    distinct = [
        len({a.task for a in p.activities}) == len({a.steps for a in p.activities}) == len(p.activities) for p in plans
    ]
    return {
        "well_formed": figure([float(measures.well_formed(p, count)) for p in plans]),
        "loops": figure([float(measures.loops(p)) for p in plans]),
        "distinct": figure([float(d) for d in distinct]),
        "order_violations": figure([float(len(measures.order_violations(p))) for p in plans]),
    }


def _coherence(
    planner: RetrievalPlanner, plans: Sequence[Plan], bases: Sequence[Plan], rows: Sequence[PlannedScene]
) -> dict[str, Any]:
    """An independent judge, trained here from another seed, on plans and on true continuations."""
    library: PlanLibrary = planner.library
    encode = planner.retriever.grounder.sentence
    held = tabulate(rows, encode, library)
    judge = train_scorer(library, JUDGE, JUDGE_SEED)
    truth = judged(judge, planner, [reference(r) for r in rows])
    mine, copies = judged(judge, planner, plans), judged(judge, planner, bases)
    figures = measure(judge, held)
    return {
        "coherence/plan": figure(mine), "coherence/nearest": figure(copies), "coherence/true": figure(truth),
        "coherence_of_true": plain(float(mine.mean() / truth.mean())),
        **{f"judge_{k}": plain(v) for k, v in figures.items() if k.split("/")[0] == "auc"},
        **{f"scorer_{k}": plain(v) for k, v in library.figures.items() if k.split("/")[0] == "auc"},
    }  # fmt: skip


def cycle(
    suite: Suite, model: Any, rows: Sequence[PlannedScene], full: bool = False, encode: Encode | None = None,
    parts: Parts = UNKEPT,
) -> dict[str, Any]:
    """Steps -> motion -> description -> steps, against the descriptions of other steps' motions.

    Args:
        suite: of kind ``plan_cycle``. model: has `generate` and `describe` as `avatargpt.AvatarGPT`.
        rows: validation plans. encode: sentence embeddings; None: all-MiniLM-L6-v2.
    """
    text.needs_packages()
    if encode is None:
        from avatargpt.lm.text_encoder import SentenceGrounder

        encode = SentenceGrounder().sentence
    every = [s for r in rows for a in r.activities for s in a.steps]
    rng = np.random.default_rng(suite.seeds[0])
    count = min(int(suite.options["full" if full else "sample"]), len(every))
    chosen = [every[int(i)] for i in rng.permutation(len(every))[:count]]
    told = told_again(model, chosen, suite.seeds[0], int(suite.options["batch"]), parts)
    steps = [neutral(s, gender_of(s) or "they") for s in chosen]
    back = [neutral(s[:1].lower() + s[1:], gender_of(s) or "they") for s in told]
    wanted, got = [fill(s, "he") for s in steps], [fill(s, "he") for s in back]
    order = np.roll(np.arange(count), 1)
    a, b = encode(wanted), encode(got)
    return {"results": {
        "bleu1/cycle": figure([_bleu1(g, w) for g, w in zip(got, wanted, strict=True)]),
        "bleu1/random": figure([_bleu1(got[j], w) for j, w in zip(order, wanted, strict=True)]),
        "cosine/cycle": figure((a * b).sum(1)), "cosine/random": figure((a * b[order]).sum(1)),
    }, "sample": [{"steps": w, "back": g} for w, g in list(zip(wanted, got, strict=True))[:40]]}  # fmt: skip
