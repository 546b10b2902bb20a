"""The gesture stage of `scripts/train.py`: speech, words and the interlocutor to motion and gesture tokens."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.gesture.network import GestureConfig, GestureDriver, GestureNetwork, GestureShape
from avatargpt.train.gesture.data import GestureBatch, GestureBatches, GestureCorpus, GestureSampling
from avatargpt.train.gesture.store_takes import corpus_of
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae.errors import UserError
from vqvae.rotations import matrix_from_6d
from vqvae.strict import PositiveInt, Rate, Strict

TINY = 1e-6
CODE_LAYERS = ("codes", "previous", "logits")  # of the network, whose rows belong to codes


class GestureLosses(Strict):
    """The section `train: losses` of `configs/gesture/*.yaml`: weights; 0 disables a term."""

    features: Rate = 1.0  # smooth L1 of all normalised channels (Huber, 1 standard deviation)
    position: Rate = 5.0  # metres between joints
    rotation: Rate = 1.0  # radians between rotations (geodesic)
    # velocity, acceleration: L1 of the first and second differences of normalised channels
    velocity: Rate = 1.0
    acceleration: Rate = 0.5
    tokens: Rate = 0.5  # nats of a token's codes, mean over levels
    finer: Rate = 1.0  # weight of a level relative to the one before, which is coarser, in that mean
    kinds: Rate = 0.3  # nats of the class whose stroke a token is a part of
    strokes: Rate = 1.0  # added to the weight 1 of tokens that are a part of one


def geodesic(a: Tensor, b: Tensor) -> Tensor:
    """Angle in radians between rotations (..., 6) and (..., 6)."""
    # From the Frobenius norm of the matrices' difference, 2 sqrt(2) sin(angle / 2), whose gradient stays finite where
    # the arc cosine of the trace has none.
    difference = (matrix_from_6d(a) - matrix_from_6d(b)).flatten(-2)
    half = (difference.square().sum(-1) + TINY).sqrt() / (2 * math.sqrt(2))
    return 2 * torch.asin(half.clamp(max=1 - TINY))


def mean_of(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the last axis, then over frames whose mask is 1: (B, T, k), (B, T) -> ()."""
    return (values.mean(-1) * mask).sum() / mask.sum().clamp(min=1)


def columns(x: Tensor, spans: Sequence[Sequence[int]], size: int) -> Tensor:
    """(B, T, F) -> (B, T, k, size): the columns of the spans, in groups."""
    return torch.cat([x[..., start:stop] for start, stop in spans], -1).unflatten(-1, (-1, size))


def gesture_losses(
    motion: Tensor, logits: Tensor, truth: Tensor, codes: Tensor, mask: Tensor, std: Tensor,
    rotations: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], weights: GestureLosses,
    kinds: Tensor | None = None, strokes: Tensor | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Weighted terms.

    Args:
        motion, truth: (B, T, F). logits: (B, N, R, K). codes: (B, N, R), -1 = unknown. mask: (B, T), 1 = counted.
        std: (F,) of the motion. rotations, positions: columns [start, stop) of F.
        kinds: (B, N, C + 1) logits of classes, strokes: (B, N) numbers of classes, -1 = none.
    """
    motion, truth = motion.float(), truth.float()
    error = (motion - truth) / std
    # Differences count where all of their frames do.
    both = mask[:, 1:] * mask[:, :-1]
    three = both[:, 1:] * both[:, :-1]
    out: dict[str, Tensor] = {}
    if weights.features:
        out["features"] = mean_of(F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none"), mask)
    if weights.velocity:
        out["velocity"] = mean_of(error.diff(dim=1).abs(), both)
    if weights.acceleration:
        out["acceleration"] = mean_of(error.diff(n=2, dim=1).abs(), three)
    if weights.position and positions:
        far = columns(motion, positions, 3) - columns(truth, positions, 3)
        out["position"] = mean_of((far.square().sum(-1) + TINY).sqrt(), mask)
    if weights.rotation and rotations:
        out["rotation"] = mean_of(geodesic(columns(motion, rotations, 6), columns(truth, rotations, 6)), mask)
    if weights.tokens:
        has_code = (codes >= 0).float()
        if strokes is not None:
            has_code = has_code * (1 + weights.strokes * (strokes >= 0))[..., None]
        has_code = has_code * weights.finer ** torch.arange(codes.shape[-1], device=codes.device)
        nats = F.cross_entropy(logits.float().flatten(0, -2), codes.clamp(min=0).flatten(), reduction="none")
        out["tokens"] = (nats * has_code.flatten()).sum() / has_code.sum().clamp(min=1)
    if weights.kinds and kinds is not None and strokes is not None and (strokes >= 0).any():
        target = torch.where(strokes < 0, kinds.shape[-1] - 1, strokes).flatten()
        known = (codes[..., 0] >= 0).float().flatten()
        nats = F.cross_entropy(kinds.float().flatten(0, -2), target, reduction="none")
        out["kinds"] = (nats * known).sum() / known.sum().clamp(min=1)
    return {name: value * getattr(weights, name) for name, value in out.items()}


VALIDATION_TAKES = 32
MAX_VALIDATION_FRAMES = 1800  # of each take


class GestureTraining(Schedule):
    """The section `train` of `configs/gesture/*.yaml`."""

    steps: PositiveInt = 6000
    batch: PositiveInt = 16  # stretches per step, over all processes
    # Consecutive windows of a stretch, each as long as the network's `reach`; the first has no memory
    segments: PositiveInt = 3
    lr: Rate = 8e-4
    lr_floor: Rate = 2e-5
    weight_decay: Rate = 0.02
    val_every: PositiveInt = 1000
    losses: GestureLosses = GestureLosses()
    sampling: GestureSampling = GestureSampling()


class GestureRecipe(Strict):
    """A configuration of the gesture stage."""

    model: GestureShape = GestureShape()
    train: GestureTraining = GestureTraining()


def gesture_stage(recipe: GestureRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) the gesture network."""
    runtime = Runtime.start(args.threads, args.device)
    start = GestureDriver.load(args.start) if args.start else None
    corpus = corpus_of(args, None if start is None else start.network.config)
    run(GestureStage(recipe, corpus, runtime, start, str(args.config)), Path(args.output), runtime, args.until)


class GestureStage(Stage):
    """A gesture network in training, from `start` in its own shape if there is one. `where`: for messages."""

    user = GestureDriver

    def __init__(
        self, recipe: GestureRecipe, corpus: GestureCorpus, runtime: Runtime, start: GestureDriver | None = None,
        where: str = "configuration",
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.corpus, self.runtime = recipe, recipe.train, corpus, runtime
        self.rows = runtime.share(self.schedule.batch, f"{where}: train")
        material = corpus.material
        if start is None:
            config = GestureConfig(**recipe.model.model_dump(), **material.model_dump())
        else:
            _check_same(start.network.config, corpus, start.source)
            config = start.network.config.model_copy(update={"tokenizer": material.tokenizer})
        self.config = config
        self.segment = -(-config.reach // config.downsample) * config.downsample  # whole tokens
        self.batches = GestureBatches(corpus, config, self.schedule.sampling, runtime.device)
        self.validation = GestureBatches(corpus, config, self.schedule.sampling, runtime.device, "val")
        torch.manual_seed(self.schedule.seed)
        if start is None:
            network = GestureNetwork(config)
            for name, values in self.batches.statistics().items():
                getattr(network, name).copy_(torch.from_numpy(values))
        elif (network := start.network).config != config:  # of another tokenizer: new vectors and logits of codes
            network = GestureNetwork(config)
            old, new = start.network.state_dict(), network.state_dict()
            network.load_state_dict({k: new[k] if k.split(".")[0] in CODE_LAYERS else v for k, v in old.items()})
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": config.model_dump()}
        t = self.schedule
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=t.lr, betas=(0.9, 0.98), weight_decay=t.weight_decay, fused=True
        )  # fmt: skip

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t, c = self.schedule, self.config
        b = self.batches.draw(self.rows, t.segments * self.segment, context.row_seed)
        with self.runtime.autocast():
            motion, logits, kinds = module(b.inputs, b.before, b.conditions, b.codes, self.segment, b.speaker)
        losses = gesture_losses(motion, logits, b.motion, b.codes, b.mask, self.network.std, c.rotations, c.positions,
                                t.losses, kinds, b.strokes)  # fmt: skip
        total = torch.stack(list(losses.values())).sum()
        return total, {**losses, "loss": total}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On validation takes: nats a code and accuracy of level 0, teacher-forced; position and rotation errors of the
        frames, with true tokens and without any."""
        self.network.eval()
        figures: dict[str, list[float]] = {}
        for take in self.validation.takes[:VALIDATION_TAKES]:
            frames = -(-min(take.frames, MAX_VALIDATION_FRAMES) // self.config.downsample) * self.config.downsample
            for tokens in (True, False):
                batch = self.validation.validation_batch(take, frames, tokens)
                for name, value in self._figures(batch, tokens):
                    figures.setdefault(f"val_{name}", []).append(value)
        self.network.train()
        return {name: float(np.mean(values)) for name, values in figures.items()}

    def _figures(self, b: GestureBatch, tokens: bool) -> Iterator[tuple[str, float]]:
        c = self.config
        motion, logits, kinds = self.network(b.inputs, b.before, b.conditions, b.codes, self.segment, b.speaker)
        suffix = "" if tokens else "_mean"
        if tokens:
            losses = gesture_losses(motion, logits, b.motion, b.codes, b.mask, self.network.std, [], [],
                                    GestureLosses(tokens=1.0))  # fmt: skip
            has_code = b.codes[..., 0] >= 0
            yield "nats", float(losses["tokens"])
            in_stroke = (b.strokes >= 0) & (b.codes[..., 0] >= 0)
            if in_stroke.any():
                yield "kind", float((kinds.argmax(-1) == b.strokes)[in_stroke].float().mean())
            yield "hit", float((logits[..., 0, :].argmax(-1) == b.codes[..., 0])[has_code].float().mean())
        if c.positions:
            far = columns(motion, c.positions, 3) - columns(b.motion, c.positions, 3)
            yield f"position{suffix}", float(mean_of(far.norm(dim=-1), b.mask))
        if c.rotations:
            angle = geodesic(columns(motion, c.rotations, 6), columns(b.motion, c.rotations, 6))
            yield f"degrees{suffix}", float(mean_of(angle.rad2deg(), b.mask))


def _check_same(config: GestureConfig, corpus: GestureCorpus, source: str) -> None:
    # Raises UserError where a network to begin from was trained on other material; it may be of another tokenizer.
    for name, value in corpus.material.model_dump(exclude={"tokenizer"}).items():
        if getattr(config, name) != value:
            raise UserError(f"{corpus.folder}: {name} {value}, but {source} was trained with {getattr(config, name)}; "
                            "accepted: takes of the same material")  # fmt: skip
