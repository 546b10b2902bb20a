"""The fgd stage of `scripts/train.py`: trains the auto-encoder whose features FGD compares."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.metrics.gesture_features import (
    CHANNELS,
    FRAMES,
    MIN_SPREAD,
    GestureAutoEncoder,
    GestureFeatureEncoder,
    windows,
)
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import PositiveInt, Rate, Strict


class FeatureTraining(Schedule):
    """The section `train` of `configs/fgd.yaml`."""

    steps: PositiveInt = 2000
    batch: PositiveInt = 128
    lr: Rate = 2e-3
    velocity: Rate = 1.0  # weight of the error of differences between frames
    # Standard deviation of a random constant added to each channel of a window, in the channel's own: another rig's
    # zero pose or another person's posture must not lie outside the training data
    offset: Rate = 0.7


class FeatureShape(Strict):
    """See `GestureAutoEncoder`."""

    width: PositiveInt = 48
    latent: PositiveInt = 32


class GestureFeatureRecipe(Strict):
    """A configuration of the stage."""

    model: FeatureShape = FeatureShape()
    train: FeatureTraining = FeatureTraining()


def all_windows(motions: Iterable[Motion]) -> np.ndarray:
    """(N, 64, 78) `windows` of all clips that are long enough, at every 4th frame."""
    long = [m for m in motions if round(len(m) * 30 / m.fps) >= FRAMES]
    empty = np.zeros((0, FRAMES, CHANNELS), np.float32)
    return np.concatenate([empty, *(windows(m, 4) for m in long)])


class GestureFeatureStage(Stage):
    """An auto-encoder of gestures in training, on (N, 64, 78) windows; `validation` may be empty."""

    user = GestureFeatureEncoder

    def __init__(
        self, recipe: GestureFeatureRecipe, training: np.ndarray, validation: np.ndarray, runtime: Runtime,
        where: str = "clips",
    ) -> None:  # fmt: skip
        if not len(training):
            raise UserError(f"{where}: no training clip of {FRAMES / 30:.1f} s or more; at least one is needed")
        self.recipe, self.schedule, self.runtime = recipe, recipe.train, runtime
        torch.manual_seed(recipe.train.seed)
        network = GestureAutoEncoder(recipe.model.width, recipe.model.latent)
        flat = training.reshape(-1, CHANNELS)
        network.mean.copy_(torch.from_numpy(flat.mean(0)))
        network.std.copy_(torch.from_numpy(np.maximum(flat.std(0), MIN_SPREAD)))
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": recipe.model.model_dump()}
        t = recipe.train
        self.optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
        self.training, self.validation = (
            network.normal(torch.from_numpy(x).to(runtime.device)) for x in (training, validation)
        )

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        rng = np.random.default_rng(context.row_seed)
        rows = torch.from_numpy(rng.integers(len(self.training), size=self.schedule.batch)).to(self.training.device)
        x = self.training[rows]
        shift = torch.from_numpy(rng.normal(0, self.schedule.offset, (len(x), 1, CHANNELS)).astype(np.float32))
        x = x + shift.to(x.device)
        y = module.decode(module.encode(x))
        place = (y - x).square().mean()
        change = (y.diff(dim=1) - x.diff(dim=1)).square().mean()
        return place + self.schedule.velocity * change, {"place": place, "change": change}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Share of the validation variance that is lost."""
        if not len(self.validation):
            return {}
        x = self.validation
        y = self.network.decode(self.network.encode(x))
        return {"val_lost": float((y - x).square().mean() / x.square().mean())}


def gesture_features_stage(recipe: GestureFeatureRecipe, args: argparse.Namespace) -> None:
    """Train (or resume training) the auto-encoder."""
    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    if store.modality == "face":
        raise UserError(f"{args.store}: holds faces; accepted: a motion store of bodies or gestures")
    training, validation = (all_windows(c.load() for c in store.clips(split)) for split in ("train", "val"))
    stage = GestureFeatureStage(recipe, training, validation, runtime, str(args.store))
    run(stage, Path(args.output), runtime, args.until)
