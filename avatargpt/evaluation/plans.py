"""The suites `plans`, `plan_cycle` and `plan_coverage`: plans of the planner, and their steps as motion."""
# How good plans are (form, physical order, likeness to references, coherence, copies), and whether the motion generated
# for their steps is described as the steps again.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt import resources
from avatargpt.evaluation import plan_judge as measures
from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.plan_judge import JudgeTraining, measure, tabulate, train_scorer
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics import text
from avatargpt.planning.library import PlanLibrary, fill, gender_of, neutral
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.scorer import Overlap, Question, Scorer
from avatargpt.planning.types import Activity, Plan
from instruct_data.planning import PlannedScene, read_scenes
from vqvae.errors import UserError

PLAN_FILES = ("train.jsonl", "val.jsonl")
# (N,) sentences -> (N, D) unit vectors.
Encode = Callable[[list[str]], np.ndarray]
JUDGE = JudgeTraining(dim=48, epochs=8)  # another size and seed than the scorer that chooses
JUDGE_SEED = 101


def evaluate(run: Run) -> dict[str, Any]:
    """The suite `plans`: on the run's model if that is a `RetrievalPlanner`, else on the packaged planner."""
    planner = run.model
    if not isinstance(planner, RetrievalPlanner):
        planner = RetrievalPlanner.from_folder(resources.weights(), SentenceGrounder())
    return score_plans(run.suite, planner, validation_plans(run.data), run.cache)


def evaluate_cycle(run: Run) -> dict[str, Any]:
    """The suite `plan_cycle`."""
    return score_cycle(run.suite, run.model, validation_plans(run.data), run.full, cache=run.cache)


def evaluate_coverage(run: Run) -> dict[str, Any]:
    """The suite `plan_coverage` on a sample of the corpus' steps."""
    count = int(run.suite.options["full" if run.full else "sample"])
    steps = sample_steps(plan_steps(run.data), count, run.suite.seeds[0])
    return score_coverage(run.suite, steps, run.model, cache=run.cache)


def planning_folder(data: Path | None, files: Sequence[str]) -> Path:
    """The folder of the planning corpus that has `files`: `data`, or its `planning` or `data/planning`."""
    if data is None:
        raise UserError("this suite needs the planning corpus; name its folder, or the one above it, with --data")
    for folder in (data, data / "planning", data / "data" / "planning", data.parent / "planning"):
        if (folder / files[0]).is_file() and folder.name == "planning":
            return folder
    raise UserError(f"{data}: no planning corpus here; accepted a folder `planning` with {' and '.join(files)}")


def plan_steps(data: Path | None) -> list[str]:
    """Every distinct step of the planning corpus, in order; `data` as in `planning_folder`."""
    folder = planning_folder(data, PLAN_FILES)
    rows = (row for name in PLAN_FILES for row in read_scenes(folder / name))
    return list(dict.fromkeys(s for row in rows for a in row.activities for s in a.steps))


def sample_steps(every: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` steps, always the same for a seed; a larger sample begins with the smaller one."""
    order = np.random.default_rng(seed).permutation(len(every))
    return [every[int(i)] for i in order[:count]]


def describe_generated(
    model: Any, texts: Sequence[str], seed: int, batch: int, cache: AnswerCache = NO_CACHE, **options: Any
) -> list[str]:  # fmt: skip
    """Text to motion to text, each text with a seed of its own from `seed` on."""
    def describe(part: list[str], seeds: list[int]) -> list[str]:
        motions = list(model.generate(part, seeds=seeds, **options))
        if len(motions) != len(part):
            raise UserError(f"the generator gave {len(motions)} motions for {len(part)} steps")
        return [str(s) for s in model.describe(motions)]

    starts = range(0, len(texts), batch)
    calls = [(part, [seed + i + k for k in range(len(part))]) for i in starts if (part := list(texts[i : i + batch]))]
    return [text for chunk in cache.map("told again", describe, calls) for text in chunk]


def score_coverage(
    suite: Suite, chosen: list[str], model: Any, encode: Encode | None = None, cache: AnswerCache = NO_CACHE
) -> dict[str, Any]:
    """Text to motion to text.

    Args:
        suite: of kind ``plan_coverage``; options ``threshold`` (cosine), ``batch``, ``best_of``.
        encode: sentence embeddings; None: all-MiniLM-L6-v2.

    Returns:
        ``covered``: share of steps whose description has a cosine above the threshold; ``covered/by chance``: the same
        against the description of another step; ``cosine``; ``retrieved``: share of steps whose own description is
        nearer than those of 31 other steps (chance 1 / 32; where n are equally near, 1 / n); and the worst and best
        steps.
    """
    encode = encode or SentenceGrounder().sentence
    threshold, batch = float(suite.options["threshold"]), int(suite.options.get("batch", 32))
    seed = suite.seeds[0]
    options = {"best_of": int(suite.options["best_of"])} if "best_of" in suite.options else {}
    descriptions = describe_generated(model, chosen, seed, batch, cache, **options)
    step_vectors, vectors = encode(chosen), encode(descriptions)
    cosine = (step_vectors * vectors).sum(1)
    table = step_vectors @ vectors.T
    rng = np.random.default_rng(seed)
    shifted = np.roll(np.arange(len(chosen)), 1)
    ranks = []
    for i in range(len(chosen)):
        rivals = rng.choice(np.delete(np.arange(len(chosen)), i), min(31, len(chosen) - 1), replace=False)
        ranks.append(_share_of_first_place(table[i, i], table[i, rivals]))
    results = {
        "covered": figure(cosine > threshold),
        "covered/by chance": figure(table[np.arange(len(chosen)), shifted] > threshold),
        "cosine": figure(cosine),
        "retrieved": figure(ranks),
        "distinct_descriptions": plain(len(set(descriptions)) / len(descriptions)),
    }
    order = np.argsort(cosine)
    rows = [{"step": chosen[int(i)], "said": descriptions[int(i)], "cosine": round(float(cosine[i]), 3)} for i in order]
    spread = rows[:: max(len(rows) // 40, 1)]
    return {"results": results, "steps": len(chosen), "threshold": threshold, "sample": spread}


# The chance to be ranked first: equally near rivals share the place.
def _share_of_first_place(cosine: float, rivals: np.ndarray) -> float:
    ties = np.isclose(rivals, cosine, rtol=0, atol=1e-6)
    return 0.0 if (rivals[~ties] > cosine).any() else 1.0 / (1 + int(ties.sum()))


def validation_plans(data: Path | None) -> list[PlannedScene]:
    """The validation plans. `data`: the folder ``planning``, or one that has it as `planning` or `data/planning`."""
    return read_scenes(planning_folder(data, ("val.jsonl",)) / "val.jsonl")


def reference_plan(row: PlannedScene) -> Plan:
    """A corpus plan as a `Plan`."""
    return Plan(row.scene, tuple(Activity(a.task, a.steps) for a in row.activities), "corpus")


def nearest_plan(planner: RetrievalPlanner, scene: str, activities: int) -> Plan:
    """The baseline: the plan of the library's nearest scene, unchanged."""
    library = planner.library
    row = planner.retriever.nearest(scene, 1)[0]
    gender = library.genders[row]
    plan = [
        Activity(fill(library.tasks[t], gender), tuple(fill(library.steps[i], gender) for i in library.steps_of(t)))
        for t in library.tasks_of(row)
    ]
    return Plan(scene, tuple(plan[:activities]), "nearest")


def coherence_scores(judge: Scorer, planner: RetrievalPlanner, plans: Sequence[Plan]) -> np.ndarray:
    """The judge's probability of every activity of every plan, given what precedes it."""
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
    candidates, targets = ([" . ".join(s for a in p.activities for s in a.steps) for p in side]
                           for side in (plans, references))  # fmt: skip
    encode = planner.retriever.grounder.sentence
    means = [np.stack([encode([s for a in p.activities for s in a.steps]).mean(0) for p in side])
             for side in (plans, references)]  # fmt: skip
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in means]
    pairs = list(zip(candidates, targets, strict=True))
    return {
        "bleu1": np.array([_bleu1(s, w) for s, w in pairs]),
        "bleu4": np.array([text.bleu([s], [[w]], 4, text.lemma_tokens) for s, w in pairs]),
        "rouge_l": np.array([text.rouge_l([s], [[w]], text.lemma_tokens) for s, w in pairs]),
        "cosine": (unit[0] * unit[1]).sum(1),
    }


def score_plans(
    suite: Suite, planner: RetrievalPlanner, rows: Sequence[PlannedScene], cache: AnswerCache = NO_CACHE
) -> dict[str, Any]:
    """Plan every validation scene and every scene of the suite.

    Args:
        suite: of kind ``plans``; options ``activities``, ``temperature``, ``scenes``.
        planner: with its library. rows: validation plans (`validation_plans`).

    Returns:
        The figures and all plans. ``/plan``: the planner, ``/nearest``: the nearest scene's plan unchanged,
        ``/shuffled``: the planner's plans against the references of other scenes.
    """
    text.needs_packages()
    count, temperature = int(suite.options["activities"]), float(suite.options["temperature"])
    seed = suite.seeds[0]
    references = [reference_plan(r) for r in rows]
    scenes = [p.scene for p in references] + [str(s) for s in suite.options["scenes"]]
    plan = cache.wrap("plan", planner.plan)
    plans = [plan(s, count, temperature, seed) for s in scenes]
    bases = [nearest_plan(planner, p.scene, count) for p in references]
    held_out = plans[: len(references)]
    results = _form(plans, count)
    shifted = [*references[1:], *references[:1]]
    compared = {"plan": (held_out, references), "nearest": (bases, references), "shuffled": (held_out, shifted)}
    for name, (candidates, targets) in compared.items():
        results |= {f"{k}/{name}": figure(v) for k, v in likeness(candidates, targets, planner).items()}
    results |= _coherence(planner, plans, bases, rows)
    library = planner.library
    known_plans = frozenset(
        measures.key(fill(t, "he"), [fill(library.steps[i], "he") for i in library.steps_of(row)])
        for row, t in enumerate(library.tasks)
    )
    shares = measures.copied(plans, known_plans)
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


# An independent judge, trained here from another seed, on plans and on true continuations.
def _coherence(
    planner: RetrievalPlanner, plans: Sequence[Plan], bases: Sequence[Plan], rows: Sequence[PlannedScene]
) -> dict[str, Any]:
    library: PlanLibrary = planner.library
    encode = planner.retriever.grounder.sentence
    held_out = tabulate(rows, encode, library)
    judge = train_scorer(library, JUDGE, JUDGE_SEED)
    truth = coherence_scores(judge, planner, [reference_plan(r) for r in rows])
    planned, copies = coherence_scores(judge, planner, plans), coherence_scores(judge, planner, bases)
    figures = measure(judge, held_out)
    return {
        "coherence/plan": figure(planned), "coherence/nearest": figure(copies), "coherence/true": figure(truth),
        "coherence_of_true": plain(float(planned.mean() / truth.mean())),
        **{f"judge_{k}": plain(v) for k, v in figures.items() if k.split("/")[0] == "auc"},
        **{f"scorer_{k}": plain(v) for k, v in library.figures.items() if k.split("/")[0] == "auc"},
    }  # fmt: skip


def score_cycle(
    suite: Suite, model: Any, rows: Sequence[PlannedScene], full: bool = False, encode: Encode | None = None,
    cache: AnswerCache = NO_CACHE,
) -> dict[str, Any]:
    """Steps -> motion -> description -> steps, against the descriptions of other steps' motions."""
    text.needs_packages()
    encode = encode or SentenceGrounder().sentence
    steps = [s for r in rows for a in r.activities for s in a.steps]
    rng = np.random.default_rng(suite.seeds[0])
    count = min(int(suite.options["full" if full else "sample"]), len(steps))
    chosen = [steps[int(i)] for i in rng.permutation(len(steps))[:count]]
    descriptions = describe_generated(model, chosen, suite.seeds[0], int(suite.options["batch"]), cache)
    targets = [fill(neutral(s, gender_of(s) or "they"), "he") for s in chosen]
    outputs = [fill(neutral(s[:1].lower() + s[1:], gender_of(s) or "they"), "he") for s in descriptions]
    order = np.roll(np.arange(count), 1)
    a, b = encode(targets), encode(outputs)
    return {"results": {
        "bleu1/cycle": figure([_bleu1(g, w) for g, w in zip(outputs, targets, strict=True)]),
        "bleu1/random": figure([_bleu1(outputs[j], w) for j, w in zip(order, targets, strict=True)]),
        "cosine/cycle": figure((a * b).sum(1)), "cosine/random": figure((a * b[order]).sum(1)),
    }, "sample": [{"steps": w, "back": g} for w, g in list(zip(targets, outputs, strict=True))[:40]]}  # fmt: skip
