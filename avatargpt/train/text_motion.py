"""The text-motion stage of `scripts/train.py`: a store of clips with captions -> `avatargpt.metrics.evaluator`."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from avatargpt.config import Schedule, save_resolved
from avatargpt.metrics.evaluator.evaluator import MotionEvaluator, padded
from avatargpt.metrics.evaluator.network import EvaluatorNetwork
from avatargpt.metrics.retrieval_metrics import ALIKE, POOL, alike, pair_distances, retrieval_precision
from avatargpt.train.data.described import Described, Draws, described
from avatargpt.train.loop import run
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import Metrics, StageBase, StepContext
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.strict import Dropout, PositiveInt, Rate, Share, Strict

LEAST_SPREAD = 0.02  # of a channel: what hardly moves must not weigh like what does
FAR = -1e4  # logit of a pair that is no counter-example


class EvaluatorTraining(Schedule):
    """How the evaluator is trained.

    Attributes:
        near: share of a step drawn from few classes. each: clips of one of them at most.
        balance: 1 = classes equally likely, 0 = clips.
        noise: standard deviation added to the channels, in theirs.
        alike: cosine of two captions above which neither counts against the other (TMR: 0.8), unless of opposite sides.
        longest: frames of a clip that are seen in a step; longer ones are cut at a random place.
        captions: of a clip that are taken, the first ones.
        every: only every so manieth keyframed clip of the store is taken.
        twins: clips made worse of each (`Twins`). Those that the predicates let pass stand in for the clip at times;
            the others count against its caption.
        stand_in: how often one that passes stands in.
    """

    steps: PositiveInt = 1500
    batch: PositiveInt = 192
    lr: Rate = 1.5e-3
    weight_decay: Rate = 0.02
    near: Share = 0.4
    each: PositiveInt = 8
    balance: Share = 0.4
    noise: Rate = 0.25
    alike: Share = ALIKE
    longest: PositiveInt = 160
    captions: PositiveInt = 4
    every: PositiveInt = 1
    twins: Annotated[int, Field(ge=0, le=7)] = 0
    stand_in: Share = 0.5


class EvaluatorShape(Strict):
    """See `EvaluatorNetwork`."""

    width: PositiveInt = 128
    hidden: PositiveInt = 160
    dim: PositiveInt = 128
    blocks: PositiveInt = 3
    dropout: Dropout = 0.1


class EvaluatorRecipe(Strict):
    """A configuration of the stage."""

    model: EvaluatorShape = EvaluatorShape()
    train: EvaluatorTraining = EvaluatorTraining()


class EvaluatorStage(StageBase):
    """An evaluator in training: see `avatargpt.train.loop.Stage`."""

    def __init__(self, recipe: EvaluatorRecipe, seen: Described, held: Described, runtime: Runtime, where: str) -> None:
        """Args:
            seen, held: of training and of validation; `held` may be empty.
            where: what `seen` was read from, for messages.

        Raises:
            UserError: fewer than two clips, or several processes.
        """
        self.recipe, self.schedule, self.runtime, self.seen, self.held = recipe, recipe.train, runtime, seen, held
        t, shape = recipe.train, recipe.model
        if len(seen) < 2:
            raise UserError(f"{where}: {len(seen)} training clips with captions; at least two are needed")
        if runtime.world > 1:
            raise UserError(f"{where}: {runtime.world} processes; this stage compares all rows of a batch: accepted: 1")
        torch.manual_seed(t.seed)
        network = EvaluatorNetwork(shape.width, shape.hidden, shape.dim, shape.blocks, shape.dropout)
        flat = np.concatenate([f[:: max(1, len(f) // 20)] for f in seen.frames]).astype(np.float32)
        network.mean.copy_(torch.from_numpy(flat.mean(0)))
        network.std.copy_(torch.from_numpy(np.maximum(flat.std(0), LEAST_SPREAD)))
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape.model_dump()}
        self.optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
        self.draws = Draws(seen, t.batch, t.near, t.each, t.balance, t.alike)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        rows, told, free = self.draws.draw([context.seed, context.step])
        rng = np.random.default_rng([context.seed, context.step, 1])
        frames: list[np.ndarray] = []
        wrong: list[np.ndarray] = []
        against: list[int] = []  # the row whose caption each of `wrong` does not show
        for row, i in enumerate(rows):
            clip = self.seen.frames[i]
            if self.seen.twins and self.seen.twins[i]:
                twin = self.seen.twins[i][int(rng.integers(len(self.seen.twins[i])))]
                if not twin.right:
                    wrong.append(self._cut(twin.frames, rng))
                    against.append(row)
                elif rng.random() < t.stand_in:
                    clip = twin.frames
            frames.append(self._cut(clip, rng))
        x, lengths = padded([*frames, *wrong])
        device = self.runtime.device
        a = module.see(x.to(device), lengths.to(device), t.noise)
        b = module.hear(torch.from_numpy(self.seen.vectors[told]).to(device))
        n = len(rows)
        left_out = np.ones((n, n + len(wrong)), bool)
        left_out[:, :n] = free.T
        left_out[against, n + np.arange(len(wrong))] = False
        logits = (b @ a.T * module.scale.clamp(max=4.6).exp()).masked_fill(torch.from_numpy(left_out).to(device), FAR)
        target = torch.arange(n, device=device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :n].T, target)) / 2
        return loss, {"loss": loss}

    def _cut(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """StepContext most `longest` frames of a clip, from a random place."""
        start = int(rng.integers(max(1, len(clip) - self.schedule.longest + 1)))
        return clip[start : start + self.schedule.longest]

    def validate(self) -> dict[str, float]:
        """R-precision at 1 and 3 and MM-Dist of each held-out clip's first caption, in pools of at most 32."""
        if len(self.held) < 2:
            return {}
        found = self.finished()
        first = [c[0] for c in self.held.captions]
        told = self.held.vectors[first]
        a, b = found.sentences(told), found.frames(self.held.frames)
        hits = retrieval_precision(
            a, b, alike(told, self.held.sides[first], self.schedule.alike), (1, min(3, len(a))), min(POOL, len(a))
        )
        one, three = np.nanmean(hits, 0)
        return {"val_top1": float(one), "val_top3": float(three), "val_mm_dist": float(pair_distances(a, b).mean())}

    def finished(self) -> MotionEvaluator:
        """The evaluator as it stands, on the CPU."""
        return MotionEvaluator(copy.deepcopy(self.network).cpu())

    def save(self, out: Path) -> None:
        self.finished().save(out)
        save_resolved(self.recipe, out)


def text_motion_stage(recipe: EvaluatorRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) the evaluator of text and motion.

    Raises:
        UserError: a store of something else than bodies, or with fewer than two clips that have captions.
    """
    from avatargpt.lm.text_encoder import SentenceGrounder

    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    if store.modality != "body":
        raise UserError(f"{args.store}: holds {store.modality} clips; accepted: a motion store of bodies")
    grounder = SentenceGrounder()
    t = recipe.train
    seen, held = (
        described(store.clips(split), grounder, t.captions, t.every, twins)
        for split, twins in (("train", t.twins), ("val", 0))
    )
    train(recipe, seen, held, Path(args.output), runtime, str(args.store))


def train(
    recipe: EvaluatorRecipe, seen: Described, held: Described, out: Path, runtime: Runtime, where: str = "clips",
    until: int | None = None,
) -> MotionEvaluator:  # fmt: skip
    """Run or resume training in folder `out` (minutes).

    Args:
        seen, held: see `EvaluatorStage`.
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: fewer than two clips, several processes, or a damaged checkpoint.
    """
    stage = EvaluatorStage(recipe, seen, held, runtime, where)
    run(stage, out, runtime, until)
    return stage.finished()
