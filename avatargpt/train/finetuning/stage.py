"""The language stage of a finished model: it is validated on what it learns and on what it knew, and ends early."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatargpt.model.model import AvatarGPTModel
from avatargpt.model.text_encoder import SentenceGrounder
from avatargpt.train.data.examples import Example, ExampleOptions, Examples
from avatargpt.train.language import LanguageRecipe, LanguageStage
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import At
from instruct_data.mixture import Draw, generator
from instruct_data.store import ClipCodes

OWN_TASKS = ("text_to_motion", "motion_to_text", "continuation")
KEPT_TASKS = ("text_to_motion", "continuation")
LEAST_ROWS = 24  # of the user's held-out clips, each with as many prompts as that takes
WHOLE = "val_whole"
TRIED = 2  # steps that a step's time is measured on


def held_out(examples: Examples, own: Sequence[ClipCodes], kept: Sequence[ClipCodes]) -> dict[str, list[Example]]:
    """Fixed validation rows: ``own_TASK`` of the user's held-out clips, ``kept_TASK`` of the package's."""
    out: dict[str, list[Example]] = {}
    plainly = ExampleOptions(everyday=0.0, asked=0.0)
    for name, items, tasks in (("own", own, OWN_TASKS), ("kept", kept, KEPT_TASKS)):
        pool = Examples(items, [], {}, examples.text, examples.config, plainly, examples.rates)
        times = math.ceil(LEAST_ROWS / max(1, len(items)))
        for task in tasks:
            count = len(pool.pools(task))
            draws = [Draw(task, i, int(generator(5, i, k).integers(2**31))) for k in range(times) for i in range(count)]
            if draws:
                out[f"{name}_{task}"] = [pool.make(d) for d in draws]
    return out


class FinetuneStage(LanguageStage):
    """See `avatargpt.train.loop.Stage`.

    Args:
        patience: validations without a better one that end the run.
        before: the figures of the model that it began from; None = they are taken now.

    Attributes:
        before: those figures; ``val_whole`` is what is lost on the user's clips and, where it grew, on the package's.
    """

    def __init__(
        self, recipe: LanguageRecipe, model: AvatarGPTModel, examples: Examples, val: dict[str, list[Example]],
        grounder: SentenceGrounder | None, runtime: Runtime, patience: int, before: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(recipe, model, examples, val, grounder, runtime)
        self.patience, self._best, self._worse = patience, math.inf, 0
        self.before: dict[str, float] = {}
        self.before = self.validate() if before is None else before

    @property
    def over(self) -> bool:
        return self._worse >= self.patience

    def validate(self) -> dict[str, float]:
        """Nats per token of every validation set, and `WHOLE` of them."""
        figures = super().validate()
        own = [v for k, v in figures.items() if k.startswith("val_own_text") or k.startswith("val_own_motion")]
        lost = [max(0.0, v - self.before.get(k, v)) for k, v in figures.items() if k.startswith("val_kept_")]
        figures[WHOLE] = sum(own) / max(1, len(own)) + sum(lost)
        if self.before:
            better = figures[WHOLE] < self._best
            self._best, self._worse = min(self._best, figures[WHOLE]), 0 if better else self._worse + 1
        return figures

    def state(self) -> dict[str, Any]:
        return {"best": self._best, "worse": self._worse}

    def restore(self, state: dict[str, Any]) -> None:
        self._best, self._worse = float(state["best"]), int(state["worse"])

    def step_seconds(self) -> float:
        """How long a step takes here, without taking one."""
        self.model.train()
        begin = 0.0
        for step in range(TRIED + 1):  # the first one prepares kernels
            if step == 1:
                begin = time.perf_counter()
            total, _ = self.losses(self.module, At(step, self.runtime.rank, self.runtime.world, self.schedule.seed))
            total.backward()
            self.optimizer.zero_grad(set_to_none=True)
        return (time.perf_counter() - begin) / TRIED


def plan_of_steps(most: int, minutes: float, seconds: float) -> int:
    """Steps that fit into so many minutes at so many seconds each; at least one, at most `most`."""
    return max(1, min(most, int(minutes * 60 / max(seconds, 1e-6))))


def best_of(run: Path) -> Path:
    """Where the best weights of a run lie: those of the best validation, else the last ones."""
    best = run / "best"
    return best if (best / "config.json").is_file() else run
