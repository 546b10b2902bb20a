"""The evaluator stage of `scripts/train.py`: HumanML3D and a movement encoder -> the evaluator of its protocol.

Source: Guo et al. 2022 (`TextMotionMatchTrainer` of their code).
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatargpt.config import Schedule, save_resolved
from avatargpt.lm.folder import fingerprint
from avatargpt.metrics.humanml3d.evaluator import Evaluator, normalised, padded
from avatargpt.metrics.humanml3d.lengths import drawn_crop
from avatargpt.metrics.humanml3d.networks import EvaluatorShape, MatchingNetwork
from avatargpt.metrics.humanml3d.words import TAGS, Vocabulary, read_vocabulary
from avatargpt.metrics.matching import POOL, r_precision
from avatargpt.train.evaluator.movements import Movements, load_movements, split_of
from avatargpt.train.loop import run
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import Metrics, StageBase, StepContext
from instruct_data.sources.humanml3d_pairs import Pair
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Rate, Strict

HELD = 32 * POOL  # clips that are looked at in validation
TINY = 1e-6  # added to differences, as `torch.nn.functional.pairwise_distance` does


class MatchingTraining(Schedule):
    """How the common space is trained.

    Attributes:
        margin: distance that texts are pushed away to from motions that are not theirs.
    """

    steps: PositiveInt = 196_000
    batch: PositiveInt = 32
    lr: Rate = 1e-4
    lr_floor: Rate = 1e-4
    weight_decay: Rate = 0.0
    clip: Rate = 0.5
    best: str = "val_total"
    margin: Rate = 10.0


class MatchingShape(Strict):
    """See `EvaluatorShape`; words and movements are as large as those that are given."""

    text: PositiveInt = 512
    motion: PositiveInt = 1024
    joint: PositiveInt = 512


class EvaluatorRecipe(Strict):
    """A configuration of the stage."""

    model: MatchingShape = MatchingShape()
    train: MatchingTraining = MatchingTraining()


def contrast(texts: Tensor, motions: Tensor, margin: float, shift: int) -> Metrics:
    """The published loss: d^2 to the own motion, max(margin - d, 0)^2 to that `shift` rows on, each averaged.

    Args:
        texts, motions: (B, D), row i belonging to row i. shift: 0 to B - 1; 0 means the own motion.

    Returns:
        ``own``, ``other`` and their sum ``total``.
    """
    own = torch.nn.functional.pairwise_distance(texts, motions, eps=TINY)
    other = torch.nn.functional.pairwise_distance(texts, motions.roll(-shift, 0), eps=TINY)
    near, far = own.square().mean(), (margin - other).clamp(min=0).square().mean()
    return {"total": near + far, "own": near, "other": far}


class EvaluatorStage(StageBase):
    """An evaluator in training: see `avatargpt.train.loop.Stage`."""

    def __init__(
        self, recipe: EvaluatorRecipe, seen: Sequence[Pair], held: Sequence[Pair], movements: Movements,
        vocabulary: Vocabulary, runtime: Runtime,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime = recipe, recipe.train, runtime
        self.seen, self.held, self.movements, self.vocabulary = seen, held[:HELD], movements, vocabulary
        torch.manual_seed(recipe.train.seed)
        encoder = movements.encoder
        shape = EvaluatorShape(
            word=vocabulary.vectors.shape[1], tags=len(TAGS), width=encoder.width,
            movement=encoder.out, **recipe.model.model_dump(),
        )  # fmt: skip
        network = MatchingNetwork(shape)
        network.movement_encoder = encoder.requires_grad_(False).eval()
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape._asdict(), "movements": fingerprint(encoder)}
        learnt = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(learnt, recipe.train.lr, weight_decay=recipe.train.weight_decay)

    def _inputs(self, pairs: Sequence[Pair], rng: np.random.Generator) -> list[Tensor]:
        """What the network takes of these clips, each with one of its captions and a part of it."""
        said, motions = [], []
        for pair in pairs:
            said.append(pair.captions[int(rng.integers(len(pair.captions)))].tokens)
            features = pair.features(*drawn_crop(len(pair), rng))
            motions.append(normalised(features, self.movements.mean, self.movements.std))
        words = [torch.from_numpy(x) for x in self.vocabulary.encode(said)]
        return [x.to(self.runtime.device) for x in (*words, *padded(motions))]

    def losses(self, module: Any, context: StepContext) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng(context.row_seed)
        rows = rng.permutation(len(self.seen))[: self.schedule.batch]
        texts, motions = module(*self._inputs([self.seen[i] for i in rows], rng))
        # As published: a shift of 0, the own motion, is among those drawn.
        parts = contrast(texts, motions, self.schedule.margin, int(rng.integers(len(rows) - 1)))
        return parts["total"], parts

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The loss on held-out clips beside their neighbours in a random order, and R-precision in pools of 32."""
        rng = np.random.default_rng(0)
        order = rng.permutation(len(self.held))
        pairs = [self.held[i] for i in order]
        if len(pairs) < 2:
            return {}
        self.network.eval()
        both = [self.network(*self._inputs(pairs[i : i + POOL], rng)) for i in range(0, len(pairs), POOL)]
        self.network.train()
        texts, motions = (torch.cat(some) for some in zip(*both, strict=True))
        out = {f"val_{k}": float(v) for k, v in contrast(texts, motions, self.schedule.margin, 1).items()}
        full = len(pairs) // POOL * POOL
        if full:
            shares = r_precision(texts[:full].cpu().numpy(), motions[:full].cpu().numpy())
            out |= {f"val_r_precision_{k + 1}": float(share) for k, share in enumerate(shares)}
        return out

    def finished(self) -> Evaluator:
        """The evaluator as it stands, on the CPU."""
        m = self.movements
        return Evaluator(copy.deepcopy(self.network), m.mean, m.std, self.vocabulary)

    def save(self, out: Path) -> None:
        self.finished().save(out)
        save_resolved(self.recipe, out)


def evaluator_stage(recipe: EvaluatorRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) the evaluator.

    Raises:
        UserError: no HumanML3D, movement encoder or vocabulary, or fewer than three clips in a step.
    """
    movements, vocabulary = load_movements(args.movements), read_vocabulary(Path(args.words))
    seen, held = (split_of(Path(args.data), split) for split in ("train", "val"))
    rows = min(len(seen), recipe.train.batch)
    if rows < 2:
        raise UserError(f"train: batch: {rows} clips in a step; accepted: 2 or more, to tell them from each other")
    runtime = Runtime.start(args.threads, args.device)
    stage = EvaluatorStage(recipe, seen, held, movements, vocabulary, runtime)
    run(stage, Path(args.output), runtime, args.until)
