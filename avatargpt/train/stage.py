"""What a training brings to the one loop (`avatargpt.train.loop`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.train.throughput import Work
from vqvae.strict import Strict

Metrics = dict[str, torch.Tensor]
"""Figures of a step by name, without gradient."""


@dataclass(frozen=True)
class StepContext:
    """Where in a run a step is: everything random in it follows from this alone, so that a resumed run goes on exactly.

    Attributes:
        step: steps that were done before. rank, world: of torch.distributed. seed: of the run.
        part, parts: which part of the step's rows of this process, of how many (`Schedule.accumulate`).
    """

    step: int
    rank: int
    world: int
    seed: int
    part: int = 0
    parts: int = 1

    @property
    def row_seed(self) -> list[int]:
        """Seed of the rows that this process draws in this step."""
        return [self.seed, self.step, self.rank]

    @property
    def torch_seed(self) -> int:
        """Of torch's own random numbers (dropout, new codes) in this step on this rank."""
        worlds = self.world * self.parts
        return (self.seed << 32) + self.step * worlds + self.rank * self.parts + self.part


class Stage(Protocol):
    """What a training brings to the loop. `StageBase` has the parts that many leave out.

    Attributes:
        recipe: what it was made of; stands in the run's folder as `save` writes it.
        schedule: how long, how fast, how often.
        network: whose weights are trained and stand in the checkpoint.
        module: what is wrapped for several processes and called in `losses`: the network itself, or one around it.
        optimizer: over the parameters that are trained; a group's rate is multiplied by its ``times``, if it has one.
        divides: whether its steps can be taken in parts (`StepContext.part`).
        together: whether a step is the same on any number of processes: the mean of its losses over parts and
            processes is that of one process, and what no row reaches moves on by its momentum, as it does under ZeRO.
        identity: what a checkpoint must have been made with to be gone on from (shape, fingerprints), as plain data.
        over: whether nothing is to be gained by further steps; the same on all processes.
    """

    @property
    def recipe(self) -> Strict: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def network(self) -> torch.nn.Module: ...
    @property
    def module(self) -> torch.nn.Module: ...
    @property
    def optimizer(self) -> Any: ...
    @property
    def divides(self) -> bool: ...
    @property
    def together(self) -> bool: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    @property
    def over(self) -> bool: ...

    def torch_seed(self, context: StepContext) -> int:
        """Seed of torch's own random numbers in a step."""

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        """Draw the rows of a step and compute the loss, with gradient, and the figures to be logged.

        Args:
            module: `self.module` as it was wrapped for this run.
        """

    def stepped(self, step: int) -> None:
        """After the optimiser's step; `step` steps are done."""

    def worked(self) -> Work:
        """What this process has done since this was last asked."""

    def shows(self, step: int) -> bool:
        """Whether answers to look at are due after a step."""

    def samples(self, step: int, out: Path) -> dict[str, np.ndarray]:
        """After a step where they are due, in the main process alone: answers to look at, in the run's folder, too.

        Returns:
            Pictures by name, (H, W, 3) uint8.
        """

    def validate(self) -> dict[str, float]:
        """Figures on held-out rows; leaves the network in training mode."""

    def state(self) -> dict[str, Any]:
        """What the checkpoint holds beside network and optimiser, as plain containers of tensors."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""

    def save(self, out: Path) -> None:
        """Write what others can use."""

    def finish(self) -> dict[str, float]:
        """After the very last step, before the last save: settle what is settled once; figures for the log."""


class StageBase:
    """Defaults of a `Stage`."""

    divides = together = False

    @property
    def over(self) -> bool:
        return False

    def torch_seed(self, context: StepContext) -> int:
        return context.torch_seed

    def stepped(self, step: int) -> None:
        pass

    def worked(self) -> Work:
        return Work()

    def shows(self, step: int) -> bool:
        return False

    def samples(self, step: int, out: Path) -> dict[str, np.ndarray]:
        return {}

    def validate(self) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass

    def finish(self) -> dict[str, float]:
        return {}
