"""The suites `plans` and `plan_coverage`: plans of the planner, and their steps as motion."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt import resources
from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics import text
from avatargpt.metrics.statistics import roc_auc
from avatargpt.planning.compose import violations
from avatargpt.planning.library import PlanLibrary, bare_text, fill, gender_of, neutral, replace_name, word_for_encoder
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.scorer import Overlap, Question, Scorer, batch
from avatargpt.planning.types import Activity, Plan
from avatargpt.train.loop import fit
from instruct_data.planning import PlannedScene, read_scenes
from vqvae.errors import UserError

# Judges of plans: figures without a model, and a scorer that the suite `plans` trains on true and corrupted plans.

Key = tuple[str, ...]


def key(task: str, steps: Sequence[str]) -> Key:
    """An activity without its person, case and punctuation, for comparisons."""
    actor = gender_of(" ".join([task, *steps]))
    return (bare_text(task, actor, False), *(bare_text(s, actor) for s in steps))


def well_formed(plan: Plan, activities: int) -> bool:
    """Whether a plan has `activities` activities, each with a task and steps, no empty or many-line text."""
    texts = [t for a in plan.activities for t in (a.task, *a.steps)]
    return (
        len(plan.activities) == activities
        and all(a.steps for a in plan.activities)
        and all(t.strip() == t and t and "\n" not in t and "{" not in t and len(t) <= 200 for t in texts)
    )


def loops(plan: Plan) -> int:
    """Number of repeated steps and activities, by their words."""
    keys = [key(a.task, a.steps) for a in plan.activities]
    steps = Counter(s for k in keys for s in k[1:])
    tasks = Counter(k[0] for k in keys)
    return sum(n - 1 for n in steps.values()) + sum(n - 1 for n in tasks.values())


def order_violations(plan: Plan) -> list[tuple[int, str]]:
    """Physically impossible steps of a plan (`avatargpt.planning.compose`)."""
    return violations([s for a in plan.activities for s in a.steps])


def same_activity_rates(plans: Sequence[Plan]) -> dict[str, float]:
    """Shares of activities that the plan of another scene has too.

    Returns:
        ``task``: with the same text, ``steps``: with the same list of steps, ``whole``: with both in one activity,
        ``either``: with one or the other, the strictest reading.
    """
    keys = [[key(a.task, a.steps) for a in p.activities] for p in plans]
    parts: dict[str, Callable[[Key], tuple[Hashable, ...]]] = {
        "task": lambda k: (k[0],),
        "steps": lambda k: (k[1:],),
        "whole": lambda k: (k,),
        "either": lambda k: (k[0], k[1:]),
    }
    out = {}
    for name, part in parts.items():
        often = Counter(x for plan_keys in keys for x in {x for k in plan_keys for x in part(k)})
        flags = [any(often[x] > 1 for x in part(k)) for plan_keys in keys for k in plan_keys]
        out[name] = float(np.mean(flags)) if flags else float("nan")
    return out


def rate_shared_steps(plans: Sequence[Plan]) -> float:
    """Share of activities at least half of whose steps are in one activity of another scene's plan, by their words."""
    sets = [(i, frozenset(key(a.task, a.steps)[1:])) for i, p in enumerate(plans) for a in p.activities]
    holders: dict[str, list[int]] = {}
    for at, (_, steps) in enumerate(sets):
        for step in steps:
            holders.setdefault(step, []).append(at)
    shared = []
    for i, steps in sets:
        met = Counter(at for s in steps for at in holders[s] if sets[at][0] != i)
        shared.append(any(2 * n >= len(steps) for n in met.values()))
    return float(np.mean(shared)) if sets else float("nan")


def measure_copying(plans: Sequence[Plan], library: frozenset[Key]) -> dict[str, float]:
    """Shares of activities and of steps that are in the library word for word (but for the person)."""
    steps = {s for k in library for s in k[1:]}
    keys = [key(a.task, a.steps) for p in plans for a in p.activities]
    return {
        "activities": float(np.mean([k in library for k in keys])),
        "steps": float(np.mean([s in steps for k in keys for s in k[1:]])),
    }


KINDS = (
    "shuffled", "foreign", "foreign_near", "one_foreign", "one_near", "repeated", "other_task", "same_plan",
    "elsewhere", "elsewhere_near",
)  # fmt: skip
TRAINING_KINDS = (*KINDS, "elsewhere", "elsewhere_near", "elsewhere_near")  # drawn evenly
CONTINUATIONS = ("shuffled", "foreign", "foreign_near", "repeated")
EASY = ("foreign", "repeated")
NO_PREVIOUS = 0.15  # share of training rows without the step before: an activity may begin a plan


@dataclass(frozen=True)
class JudgeTraining:
    """Size and training of the scorer."""

    dim: int = 64
    layers: int = 2
    dropout: float = 0.2
    epochs: int = 12
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.05


@dataclass(frozen=True)
class ActivityRows:
    """An activity as rows of a library; `before` is the step before it, -1 = none."""

    scene: int
    task: int
    before: int
    steps: tuple[int, ...]


class Corruptor:
    """True activities of a library and corrupted ones, drawn from a generator."""

    def __init__(self, library: PlanLibrary) -> None:
        self.library, self.overlap = library, Overlap(library)
        cosine = library.scene_vectors @ library.scene_vectors.T
        np.fill_diagonal(cosine, -2)
        self.similar = np.argsort(-cosine, axis=1)[:, : min(8, len(cosine) - 1)]

    def question(self, rows: ActivityRows) -> Question:
        """The scorer's input."""
        lib, k = self.library, self.library.task_vectors.shape[1]
        before = lib.step_vectors[rows.before] if rows.before >= 0 else np.zeros(k, np.float32)
        last = lib.steps[rows.before] if rows.before >= 0 else ""
        words = self.overlap(lib.scenes[rows.scene], lib.tasks[rows.task], last, [lib.steps[i] for i in rows.steps])
        vectors = lib.step_vectors[list(rows.steps)]
        return Question(lib.scene_vectors[rows.scene, :k], lib.task_vectors[rows.task], before, vectors, words)

    def true(self, task: int) -> ActivityRows:
        """The activity as it stands in the library."""
        lib, scene = self.library, int(self.library.task_scene[task])
        steps = lib.steps_of(task)
        return ActivityRows(scene, task, -1 if task == lib.task_starts[scene] else steps.start - 1, tuple(steps))

    def elsewhere(self, scene: int, similar: bool, rng: np.random.Generator) -> int:
        """Another scene, at random or of the eight most similar."""
        while True:
            drawn = int(rng.choice(self.similar[scene])) if similar else int(rng.integers(len(self.library.scenes)))
            if drawn != scene:
                return drawn

    def _foreign_task(self, scene: int, similar: bool, rng: np.random.Generator) -> int:
        return int(rng.choice(self.library.tasks_of(self.elsewhere(scene, similar, rng))))

    def wrong(self, task: int, kind: str, rng: np.random.Generator) -> ActivityRows:
        """The activity corrupted in one of `KINDS`; its scene, and mostly its task, stay."""
        lib, true = self.library, self.true(task)
        steps, siblings = list(true.steps), lib.tasks_of(true.scene)
        n = len(steps)
        if kind == "shuffled" and n > 1:
            steps = _permute_rows(steps, rng)
        elif kind == "repeated" and n > 1:
            i, j = rng.choice(n, 2, replace=False)
            steps[i] = steps[j]
        elif kind in ("foreign", "foreign_near"):
            steps = list(lib.steps_of(self._foreign_task(true.scene, kind == "foreign_near", rng)))
        elif kind == "same_plan" and len(siblings) > 1:
            steps = list(lib.steps_of(int(rng.choice([t for t in siblings if t != task]))))
        elif kind in ("elsewhere", "elsewhere_near"):
            foreign = self.true(self._foreign_task(true.scene, kind == "elsewhere_near", rng))
            return replace(foreign, scene=true.scene, before=true.before)
        elif kind == "other_task":
            return replace(true, task=self._foreign_task(true.scene, False, rng))
        else:
            source = self._foreign_task(true.scene, kind == "one_near", rng)
            steps[rng.integers(n)] = int(rng.choice(lib.steps_of(source)))
        return replace(true, steps=tuple(steps))

    def continuation(self, scene: int, kind: str, rng: np.random.Generator) -> list[ActivityRows]:
        """All activities of a scene after the first, as they are (kind ``true``) or corrupted (`CONTINUATIONS`)."""
        lib = self.library
        following = [self.true(t) for t in lib.tasks_of(scene)[1:]]
        if kind == "repeated":
            following = [self.wrong(r.task, "repeated", rng) for r in following]
        elif kind == "shuffled":
            steps = _permute_rows([i for r in following for i in r.steps], rng)
            ends = np.cumsum([len(r.steps) for r in following])
            following = [
                replace(r, steps=tuple(steps[e - len(r.steps) : e])) for r, e in zip(following, ends, strict=True)
            ]
        elif kind != "true":
            source = self.elsewhere(scene, kind == "foreign_near", rng)
            following = [replace(self.true(t), scene=scene) for t in lib.tasks_of(source)[1:]]
            following[0] = replace(following[0], before=lib.steps_of(lib.tasks_of(scene)[0])[-1])
        return following


def _permute_rows(rows: list[int], rng: np.random.Generator) -> list[int]:
    order = rng.permutation(len(rows))
    while (order == np.arange(len(rows))).all():
        order = rng.permutation(len(rows))
    return [rows[int(i)] for i in order]


def tabulate(plans: Sequence[PlannedScene], encode: Any, like: PlanLibrary) -> PlanLibrary:
    """Plans as a library in the vector space of another one, without projections and scorer."""
    scenes, genders, tasks, steps = list[str](), list[str](), list[str](), list[str]()
    task_scene, step_task = list[int](), list[int]()
    for plan in plans:
        words = " ".join(a.task + " " + " ".join(a.steps) for a in plan.activities)
        gender = gender_of(words) or "they"
        for activity in plan.activities:
            for step in activity.steps:
                steps.append(neutral(step, gender))
                step_task.append(len(tasks))
            tasks.append(neutral(replace_name(activity.task, plan.scene), gender, False))
            task_scene.append(len(scenes))
        scenes.append(plan.scene)
        genders.append(gender)
    vectors = [encode(scenes), *(encode([word_for_encoder(t) for t in texts]) for texts in (tasks, steps))]
    basis, width = like.basis, like.task_vectors.shape[1]
    return PlanLibrary(
        scenes, genders, tasks, steps, np.array(task_scene), np.array(step_task),
        basis.reduce(vectors[0], like.scene_vectors.shape[1]), basis.reduce(vectors[1], width),
        basis.reduce(vectors[2], width), basis,
    )  # fmt: skip


def train_scorer(library: PlanLibrary, training: JudgeTraining, seed: int) -> Scorer:
    """Fit a scorer to a library: every activity once true and once corrupted per epoch, kinds in turn."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    corruptor = Corruptor(library)
    width = library.task_vectors.shape[1]
    scorer = Scorer(width, library.projections, training.dim, training.layers, 4, training.dropout)
    optimizer = torch.optim.AdamW(scorer.parameters(), training.lr, weight_decay=training.weight_decay)
    count = len(library.tasks)
    total = training.epochs * -(-count // training.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.lr, total, pct_start=0.1)

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(training.epochs):
            order = rng.permutation(count)
            for start in range(0, count, training.batch):
                rows = order[start : start + training.batch]
                activities = [corruptor.true(int(t)) for t in rows]
                activities += [
                    corruptor.wrong(int(t), TRAINING_KINDS[int(rng.integers(len(TRAINING_KINDS)))], rng) for t in rows
                ]
                inputs = batch([corruptor.question(a) for a in activities])
                x, present, words = (torch.from_numpy(v) for v in inputs)
                dropped = torch.from_numpy(rng.random(len(x)) < NO_PREVIOUS)
                present[:, 2] &= ~dropped
                x[:, 2] *= present[:, 2, None]
                target = torch.cat([torch.ones(len(rows)), torch.zeros(len(rows))])
                yield torch.nn.functional.binary_cross_entropy_with_logits(scorer(x, present, words), target)

    scorer.train()
    fit(losses(), optimizer, schedule)
    return scorer.eval()


def measure(scorer: Scorer, library: PlanLibrary, seed: int = 7) -> dict[str, float]:
    """Areas under the ROC curve on a held-out library, true against corrupted.

    Returns:
        ``auc/*``: continuations of plans (all activities after the first; the mean logit counts), per kind, for the
        easy and the hard kinds, and over all kinds (``auc``); ``auc_activity/*``: single activities, per kind of
        `KINDS`; ``true_score``: mean probability of true activities.
    """
    rng, corruptor = np.random.default_rng(seed), Corruptor(library)
    rows = range(len(library.tasks))
    true = scorer.score([corruptor.question(corruptor.true(t)) for t in rows])
    out = {"true_score": float(true.mean())}
    for kind in KINDS:
        wrong = scorer.score([corruptor.question(corruptor.wrong(t, kind, rng)) for t in rows])
        out[f"auc_activity/{kind}"] = roc_auc(true, wrong)
    scenes = [s for s in range(len(library.scenes)) if len(library.tasks_of(s)) > 1]

    def mean_logits(kind: str) -> np.ndarray:
        groups = [[corruptor.question(r) for r in corruptor.continuation(s, kind, rng)] for s in scenes]
        logits = scorer.logits([q for g in groups for q in g])
        return np.array([part.mean() for part in np.split(logits, np.cumsum([len(g) for g in groups])[:-1])])

    intact = mean_logits("true")
    corrupted = {k: mean_logits(k) for k in CONTINUATIONS}
    out |= {f"auc/{k}": roc_auc(intact, w) for k, w in corrupted.items()}
    for name, kinds in (("/easy", EASY), ("/hard", set(CONTINUATIONS) - set(EASY)), ("", CONTINUATIONS)):
        out[f"auc{name}"] = roc_auc(intact, np.concatenate([corrupted[k] for k in CONTINUATIONS if k in kinds]))
    return {k: round(v, 4) for k, v in out.items()}


# How good plans are (form, physical order, likeness to references, coherence, copies), and whether the motion generated
# for their steps is described as the steps again.

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


def evaluate_coverage(run: Run) -> dict[str, Any]:
    """The suite `plan_coverage` on a sample of the corpus' steps."""
    count = int(run.suite.options["full" if run.full else "sample"])
    steps = sample_steps(plan_steps(run.data), count, run.suite.seeds[0])
    return score_coverage(run.suite, steps, run.model, cache=run.cache)


def find_planning_folder(data: Path | None, files: Sequence[str]) -> Path:
    """The folder of the planning corpus that has `files`: `data`, or its `planning` or `data/planning`."""
    if data is None:
        raise UserError("this suite needs the planning corpus; name its folder, or the one above it, with --data")
    for folder in (data, data / "planning", data / "data" / "planning", data.parent / "planning"):
        if (folder / files[0]).is_file() and folder.name == "planning":
            return folder
    raise UserError(f"{data}: no planning corpus here; accepted a folder `planning` with {' and '.join(files)}")


def plan_steps(data: Path | None) -> list[str]:
    """Every distinct step of the planning corpus, in order; `data` as in `find_planning_folder`."""
    folder = find_planning_folder(data, PLAN_FILES)
    rows = (row for name in PLAN_FILES for row in read_scenes(folder / name))
    return list(dict.fromkeys(s for row in rows for a in row.activities for s in a.steps))


def sample_steps(every: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` steps, always the same for a seed; a larger sample begins with the smaller one."""
    order = np.random.default_rng(seed).permutation(len(every))
    return [every[int(i)] for i in order[:count]]


def describe_generated(
    model: Any, texts: Sequence[str], seed: int, batch: int, cache: RunCache = NO_CACHE, **options: Any
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
    suite: Suite, chosen: list[str], model: Any, encode: Encode | None = None, cache: RunCache = NO_CACHE
) -> dict[str, Any]:
    """Text to motion to text.

    Args:
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
        # The chance to be ranked first: equally near rivals share the place.
        ties = np.isclose(table[i, rivals], table[i, i], rtol=0, atol=1e-6)
        ranks.append(0.0 if (table[i, rivals][~ties] > table[i, i]).any() else 1.0 / (1 + int(ties.sum())))
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


def validation_plans(data: Path | None) -> list[PlannedScene]:
    """The validation plans. `data`: the folder ``planning``, or one that has it as `planning` or `data/planning`."""
    return read_scenes(find_planning_folder(data, ("val.jsonl",)) / "val.jsonl")


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
        "bleu1": np.array([text.bleu([s], [[w]], 1, text.lemma_tokens) for s, w in pairs]),
        "bleu4": np.array([text.bleu([s], [[w]], 4, text.lemma_tokens) for s, w in pairs]),
        "rouge_l": np.array([text.rouge_l([s], [[w]], text.lemma_tokens) for s, w in pairs]),
        "cosine": (unit[0] * unit[1]).sum(1),
    }


def score_plans(
    suite: Suite, planner: RetrievalPlanner, rows: Sequence[PlannedScene], cache: RunCache = NO_CACHE
) -> dict[str, Any]:
    """Plan every validation scene and every scene of the suite.

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
    results = {
        "well_formed": figure([float(well_formed(p, count)) for p in plans]),
        "loops": figure([float(loops(p)) for p in plans]),
        "distinct": figure([
            float(len({a.task for a in p.activities}) == len({a.steps for a in p.activities}) == len(p.activities))
            for p in plans
        ]),
        "order_violations": figure([float(len(order_violations(p))) for p in plans]),
    }  # fmt: skip
    shifted = [*references[1:], *references[:1]]
    compared = {"plan": (held_out, references), "nearest": (bases, references), "shuffled": (held_out, shifted)}
    for name, (candidates, targets) in compared.items():
        results |= {f"{k}/{name}": figure(v) for k, v in likeness(candidates, targets, planner).items()}
    results |= _coherence(planner, plans, bases, rows)
    library = planner.library
    known_plans = frozenset(
        key(fill(t, "he"), [fill(library.steps[i], "he") for i in library.steps_of(row)])
        for row, t in enumerate(library.tasks)
    )
    shares = measure_copying(plans, known_plans)
    results |= {f"copied/{k}": plain(v) for k, v in shares.items()}
    for part, share in same_activity_rates(plans).items():
        results["same_activity" if part == "either" else f"same_activity/{part}"] = plain(share)
    results["shared_steps"] = plain(rate_shared_steps(plans))
    return {"results": results, "plans": [p.to_json() for p in plans]}


# An independent judge, trained here from another seed, on plans and on true continuations.
def _coherence(
    planner: RetrievalPlanner, plans: Sequence[Plan], bases: Sequence[Plan], rows: Sequence[PlannedScene]
) -> dict[str, Any]:
    library: PlanLibrary = planner.library
    judge = train_scorer(library, JUDGE, JUDGE_SEED)
    truth = coherence_scores(judge, planner, [reference_plan(r) for r in rows])
    planned, copies = coherence_scores(judge, planner, plans), coherence_scores(judge, planner, bases)
    figures = measure(judge, tabulate(rows, planner.retriever.grounder.sentence, library))
    return {
        "coherence/plan": figure(planned), "coherence/nearest": figure(copies), "coherence/true": figure(truth),
        "coherence_of_true": plain(float(planned.mean() / truth.mean())),
        **{f"judge_{k}": plain(v) for k, v in figures.items() if k.split("/")[0] == "auc"},
        **{f"scorer_{k}": plain(v) for k, v in library.figures.items() if k.split("/")[0] == "auc"},
    }  # fmt: skip
