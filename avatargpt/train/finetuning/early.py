"""A training that ends when its figure stops getting better, and how long its steps take."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from avatargpt.train.checkpoints import ABOUT, BEST
from avatargpt.train.stage import StageBase, StepContext
from vqvae.io.data_files import read_object

TRIED = 2  # steps that a step's time is measured on


class Early(StageBase):
    """A stage that is over after `patience` validations without a better figure; it tells each with `judged`.

    Attributes:
        patience: as the options have it.
    """

    patience = 2
    _best, _worse = math.inf, 0

    @property
    def over(self) -> bool:
        return self._worse >= self.patience

    def judged(self, figure: float) -> None:
        """One more validation; a lower figure is better."""
        better = figure < self._best
        self._best, self._worse = min(self._best, figure), 0 if better else self._worse + 1

    def state(self) -> dict[str, Any]:
        return {"best": self._best, "worse": self._worse}

    def restore(self, state: dict[str, Any]) -> None:
        self._best, self._worse = float(state["best"]), int(state["worse"])


def step_seconds(stage: Any) -> float:
    """How long a step of a stage takes here, without taking one."""
    stage.network.train()
    begin = 0.0
    for step in range(TRIED + 1):  # the first one prepares kernels
        if step == 1:
            begin = time.perf_counter()
        context = StepContext(step, stage.runtime.rank, stage.runtime.world, stage.schedule.seed)
        total, _ = stage.losses(stage.module, context)
        total.backward()
        stage.optimizer.zero_grad(set_to_none=True)
    return (time.perf_counter() - begin) / TRIED


def plan_of_steps(most: int, minutes: float, seconds: float) -> int:
    """Steps that fit into so many minutes at so many seconds each; at least one, at most `most`."""
    return max(1, min(most, int(minutes * 60 / max(seconds, 1e-6))))


def best_of(run: Path) -> Path:
    """Where the best weights of a run lie: those of the best validation, else the last ones."""
    return run / BEST if (run / BEST / ABOUT).is_file() else run


def best_figures(run: Path) -> dict[str, float]:
    """The figures of the best validation of a run; none where it was never validated."""
    about = run / BEST / ABOUT
    return {k: float(v) for k, v in read_object(about)["figures"].items()} if about.is_file() else {}
