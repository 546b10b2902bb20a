"""Makes the planning library: reads the corpus, reduces sentence vectors, learns projections and the scorer."""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import save_resolved
from avatargpt.planning.common_words import bag
from avatargpt.planning.kinds import KindTable, Part
from avatargpt.planning.marks import embedded, gender_of, neutral, unnamed
from avatargpt.planning.measures import roc_auc
from avatargpt.planning.scorer import Scorer, batch
from avatargpt.planning.store import Basis, PlanLibrary
from avatargpt.requests.index import unit
from avatargpt.train.data.corrupting import CONTINUATIONS, DRAWN, EASY, KINDS, Corruptor
from avatargpt.train.loop import fit
from avatargpt.train.runtime import Runtime
from instruct_data import planning as written
from instruct_data.planning import PlannedScene, read_scenes
from vqvae.errors import UserError
from vqvae.strict import Dropout, NonNegativeInt, PositiveInt, Rate, Strict

WORDINGS, DRAWS = 8, 3  # of each kind that a scene is compared with, and persons, places and moments behind each


class Making(Strict):
    """How a library is made.

    Attributes:
        scene_width, width: components of the vectors of scenes, and of activities and steps.
        projection: P, width of the projections. contrast_steps, contrast_lr, contrast_batch: of their training.
        dim, layers, dropout: of the scorer. epochs, batch, lr, weight_decay: of its training.
    """

    scene_width: PositiveInt = 96
    width: PositiveInt = 48
    projection: PositiveInt = 32
    contrast_steps: NonNegativeInt = 400
    contrast_lr: Rate = 3e-3
    contrast_batch: PositiveInt = 512
    dim: PositiveInt = 64
    layers: PositiveInt = 2
    dropout: Dropout = 0.2
    epochs: PositiveInt = 12
    batch: PositiveInt = 256
    lr: Rate = 1e-3
    weight_decay: Rate = 0.05
    seed: NonNegativeInt = 0


class PlannerRecipe(Strict):
    """A configuration of the planner stage."""

    planner: Making = Making()


def tabulate(plans: Sequence[PlannedScene], encode: Any, basis: Basis | None, making: Making) -> PlanLibrary:
    """Plans -> a library without projections and scorer.

    Args:
        encode: texts -> (n, 384) unit vectors. basis: of another library, or None to fit one.
    """
    scenes: list[str] = []
    genders: list[str] = []
    tasks: list[str] = []
    steps: list[str] = []
    task_scene: list[int] = []
    step_task: list[int] = []
    for plan in plans:
        words = " ".join(a.task + " " + " ".join(a.steps) for a in plan.activities)
        gender = gender_of(words) or "they"
        for activity in plan.activities:
            for step in activity.steps:
                steps.append(neutral(step, gender))
                step_task.append(len(tasks))
            tasks.append(neutral(unnamed(activity.task, plan.scene), gender, False))
            task_scene.append(len(scenes))
        scenes.append(plan.scene)
        genders.append(gender)
    full = [encode(texts) for texts in (scenes, [embedded(t) for t in tasks], [embedded(s) for s in steps])]
    if basis is None:
        basis = Basis.fit(np.concatenate(full), making.scene_width)
    return PlanLibrary(
        scenes, genders, tasks, steps, np.array(task_scene), np.array(step_task),
        basis.reduce(full[0], making.scene_width), basis.reduce(full[1], making.width),
        basis.reduce(full[2], making.width), basis,
    )  # fmt: skip


def relations(library: PlanLibrary) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Relation -> (n, K) vectors of what is given and of what belongs to it."""
    k = library.task_vectors.shape[1]
    scenes = library.scene_vectors[:, :k][library.task_scene]
    follows = library.task_scene[1:] == library.task_scene[:-1]
    within = library.step_task[1:] == library.step_task[:-1]
    tasks, means, steps = library.task_vectors, library.means, library.step_vectors
    return {
        "scene_task": (scenes, tasks), "scene_steps": (scenes, means), "task_steps": (tasks, means),
        "task_next": (tasks[:-1][follows], tasks[1:][follows]),
        "steps_task": (means[:-1][follows], tasks[1:][follows]),
        "step_next": (steps[:-1][within], steps[1:][within]),
    }  # fmt: skip


def contrast(left: np.ndarray, right: np.ndarray, making: Making) -> tuple[np.ndarray, np.ndarray]:
    """Two linear maps under which what belongs together is near: symmetric InfoNCE over batches (CLIP's loss)."""
    generator = torch.Generator().manual_seed(making.seed)
    a, b = torch.from_numpy(left), torch.from_numpy(right)
    maps = [torch.eye(a.shape[1], making.projection).requires_grad_() for _ in range(2)]
    scale = torch.tensor(2.5, requires_grad=True)
    optimiser = torch.optim.AdamW([*maps, scale], making.contrast_lr, weight_decay=0.05)
    norm, entropy = torch.nn.functional.normalize, torch.nn.functional.cross_entropy

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(making.contrast_steps):
            rows = torch.randint(len(a), (min(making.contrast_batch, len(a)),), generator=generator)
            noise = [torch.randn(len(rows), a.shape[1], generator=generator) * 0.05 for _ in range(2)]
            logits = norm((a[rows] + noise[0]) @ maps[0], dim=1) @ norm((b[rows] + noise[1]) @ maps[1], dim=1).T
            logits = logits * scale.exp()
            target = torch.arange(len(rows))
            yield (entropy(logits, target) + entropy(logits.T, target)) / 2

    fit(losses(), optimiser)
    return maps[0].detach().numpy(), maps[1].detach().numpy()


def train_scorer(library: PlanLibrary, making: Making, seed: int | None = None) -> Scorer:
    """Fit the scorer to a library: every activity once true and once corrupted per epoch, kinds in turn."""
    seed = making.seed if seed is None else seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    corruptor = Corruptor(library)
    scorer = Scorer(library.task_vectors.shape[1], library.projections, making.dim, making.layers, 4, making.dropout)
    optimiser = torch.optim.AdamW(scorer.parameters(), making.lr, weight_decay=making.weight_decay)
    count = len(library.tasks)
    total = making.epochs * -(-count // making.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, making.lr, total, pct_start=0.1)

    def losses() -> Iterator[torch.Tensor]:
        for _ in range(making.epochs):
            order = rng.permutation(count)
            for start in range(0, count, making.batch):
                rows = order[start : start + making.batch]
                asked = [corruptor.true(int(t)) for t in rows]
                asked += [corruptor.wrong(int(t), DRAWN[int(rng.integers(len(DRAWN)))], rng) for t in rows]
                x, there, words = (torch.from_numpy(v) for v in batch([corruptor.question(a) for a in asked]))
                dropped = torch.from_numpy(rng.random(len(x)) < 0.15)  # an activity may begin a plan
                there[:, 2] &= ~dropped
                x[:, 2] *= there[:, 2, None]
                target = torch.cat([torch.ones(len(rows)), torch.zeros(len(rows))])
                yield torch.nn.functional.binary_cross_entropy_with_logits(scorer(x, there, words), target)

    scorer.train()
    fit(losses(), optimiser, schedule)
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

    def continued(kind: str) -> np.ndarray:
        groups = [[corruptor.question(r) for r in corruptor.continuation(s, kind, rng)] for s in scenes]
        logits = scorer.logits([q for g in groups for q in g])
        return np.array([part.mean() for part in np.split(logits, np.cumsum([len(g) for g in groups])[:-1])])

    kept = continued("true")
    worse = {k: continued(k) for k in CONTINUATIONS}
    out |= {f"auc/{k}": roc_auc(kept, w) for k, w in worse.items()}
    for name, kinds in (("/easy", EASY), ("/hard", set(CONTINUATIONS) - set(EASY)), ("", CONTINUATIONS)):
        out[f"auc{name}"] = roc_auc(kept, np.concatenate([worse[k] for k in CONTINUATIONS if k in kinds]))
    return {k: round(v, 4) for k, v in out.items()}


def mean_rank(library: PlanLibrary, held: PlanLibrary) -> dict[str, float]:
    """Relation -> mean rank (0 best, .5 chance) of what truly belongs, among all of the held-out library's."""
    out = {}
    for name, (left, right) in relations(held).items():
        cosine = library.projected(name, "from", left) @ library.projected(name, "to", right).T
        own = np.diag(cosine)
        out[f"rank/{name}"] = round(float((cosine > own[:, None]).mean()), 4)
        plain = left @ right.T
        out[f"rank_plain/{name}"] = round(float((plain > np.diag(plain)[:, None]).mean()), 4)
    return out


def make_planner(
    plans: Sequence[PlannedScene], held: Sequence[PlannedScene], encode: Any, making: Making
) -> PlanLibrary:
    """The library with everything learnt; figures are of `held`."""
    library = tabulate(plans, encode, None, making)
    for name, (left, right) in relations(library).items():
        for side, matrix in zip(("from", "to"), contrast(left, right, making), strict=True):
            library.projections[f"{name}/{side}"] = matrix
    scorer = train_scorer(library, making)
    library.scorer = {k: v.detach().numpy() for k, v in scorer.state_dict().items()}
    if held:
        other = tabulate(held, encode, library.basis, making)
        library.figures = measure(scorer, other) | mean_rank(library, other)
    return library


def in_marks(text: str) -> str:
    """A text of a kind with the library's marks: ``{He} waits.`` -> ``{^he} waits.``"""
    return written.MARK.sub(lambda m: f"{{^{m[1].lower()}}}" if m[1][0].isupper() else m[0], text)


def add_kinds(
    library: PlanLibrary, some: Sequence[written.Kind], encode: Any, wordings: int = WORDINGS, seed: int = 0
) -> None:
    """Put kinds of scenes into a library, in place of those it has; nothing else of it changes.

    Args:
        encode: texts -> (n, 384) unit vectors. wordings: composed of each kind, templates in turn.
    """
    said = []
    for kind in some:
        # by name: the wordings of a kind stay as they are when others are added
        rng = np.random.default_rng([seed, 73, zlib.crc32(kind.name.encode())])
        said += [written.scene(kind, k % len(kind.scenes), rng)[0] for k in range(wordings) for _ in range(DRAWS)]
    words = [" ".join(sorted(bag(written.MARK.sub(" ", t) for t in (*k.scenes, *k.places, *k.moments)))) for k in some]
    parts = [tuple(Part(in_marks(a.task), tuple(map(in_marks, a.steps)), a.at) for a in k.activities) for k in some]
    # a sentence vector is mostly about who acts: the mean of several is about what happens
    keys = unit(encode(said).reshape(len(some) * wordings, DRAWS, -1).mean(1))
    library.kinds = KindTable(
        [k.name for k in some], parts, sorted({(p.name, p.gender) for k in some for p in k.persons}),
        keys, np.repeat(np.arange(len(some)), wordings),
        encode([embedded(p.task) for row in parts for p in row]), words,
    )  # fmt: skip


def planner_stage(recipe: PlannerRecipe, args: argparse.Namespace) -> None:
    """The planning library: scenes with vectors, projections and the scorer of plans."""
    from avatargpt.lm.text_encoder import SentenceGrounder

    Runtime.start(args.threads, "cpu")
    begin = time.monotonic()
    encode = SentenceGrounder().sentence
    if bool(args.kinds_into) == bool(args.planning):
        raise UserError("planner: either --planning (corpora) or --kinds-into (a library to extend) is needed")
    if args.kinds_into:
        library = PlanLibrary.load(args.kinds_into)
    else:
        folder = Path(args.planning)
        plans, held = read_scenes(folder / "train.jsonl"), read_scenes(folder / "val.jsonl")
        library = make_planner(plans, held, encode, recipe.planner)
    add_kinds(library, list(written.kinds().values()), encode)
    path = library.save(args.output)
    save_resolved(recipe, Path(args.output))
    print(json.dumps(library.figures))
    print(f"{path}: {len(library.scenes)} scenes, {len(library.steps)} steps, {len(library.kinds.names)} kinds, "
          f"{path.stat().st_size / 1e6:.2f} MB, {time.monotonic() - begin:.0f} s")  # fmt: skip
