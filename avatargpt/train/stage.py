"""The base of all trainings: what a stage brings to the one loop (`avatargpt.train.loop`)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.train.throughput import Work

Metrics = dict[str, torch.Tensor]
"""Figures of a step by name, without gradient."""


@dataclass(frozen=True)
class StepContext:
    """Place of a step in a run. All random draws in the step follow from it alone, so that a resumed run is exact."""

    step: int  # steps before it
    # rank, world: of torch.distributed
    rank: int
    world: int
    seed: int  # of the run
    # part, parts: which part of the step's rows of this process, of how many (`Schedule.accumulate`)
    part: int = 0
    parts: int = 1

    def get_following(self, end: int) -> StepContext | None:
        """The next part, or the first one of the next step; None behind the last step of a run of `end`."""
        if self.part + 1 < self.parts:
            return replace(self, part=self.part + 1)
        return replace(self, step=self.step + 1, part=0) if self.step + 1 < end else None

    @property
    def row_seed(self) -> list[int]:
        """Seed of the rows that this process draws in this step."""
        return [self.seed, self.step, self.rank]

    @property
    def torch_seed(self) -> int:
        """Seed of torch's own random numbers (dropout, new codes) in this step on this rank."""
        # Every share of a step has a number of its own.
        worlds = self.world * self.parts
        return (self.seed << 32) + self.step * worlds + self.rank * self.parts + self.part


class Stage:
    """A training. Subclasses set the attributes and implement `losses`; the other defaults suit most.

    Attributes:
        recipe: its configuration (`Strict`), which the loop writes into the run's folder.
        schedule: a `Schedule`: length, rate, intervals.
        network: the trained network, whose weights stand in the checkpoint.
        module: called in `losses` and wrapped for several processes: the network itself, or one around it.
        optimizer: over the trained parameters; a group's rate is multiplied by its ``times``, if it has one.
        identity: plain data that a checkpoint must agree with to be resumed (shape, fingerprints).
        divides: whether its steps can be taken in parts (`StepContext.part`).
        user: of the network at run time (a driver, a reader), made of it alone; it writes the usable files.
        together: whether a step is the same on any number of processes: the mean of its losses over parts and
            processes is that of one process, and parameters that no row reaches move by their momentum, as under ZeRO.
    """

    recipe: Any
    schedule: Any
    network: Any
    module: Any
    optimizer: Any
    identity: dict[str, Any]
    user: Any
    divides = together = False

    @property
    def over(self) -> bool:
        """Whether further steps gain nothing; the same on all processes."""
        return False

    def torch_seed(self, context: StepContext) -> int:
        """Seed of torch's own random numbers in a step."""
        return context.torch_seed

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        """Draw the rows of a step and compute the loss, with gradient, and the figures of the log."""
        raise NotImplementedError

    def finish_step(self, step: int) -> None:
        """Called after the optimizer's step; `step` steps are complete."""

    def take_work(self) -> Work:
        """Work of this process since the last call."""
        return Work()

    def passes(self, step: int) -> dict[str, float]:
        """How often so many steps have passed over the data, for the log."""
        return {}

    def samples_due(self, step: int) -> bool:
        """Whether `samples` is to be called after a step."""
        return False

    def samples(self, step: int, out: Path) -> dict[str, np.ndarray]:
        """Write examples of the output into the run's folder, in the main process alone.

        Returns:
            Pictures by name, (H, W, 3) uint8.
        """
        return {}

    def validate(self) -> dict[str, float]:
        """Figures on held-out rows; leaves the network in training mode."""
        return {}

    def state(self) -> dict[str, Any]:
        """Content of the checkpoint beside network and optimizer, as plain containers of tensors."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the result of `state`."""

    def copy_network(self) -> Any:
        """The `user` of a copy of the present network, on the CPU."""
        return self.user(copy.deepcopy(self.network).cpu())

    def save(self, out: Path) -> None:
        """Write the usable files."""
        self.copy_network().save(out)

    def finish(self) -> dict[str, float]:
        """Called after the very last step, before the last save; figures for the log."""
        return {}


class AveragedStage(Stage):
    """A stage whose result is the exponential mean of the network's weights, of decay `schedule.ema`.

    Attributes:
        averaged: the user of a network on the CPU, which gets the mean where it is validated or saved.
    """

    mean: dict[str, torch.Tensor]
    averaged: Any

    def start_mean(self) -> None:
        """Begin the mean with the present weights."""
        self.mean = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def finish_step(self, step: int) -> None:
        # Shorter at the beginning, so that the initial weights are soon forgotten.
        decay = min(self.schedule.ema, step / (step + 10))
        for k, v in self.network.state_dict().items():
            self.mean[k].lerp_(v.detach(), 1 - decay)

    def copy_network(self) -> Any:
        """`averaged` with the mean of the weights so far."""
        self.averaged.network.load_state_dict({k: v.cpu() for k, v in self.mean.items()})
        self.averaged.network.eval()
        return self.averaged

    def torch_seed(self, context: StepContext) -> int:
        return context.seed + context.step

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]
