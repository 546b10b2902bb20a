"""The gesture stage of `scripts/train.py`: speech, words and the other speaker to motion and gesture tokens."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import Schedule, save_resolved
from avatargpt.gesture.config import GestureConfig, GestureShape
from avatargpt.gesture.driver import GestureDriver
from avatargpt.gesture.network import GestureNetwork
from avatargpt.train.gesture_data import corpus as cache
from avatargpt.train.gesture_data.batches import Batch, Batches, Sampling
from avatargpt.train.gesture_data.losses import GestureLosses, columns, geodesic, gesture_losses, mean_of
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, StageBase, StepContext
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Rate, Strict

HELD_OUT = 32  # takes that are validated on
LONGEST = 1800  # frames of each


class GestureTraining(Schedule):
    """What `configs/gesture/*.yaml` may set under `train`.

    Attributes:
        batch: stretches per step, over all processes.
        segments: consecutive windows of a stretch, each of the network's `reach`; from the second on there is a memory.
    """

    steps: PositiveInt = 6000
    batch: PositiveInt = 16
    segments: PositiveInt = 3
    lr: Rate = 8e-4
    lr_floor: Rate = 2e-5
    weight_decay: Rate = 0.02
    val_every: PositiveInt = 1000
    losses: GestureLosses = GestureLosses()
    sampling: Sampling = Sampling()


class GestureRecipe(Strict):
    """A configuration of the gesture stage."""

    model: GestureShape = GestureShape()
    train: GestureTraining = GestureTraining()


def gesture_stage(recipe: GestureRecipe, args: argparse.Namespace) -> None:
    """Train (or go on training) the gesture network."""
    runtime = Runtime.start(args.threads, args.device)
    start = GestureDriver.load(args.start) if args.start else None
    train(recipe, cache.load(args.takes), Path(args.output), runtime, start, args.until, str(args.config))


class GestureStage(StageBase):
    """A gesture network in training: see `avatargpt.train.loop.Stage`."""

    def __init__(
        self, recipe: GestureRecipe, corpus: cache.Corpus, runtime: Runtime, start: GestureDriver | None, where: str
    ) -> None:
        self.recipe, self.schedule, self.corpus, self.runtime = recipe, recipe.train, corpus, runtime
        self.rows = runtime.share(self.schedule.batch, f"{where}: train")
        material = corpus.material
        if start is None:
            config = GestureConfig(**recipe.model.model_dump(), **material.model_dump())
        else:
            config = start.network.config
            _check_same(config, corpus, start.source)
        self.config = config
        self.segment = -(-config.reach // config.downsample) * config.downsample  # whole tokens
        self.batches = Batches(corpus, config, self.schedule.sampling, runtime.device)
        self.held_out = Batches(corpus, config, self.schedule.sampling, runtime.device, "val")
        torch.manual_seed(self.schedule.seed)
        if start is None:
            network = GestureNetwork(config)
            for name, values in self.batches.statistics().items():
                getattr(network, name).copy_(torch.from_numpy(values))
        else:
            network = start.network
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
            motion, logits = module(b.heard, b.before, b.shown, b.codes, self.segment, b.speaker)
        losses = gesture_losses(motion, logits, b.motion, b.codes, b.mask, self.network.std, c.rotations, c.positions,
                                t.losses)  # fmt: skip
        total = torch.stack(list(losses.values())).sum()
        return total, {**losses, "loss": total}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On held-out takes: nats a code and share of level-0 codes that are the likeliest, each given the true ones
        before; metres and degrees of the frames with true tokens and without any."""
        self.network.eval()
        found: dict[str, list[float]] = {}
        for take in self.held_out.takes[:HELD_OUT]:
            frames = -(-min(take.frames, LONGEST) // self.config.downsample) * self.config.downsample
            for tokens in (True, False):
                batch = self.held_out.whole(take, frames, tokens)
                for name, value in self._figures(batch, tokens):
                    found.setdefault(f"val_{name}", []).append(value)
        self.network.train()
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _figures(self, b: Batch, tokens: bool) -> Iterator[tuple[str, float]]:
        c = self.config
        motion, logits = self.network(b.heard, b.before, b.shown, b.codes, self.segment, b.speaker)
        suffix = "" if tokens else "_mean"
        if tokens:
            losses = gesture_losses(motion, logits, b.motion, b.codes, b.mask, self.network.std, [], [],
                                    GestureLosses(tokens=1.0))  # fmt: skip
            known = b.codes[..., 0] >= 0
            yield "nats", float(losses["tokens"])
            yield "hit", float((logits[..., 0, :].argmax(-1) == b.codes[..., 0])[known].float().mean())
        if c.positions:
            far = columns(motion, c.positions, 3) - columns(b.motion, c.positions, 3)
            yield f"position{suffix}", float(mean_of(far.norm(dim=-1), b.mask))
        if c.rotations:
            angle = geodesic(columns(motion, c.rotations, 6), columns(b.motion, c.rotations, 6))
            yield f"degrees{suffix}", float(mean_of(angle.rad2deg(), b.mask))

    def save(self, out: Path) -> None:
        GestureDriver(self.network).save(out)
        self.network.train()
        save_resolved(self.recipe, out)


def _check_same(config: GestureConfig, corpus: cache.Corpus, source: str) -> None:
    """Raises UserError where a network to begin from was trained on other material."""
    for name, value in corpus.material.model_dump().items():
        if getattr(config, name) != value:
            raise UserError(f"{corpus.folder}: {name} {value}, but {source} was trained with {getattr(config, name)}; "
                            "accepted: takes of the same material")  # fmt: skip


def train(
    recipe: GestureRecipe, corpus: cache.Corpus, out: Path, runtime: Runtime, start: GestureDriver | None = None,
    until: int | None = None, where: str = "configuration",
) -> GestureDriver:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the finished network).

    Args:
        corpus: takes of both splits.
        start: a network to begin from; its own shape is kept.
        until: stop here with a checkpoint; the schedule stays that of all steps.
        where: the configuration's name, for messages.

    Raises:
        UserError: values that do not go together, no takes, a damaged checkpoint.
    """
    stage = GestureStage(recipe, corpus, runtime, start, where)
    run(stage, out, runtime, until)
    return GestureDriver(stage.network.to("cpu"))
